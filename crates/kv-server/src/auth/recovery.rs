//! Recovery codes: ten of them, each good once in place of a second factor. 60 random bits, so they are hashed like
//! passwords; one salt for all of a user's, so that a code that is sent is hashed once and not ten times.

use crate::clock::{Random, RandomError};
use kv_authz::UserId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Codes a user has.
pub const CODES: usize = 10;
/// Signs of a code.
const LENGTH: usize = 12;
/// 32 signs that are not mistaken for one another: 5 bits choose one without bias.
const SIGNS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Draws a user's codes, written `xxxx-xxxx-xxxx`.
///
/// # Errors
/// [`RandomError`].
pub fn draw(random: &Random) -> Result<Vec<SecretString>, RandomError> {
    (0..CODES)
        .map(|_| {
            let bytes = Zeroizing::new(random.bytes::<LENGTH>()?);
            let signs = bytes.iter().map(|byte| char::from(SIGNS[usize::from(byte & 31)]));
            let dashed =
                signs.enumerate().flat_map(|(n, sign)| (n > 0 && n % 4 == 0).then_some('-').into_iter().chain([sign]));
            Ok(SecretString::from(dashed.collect::<String>()))
        })
        .collect()
}

/// A code as it is hashed: case, dashes and blanks do not matter. None if it cannot be a code.
#[must_use]
pub fn plain(sent: &SecretString) -> Option<SecretString> {
    let signs = sent.expose_secret().chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_lowercase());
    let text = Zeroizing::new(signs.collect::<String>());
    let known = text.bytes().all(|byte| SIGNS.contains(&byte));
    (text.len() == LENGTH && known).then(|| SecretString::from(text.as_str()))
}

/// The salt of a user's codes.
#[must_use]
pub fn salt(user: UserId) -> [u8; 16] {
    let hash = Sha256::new().chain_update(b"kubevision recovery codes").chain_update(user.uuid().as_bytes()).finalize();
    let mut salt = [0; 16];
    salt.copy_from_slice(&hash[..16]);
    salt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_however_they_are_typed() {
        let codes = draw(&Random::system()).unwrap();
        assert_eq!(codes.len(), CODES);
        for code in &codes {
            let text = code.expose_secret();
            assert_eq!(text.len(), 14);
            let bare = text.replace('-', "");
            for typed in [text.to_owned(), bare.clone(), text.to_uppercase(), format!(" {} ", text.replace('-', " "))] {
                assert_eq!(plain(&typed.into()).unwrap().expose_secret(), bare);
            }
        }
        for text in ["", "aaaa", "aaaa-aaaa-aaa0", "aaaa-aaaa-aaaaa", "１２３４-aaaa-aaaa", "aaaa.aaaa.aaaa"] {
            assert!(plain(&text.into()).is_none(), "{text}");
        }
    }

    #[test]
    fn every_user_has_a_salt_of_their_own() {
        let user = |n| UserId::from_parts(1, [n; 10]);
        assert_eq!(salt(user(1)), salt(user(1)));
        assert_ne!(salt(user(1)), salt(user(2)));
    }
}
