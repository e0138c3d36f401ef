//! One's own second factor: set up, brought into force, shown once more, given up; and its recovery codes.

use super::{
    Acting,
    prove::{self, PLACE, Shown},
};
use crate::{
    auth::{recovery, totp},
    failure::Failure,
};
use kv_authz::{
    Principal, SessionId, UserId,
    action::{DisableTotp, EnableTotp, RenewRecoveryCodes, Reverify, SetUpTotp},
    audit::Target,
};
use secrecy::SecretString;
use uuid::Uuid;

fn target() -> Target {
    Target::of("second-factors")
}

/// The session that acts. Keys and the operator have no second factor.
fn session(acting: &Acting<'_>) -> Result<(UserId, String, SessionId), Failure> {
    match acting.principal {
        Principal::Session { id, owner, .. } => Ok((owner.id, owner.name.clone(), *id)),
        _ => Err(Failure::NotFound { what: "session" }),
    }
}

/// Draws a secret. It is not in force before a code of it has been shown.
///
/// # Errors
/// [`Failure`]: 403 to keys, 409 where one is in force.
pub async fn set_up(acting: &Acting<'_>) -> Result<totp::Shown, Failure> {
    let permit = acting.authorize::<SetUpTotp>(target())?;
    let (user, name, _) = session(acting)?;
    let app = acting.app;
    let secret = zeroize::Zeroizing::new(app.random.bytes::<{ totp::SECRET }>()?);
    let sealed = app.sealer.seal(secret.as_slice(), PLACE, Uuid::from(user), &app.random);
    let sealed = sealed.map_err(|error| Failure::internal("sealing a second factor", error))?;
    let shown = totp::show(secret.as_slice(), &name);
    let shown = shown.map_err(|error| Failure::internal("showing a second factor", error))?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.set_up_factor(&permit, basis.as_ref(), (user, &sealed), &occasion)).await?;
    Ok(shown)
}

/// Brings it into force, and gives its recovery codes: the only time anyone sees them. The caller's other sessions end:
/// whoever has one got in without it.
///
/// # Errors
/// [`Failure`]: 422 `invalid_code`, 409 where none is set up or one is in force, 429 after too many.
pub async fn enable(acting: &Acting<'_>, code: &SecretString) -> Result<Vec<SecretString>, Failure> {
    let permit = acting.authorize::<EnableTotp>(target())?;
    let (user, _, id) = session(acting)?;
    let app = acting.app;
    super::visit::count_attempt(app, super::visit::factor_subject(user)).await?;
    let factor = app.with_store(move |store| store.second_factor(user)).await?;
    let factor = factor.ok_or_else(Failure::no_second_factor)?;
    let step = prove::step(app, user, &factor.sealed, code)?.ok_or_else(Failure::wrong_code)?;
    let (codes, hashes) = codes(acting, user).await?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| {
        // Of the secret that the code was checked against; another may have taken its place while codes were hashed.
        let first = (&*factor.sealed, step, &*hashes);
        store.enable_factor(&permit, basis.as_ref(), (user, id), first, &occasion)
    })
    .await?;
    acting.settle().await;
    prove::forget_failures(app, user).await;
    Ok(codes)
}

/// Gives it up, on a code of it. The caller's other sessions end.
///
/// # Errors
/// [`Failure`]: 422 `invalid_code`, 409 without one, 429 after too many.
pub async fn disable(acting: &Acting<'_>, shown: &Shown) -> Result<(), Failure> {
    let permit = acting.authorize::<DisableTotp>(target())?;
    let (user, _, id) = session(acting)?;
    let proof = prove::prove(acting.app, user, shown).await?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting
        .app
        .with_store(move |store| store.disable_factor(&permit, basis.as_ref(), (user, id, &proof), &occasion))
        .await?;
    acting.settle().await;
    prove::forget_failures(acting.app, user).await;
    Ok(())
}

/// Makes new recovery codes in place of all that are left, on a code.
///
/// # Errors
/// [`Failure`], as above.
pub async fn renew_recovery_codes(acting: &Acting<'_>, shown: &Shown) -> Result<Vec<SecretString>, Failure> {
    let permit = acting.authorize::<RenewRecoveryCodes>(target())?;
    let (user, _, _) = session(acting)?;
    let proof = prove::prove(acting.app, user, shown).await?;
    let (codes, hashes) = codes(acting, user).await?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting
        .app
        .with_store(move |store| {
            store.renew_recovery_codes(&permit, basis.as_ref(), (user, &proof, &hashes), &occasion)
        })
        .await?;
    prove::forget_failures(acting.app, user).await;
    Ok(codes)
}

/// Shows it once more: for five minutes the session may do what asks for a recent code.
///
/// # Errors
/// [`Failure`], as above.
pub async fn reverify(acting: &Acting<'_>, shown: &Shown) -> Result<(), Failure> {
    let permit = acting.authorize::<Reverify>(target())?;
    let (user, _, id) = session(acting)?;
    let proof = prove::prove(acting.app, user, shown).await?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting
        .app
        .with_store(move |store| store.show_factor(&permit, basis.as_ref(), (user, id, &proof), &occasion))
        .await?;
    acting.settle().await;
    prove::forget_failures(acting.app, user).await;
    Ok(())
}

/// New recovery codes, and their hashes.
async fn codes(acting: &Acting<'_>, user: UserId) -> Result<(Vec<SecretString>, Vec<String>), Failure> {
    let codes = recovery::draw(&acting.app.random)?;
    let plain = codes.iter().filter_map(recovery::plain).collect();
    let hashes = acting.app.passwords.hash_all(plain, recovery::salt(user)).await?;
    Ok((codes, hashes))
}
