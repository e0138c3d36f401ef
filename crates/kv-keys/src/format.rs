//! The written form of a key, both ways: `kv_live_` or `kv_test_`, then 48 letters and digits.
//!
//! The 48 are the base64url (RFC 4648 §5, no padding) of 36 bytes: 32 random ones and their CRC-32, big-endian. 36 bytes
//! fill 48 characters to the bit, so one key has one spelling.
//!
//! Never here: a change. Issued formats never change; a new one gets a prefix of its own.

use std::array;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{Environment, MalformedKey, checksum::crc32};

/// Bytes of entropy: 256 bits.
pub(crate) const SECRET_LEN: usize = 32;
const CHECKSUM_LEN: usize = 4;
const BODY_LEN: usize = (SECRET_LEN + CHECKSUM_LEN) / 3 * 4;
const PREFIX_LEN: usize = Environment::Live.prefix().len();
/// Characters of a whole key.
pub(crate) const KEY_LEN: usize = PREFIX_LEN + BODY_LEN;

/// What a secret becomes before it is known whether it may be issued.
///
/// About four in five contain a `-` or `_` (see [`ApiKey::generate`](crate::ApiKey::generate)); [`check`] tells.
pub(crate) fn write(
    secret: &[u8; SECRET_LEN],
    environment: Environment,
    text: &mut [u8; KEY_LEN],
) -> Result<(), MalformedKey> {
    let mut raw = Zeroizing::new([0; SECRET_LEN + CHECKSUM_LEN]);
    let (random, checksum) = raw.split_at_mut(SECRET_LEN);
    random.copy_from_slice(secret);
    let (words, _) = secret.as_chunks();
    checksum.copy_from_slice(&crc32(array::from_fn(|i| u64::from_be_bytes(words[i]))).to_be_bytes());

    let (prefix, body) = text.split_at_mut(PREFIX_LEN);
    prefix.copy_from_slice(environment.prefix().as_bytes());
    // Into a slice of ours: the variants that return or extend a `String` go through a buffer nobody wipes.
    URL_SAFE_NO_PAD.encode_slice(raw.as_slice(), body).map_err(|_| MalformedKey::Length)?;
    Ok(())
}

/// Hands `input` back if it is a key of `environment`.
///
/// Cheapest rule first. Whatever the length of the input, at most [`KEY_LEN`] bytes of it are looked at; nothing is
/// allocated, trimmed, decoded or normalised beforehand.
pub(crate) fn check(input: &[u8], environment: Environment) -> Result<&[u8; KEY_LEN], MalformedKey> {
    let text: &[u8; KEY_LEN] = input.try_into().map_err(|_| MalformedKey::Length)?;
    let (prefix, body) = text.split_at(PREFIX_LEN);
    if prefix != environment.prefix().as_bytes() {
        return Err(Environment::of(prefix).map_or(MalformedKey::Prefix, |_| MalformedKey::Environment));
    }
    // Without a way out in the middle, so that it becomes a few vector instructions.
    if body.iter().fold(false, |any, byte| any | !byte.is_ascii_alphanumeric()) {
        return Err(MalformedKey::Alphabet);
    }
    // 6 × 48 bits, which are 4 × 64 of secret and 32 of checksum.
    let (eights, _) = body.as_chunks();
    let [a, b, c, d, e, f] = array::from_fn(|i| decode(eights[i]));
    let secret = [a << 16 | b >> 32, b << 32 | c >> 16, c << 48 | d, e << 16 | f >> 32];
    if u64::from(crc32(secret)) != f & 0xffff_ffff {
        return Err(MalformedKey::Checksum);
    }
    Ok(text)
}

/// The 48 bits that eight letters and digits stand for in base64url.
///
/// All eight at once in one register, for text whose alphabet was checked: no buffer to wipe, and a third of the time.
fn decode(characters: [u8; 8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let text = u64::from_be_bytes(characters);
    // Among ASCII letters and digits 0x40 marks the letters, and with it 0x20 the small ones: a one in each such byte.
    let letter = text >> 6 & EACH;
    let small = text >> 5 & letter;

    // `0` stands for 52, `A` for 0 and `a` for 26; in ASCII they are 48, 65 and 97. No byte borrows from the next.
    let sextets = text + (52 - 48) * EACH - letter * (52 - 48 + 65) - small * (97 - 26 - 65);
    let twelves = (sextets & 0x3f00_3f00_3f00_3f00) >> 2 | sextets & 0x003f_003f_003f_003f;
    let twentyfours = (twelves & 0x0fff_0000_0fff_0000) >> 4 | twelves & 0x0000_0fff_0000_0fff;
    (twentyfours & 0x00ff_ffff_0000_0000) >> 8 | twentyfours & 0x0000_0000_00ff_ffff
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::decode;

    proptest! {
        #[test]
        fn decodes_like_the_published_crate(text in "[0-9A-Za-z]{8}") {
            let expected = URL_SAFE_NO_PAD.decode(&text).unwrap();
            prop_assert_eq!(&decode(text.as_bytes().try_into().unwrap()).to_be_bytes()[2..], expected);
        }
    }
}
