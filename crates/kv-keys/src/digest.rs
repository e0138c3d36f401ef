//! What is stored in place of a key: the digest of its whole written form, with the algorithm it was made by.
//!
//! Never here: a salt, a pepper or a slow hash. They protect guessable secrets; behind 256 random bits a plain SHA-256
//! cannot be reversed, and the digest can be looked up by a unique index.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::MalformedDigest;

const LEN: usize = 32;
const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

/// How a [`KeyDigest`] was made. Another one may join; none is ever renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4): tag byte `1`, written `sha256:`.
    Sha256 = 1,
}

impl Algorithm {
    const fn label(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256:",
        }
    }
}

/// The digest of a key, made by [`ApiKey::digest`](crate::ApiKey::digest): what a store keeps and looks up.
///
/// It has two stored forms that say the same: [33 bytes](Self::to_bytes), and [text](Self::to_text) such as
/// `sha256:9f86d0…`, whose 64 hexadecimal digits are what `printf %s "$KEY" | sha256sum` prints.
///
/// Nobody can sign in with a digest, yet it stays inside: it is not printed, and two are compared in constant time. As the
/// key of a map it is [hashed](Hash) in the ordinary way: what a map's timing could tell is about a digest, which the
/// sender of a key can compute but not choose, and not about a key.
#[derive(Clone, Copy)]
pub struct KeyDigest {
    algorithm: Algorithm,
    bytes: [u8; LEN],
}

impl KeyDigest {
    /// Bytes of the binary stored form: one for the algorithm, 32 for the digest.
    pub const STORED_LEN: usize = 1 + LEN;

    /// The digest of a whole, well-formed key.
    pub(crate) fn of(key: &[u8]) -> Self {
        // Finished in place: `Sha256::digest` hands the hasher, and so the key in its buffer, from hand to hand.
        let mut hasher = Sha256::new();
        hasher.update(key);
        Self { algorithm: Algorithm::Sha256, bytes: hasher.finalize_reset().into() }
    }

    /// How it was made.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The binary stored form: the tag byte of the [`Algorithm`], then the digest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::STORED_LEN] {
        let mut stored = [self.algorithm as u8; Self::STORED_LEN];
        stored[1..].copy_from_slice(&self.bytes);
        stored
    }

    /// Reads the binary stored form back.
    ///
    /// # Errors
    ///
    /// [`MalformedDigest::Algorithm`] if the first byte is no known tag or missing, [`MalformedDigest::Length`] if not
    /// exactly 32 bytes follow.
    pub fn from_bytes(stored: &[u8]) -> Result<Self, MalformedDigest> {
        const SHA256: u8 = Algorithm::Sha256 as u8;
        match stored {
            [SHA256, bytes @ ..] => {
                let bytes = bytes.try_into().map_err(|_| MalformedDigest::Length)?;
                Ok(Self { algorithm: Algorithm::Sha256, bytes })
            }
            _ => Err(MalformedDigest::Algorithm),
        }
    }

    /// The written stored form: `sha256:` and 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_text(&self) -> String {
        let digits = self.bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        let digits = digits.map(|digit| char::from(HEXADECIMAL[usize::from(digit)]));
        self.algorithm.label().chars().chain(digits).collect()
    }
}

/// Reads the [written stored form](KeyDigest::to_text) back. One digest has one spelling: capitals are refused.
impl FromStr for KeyDigest {
    type Err = MalformedDigest;

    fn from_str(text: &str) -> Result<Self, MalformedDigest> {
        let algorithm = Algorithm::Sha256;
        let digits = text.strip_prefix(algorithm.label()).ok_or(MalformedDigest::Algorithm)?.as_bytes();
        if digits.len() != 2 * LEN {
            return Err(MalformedDigest::Length);
        }
        let mut bytes = [0; LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                *byte = *byte << 4 | value(*digit).ok_or(MalformedDigest::Hexadecimal)?;
            }
        }
        Ok(Self { algorithm, bytes })
    }
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// In constant time, whatever the digests.
impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && bool::from(self.bytes.ct_eq(&other.bytes))
    }
}

impl Eq for KeyDigest {}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_bytes().hash(state);
    }
}

/// Always `KeyDigest(sha256:[redacted])`.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({}[redacted])", self.algorithm.label())
    }
}
