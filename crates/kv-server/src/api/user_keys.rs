//! Other people's keys, as administrators see and revoke them.

use super::{
    List,
    api_keys::{ApiKey, ListQuery},
    input::id,
};
use crate::{
    caller::Caller,
    failure::Failure,
    operations::{list_api_keys, revoke_api_key},
    problem::Problem,
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, web::Path};
use kv_authz::{
    Denied,
    action::ListUserApiKeys,
    audit::{Event, Target},
};
use kv_store::Credential;
use serde::Serialize;
use utoipa::ToSchema;

/// How many keys were revoked.
#[derive(Serialize, ToSchema)]
pub struct Revoked {
    /// The keys that were not revoked before.
    revoked: usize,
}

fn keys() -> Target {
    Target::of("api-keys")
}

/// List a user's keys.
#[utoipa::path(get, path = "/api/v1/users/{id}/api-keys", tag = "users", security(("session" = [])),
    params(
        ("id" = String, Path), ("state" = Option<String>, Query), ("limit" = Option<u16>, Query),
        ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, body = List<ApiKey>), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn list_keys(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyList, keys());
    let (filter, page) = ListQuery::read(&request)?;
    let user = id(&path, "user");
    let found = caller
        .observe(Event::ApiKeyList, keys(), async |view| {
            let user = known(&user, caller.acting(view)).await?;
            list_api_keys::list_user_api_keys(caller.acting(view), user, filter, page).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(List::of(found, ApiKey::from)))
}

/// Nobody makes a key for someone else.
#[utoipa::path(post, path = "/api/v1/users/{id}/api-keys", tag = "users", security(("session" = [])),
    params(("id" = String, Path)),
    responses((status = 403, description = "Always: keys are made by their owners.", body = Problem)))]
pub async fn mint_refused(caller: Caller, _path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyCreate, keys());
    match caller.credential() {
        Credential::Key(_) => Err(Failure::Denied(Denied::InteractiveSessionRequired)),
        Credential::Session(_) => Err(Failure::Denied(Denied::OperatorOnly)),
    }
}

/// Revoke one of a user's keys.
#[utoipa::path(delete, path = "/api/v1/users/{id}/api-keys/{key_id}", tag = "users", security(("session" = [])),
    params(("id" = String, Path), ("key_id" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn revoke_key(
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyRevoke, keys());
    no_query(&request)?;
    let (user, key) = (id(&path.0, "user"), id(&path.1, "API key"));
    caller
        .act(Event::ApiKeyRevoke, keys(), async |view| {
            let user = known(&user, caller.acting(view)).await?;
            let key = known(&key, caller.acting(view)).await?;
            revoke_api_key::revoke_user_api_key(caller.acting(view), user, key, None).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Revoke all of a user's keys.
#[utoipa::path(delete, path = "/api/v1/users/{id}/api-keys", tag = "users", security(("session" = [])),
    params(("id" = String, Path)),
    responses((status = 200, body = Revoked), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn revoke_all_keys(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyRevoke, keys());
    no_query(&request)?;
    let user = id(&path, "user");
    let revoked = caller
        .act(Event::ApiKeyRevoke, keys(), async |view| {
            let user = known(&user, caller.acting(view)).await?;
            revoke_api_key::revoke_all_user_api_keys(caller.acting(view), user, None).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(Revoked { revoked }))
}

/// An id that was readable. One that was not names nothing, but who may not ask learns only that.
async fn known<T: Copy>(id: &Result<T, Failure>, acting: crate::operations::Acting<'_>) -> Result<T, Failure> {
    match id {
        Ok(id) => Ok(*id),
        Err(_) => {
            acting.authorize::<ListUserApiKeys>(keys())?;
            Err(Failure::NotFound { what: "user or API key" })
        }
    }
}
