//! The first start: where there is no user yet, the administrator is made. Never with a password anyone could know.

use super::{Acting, create_user::create_user};
use crate::{app::App, failure::Failure};
use secrecy::SecretString;
use std::sync::Arc;

/// The first administrator's name.
pub const NAME: &str = "admin";

/// Makes the administrator if there is no user. Returns the password if it was made up here: to be printed once.
///
/// # Errors
/// [`Failure`].
pub async fn first_start(app: &Arc<App>) -> Result<Option<SecretString>, Failure> {
    if app.with_store(kv_store::Store::has_users).await? {
        return Ok(None);
    }
    let given = app.config.admin_password.clone();
    let made_up = match given {
        Some(_) => None,
        None => Some(password(app)?),
    };
    let password = given.or_else(|| made_up.clone());
    match create_user(&Acting::operator(app)?, NAME, "admin", password).await {
        Ok(_) => Ok(made_up),
        // Another server was first.
        Err(Failure::Conflict { .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// 24 letters and digits: 120 bits, in groups that can be read aloud.
fn password(app: &App) -> Result<SecretString, Failure> {
    // 32 signs that are not mistaken for one another, so that 5 bits choose one without bias.
    const SIGNS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = app.random.bytes::<24>()?;
    let signs = bytes.iter().map(|byte| char::from(SIGNS[usize::from(byte & 31)]));
    let text: String = signs
        .enumerate()
        .flat_map(|(n, sign)| (n > 0 && n % 6 == 0).then_some('-').into_iter().chain([sign]))
        .collect();
    Ok(text.into())
}
