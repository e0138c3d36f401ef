//! Sign out: the session is over at once, whatever its token says, and so is what it has running.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{Principal, action::EndSession, audit::Target, authorize};
use kv_store::Credential;

/// Ends the caller's session.
///
/// # Errors
/// [`Failure`]: 403 to keys.
pub async fn sign_out(acting: Acting<'_>) -> Result<(), Failure> {
    let permit = authorize::<EndSession>(acting.principal, Target::of("sessions"), acting.app.policy())?;
    let (Principal::Session { id, .. }, Some(basis)) = (acting.principal, acting.basis) else {
        return Err(Failure::NotFound { what: "session" });
    };
    let (id, occasion) = (*id, acting.occasion.clone());
    acting.app.with_store(move |store| store.end_session(&permit, &basis, id, &occasion)).await?;
    acting.cut(Credential::Session(id)).await;
    Ok(())
}
