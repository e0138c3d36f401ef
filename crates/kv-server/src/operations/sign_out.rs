//! Sign out: the session is over at once, whatever its token says, and so is what it has running.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{Principal, action::EndSession, audit::Target};
use kv_store::Credential;

/// Ends the caller's session.
///
/// # Errors
/// [`Failure`]: 403 to keys.
pub async fn sign_out(acting: Acting<'_>) -> Result<(), Failure> {
    let permit = acting.authorize::<EndSession>(Target::of("sessions"))?;
    let (Principal::Session { id, owner, .. }, Some(basis)) = (acting.principal, acting.basis) else {
        return Err(Failure::NotFound { what: "session" });
    };
    let (id, owner, occasion) = (*id, owner.clone(), acting.occasion.clone());
    acting.may_end(Credential::Session(id));
    acting.app.with_store(move |store| store.end_session(&permit, Some(&basis), (owner.id, id), &occasion)).await?;
    acting.settle().await;
    Ok(())
}
