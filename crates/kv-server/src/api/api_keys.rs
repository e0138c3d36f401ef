//! The caller's own API keys.

use super::{
    List,
    input::{Body, id, page, query, time, written},
};
use crate::{
    caller::Caller,
    failure::Failure,
    operations::{create_api_key, list_api_keys, revoke_api_key},
    problem::Problem,
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::header, web::Path};
use kv_authz::{
    Owner, Role,
    assignment::{ClusterScope, NamespaceScope},
    audit::{Event, Target},
};
use kv_store::KeyFilter;
use list_api_keys::Listed;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What making a key takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// 1 to 100 characters, unique among your live keys.
    name: String,
    /// When it shall end (RFC 3339), at most 10 years ahead; never if absent or null.
    #[serde(default)]
    expires_at: Option<String>,
}

/// A key just made.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// The key. Shown this once, and never again.
    key: String,
    /// Its first 12 characters, by which lists show it.
    prefix: String,
    /// When it was made.
    created_at: String,
    /// When it ends; null for never.
    expires_at: Option<String>,
    /// `active` or `expiring`.
    state: String,
}

/// A key, without the key.
#[derive(Serialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// Its first 12 characters.
    prefix: String,
    /// When it was made.
    created_at: String,
    /// When it ends; null for never.
    expires_at: Option<String>,
    /// When it was last used, give or take a few seconds.
    last_used_at: Option<String>,
    /// From where.
    last_used_ip: Option<String>,
    /// `active`, `expiring`, `expired` or `revoked`.
    #[schema(value_type = String)]
    state: kv_authz::KeyState,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl From<Listed> for ApiKey {
    fn from(Listed { key, state }: Listed) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            prefix: key.prefix,
            created_at: written(key.created_at),
            expires_at: key.expires_at.map(written),
            last_used_at: key.last_used_at.map(written),
            last_used_ip: key.last_used_ip,
            state,
            revoked_at: key.revoked_at.map(written),
        }
    }
}

/// The key that is calling, and what it may do.
#[derive(Serialize, ToSchema)]
pub struct CurrentApiKey {
    /// The key.
    #[serde(flatten)]
    key: ApiKey,
    /// Whose rights it has.
    owner: KeyOwner,
    /// What those are.
    permissions: EffectivePermissions,
}

/// A key's owner.
#[derive(Serialize, ToSchema)]
pub struct KeyOwner {
    /// Their id.
    id: String,
    /// Their name.
    name: String,
}

/// A role, and where it counts.
#[derive(Serialize, ToSchema)]
pub struct EffectivePermissions {
    /// The role.
    pub role: String,
    /// The atoms of a custom role.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grants: Vec<String>,
    /// The clusters and namespaces it counts in.
    pub assignments: Vec<AssignedTo>,
}

/// One assignment.
#[derive(Serialize, ToSchema)]
pub struct AssignedTo {
    /// The cluster's name; null for every cluster.
    pub cluster: Option<String>,
    /// The namespaces; null for all.
    pub namespaces: Option<Vec<String>>,
}

/// What listing keys takes.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    state: Option<StateQuery>,
    limit: Option<u16>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateQuery {
    Revoked,
    All,
}

impl ListQuery {
    /// Which keys, and which page of them.
    ///
    /// # Errors
    /// [`Failure::Invalid`].
    pub fn read(request: &HttpRequest) -> Result<(KeyFilter, kv_store::PageRequest), Failure> {
        let list: Self = query(request)?;
        let filter = match list.state {
            None => KeyFilter::NotRevoked,
            Some(StateQuery::Revoked) => KeyFilter::Revoked,
            Some(StateQuery::All) => KeyFilter::All,
        };
        Ok((filter, page(list.limit, list.cursor.as_deref())?))
    }
}

fn keys() -> Target {
    Target::of("api-keys")
}

/// Make a key. A key never makes another.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "api-keys", request_body = NewApiKey, security(("session" = [])), responses(
    (status = 201, body = CreatedApiKey),
    (status = 400, description = "Unknown fields, or a time that is none.", body = Problem),
    (status = 403, description = "`interactive_session_required`: a key was used.", body = Problem),
    (status = 409, description = "`name_taken` or `too_many_keys`.", body = Problem),
    (status = 422, description = "`invalid_name` or `invalid_expiry`.", body = Problem),
))]
pub async fn create(caller: Caller, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyCreate, keys());
    no_query(&request)?;
    let input: NewApiKey = body.json()?;
    let expires_at = input.expires_at.as_deref().map(|text| time(text, "expires_at")).transpose()?;
    let wanted = create_api_key::Wanted { name: input.name, expires_at };
    let created = caller
        .act(Event::ApiKeyCreate, keys(), async |view| {
            create_api_key::create_api_key(caller.acting(view), &wanted).await
        })
        .await?;
    let app = caller.app();
    let window = app.config.api_keys.expiring_window();
    let state = kv_authz::KeyState::at(created.created_at, None, created.expires_at, window);
    let state = if state == kv_authz::KeyState::Expiring { "expiring" } else { "active" };
    Ok(HttpResponse::Created().insert_header((header::CACHE_CONTROL, "no-store")).json(CreatedApiKey {
        id: created.id.to_string(),
        name: created.name,
        prefix: created.key.prefix().to_string(),
        key: created.key.expose().to_owned(),
        created_at: written(created.created_at),
        expires_at: created.expires_at.map(written),
        state: state.into(),
    }))
}

/// List your keys.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "api-keys", security(("session" = [])),
    params(
        ("state" = Option<String>, Query, description = "`revoked` or `all`; without it, those not revoked"),
        ("limit" = Option<u16>, Query, description = "1 to 200, 50 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = List<ApiKey>), (status = 403, body = Problem)))]
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyList, keys());
    let (filter, page) = ListQuery::read(&request)?;
    let found = caller
        .observe(Event::ApiKeyList, keys(), async |view| {
            list_api_keys::list_api_keys(caller.acting(view), filter, page).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(List::of(found, ApiKey::from)))
}

/// Revoke one of your keys.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "api-keys", security(("session" = [])),
    params(("id" = String, Path)),
    responses((status = 204, description = "Revoked, now or before."), (status = 404, body = Problem)))]
pub async fn revoke(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyRevoke, keys());
    no_query(&request)?;
    let key = id(&path, "API key")?;
    caller
        .act(Event::ApiKeyRevoke, keys(), async |view| {
            revoke_api_key::revoke_api_key(caller.acting(view), key, None).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Look at the key that is calling.
#[utoipa::path(get, path = "/api/v1/api-keys/current", tag = "api-keys", security(("api_key" = [])),
    responses((status = 200, body = CurrentApiKey), (status = 404, description = "Not called with a key.", body = Problem)))]
pub async fn current(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyShowCurrent, keys());
    no_query(&request)?;
    let current = caller
        .observe(Event::ApiKeyShowCurrent, keys(), async |view| {
            let listed = list_api_keys::show_current(caller.acting(view)).await?;
            let owner = view.principal.owner().ok_or(Failure::NotFound { what: "API key" })?;
            Ok(CurrentApiKey {
                key: listed.into(),
                owner: KeyOwner { id: owner.id.to_string(), name: owner.name.clone() },
                permissions: permissions(owner, view),
            })
        })
        .await?;
    Ok(HttpResponse::Ok().json(current))
}

/// Revoke the key that is calling.
#[utoipa::path(delete, path = "/api/v1/api-keys/current", tag = "api-keys", security(("api_key" = [])),
    responses((status = 204, description = "Revoked."), (status = 404, description = "Not called with a key.", body = Problem)))]
pub async fn revoke_current(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyRevoke, keys());
    no_query(&request)?;
    caller
        .act(Event::ApiKeyRevoke, keys(), async |view| revoke_api_key::revoke_current(caller.acting(view)).await)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A user's rights in their written form.
pub(crate) fn permissions(owner: &Owner, view: &crate::view::View) -> EffectivePermissions {
    let lines = if owner.role.reaches_everything() {
        vec![AssignedTo { cluster: None, namespaces: None }]
    } else {
        assigned(&owner.assignments, view)
    };
    let grants = match &owner.role {
        Role::Custom { grants, .. } => grants.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    EffectivePermissions { role: owner.role.name().to_owned(), grants, assignments: lines }
}

/// Assignments in their written form; those to clusters that are gone are left out.
pub(crate) fn assigned(assignments: &kv_authz::Assignments, view: &crate::view::View) -> Vec<AssignedTo> {
    let name =
        |cluster| view.clusters.clusters.iter().find(|known| known.id == cluster).map(|known| known.name.clone());
    let written = |line: &kv_authz::Assignment| {
        let cluster = match line.cluster {
            ClusterScope::Every => None,
            ClusterScope::One(id) => Some(name(id)?),
        };
        let namespaces = match &line.namespaces {
            NamespaceScope::All => None,
            NamespaceScope::Named(names) => Some(names.iter().cloned().collect()),
        };
        Some(AssignedTo { cluster, namespaces })
    };
    assignments.lines().iter().filter_map(written).collect()
}
