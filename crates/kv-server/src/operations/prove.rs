//! Prove: from what somebody shows to a proof that they have their second factor. Whether it was used before is the
//! database's word, in the transaction that acts on it.

use super::visit::{self, count_attempt, factor_subject};
use crate::{
    app::App,
    auth::{recovery, totp},
    failure::Failure,
};
use kv_authz::UserId;
use kv_store::Proof;
use secrecy::SecretString;
use std::{cell::RefCell, sync::Arc};
use uuid::Uuid;

/// Where sealed secrets are kept; part of what they are sealed for.
pub const PLACE: &str = "second_factors.sealed";

/// What is shown: one of the two.
#[derive(Debug, Default)]
pub struct Shown {
    /// A code of the authenticator app.
    pub totp_code: Option<SecretString>,
    /// One of the recovery codes.
    pub recovery_code: Option<SecretString>,
    /// Kept, so that an act that is decided again counts and hashes once.
    proof: RefCell<Option<Proof>>,
}

impl Shown {
    /// What a request shows.
    #[must_use]
    pub fn new(totp_code: Option<SecretString>, recovery_code: Option<SecretString>) -> Self {
        Self { totp_code, recovery_code, proof: RefCell::default() }
    }
}

/// Finds out whether what is shown is right. Counts as a failed attempt until [`forget_failures`].
///
/// # Errors
/// [`Failure`]: 400 unless exactly one is shown, 409 without a second factor, 422 `invalid_code`, 429 after too many.
pub async fn prove(app: &Arc<App>, user: UserId, shown: &Shown) -> Result<Proof, Failure> {
    let known = shown.proof.borrow().clone();
    if let Some(proof) = known {
        return Ok(proof);
    }
    let proof = look(app, user, shown).await?;
    *shown.proof.borrow_mut() = Some(proof.clone());
    Ok(proof)
}

async fn look(app: &Arc<App>, user: UserId, shown: &Shown) -> Result<Proof, Failure> {
    let one = shown.totp_code.is_some() ^ shown.recovery_code.is_some();
    if !one {
        return Err(Failure::invalid("code_required", "Send either `totp_code` or `recovery_code`."));
    }
    count_attempt(app, factor_subject(user)).await?;
    let factor = app.with_store(move |store| store.second_factor(user)).await?;
    let factor = factor.filter(|factor| factor.enabled).ok_or_else(Failure::no_second_factor)?;
    if let Some(code) = &shown.totp_code {
        let step = step(app, user, &factor.sealed, code)?;
        return step.filter(|&step| step > factor.last_step).map(Proof::Step).ok_or_else(Failure::wrong_code);
    }
    let code = shown.recovery_code.as_ref().and_then(recovery::plain).ok_or_else(Failure::wrong_code)?;
    let hashes = app.passwords.hash_all(vec![code], recovery::salt(user)).await?;
    hashes.into_iter().next().map(Proof::RecoveryCode).ok_or_else(Failure::wrong_code)
}

/// The step of a code of a sealed secret.
pub(super) fn step(app: &App, user: UserId, sealed: &[u8], code: &SecretString) -> Result<Option<i64>, Failure> {
    let secret = app.sealer.open(sealed, PLACE, Uuid::from(user));
    let secret = secret.map_err(|error| Failure::internal("opening a second factor", error))?;
    totp::step(&secret, code, app.clock.now()).map_err(|error| Failure::internal("checking a code", error))
}

/// Forgets the failures, for the right one has been shown.
pub async fn forget_failures(app: &Arc<App>, user: UserId) {
    visit::forget_failures(app, factor_subject(user)).await;
}
