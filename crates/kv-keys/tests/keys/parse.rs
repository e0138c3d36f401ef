//! What is a key and what is not, to the byte.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kv_keys::{ApiKey, Environment, MalformedKey};
use proptest::prelude::*;
use regex_lite::Regex;

use crate::support::{KEY, PATTERN, keys};

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn refusal(input: impl AsRef<[u8]>) -> Option<MalformedKey> {
    ApiKey::parse(input, Environment::Live).err()
}

/// `KEY` with its part from `start` on replaced by as much of something else.
fn overwritten(start: usize, with: &[u8]) -> Vec<u8> {
    let mut text = KEY.as_bytes().to_vec();
    text[start..start + with.len()].copy_from_slice(with);
    text
}

#[test]
fn attack_18_another_prefix() {
    assert_eq!(refusal(overwritten(0, b"kv_test_")), Some(MalformedKey::Environment));
    for prefix in [b"KV_LIVE_", b"kv_Live_", b"kv_prod_", b"kv_live-", b"kv__live", b" kv_live", b"sk_live_"] {
        assert_eq!(refusal(overwritten(0, prefix)), Some(MalformedKey::Prefix));
    }
    assert_eq!(refusal(format!("kv_{}", &KEY[8..])), Some(MalformedKey::Length));
    assert_eq!(refusal(&KEY[8..]), Some(MalformedKey::Length));
}

#[test]
fn attack_20_characters_that_are_none_of_ours() {
    for place in 8..56 {
        for byte in (0..=255_u8).filter(|byte| !byte.is_ascii_alphanumeric()) {
            assert_eq!(refusal(overwritten(place, &[byte])), Some(MalformedKey::Alphabet));
        }
    }
    // Of the right length in bytes: percent encoding, full-width digit, Cyrillic a, zero-width joiner, combining acute.
    for text in ["%41", "１", "а", "\u{200d}", "e\u{301}"] {
        assert_eq!(refusal(overwritten(20, text.as_bytes())), Some(MalformedKey::Alphabet), "{text}");
    }
    // Of the right length in characters.
    for text in ["１", "а", "\u{200d}", "é"] {
        assert_eq!(refusal(KEY.replacen('A', text, 1)), Some(MalformedKey::Length), "{text}");
    }
}

#[test]
fn attack_21_a_key_of_100_kib_is_refused_by_its_length() {
    for length in [100 * 1024, 57, 55, 1, 0] {
        let text: Vec<u8> = KEY.bytes().cycle().take(length).collect();
        assert_eq!(refusal(text), Some(MalformedKey::Length));
    }
}

#[test]
fn attack_22_the_shown_prefix_is_no_key() {
    let key = ApiKey::parse(KEY, Environment::Live).unwrap();
    assert_eq!(refusal(key.prefix().as_str()), Some(MalformedKey::Length));
    assert_eq!(refusal(key.digest().to_text()), Some(MalformedKey::Length));
}

#[test]
fn attack_24_something_appended() {
    for tail in ["\0", "\\u0000", " ", "\n", "\r\n", "=", "==", "\u{feff}", ","] {
        assert_eq!(refusal(format!("{KEY}{tail}")), Some(MalformedKey::Length), "{tail:?}");
        assert_eq!(refusal(format!("{tail}{KEY}")), Some(MalformedKey::Length), "{tail:?}");
    }
    assert_eq!(refusal(overwritten(55, b"\0")), Some(MalformedKey::Alphabet));
}

#[test]
fn attack_28_the_published_pattern_finds_keys_and_nothing_else() {
    let pattern = Regex::new(&format!("^{PATTERN}$")).unwrap();
    let within = Regex::new(PATTERN).unwrap();
    for key in keys(28, Environment::Live).take(1_000).chain(keys(28, Environment::Test).take(1_000)) {
        assert!(pattern.is_match(key.expose()));
        let line = format!("export KEY='{}' # ci", key.expose());
        assert_eq!(within.find(&line).unwrap().as_str(), key.expose());
    }
    for other in [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e776efe9309489965c14a5b3b8610d2689b1dd08faaab827c51808fcfab547d0",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "0198a1c2-7b3d-7c4e-8f5a-6b7c8d9e0f1a",
    ] {
        assert!(!within.is_match(other), "{other}");
    }
}

/// For every key there is: CRC-32 is linear, so whether a change goes unnoticed depends on the change alone. All 48 × 63
/// changes of one character and all 47 × 63 differences that a swap of neighbours can make are tried.
#[test]
fn no_change_of_a_character_or_swap_of_neighbours_goes_unnoticed() {
    // The checksum of a difference, and whether the checksum field differs by the same: 36 bytes as 48 six-bit digits.
    let unnoticed = |digits: &[u8; 48]| {
        let text: Vec<u8> = digits.iter().map(|digit| BASE64URL[usize::from(*digit)]).collect();
        let raw = URL_SAFE_NO_PAD.decode(text).unwrap();
        let difference = crc32fast::hash(&raw[..32]) ^ crc32fast::hash(&[0; 32]);
        difference.to_be_bytes() == raw[32..]
    };
    assert!(unnoticed(&[0; 48]), "no change is no change");
    for place in 0..48 {
        for difference in 1..64 {
            let mut digits = [0; 48];
            digits[place] = difference;
            assert!(!unnoticed(&digits));
            if place < 47 {
                digits[place + 1] = difference;
                assert!(!unnoticed(&digits));
            }
        }
    }
}

#[test]
fn any_other_character_at_any_place_of_real_keys_is_refused() {
    for key in keys(7, Environment::Live).take(20) {
        for place in 0..56 {
            for byte in 0..=255 {
                let mut text = key.expose().as_bytes().to_vec();
                if text[place] != byte {
                    text[place] = byte;
                    assert!(refusal(text).is_some());
                }
            }
        }
    }
}

#[test]
fn the_rules_are_checked_in_their_order() {
    assert_eq!(refusal("sk_live_"), Some(MalformedKey::Length));
    assert_eq!(refusal(["sk_live_", &"-".repeat(48)].concat()), Some(MalformedKey::Prefix));
    assert_eq!(refusal(["kv_test_", &"-".repeat(48)].concat()), Some(MalformedKey::Environment));
    assert_eq!(refusal(["kv_live_", &"A".repeat(47), "-"].concat()), Some(MalformedKey::Alphabet));
    assert_eq!(refusal(["kv_live_", &"A".repeat(48)].concat()), Some(MalformedKey::Checksum));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bytes_are_refused_or_a_key(input: Vec<u8>) {
        prop_assert!(refusal(input).is_some(), "one in 2³² of the few that look like a key");
    }

    /// What looks like a key is accepted exactly if its checksum is right, and is then read as it was.
    #[test]
    fn the_checksum_decides_over_what_looks_like_a_key(body in "[0-9A-Za-z]{48}", secret: [u8; 32]) {
        let checked = |secret: &[u8]| [secret, &crc32fast::hash(secret).to_be_bytes()].concat();

        let raw = URL_SAFE_NO_PAD.decode(&body).unwrap();
        let right = raw == checked(&raw[..32]);
        prop_assert_eq!(ApiKey::parse(format!("kv_live_{body}"), Environment::Live).is_ok(), right);

        let body = URL_SAFE_NO_PAD.encode(checked(&secret));
        let plain = body.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let text = format!("kv_test_{body}");
        match ApiKey::parse(&text, Environment::Test) {
            Ok(key) => {
                prop_assert!(plain);
                prop_assert_eq!(key.expose(), &text);
                let again = ApiKey::parse(key.expose(), Environment::Test).unwrap();
                prop_assert_eq!(again.expose(), &text);
                prop_assert_eq!(again.digest(), key.digest());
            }
            Err(error) => {
                prop_assert!(!plain);
                prop_assert_eq!(error, MalformedKey::Alphabet);
            }
        }
    }
}
