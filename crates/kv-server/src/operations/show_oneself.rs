//! Show the caller who they are, what they may do, and what they still have to set up.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{Owner, Principal, SecondFactor, action::ShowOneself, audit::Target};
use std::sync::Arc;

/// The caller.
#[derive(Debug)]
pub struct Oneself {
    /// The person, with their rights.
    pub owner: Arc<Owner>,
    /// Whether they have a second factor.
    pub has_second_factor: bool,
    /// Recovery codes that are left.
    pub recovery_codes: u64,
    /// Whether they must set one up before they may do anything else.
    pub must_enrol: bool,
}

/// Shows the caller.
///
/// # Errors
/// [`Failure`].
pub async fn show_oneself(acting: &Acting<'_>) -> Result<Oneself, Failure> {
    acting.authorize::<ShowOneself>(Target::of("users"))?;
    let (owner, factor) = match acting.principal {
        Principal::Session { owner, factor, .. } => (owner.clone(), Some(*factor)),
        Principal::ApiKey { owner, .. } => (owner.clone(), None),
        Principal::Operator => return Err(Failure::NotFound { what: "user" }),
    };
    let user = owner.id;
    let known = acting.app.with_store(move |store| store.second_factor(user)).await?;
    let known = known.filter(|known| known.enabled);
    let missing = factor == Some(SecondFactor::Missing);
    Ok(Oneself {
        must_enrol: missing && acting.app.policy().second_factor.includes(&owner.role),
        owner,
        has_second_factor: known.is_some(),
        recovery_codes: known.map_or(0, |known| known.recovery_codes),
    })
}
