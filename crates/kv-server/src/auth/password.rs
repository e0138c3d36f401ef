//! Passwords: hashed with Argon2id (RFC 9106; m = 19 MiB, t = 2, p = 1), one at a time, off the request threads.
//!
//! A check takes the same time whether the user exists or not.

use super::hashing::{Hashing, MOST_WAITING};
use crate::clock::{Random, RandomError};
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use std::{fmt, sync::Arc};

/// Why no password was hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// No salt could be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// So many wait for their turn that this one is sent away.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The hasher failed, or its thread did.
    #[error("hashing a password failed")]
    Hashing,
}

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    random: Random,
    /// Each hash takes a core and 19 MiB: a flood of sign-ins must not starve the requests with keys.
    hashing: Hashing,
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

    /// A hasher of one at a time, on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(random: Random) -> std::io::Result<Self> {
        Ok(Self { random, hashing: Hashing::start()?, dummy: DUMMY.into() })
    }

    /// Whether one more may wait for its turn: asked before anything else is done for a sign-in, so that a flood costs no
    /// more than is let in.
    ///
    /// # Errors
    /// [`PasswordError::Busy`].
    pub fn expect_turn(&self) -> Result<(), PasswordError> {
        if self.hashing.waiting() < MOST_WAITING { Ok(()) } else { Err(PasswordError::Busy) }
    }

    /// The hash of a password, as a PHC string.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let salt = self.random.bytes::<16>()?;
        self.hashing
            .run(move || {
                let hash = Argon2::default().hash_password_with_salt(password.expose_secret().as_bytes(), &salt);
                hash.map(|hash| hash.to_string()).map_err(|_| PasswordError::Hashing)
            })
            .await?
    }

    /// The hashes of several texts under one salt, for recovery codes: equal texts have equal hashes.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash_all(&self, texts: Vec<SecretString>, salt: [u8; 16]) -> Result<Vec<String>, PasswordError> {
        self.hashing
            .run(move || {
                let hash = |text: &SecretString| {
                    let hash = Argon2::default().hash_password_with_salt(text.expose_secret().as_bytes(), &salt);
                    hash.map(|hash| hash.to_string()).map_err(|_| PasswordError::Hashing)
                };
                texts.iter().map(hash).collect()
            })
            .await?
    }

    /// Whether a hash was made with other parameters than those of today.
    #[must_use]
    pub fn is_outdated(hash: &str) -> bool {
        let parameters = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
        parameters(hash) != parameters(DUMMY)
    }

    /// Whether the password has this hash. Without a hash it takes as long, and has not.
    ///
    /// # Errors
    /// [`PasswordError::Hashing`].
    pub async fn check(&self, password: SecretString, hash: Option<&str>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash: Arc<str> = hash.map_or_else(|| self.dummy.clone(), Into::into);
        let matches = self
            .hashing
            .run(move || Argon2::default().verify_password(password.expose_secret().as_bytes(), &*hash).is_ok())
            .await?;
        Ok(known && matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_dummy_is_a_hash_of_the_current_parameters() {
        let passwords = Passwords::new(Random::system()).unwrap();
        let real = passwords.hash("correct horse battery".into()).await.unwrap();
        let parameters = |hash: &str| hash.rsplitn(3, '$').nth(2).unwrap().to_owned();
        assert_eq!(parameters(&real), parameters(DUMMY));
        assert!(argon2::password_hash::phc::PasswordHash::new(DUMMY).is_ok());
        assert!(passwords.check("correct horse battery".into(), Some(&real)).await.unwrap());
        assert!(!passwords.check("wrong".into(), Some(&real)).await.unwrap());
        assert!(!passwords.check("anything".into(), None).await.unwrap());
        assert!(
            !Passwords::is_outdated(&real)
                && Passwords::is_outdated("$argon2id$v=19$m=4096,t=3,p=1$c2FsdHNhbHQ$aGFzaA")
        );
    }

    #[tokio::test]
    async fn attack_244_a_flood_waits_in_a_short_queue() {
        let passwords = Passwords::new(Random::system()).unwrap();
        let tries: Vec<_> = (0..200)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.check("x".into(), None).await })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let busy = tries.iter().filter(|task| task.is_finished()).count();
        assert!(matches!(passwords.expect_turn(), Err(PasswordError::Busy)));
        assert!(busy >= 200 - MOST_WAITING - 10, "{busy} were sent away");
        tries.iter().for_each(tokio::task::JoinHandle::abort);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(passwords.hashing.waiting(), 0, "who hangs up does not wait");
        assert!(passwords.expect_turn().is_ok());
    }

    #[tokio::test]
    async fn equal_codes_have_equal_hashes() {
        let passwords = Passwords::new(Random::system()).unwrap();
        let hashes = passwords.hash_all(vec!["a".into(), "a".into(), "b".into()], [1; 16]).await.unwrap();
        assert_eq!(hashes[0], hashes[1]);
        assert_ne!(hashes[0], hashes[2]);
        assert_ne!(hashes[0], passwords.hash_all(vec!["a".into()], [2; 16]).await.unwrap()[0]);
    }
}
