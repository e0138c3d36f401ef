//! List the users.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{action::ListUsers, audit::Target, authorize};
use kv_store::{Page, PageRequest, UserRecord};

/// A page of users, the newest first.
///
/// # Errors
/// [`Failure`]: 403 without `users:read`.
pub async fn list_users(acting: Acting<'_>, page: PageRequest) -> Result<Page<UserRecord>, Failure> {
    authorize::<ListUsers>(acting.principal, Target::of("users"), acting.app.policy())?;
    acting.app.with_store(move |store| store.list_users(page)).await
}

/// The user of a name.
///
/// # Errors
/// [`Failure`]: 403 without `users:read`, 404 for a user there is not.
pub async fn find_user(acting: Acting<'_>, name: &str) -> Result<UserRecord, Failure> {
    authorize::<ListUsers>(acting.principal, Target::of("users").named(name), acting.app.policy())?;
    let name = name.to_owned();
    let found = acting.app.with_store(move |store| store.find_user(&name)).await?;
    found.ok_or(Failure::NotFound { what: "user" })
}
