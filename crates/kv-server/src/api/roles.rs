//! Roles: the built-in ones to look at, custom ones to make, change and delete.

use super::{
    List,
    input::{Body, written},
};
use crate::{caller::Caller, failure::Failure, operations::roles, problem::Problem, routes::no_query};
use actix_web::{HttpRequest, HttpResponse, web::Path};
use kv_authz::{
    Pattern,
    audit::{Event, Target},
};
use kv_store::{RoleChange, RoleRecord};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What making a role takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// Its name: letters, digits, `-`, `_` and `.`.
    name: String,
    /// What it holds: `resource:action`, with `*` for either. Nothing if absent.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    grants: Vec<Pattern>,
}

/// What may be changed in a role.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolePatch {
    /// Another name.
    #[serde(default)]
    name: Option<String>,
    /// What it holds from now on, in place of all it held.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    grants: Option<Vec<Pattern>>,
}

/// A custom role.
#[derive(Serialize, ToSchema)]
pub struct Role {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// What it holds.
    grants: Vec<String>,
    /// How many users have it.
    users: u64,
    /// When it was made.
    created_at: String,
}

impl From<RoleRecord> for Role {
    fn from(role: RoleRecord) -> Self {
        Self {
            id: role.id.to_string(),
            name: role.name,
            grants: role.grants.iter().map(ToString::to_string).collect(),
            users: role.users,
            created_at: written(role.created_at),
        }
    }
}

fn target() -> Target {
    Target::of("roles")
}

/// List the custom roles by name.
#[utoipa::path(get, path = "/api/v1/roles", tag = "roles", security(("session" = [])),
    responses((status = 200, body = List<Role>), (status = 403, body = Problem)))]
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::RoleList, target());
    no_query(&request)?;
    let found =
        caller.observe(Event::RoleList, target(), async |view| roles::list_roles(&caller.acting(view)).await).await?;
    let items = found.into_iter().map(Role::from).collect();
    Ok(HttpResponse::Ok().json(List::<Role> { items, next_cursor: None }))
}

/// Make a role.
#[utoipa::path(post, path = "/api/v1/roles", tag = "roles", request_body = NewRole, security(("session" = [])), responses(
    (status = 201, body = Role),
    (status = 403, description = "Also `exceeds_own_rights`: you do not hold what it shall hold.", body = Problem),
    (status = 409, description = "`name_taken`.", body = Problem),
    (status = 422, description = "`invalid_name` or `too_many_grants`.", body = Problem),
))]
pub async fn create(caller: Caller, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    caller.about(Event::RoleCreate, target());
    no_query(&request)?;
    let new: NewRole = body.json()?;
    let made = caller
        .act(Event::RoleCreate, target(), async |view| {
            roles::create_role(&caller.acting(view), &new.name, new.grants.clone()).await
        })
        .await?;
    Ok(HttpResponse::Created().json(Role::from(made)))
}

/// Look at a custom role.
#[utoipa::path(get, path = "/api/v1/roles/{name}", tag = "roles", security(("session" = [])),
    params(("name" = String, Path)),
    responses((status = 200, body = Role), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn show(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::RoleList, target());
    no_query(&request)?;
    let found = caller
        .observe(Event::RoleList, target(), async |view| roles::show_role(&caller.acting(view), &path).await)
        .await?;
    Ok(HttpResponse::Ok().json(Role::from(found)))
}

/// Change a role, for everybody who has it, from their next request on.
#[utoipa::path(patch, path = "/api/v1/roles/{name}", tag = "roles", request_body = RolePatch, security(("session" = [])),
    params(("name" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "`name_taken`.", body = Problem),
        (status = 422, body = Problem),
    ))]
pub async fn change(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::RoleChange, target());
    no_query(&request)?;
    let patch: RolePatch = body.json()?;
    caller
        .act(Event::RoleChange, target(), async |view| {
            let change = RoleChange { name: patch.name.clone(), grants: patch.grants.clone() };
            roles::change_role(&caller.acting(view), &path, change).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Delete a role. Who has it holds nothing from then on.
#[utoipa::path(delete, path = "/api/v1/roles/{name}", tag = "roles", security(("session" = [])),
    params(("name" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn delete(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::RoleDelete, target());
    no_query(&request)?;
    caller.act(Event::RoleDelete, target(), async |view| roles::delete_role(&caller.acting(view), &path).await).await?;
    Ok(HttpResponse::NoContent().finish())
}
