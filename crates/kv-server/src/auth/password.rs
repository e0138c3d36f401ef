//! Passwords: hashed with Argon2id (RFC 9106; m = 19 MiB, t = 2, p = 1), one at a time, off the request threads.
//!
//! A check takes the same time whether the user exists or not.

use crate::clock::{Random, RandomError};
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use std::{fmt, sync::Arc};
use tokio::sync::Semaphore;

/// Why no password was hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// No salt could be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The hasher failed, or its thread did.
    #[error("hashing a password failed")]
    Hashing,
}

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    random: Random,
    /// Each hash takes a core and 19 MiB: a flood of sign-ins must not starve the requests with keys.
    turn: Arc<Semaphore>,
    /// Checked against where there is no user, so that they cannot be told apart by time.
    dummy: Arc<str>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

/// The hash of no password: the right parameters, and a digest nobody knows a preimage of.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$a3ViZXZpc2lvbi1kdW1teQ$Zm9yIG5vIHBhc3N3b3JkIGF0IGFsbCwgMzIgYnl0ZXM";

impl Passwords {
    /// The longest password taken, in bytes.
    pub const MAX: usize = 1024;
    /// The shortest password a person may choose, in characters.
    pub const MIN: usize = 12;

    /// A hasher of one at a time.
    #[must_use]
    pub fn new(random: Random) -> Self {
        Self { random, turn: Arc::new(Semaphore::new(1)), dummy: DUMMY.into() }
    }

    /// The hash of a password, as a PHC string.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let salt = self.random.bytes::<16>()?;
        self.blocking(move || {
            let hash = Argon2::default().hash_password_with_salt(password.expose_secret().as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|_| PasswordError::Hashing)
        })
        .await?
    }

    /// Whether the password has this hash. Without a hash it takes as long, and has not.
    ///
    /// # Errors
    /// [`PasswordError::Hashing`].
    pub async fn check(&self, password: SecretString, hash: Option<&str>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash: Arc<str> = hash.map_or_else(|| self.dummy.clone(), Into::into);
        let matches = self
            .blocking(move || Argon2::default().verify_password(password.expose_secret().as_bytes(), &*hash).is_ok())
            .await?;
        Ok(known && matches)
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        // The turn goes along: a client that hangs up does not free it while its hash is still computed.
        let turn = self.turn.clone().acquire_owned().await.map_err(|_| PasswordError::Hashing)?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| PasswordError::Hashing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_dummy_is_a_hash_of_the_current_parameters() {
        let passwords = Passwords::new(Random::system());
        let real = passwords.hash("correct horse battery".into()).await.unwrap();
        let parameters = |hash: &str| hash.rsplitn(3, '$').nth(2).unwrap().to_owned();
        assert_eq!(parameters(&real), parameters(DUMMY));
        assert!(argon2::password_hash::phc::PasswordHash::new(DUMMY).is_ok());
        assert!(passwords.check("correct horse battery".into(), Some(&real)).await.unwrap());
        assert!(!passwords.check("wrong".into(), Some(&real)).await.unwrap());
        assert!(!passwords.check("anything".into(), None).await.unwrap());
    }
}
