//! Opaque tokens: random text that names something in the database by its digest alone. Refresh tokens, session
//! cookies, login challenges and the webhook tokens of clusters are such; an access token and an API key are not.

use crate::clock::{Random, RandomError};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What a token is for. One of another kind is none (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It renews a session.
    Refresh,
    /// It is a session in a browser.
    Cookie,
    /// It is a browser before anyone has signed in, and names nothing.
    Visitor,
    /// It stands for a password that was accepted, until the second factor is shown.
    Challenge,
    /// By it a cluster is known when it asks about its callers.
    Webhook,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "kvr_",
            Self::Cookie => "kvs_",
            Self::Visitor => "kvv_",
            Self::Challenge => "kvm_",
            Self::Webhook => "kvw_",
        }
    }
}

/// A token just made, and the digest by which it is stored.
#[derive(Debug)]
pub struct Opaque {
    /// The token: shown once.
    pub text: SecretString,
    /// Its SHA-256. Nothing is to be guessed: the token has 256 random bits.
    pub digest: Vec<u8>,
}

/// The length of the random part as text: 32 bytes in base64url.
const LENGTH: usize = 43;

impl Opaque {
    /// Draws a token.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn draw(kind: Kind, random: &Random) -> Result<Self, RandomError> {
        let bytes = Zeroizing::new(random.bytes::<32>()?);
        let text = Zeroizing::new(format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes.as_slice())));
        Ok(Self { digest: Sha256::digest(text.as_bytes()).to_vec(), text: SecretString::from(text.as_str()) })
    }

    /// The digest of a token that was sent; none if it cannot be one of this kind.
    #[must_use]
    pub fn digest(kind: Kind, sent: &SecretString) -> Option<Vec<u8>> {
        let text = sent.expose_secret();
        let random = text.strip_prefix(kind.prefix())?;
        let plain = random.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (random.len() == LENGTH && plain).then(|| Sha256::digest(text.as_bytes()).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_digest_and_its_kind() {
        let token = Opaque::draw(Kind::Refresh, &Random::system()).unwrap();
        assert_eq!(Opaque::digest(Kind::Refresh, &token.text), Some(token.digest));
        assert_eq!(Opaque::digest(Kind::Challenge, &token.text), None);
        assert!(!format!("{:?}", token.text).contains("kvr_"));
        for text in ["", "kvr_", "kvr_x", &format!("kvr_{}", "é".repeat(43)), &format!("kvr_{}", "a".repeat(44))] {
            assert_eq!(Opaque::digest(Kind::Refresh, &SecretString::from(text)), None, "{text}");
        }
    }
}
