//! Make a user, with a role and, if given, a password.

use super::{Acting, checked_name, find_role, passwords::checked_password};
use crate::failure::Failure;
use kv_authz::{Actor, action::CreateUser, audit::Target, grant::may_give_role};
use kv_store::{NewUser, UserRecord};
use secrecy::SecretString;

/// Makes a user, and tells how they are now.
///
/// # Errors
/// [`Failure`]: 403 without `users:write`, 422 for the name, role or password, 409 where the name is taken.
pub async fn create_user(
    acting: &Acting<'_>,
    name: &str,
    role: &str,
    password: Option<SecretString>,
) -> Result<UserRecord, Failure> {
    let app = acting.app;
    let permit = acting.authorize::<CreateUser>(Target::of("users").named(name))?;
    let name = checked_name(name, 64)?;
    if name == Actor::OPERATOR {
        return Err(Failure::unprocessable("invalid_name", "This name is the operator's in the audit log."));
    }
    let role = find_role(app, role).await?;
    may_give_role(acting.principal, &role)?;
    let password_hash = match password {
        None => None,
        Some(password) => {
            checked_password(&password)?;
            Some(app.passwords.hash(password).await?)
        }
    };
    let user = NewUser { id: app.random.id(acting.occasion.now)?, name, role: (&role).into(), password_hash };
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.create_user(&permit, basis.as_ref(), &user, &occasion)).await
}
