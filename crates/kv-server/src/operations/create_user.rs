//! Make a user, with a role and, if given, a password.

use super::{Acting, checked_name};
use crate::{auth::Passwords, failure::Failure};
use kv_authz::{Actor, Role, UserId, action::CreateUser, audit::Target, authorize};
use kv_store::NewUser;
use secrecy::{ExposeSecret, SecretString};

/// Makes a user.
///
/// # Errors
/// [`Failure`]: 403 without `users:write`, 422 for the name, role or password, 409 where the name is taken.
pub async fn create_user(
    acting: Acting<'_>,
    name: &str,
    role: &str,
    password: Option<SecretString>,
) -> Result<UserId, Failure> {
    let app = acting.app;
    let permit = authorize::<CreateUser>(acting.principal, Target::of("users").named(name), app.policy())?;
    let name = checked_name(name, 64)?;
    if name == Actor::OPERATOR {
        return Err(Failure::unprocessable("invalid_name", "This name is the operator's in the audit log."));
    }
    if Role::built_in(role).is_none() {
        let known: Vec<_> = Role::BUILT_IN.iter().map(|role| role.name().to_owned()).collect();
        return Err(Failure::unprocessable("unknown_role", format!("The roles are {}.", known.join(", "))));
    }
    let password_hash = match password {
        None => None,
        Some(password) => {
            let text = password.expose_secret();
            if text.chars().count() < Passwords::MIN || text.len() > Passwords::MAX {
                return Err(Failure::unprocessable(
                    "weak_password",
                    format!(
                        "A password has at least {} characters and at most {} bytes.",
                        Passwords::MIN,
                        Passwords::MAX
                    ),
                ));
            }
            let hash = app.passwords.hash(password).await;
            Some(hash.map_err(|error| Failure::internal("hashing a password", error))?)
        }
    };
    let user = NewUser { id: app.random.id(acting.occasion.now)?, name, role: role.to_owned(), password_hash };
    let id = user.id;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.create_user(&permit, basis.as_ref(), &user, &occasion)).await?;
    Ok(id)
}
