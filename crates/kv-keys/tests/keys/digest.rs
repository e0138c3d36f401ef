//! A stored digest is read back exactly, and only if it is one.

use std::collections::HashMap;

use kv_keys::{Environment, KeyDigest, MalformedDigest, MalformedPrefix};
use proptest::prelude::*;

use crate::support::keys;

fn digest() -> KeyDigest {
    keys(3, Environment::Live).next().unwrap().digest()
}

#[test]
fn both_stored_forms_are_refused_when_anything_is_off() {
    let bytes = digest().to_bytes();
    assert_eq!(KeyDigest::from_bytes(&[]), Err(MalformedDigest::Algorithm));
    for tag in (0..=255).filter(|tag| *tag != 1) {
        assert_eq!(KeyDigest::from_bytes(&[&[tag], &bytes[1..]].concat()), Err(MalformedDigest::Algorithm));
    }
    assert_eq!(KeyDigest::from_bytes(&bytes[..32]), Err(MalformedDigest::Length));
    assert_eq!(KeyDigest::from_bytes(&[&bytes[..], &[0]].concat()), Err(MalformedDigest::Length));

    let text = digest().to_text();
    let (_, digits) = text.split_once(':').unwrap();
    for (stored, error) in [
        (String::new(), MalformedDigest::Algorithm),
        (digits.to_owned(), MalformedDigest::Algorithm),
        (format!("sha512:{digits}"), MalformedDigest::Algorithm),
        (format!("SHA256:{digits}"), MalformedDigest::Algorithm),
        (format!("sha256:{digits}0"), MalformedDigest::Length),
        (format!("sha256:{}", &digits[1..]), MalformedDigest::Length),
        (format!("sha256:{}", digits.to_uppercase()), MalformedDigest::Hexadecimal),
        (format!("sha256: {}", &digits[1..]), MalformedDigest::Hexadecimal),
        (format!("sha256:é{}", &digits[2..]), MalformedDigest::Hexadecimal),
    ] {
        assert_eq!(stored.parse::<KeyDigest>(), Err(error), "{stored}");
    }
}

#[test]
fn digests_are_equal_for_the_same_key_alone_and_serve_as_map_keys() {
    let map: HashMap<KeyDigest, usize> =
        keys(4, Environment::Test).take(1_000).map(|key| key.digest()).zip(0..).collect();
    assert_eq!(map.len(), 1_000);
    for (n, key) in keys(4, Environment::Test).take(1_000).enumerate() {
        assert_eq!(map.get(&key.digest()), Some(&n));
    }
}

/// Twelve characters of every key, and nothing else.
#[test]
fn prefixes_are_read_back_and_nothing_else_is() {
    for key in keys(5, Environment::Live).take(100) {
        assert_eq!(key.prefix().as_str(), &key.expose()[..12]);
        assert_eq!(key.prefix().as_str().parse(), Ok(key.prefix()));
    }
    for text in [
        "",
        "kv_live_",
        "kv_live_Ab3",
        "kv_live_Ab3xY",
        "kv_prod_Ab3x",
        "KV_LIVE_Ab3x",
        "kv_live_Ab3-",
        "kv_live_é3x",
        "kv_test_Ab3\0",
    ] {
        assert_eq!(text.parse::<kv_keys::KeyPrefix>(), Err(MalformedPrefix), "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_stored_bytes_are_refused_or_come_back(stored: Vec<u8>, body: [u8; 32]) {
        if let Ok(digest) = KeyDigest::from_bytes(&stored) {
            prop_assert_eq!(digest.to_bytes().to_vec(), stored);
        }
        let tagged = [&[1], &body[..]].concat();
        let digest = KeyDigest::from_bytes(&tagged).unwrap();
        prop_assert_eq!(digest.to_bytes().to_vec(), tagged);
        prop_assert_eq!(digest.to_text().parse(), Ok(digest));
    }

    #[test]
    fn any_stored_text_is_refused_or_comes_back(stored in "(sha256:)?[0-9a-fA-F]{60,66}|\\PC*") {
        if let Ok(digest) = stored.parse::<KeyDigest>() {
            prop_assert_eq!(digest.to_text(), stored);
        }
    }
}
