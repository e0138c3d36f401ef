//! Passwords: one's own changed, on the old one; another user's set by an administrator. All sessions end with it.

use super::{
    Acting, Ending,
    visit::{Whose, count_attempt, forget_failures},
};
use crate::{auth::Passwords, failure::Failure};
use kv_authz::{
    UserId,
    action::{ChangePassword, ResetPassword},
    audit::Target,
    grant::may_govern,
};
use kv_store::UserChanged;
use secrecy::{ExposeSecret, SecretString};

/// A password that may be set: long enough, and no longer than is hashed.
///
/// # Errors
/// [`Failure::Invalid`] that names the rule.
pub fn checked_password(password: &SecretString) -> Result<(), Failure> {
    let text = password.expose_secret();
    if text.chars().count() < Passwords::MIN || text.len() > Passwords::MAX {
        let (min, max) = (Passwords::MIN, Passwords::MAX);
        let rule = format!("A password has at least {min} characters and at most {max} bytes.");
        return Err(Failure::unprocessable("weak_password", rule));
    }
    Ok(())
}

/// Changes the caller's own password. Every session ends, the one that is calling too; keys stay as they are.
///
/// # Errors
/// [`Failure`]: 403 to keys, 422 for the old password or a new one that may not be, 429 after too many failures.
pub async fn change_password(
    acting: &Acting<'_>,
    current: SecretString,
    new: SecretString,
) -> Result<UserChanged, Failure> {
    let permit = acting.authorize::<ChangePassword>(Target::of("users"))?;
    let owner = acting.principal.owner().ok_or(Failure::NotFound { what: "user" })?;
    let user = owner.id;
    checked_password(&new)?;
    if current.expose_secret() == new.expose_secret() {
        return Err(Failure::unprocessable("same_password", "The new password is the old one."));
    }
    // A stolen session must not be a way to guess the password. A count of its own: strangers who fail to sign in under the
    // name must not keep its owner, who is signed in, from changing the password.
    let subject = Whose::Password(user).digest("");
    count_attempt(acting.app, subject.clone()).await?;
    let known = acting.app.with_store(move |store| store.sign_in_by_id(user)).await?;
    let hash = known.and_then(|known| known.password_hash);
    if !acting.app.passwords.check(current, hash.as_deref()).await? {
        return Err(Failure::unprocessable("wrong_password", "The current password is wrong."));
    }
    let hash = acting.app.passwords.hash(new).await?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting.may_end_those_of(user, Ending::Sessions);
    let changed = acting
        .app
        .with_store(move |store| store.set_password(&permit, basis.as_ref(), (user, None), (&hash, false), &occasion))
        .await?;
    acting.settle().await;
    forget_failures(acting.app, subject).await;
    Ok(changed)
}

/// Sets a user's password as an administrator, and revokes their keys unless told otherwise.
///
/// # Errors
/// [`Failure`]: 403 without `users:write`, a recent code, or the rights the user holds; 404, 422.
pub async fn reset_password(
    acting: &Acting<'_>,
    user: UserId,
    new: SecretString,
    revoke_keys: bool,
) -> Result<UserChanged, Failure> {
    acting.authorize::<ResetPassword>(Target::of("users"))?;
    let found = acting.find_user(user).await?;
    may_govern(acting.principal, &found.role, &found.assignments)?;
    let read = found.read;
    let permit = acting.authorize::<ResetPassword>(Target::of("users").named(found.name))?;
    checked_password(&new)?;
    let hash = acting.app.passwords.hash(new).await?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting.may_end_those_of(user, if revoke_keys { Ending::Everything } else { Ending::Sessions });
    let changed = acting
        .app
        .with_store(move |store| {
            store.set_password(&permit, basis.as_ref(), (user, Some(&read)), (&hash, revoke_keys), &occasion)
        })
        .await?;
    acting.settle().await;
    Ok(changed)
}
