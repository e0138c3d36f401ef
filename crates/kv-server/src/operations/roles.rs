//! Custom roles: listed, made, changed, deleted. Nobody makes one that holds more than they do; a change counts for everybody
//! who has the role, and ends what they may do no longer.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{
    Pattern, Role, RoleId,
    action::{ChangeRole, CreateRole, DeleteRole, ListRoles},
    audit::Target,
    grant::{may_assign, may_give},
};
use kv_store::{RoleChange, RoleRecord};

/// The longest name, in bytes.
const MAX_NAME: usize = 64;
/// The most grants of a role.
const MAX_GRANTS: usize = 500;

fn target() -> Target {
    Target::of("roles")
}

/// The custom roles by name.
///
/// # Errors
/// [`Failure`]: 403 without `users:read`.
pub async fn list_roles(acting: &Acting<'_>) -> Result<Vec<RoleRecord>, Failure> {
    acting.authorize::<ListRoles>(target())?;
    acting.app.with_store(kv_store::Store::list_roles).await
}

/// A custom role by its name.
///
/// # Errors
/// [`Failure`]: 403 without `users:read`, 404 for one there is not.
pub async fn show_role(acting: &Acting<'_>, name: &str) -> Result<RoleRecord, Failure> {
    acting.authorize::<ListRoles>(target())?;
    find(acting, name).await
}

/// A custom role by its name, for an act that was authorised already.
///
/// # Errors
/// [`Failure::NotFound`].
pub async fn find(acting: &Acting<'_>, name: &str) -> Result<RoleRecord, Failure> {
    let name = name.to_owned();
    let found = acting.app.with_store(move |store| store.find_role(&name)).await?;
    found.ok_or(Failure::NotFound { what: "custom role" })
}

/// A name that a role may have: one that can stand in an address and a setting, and none that a built-in role has in any
/// spelling.
fn checked(name: &str) -> Result<String, Failure> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if name.is_empty() || name.len() > MAX_NAME || !plain || name.starts_with('.') {
        let rule =
            format!("A role's name has 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`, and begins with no `.`.");
        return Err(Failure::unprocessable("invalid_name", rule));
    }
    let name = name.to_owned();
    if Role::built_in(&name.to_lowercase()).is_some() {
        return Err(Failure::unprocessable("invalid_name", "This is the name of a built-in role."));
    }
    Ok(name)
}

fn checked_grants(acting: &Acting<'_>, grants: &[Pattern]) -> Result<(), Failure> {
    if grants.len() > MAX_GRANTS {
        return Err(Failure::unprocessable("too_many_grants", format!("A role has at most {MAX_GRANTS} grants.")));
    }
    Ok(may_give(acting.principal, grants)?)
}

/// Makes a role, and tells how it is now.
///
/// # Errors
/// [`Failure`]: 403 without `rbac:manage`, a recent code, or what the role shall hold; 409 for a taken name, 422.
pub async fn create_role(acting: &Acting<'_>, name: &str, grants: Vec<Pattern>) -> Result<RoleRecord, Failure> {
    acting.authorize::<CreateRole>(target())?;
    let name = checked(name)?;
    checked_grants(acting, &grants)?;
    let permit = acting.authorize::<CreateRole>(target().named(&*name))?;
    let app = acting.app;
    let id: RoleId = app.random.id(acting.occasion.now)?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.create_role(&permit, basis.as_ref(), (id, &name, &grants), &occasion)).await
}

/// Changes a role.
///
/// # Errors
/// [`Failure`]: 403 without `rbac:manage`, a recent code, or what the role holds or shall hold; 404, 409, 422.
pub async fn change_role(acting: &Acting<'_>, name: &str, change: RoleChange) -> Result<(), Failure> {
    acting.authorize::<ChangeRole>(target())?;
    let found = find(acting, name).await?;
    checked_grants(acting, &found.grants)?;
    if let Some(grants) = &change.grants {
        checked_grants(acting, grants)?;
        // What is given, is given wherever somebody has the role.
        let role = found.id;
        let reach = acting.app.with_store(move |store| store.role_reach(role)).await?;
        reach.lines().iter().try_for_each(|line| may_assign(acting.principal, line))?;
    }
    let change = RoleChange { name: change.name.as_deref().map(checked).transpose()?, ..change };
    let permit = acting.authorize::<ChangeRole>(target().named(found.name))?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting
        .app
        .with_store(move |store| store.change_role(&permit, basis.as_ref(), &found.read, &change, &occasion))
        .await?;
    acting.settle().await;
    Ok(())
}

/// Deletes a role. Who has it holds nothing from then on.
///
/// # Errors
/// [`Failure`]: 403 without `rbac:manage`, a recent code, or what the role holds; 404 for one there is not.
pub async fn delete_role(acting: &Acting<'_>, name: &str) -> Result<(), Failure> {
    acting.authorize::<DeleteRole>(target())?;
    let found = find(acting, name).await?;
    checked_grants(acting, &found.grants)?;
    let permit = acting.authorize::<DeleteRole>(target().named(found.name))?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting.app.with_store(move |store| store.delete_role(&permit, basis.as_ref(), &found.read, &occasion)).await?;
    acting.settle().await;
    Ok(())
}
