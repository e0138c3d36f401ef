//! The plaintext of a key, in a coat that keeps it from getting out by accident.
//!
//! Never here: a way to print, clone, compare or serialise it. [`ApiKey::expose`] is the one door, and easy to grep for.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    Environment, KeyDigest, KeyPrefix, MalformedKey,
    format::{self, KEY_LEN},
};

/// The plaintext of an API key: always well-formed, never yet checked against a store.
///
/// It lives in one place of the heap, so moving it leaves no copy behind, and that place is overwritten with zeros when it
/// is dropped. Compare [digests](Self::digest), show [prefixes](Self::prefix); the plaintext itself goes to its owner,
/// once, through [`expose`](Self::expose).
///
/// It cannot be cloned:
///
/// ```compile_fail
/// fn two(key: kv_keys::ApiKey) -> [kv_keys::ApiKey; 2] { [key.clone(), key] }
/// ```
///
/// compared:
///
/// ```compile_fail
/// fn same(a: kv_keys::ApiKey, b: kv_keys::ApiKey) -> bool { a == b }
/// ```
///
/// printed:
///
/// ```compile_fail
/// fn text(key: kv_keys::ApiKey) -> String { key.to_string() }
/// ```
///
/// or serialised:
///
/// ```compile_fail
/// fn check<T: serde::Serialize>(_: T) {}
/// fn leak(key: kv_keys::ApiKey) { check(key) }
/// ```
pub struct ApiKey {
    text: Box<[u8; KEY_LEN]>,
    environment: Environment,
}

impl ApiKey {
    /// Reads a key as it was issued for `environment`.
    ///
    /// The input is taken as it is: no trimming, no percent decoding, no Unicode normalisation. Neither time nor memory
    /// grows with its length. `Ok` means well-formed, not known: look its [`digest`](Self::digest) up.
    ///
    /// # Errors
    ///
    /// [`MalformedKey`] with the first rule that is broken: length, prefix, environment, alphabet, checksum. There is no
    /// need to ask a store about such a key, because it was never issued.
    pub fn parse(input: impl AsRef<[u8]>, environment: Environment) -> Result<Self, MalformedKey> {
        let checked = format::check(input.as_ref(), environment)?;
        // The box first and then the text into it: `Box::new(*checked)` may put a copy on the stack.
        let mut key = Self { text: Box::new([0; KEY_LEN]), environment };
        key.text.copy_from_slice(checked);
        Ok(key)
    }

    /// The plaintext itself: 56 ASCII characters. For the one answer that shows it to its owner, and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        // Checked when it was parsed: the empty text is the safe way to write "never".
        std::str::from_utf8(self.text.as_slice()).unwrap_or_default()
    }

    /// What to store and look up instead of the key.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.text.as_slice())
    }

    /// The first twelve characters, by which its owner recognises it in a list.
    #[must_use]
    pub fn prefix(&self) -> KeyPrefix {
        KeyPrefix::of(self.expose())
    }

    /// The environment it was issued for.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.environment
    }
}

/// Always `ApiKey([redacted])`.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([redacted])")
    }
}

impl Drop for ApiKey {
    fn drop(&mut self) {
        // As a slice: an array is wiped byte by byte, eight times slower.
        self.text.as_mut_slice().zeroize();
    }
}

impl ZeroizeOnDrop for ApiKey {}
