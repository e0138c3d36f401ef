//! Revoke API keys: from the moment this returns, nothing is accepted, sent or answered with them by this server.

use super::{Acting, Ending};
use crate::{broken::Rule, failure::Failure};
use kv_authz::{
    Action, KeyId, Permit, Principal, UserId,
    action::{RevokeApiKey, RevokeCurrentApiKey, RevokeUserApiKeys},
    audit::Target,
};
use kv_store::Credential;

/// Revokes a key by its id: one's own from a session, another user's as an administrator. Revoking it again succeeds.
///
/// # Errors
/// [`Failure`]: 404 for a key the caller may not see, 403 to keys.
pub async fn revoke_api_key(acting: Acting<'_>, key: KeyId, reason: Option<String>) -> Result<(), Failure> {
    let found = acting.app.with_store(move |store| store.find_key(key)).await?;
    // Asked first, so that a key learns the same whether the other key exists or not.
    acting.authorize::<RevokeApiKey>(Target::of("api-keys"))?;
    let record = found.ok_or(Failure::NotFound { what: "API key" })?;
    let target = Target::of("api-keys").named(&record.name);
    if acting.principal.owner().is_some_and(|owner| owner.id == record.owner) {
        let permit = acting.authorize::<RevokeApiKey>(target)?;
        return revoke(&acting, permit, record.owner, key, reason).await;
    }
    match acting.authorize::<RevokeUserApiKeys>(target) {
        Ok(permit) => revoke(&acting, permit, record.owner, key, reason).await,
        Err(_) => Err(Failure::NotFound { what: "API key" }),
    }
}

/// Revokes a key of a certain user.
///
/// # Errors
/// [`Failure`]: 403 without `api-keys:manage`, 404 where the user has no such key.
pub async fn revoke_user_api_key(
    acting: Acting<'_>,
    user: UserId,
    key: KeyId,
    reason: Option<String>,
) -> Result<(), Failure> {
    acting.authorize::<RevokeUserApiKeys>(Target::of("api-keys"))?;
    let found = acting.app.with_store(move |store| store.find_key(key)).await?;
    let record = found.filter(|record| record.owner == user).ok_or(Failure::NotFound { what: "API key" })?;
    let permit = acting.authorize::<RevokeUserApiKeys>(Target::of("api-keys").named(&record.name))?;
    revoke(&acting, permit, user, key, reason).await
}

/// Revokes every key of a user and returns how many were live.
///
/// # Errors
/// [`Failure`]: 403 without `api-keys:manage`, 404 for a user there is not.
pub async fn revoke_all_user_api_keys(
    acting: Acting<'_>,
    user: UserId,
    reason: Option<String>,
) -> Result<usize, Failure> {
    let app = acting.app;
    acting.authorize::<RevokeUserApiKeys>(Target::of("api-keys"))?;
    let found = app.with_store(move |store| store.find_user_by_id(user)).await?;
    let name = found.ok_or(Failure::NotFound { what: "user" })?.name;
    let target = Target::of("api-keys").named(name);
    let permit = acting.authorize::<RevokeUserApiKeys>(target)?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting.may_end_those_of(user, Ending::Keys);
    let keys = app
        .with_store(move |store| store.revoke_all_keys(&permit, basis.as_ref(), user, reason.as_deref(), &occasion))
        .await?;
    // All of them, not only those this call revoked: an earlier one may have been interrupted before its cut.
    acting.settle().await;
    Ok(keys.len())
}

/// Revokes the key that is calling.
///
/// # Errors
/// [`Failure`]: 404 to sessions.
pub async fn revoke_current(acting: Acting<'_>) -> Result<(), Failure> {
    let Principal::ApiKey { id, ref name, ref owner } = *acting.principal else {
        return Err(Failure::NotFound { what: "current API key; you are signed in as a person" });
    };
    let target = Target::of("api-keys").named(name);
    let permit = acting.authorize::<RevokeCurrentApiKey>(target)?;
    revoke(&acting, permit, owner.id, id, None).await
}

async fn revoke<A: Action + 'static>(
    acting: &Acting<'_>,
    permit: Permit<A>,
    owner: UserId,
    key: KeyId,
    reason: Option<String>,
) -> Result<(), Failure> {
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting.may_end(Credential::Key(key));
    if acting.app.config.broken.leaves_out(Rule::CommitBeforeAnswer) {
        return Ok(());
    }
    acting
        .app
        .with_store(move |store| store.revoke_key(&permit, basis.as_ref(), owner, key, reason.as_deref(), &occasion))
        .await?;
    acting.settle().await;
    Ok(())
}
