//! Sealing: what must be read again later, but never from a copy of the database alone. XChaCha20-Poly1305 under a key
//! that lives outside the database, bound to its row: moved to another row or column, it does not open.

use crate::{
    clock::{Random, RandomError},
    keyfile::Keys,
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use parking_lot::RwLock;
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

const NONCE: usize = 24;
/// The first byte of everything sealed, so that another algorithm can come later.
const VERSION: u8 = 1;

/// Why something was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No nonce could be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// It was sealed under another key, for another row, or changed since.
    #[error("a sealed value does not open: wrong sealing key, or the row was tampered with")]
    Broken,
}

/// Seals with the newest key, and opens with any.
pub struct Sealer(RwLock<Arc<Vec<XChaCha20Poly1305>>>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// With these keys.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        Self(RwLock::new(Arc::new(ciphers(keys))))
    }

    /// Goes on with other keys.
    pub fn replace(&self, keys: &Keys) {
        *self.0.write() = Arc::new(ciphers(keys));
    }

    /// Seals for the place (`table.column`) and row.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal(&self, plain: &[u8], place: &str, row: uuid::Uuid, random: &Random) -> Result<Vec<u8>, SealError> {
        let nonce = random.bytes::<NONCE>()?;
        let aad = associated(place, row);
        let payload = Payload { msg: plain, aad: &aad };
        let ciphers = self.0.read().clone();
        let newest = ciphers.first().ok_or(SealError::Broken)?;
        let sealed = newest.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Broken)?;
        Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for this place and row.
    ///
    /// # Errors
    /// [`SealError::Broken`].
    pub fn open(&self, sealed: &[u8], place: &str, row: uuid::Uuid) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let [VERSION, rest @ ..] = sealed else { return Err(SealError::Broken) };
        let (nonce, msg) = rest.split_first_chunk::<NONCE>().ok_or(SealError::Broken)?;
        let aad = associated(place, row);
        let ciphers = self.0.read().clone();
        let open = |cipher: &XChaCha20Poly1305| cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad: &aad }).ok();
        ciphers.iter().find_map(open).map(Zeroizing::new).ok_or(SealError::Broken)
    }
}

fn ciphers(keys: &Keys) -> Vec<XChaCha20Poly1305> {
    keys.all().map(|key| XChaCha20Poly1305::new(key.into())).collect()
}

fn associated(place: &str, row: uuid::Uuid) -> Vec<u8> {
    [place.as_bytes(), b"\0", row.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn attack_42_opens_in_its_place_only() {
        let sealer = Sealer::new(&Keys::of(&[[7; 32]]));
        let (row, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut sealed = sealer.seal(b"token", "clusters.sealed", row, &Random::system()).unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_eq!(sealer.open(&sealed, "clusters.sealed", row).unwrap().as_slice(), b"token");
        assert!(sealer.open(&sealed, "clusters.sealed", other).is_err());
        assert!(sealer.open(&sealed, "users.totp", row).is_err());
        assert!(Sealer::new(&Keys::of(&[[8; 32]])).open(&sealed, "clusters.sealed", row).is_err());
        assert!(Sealer::new(&Keys::of(&[[8; 32], [7; 32]])).open(&sealed, "clusters.sealed", row).is_ok());
        *sealed.last_mut().unwrap() ^= 1;
        assert!(sealer.open(&sealed, "clusters.sealed", row).is_err());
        assert!(sealer.open(&[], "clusters.sealed", row).is_err());
    }
}
