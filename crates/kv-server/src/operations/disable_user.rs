//! Disable a user: their sessions and keys are refused at once, and what they are doing ends.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{UserId, action::ChangeUser, audit::Target, authorize};

/// Disables a user by id.
///
/// # Errors
/// [`Failure`]: 403 without `users:write`, 404 for a user there is not.
pub async fn disable_user(acting: Acting<'_>, user: UserId, name: &str) -> Result<(), Failure> {
    let app = acting.app;
    let permit = authorize::<ChangeUser>(acting.principal, Target::of("users").named(name), app.policy())?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.disable_user(&permit, basis.as_ref(), user, &occasion)).await?;
    acting.cut_user(user).await;
    Ok(())
}
