//! Whatever arrives: no panic, and what is accepted is exactly what was issued.
//!
//! Short by default; `PROPTEST_CASES=100000000 cargo test -p kv-keys --test fuzz --release` goes on for minutes. A case
//! that fails is shrunk, and its seed kept beside this file.

use kv_keys::{ApiKey, Credential, Environment, KeyDigest, KeyPrefix};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

const KEY: &str = "kv_live_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyCH5uwl";

/// What keys and values are made of, and what is put into them to get through.
const WORDS: [&[u8]; 16] = [
    KEY.as_bytes(),
    b"kv_live_",
    b"kv_test_",
    b"kv_",
    b"ApiKey",
    b"Bearer",
    b"eyJhbGciOiJIUzI1NiJ9.e30.",
    b"sha256:",
    b"AQIDBAUGBwgJCgsM",
    b"0123456789abcdef",
    b" ",
    b"\t",
    b",",
    b"=",
    b"\0",
    b"\xff\xc3",
];

/// Words and random bytes, strung together.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![3 => select(&WORDS[..]).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..8)];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A good value with a few bytes changed, which random bytes would never come near.
fn nearly_good() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), vec(any::<(Index, u8)>(), 0..4)).prop_map(|(bearer, changes)| {
        let mut value = format!("{} {KEY}", if bearer { "Bearer" } else { "ApiKey" }).into_bytes();
        for (place, byte) in changes {
            let place = place.index(value.len());
            value[place] = byte;
        }
        value
    })
}

proptest! {
    #[test]
    fn key(input in soup()) {
        for environment in Environment::ALL {
            if let Ok(key) = ApiKey::parse(&input, environment) {
                prop_assert_eq!(key.expose().as_bytes(), &input);
                prop_assert_eq!(key.expose(), KEY, "a key that nobody issued");
                prop_assert_eq!(environment, Environment::Live);
            }
        }
    }

    #[test]
    fn authorization(value in prop_oneof![soup(), nearly_good()]) {
        let good = value.len() == 7 + KEY.len() && {
            let (scheme, key) = value.split_at(7);
            (scheme.eq_ignore_ascii_case(b"ApiKey ") || scheme.eq_ignore_ascii_case(b"Bearer ")) && key == KEY.as_bytes()
        };
        match Credential::parse(&value, Environment::Live) {
            Ok(Credential::ApiKey(key)) => {
                prop_assert!(good);
                prop_assert_eq!(key.expose(), KEY, "a key that nobody issued");
            }
            Ok(Credential::Bearer(token)) => prop_assert!(!token.expose().starts_with("kv_")),
            Err(_) => prop_assert!(!good),
        }
    }

    #[test]
    fn stored_forms(input in soup()) {
        if let Ok(digest) = KeyDigest::from_bytes(&input) {
            prop_assert_eq!(digest.to_bytes().to_vec(), input.clone());
        }
        if let Ok(text) = std::str::from_utf8(&input) {
            if let Ok(digest) = text.parse::<KeyDigest>() {
                prop_assert_eq!(digest.to_text(), text);
            }
            if let Ok(prefix) = text.parse::<KeyPrefix>() {
                prop_assert_eq!(prefix.as_str(), text);
            }
        }
    }
}
