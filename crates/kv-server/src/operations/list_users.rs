//! List the users.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{
    UserId,
    action::{ListUsers, ShowUser},
    audit::Target,
};
use kv_store::{Page, PageRequest, UserRecord};

/// A page of users, by name: all of them, or those whose names begin as told, small and capital letters alike.
///
/// # Errors
/// [`Failure`]: 403 without `users:read`.
pub async fn list_users(
    acting: Acting<'_>,
    prefix: Option<String>,
    page: PageRequest,
) -> Result<Page<UserRecord>, Failure> {
    acting.authorize::<ListUsers>(Target::of("users"))?;
    acting.app.with_store(move |store| store.list_users(prefix.as_deref(), page)).await
}

/// A user by id.
///
/// # Errors
/// [`Failure`]: 403 without `users:read`, 404 for a user there is not.
pub async fn show_user(acting: &Acting<'_>, user: UserId) -> Result<UserRecord, Failure> {
    acting.authorize::<ShowUser>(Target::of("users"))?;
    acting.find_user(user).await
}

/// The user of a name.
///
/// # Errors
/// [`Failure`]: 403 without `users:read`, 404 for a user there is not.
pub async fn find_user(acting: Acting<'_>, name: &str) -> Result<UserRecord, Failure> {
    acting.authorize::<ListUsers>(Target::of("users").named(name))?;
    let name = name.to_owned();
    let found = acting.app.with_store(move |store| store.find_user(&name)).await?;
    found.ok_or(Failure::NotFound { what: "user" })
}
