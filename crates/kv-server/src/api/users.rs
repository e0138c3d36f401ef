//! Users and their keys, as administrators see them.

use super::{
    List,
    api_keys::{AssignedTo, assigned},
    input::{Body, id, page, query, written},
};
use crate::{
    caller::Caller,
    failure::Failure,
    operations::{Acting, assign_user, change_user, create_user, delete_user, list_users, passwords},
    problem::Problem,
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, web::Path};
use kv_authz::{
    UserId,
    action::OwnAction,
    audit::{Event, Target},
};
use kv_store::{UserChanged, UserRecord};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// What making a user takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Their name, 1 to 64 characters.
    name: String,
    /// Their role.
    role: String,
    /// Their password, at least 12 characters. Without one nobody can sign in as them.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
}

/// What may be changed in a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    /// Another role.
    #[serde(default)]
    role: Option<String>,
    /// Disabled or enabled. Disabling ends their sessions and revokes their keys.
    #[serde(default)]
    disabled: Option<bool>,
    /// With `disabled: false`: whether the keys that disabling revoked are good again.
    #[serde(default)]
    restore_api_keys: bool,
}

/// What setting a user's password takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordReset {
    /// Their new password, at least 12 characters.
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
    /// Whether their keys are revoked too.
    #[serde(default = "yes")]
    revoke_api_keys: bool,
}

fn yes() -> bool {
    true
}

/// What is assigned to a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAssignment {
    /// The cluster's name; null for every cluster, those registered later included.
    cluster: Option<String>,
    /// Namespaces by name; null or absent for all of them.
    #[serde(default)]
    namespaces: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TakenAssignment {
    cluster: Option<String>,
}

/// A user.
#[derive(Serialize, ToSchema)]
pub struct User {
    /// Their id.
    id: String,
    /// Their name.
    name: String,
    /// Their role.
    role: String,
    /// When they were made.
    created_at: String,
    /// Since when they are disabled; null if they are not.
    disabled_at: Option<String>,
    /// Whether they have a second factor.
    second_factor: bool,
    /// What they are assigned; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    assignments: Option<Vec<AssignedTo>>,
}

impl From<UserRecord> for User {
    fn from(user: UserRecord) -> Self {
        Self {
            id: user.id.to_string(),
            name: user.name,
            role: user.role.name().to_owned(),
            created_at: written(user.created_at),
            disabled_at: user.disabled_at.map(written),
            second_factor: user.has_second_factor,
            assignments: None,
        }
    }
}

/// What a change of a user did beside it.
#[derive(Serialize, ToSchema)]
pub struct Done {
    /// Keys revoked.
    pub(super) api_keys_revoked: usize,
    /// Keys good again.
    pub(super) api_keys_restored: usize,
    /// Sessions ended.
    pub(super) sessions_ended: usize,
}

impl From<UserChanged> for Done {
    fn from(done: UserChanged) -> Self {
        Self {
            api_keys_revoked: done.keys_revoked,
            api_keys_restored: done.keys_restored,
            sessions_ended: done.sessions_ended,
        }
    }
}

/// What the list of users takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserQuery {
    name_prefix: Option<String>,
    limit: Option<u16>,
    cursor: Option<String>,
}

/// List the users by name.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", security(("session" = [])),
    params(
        ("name_prefix" = Option<String>, Query, description = "Those whose names begin so; `A` to `Z` are as `a` to `z`."),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, body = List<User>), (status = 403, body = Problem)))]
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserList, Target::of("users"));
    let input: UserQuery = query(&request)?;
    let page = page(input.limit, input.cursor.as_deref())?;
    let found = caller
        .observe(Event::UserList, Target::of("users"), async |view| {
            list_users::list_users(caller.acting(view), input.name_prefix.clone(), page).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(List::of(found, User::from)))
}

fn users() -> Target {
    Target::of("users")
}

/// The id in a path. One that is none names nothing; but who may not ask, learns only that.
pub(crate) fn known<A: OwnAction>(text: &str, acting: &Acting<'_>) -> Result<UserId, Failure> {
    match id(text, "user") {
        Ok(user) => Ok(user),
        Err(failure) => {
            acting.authorize::<A>(users())?;
            Err(failure)
        }
    }
}

/// Make a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = NewUser, security(("session" = [])), responses(
    (status = 201, body = User),
    (status = 403, description = "Also `exceeds_own_rights`: the role holds more than you do.", body = Problem),
    (status = 409, description = "`name_taken`.", body = Problem),
    (status = 422, description = "`invalid_name`, `unknown_role` or `weak_password`.", body = Problem),
))]
pub async fn create(caller: Caller, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserCreate, users());
    no_query(&request)?;
    let new: NewUser = body.json()?;
    let made = caller
        .act(Event::UserCreate, users(), async |view| {
            create_user::create_user(&caller.acting(view), &new.name, &new.role, new.password.clone()).await
        })
        .await?;
    Ok(HttpResponse::Created().json(User::from(made)))
}

/// Look at a user, with what they are assigned.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", security(("session" = [])),
    params(("id" = String, Path)),
    responses((status = 200, body = User), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn show(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserShow, users());
    no_query(&request)?;
    let user = caller
        .observe(Event::UserShow, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<kv_authz::action::ShowUser>(&path, &acting)?;
            let found = list_users::show_user(&acting, user).await?;
            let assignments = Some(assigned(&found.assignments, view));
            Ok(User { assignments, ..User::from(found) })
        })
        .await?;
    Ok(HttpResponse::Ok().json(user))
}

/// Change a user's role, disable them or enable them.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", request_body = UserPatch, security(("session" = [])),
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Done),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "`last_administrator`.", body = Problem),
        (status = 422, description = "`unknown_role` or `not_enabling`.", body = Problem),
    ))]
pub async fn change(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserChange, users());
    no_query(&request)?;
    let patch: UserPatch = body.json()?;
    let wanted =
        change_user::Wanted { role: patch.role, disabled: patch.disabled, restore_api_keys: patch.restore_api_keys };
    let done = caller
        .act(Event::UserChange, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<kv_authz::action::ChangeUser>(&path, &acting)?;
            change_user::change_user(&acting, user, &wanted).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(Done::from(done)))
}

/// Delete a user, with their keys, sessions and assignments.
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "users", security(("session" = [])),
    params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "`last_administrator`.", body = Problem),
    ))]
pub async fn delete(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserDelete, users());
    no_query(&request)?;
    caller
        .act(Event::UserDelete, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<kv_authz::action::DeleteUser>(&path, &acting)?;
            delete_user::delete_user(&acting, user).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Set a user's password. Their sessions end, and their keys are revoked unless you say otherwise.
#[utoipa::path(post, path = "/api/v1/users/{id}/reset-password", tag = "users", request_body = PasswordReset,
    security(("session" = [])), params(("id" = String, Path)),
    responses(
        (status = 200, body = Done),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 422, description = "`weak_password`.", body = Problem),
    ))]
pub async fn reset_password(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserResetPassword, users());
    no_query(&request)?;
    let reset: PasswordReset = body.json()?;
    let done = caller
        .act(Event::UserResetPassword, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<kv_authz::action::ResetPassword>(&path, &acting)?;
            let new = reset.new_password.clone();
            passwords::reset_password(&acting, user, new, reset.revoke_api_keys).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(Done::from(done)))
}

/// Take a user's second factor away, for one who has lost it. Their sessions end.
#[utoipa::path(delete, path = "/api/v1/users/{id}/second-factor", tag = "users", security(("session" = [])),
    params(("id" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn reset_second_factor(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserResetSecondFactor, users());
    no_query(&request)?;
    caller
        .act(Event::UserResetSecondFactor, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<kv_authz::action::ResetSecondFactor>(&path, &acting)?;
            delete_user::reset_second_factor(&acting, user).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Assign a cluster, or every one, to a user, in place of what they have for it.
#[utoipa::path(put, path = "/api/v1/users/{id}/assignments", tag = "users", request_body = NewAssignment,
    security(("session" = [])), params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 403, description = "Also `exceeds_own_rights`: you do not reach there yourself.", body = Problem),
        (status = 404, body = Problem),
        (status = 422, description = "`invalid_namespace`.", body = Problem),
    ))]
pub async fn assign(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let target = || Target::of("assignments");
    caller.about(Event::UserAssign, target());
    no_query(&request)?;
    let new: NewAssignment = body.json()?;
    caller
        .act(Event::UserAssign, target(), async |view| {
            let acting = caller.acting(view);
            let user = known::<kv_authz::action::AssignUser>(&path, &acting)?;
            assign_user::assign_user(&acting, user, new.cluster.as_deref(), new.namespaces.clone()).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Take from a user what they have for a cluster; without `cluster`, what they have for every one.
#[utoipa::path(delete, path = "/api/v1/users/{id}/assignments", tag = "users", security(("session" = [])),
    params(("id" = String, Path), ("cluster" = Option<String>, Query)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn unassign(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let target = || Target::of("assignments");
    caller.about(Event::UserUnassign, target());
    let taken: TakenAssignment = query(&request)?;
    caller
        .act(Event::UserUnassign, target(), async |view| {
            let acting = caller.acting(view);
            let user = known::<kv_authz::action::UnassignUser>(&path, &acting)?;
            assign_user::unassign_user(&acting, user, taken.cluster.as_deref()).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
