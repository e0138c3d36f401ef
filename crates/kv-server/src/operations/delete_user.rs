//! Delete a user: their keys, sessions and assignments are gone with them, and what they are doing ends. Or take only their
//! second factor away, for one who has lost it.

use super::{Acting, Ending};
use crate::failure::Failure;
use kv_authz::{
    UserId,
    action::{DeleteUser, ResetSecondFactor},
    audit::Target,
    grant::may_govern,
};
use kv_store::UserChanged;

/// Deletes a user.
///
/// # Errors
/// [`Failure`]: 403 without `users:delete`, a recent code, or the rights the user holds; 404 for a user there is not; 409
/// for the last administrator.
pub async fn delete_user(acting: &Acting<'_>, user: UserId) -> Result<UserChanged, Failure> {
    acting.authorize::<DeleteUser>(Target::of("users"))?;
    let found = acting.find_user(user).await?;
    may_govern(acting.principal, &found.role, &found.assignments)?;
    let read = found.read;
    let permit = acting.authorize::<DeleteUser>(Target::of("users").named(found.name))?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting.may_end_those_of(user, Ending::Everything);
    let done = acting.app.with_store(move |store| store.delete_user(&permit, basis.as_ref(), &read, &occasion)).await?;
    acting.settle().await;
    Ok(done)
}

/// Takes a user's second factor away. Their sessions end; with the next one they may set up another.
///
/// # Errors
/// [`Failure`]: 403 without `users:write`, a recent code, or the rights the user holds; 404 for a user there is not.
pub async fn reset_second_factor(acting: &Acting<'_>, user: UserId) -> Result<UserChanged, Failure> {
    acting.authorize::<ResetSecondFactor>(Target::of("users"))?;
    let found = acting.find_user(user).await?;
    may_govern(acting.principal, &found.role, &found.assignments)?;
    let read = found.read;
    let permit = acting.authorize::<ResetSecondFactor>(Target::of("users").named(found.name))?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting.may_end_those_of(user, Ending::Sessions);
    let done = acting
        .app
        .with_store(move |store| store.reset_second_factor(&permit, basis.as_ref(), &read, &occasion))
        .await?;
    acting.settle().await;
    Ok(done)
}
