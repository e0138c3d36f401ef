//! Authentication: what a request shows, and whom it stands for. What they may do is decided elsewhere, and whether the
//! credential is still alive is the database's word at admission.

mod authority;
mod hashing;
pub mod opaque;
mod password;
pub mod recovery;
mod token;
pub mod totp;

pub use authority::{Authorities, Authority};
pub use password::{PasswordError, Passwords};
pub use token::{AccessToken, Tokens};

use kv_authz::SessionId;
use kv_keys::{Credential, Environment, KeyDigest};

/// What a request shows, in the form that names it: never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Presented {
    /// An API key, by its digest.
    Key(KeyDigest),
    /// A session, by the id in its signed token.
    Session(SessionId),
    /// A session, by the digest of its cookie.
    Cookie(Vec<u8>),
}

/// What is wrong with what a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPresented {
    /// No credential, or one that cannot be read: 401.
    #[error("no readable credential")]
    Missing,
    /// More than one: 400, for it is not clear which of them counts.
    #[error("more than one credential")]
    Ambiguous,
}

/// Reads the `Authorization` values of a request. A malformed key ends here, before any database.
///
/// # Errors
/// [`NotPresented`].
pub fn present<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    environment: Environment,
    tokens: &Tokens,
) -> Result<Presented, NotPresented> {
    let value = values.next().ok_or(NotPresented::Missing)?;
    if values.next().is_some() {
        return Err(NotPresented::Ambiguous);
    }
    match Credential::parse(value, environment) {
        Ok(Credential::ApiKey(key)) => Ok(Presented::Key(key.digest())),
        Ok(Credential::Bearer(token)) => {
            tokens.session(token.expose()).map(Presented::Session).ok_or(NotPresented::Missing)
        }
        Err(_) => Err(NotPresented::Missing),
    }
}
