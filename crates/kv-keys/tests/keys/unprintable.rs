//! No type and no error prints a key, and the plaintext has none of the traits that would let it out.

use std::{error::Error, fmt};

use kv_keys::{
    ApiKey, BearerToken, Credential, Environment, GenerateError, HeaderError, KeyDigest, KeyPrefix, MalformedDigest,
    MalformedKey, MalformedPrefix,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use zeroize::ZeroizeOnDrop;

use crate::support::{KEY, Script};

assert_impl_all!(ApiKey: Send, Sync, ZeroizeOnDrop);
assert_not_impl_any!(ApiKey: Clone, PartialEq, PartialOrd, std::hash::Hash, Default);
assert_not_impl_any!(ApiKey: fmt::Display, fmt::LowerHex, AsRef<str>, AsRef<[u8]>, std::ops::Deref, Into<String>);
assert_not_impl_any!(ApiKey: serde::Serialize, serde::de::DeserializeOwned);
assert_not_impl_any!(BearerToken<'static>: Clone, PartialEq, fmt::Display, AsRef<str>, serde::Serialize);
assert_not_impl_any!(Credential<'static>: Clone, PartialEq, fmt::Display, serde::Serialize);
assert_not_impl_any!(KeyDigest: fmt::Display, fmt::LowerHex, AsRef<[u8]>, serde::Serialize);

/// All that formatting can make of a value.
fn debug(value: &dyn fmt::Debug) -> String {
    format!("{value:?} {value:#?} {value:x?} {value:200?}")
}

/// No four characters in a row of the secret part.
fn assert_hides(printed: &str, secret: &str) {
    for window in secret.as_bytes().windows(4) {
        let window = std::str::from_utf8(window).unwrap();
        assert!(!printed.contains(window), "{window} is in {printed}");
    }
}

#[test]
fn the_plaintext_is_redacted() {
    let key = ApiKey::parse(KEY, Environment::Live).unwrap();
    assert_eq!(format!("{key:?}"), "ApiKey([redacted])");
    assert_hides(&debug(&key), KEY);
    assert_hides(&debug(&Some(&key)), KEY);

    let value = format!("ApiKey {KEY}");
    let credential = Credential::parse(value.as_bytes(), Environment::Live).unwrap();
    assert_eq!(format!("{credential:?}"), "ApiKey(ApiKey([redacted]))");
    assert_hides(&debug(&credential), KEY);
}

#[test]
fn a_bearer_token_is_redacted() {
    let token = "eyJhbGciOiJIUzI1NiJ9.e30.XXXX";
    let value = format!("Bearer {token}");
    let credential = Credential::parse(value.as_bytes(), Environment::Live).unwrap();
    assert_eq!(format!("{credential:?}"), "Bearer(BearerToken([redacted]))");
    assert_hides(&debug(&credential), token);
}

#[test]
fn a_digest_is_redacted_and_a_prefix_shows_twelve_characters() {
    let key = ApiKey::parse(KEY, Environment::Live).unwrap();
    assert_eq!(format!("{:?}", key.digest()), "KeyDigest(sha256:[redacted])");
    assert_hides(&debug(&key.digest()), &key.digest().to_text()[7..]);
    assert_hides(&debug(&key.digest()), KEY);

    assert_eq!(key.prefix().to_string(), "kv_live_AQID");
    assert_eq!(format!("{:?}", key.prefix()), "KeyPrefix(\"kv_live_AQID\")");
    assert_hides(&debug(&key.prefix()), &KEY[12..]);
}

/// Every error there is, from an input that is a key or nearly one.
#[test]
fn no_error_holds_the_input() {
    let secret = &KEY[8..];
    let wrong = [
        format!("{KEY}x"),
        format!("kv_prod_{secret}"),
        format!("kv_test_{secret}"),
        format!("kv_live_{}-", &secret[..47]),
        format!("kv_live_{}m", &secret[..47]),
    ];
    let mut errors: Vec<Box<dyn Error>> = Vec::new();
    for (text, rule) in wrong.iter().zip([
        MalformedKey::Length,
        MalformedKey::Prefix,
        MalformedKey::Environment,
        MalformedKey::Alphabet,
        MalformedKey::Checksum,
    ]) {
        let error = ApiKey::parse(text, Environment::Live).unwrap_err();
        assert_eq!(error, rule);
        errors.push(error.into());
        let value = format!("Bearer {text}");
        errors.push(Credential::parse(value.as_bytes(), Environment::Live).unwrap_err().into());
    }
    for (value, rule) in [
        (format!("Bearer {}", secret.repeat(200)), HeaderError::Length),
        (format!("Basic {KEY}"), HeaderError::Scheme),
        (format!("ApiKey  {KEY}"), HeaderError::Separator),
        (format!("Bearer {secret}, {KEY}"), HeaderError::Token),
    ] {
        let error = Credential::parse(value.as_bytes(), Environment::Live).unwrap_err();
        assert_eq!(error, rule);
        errors.push(error.into());
    }
    errors.push(KEY.parse::<KeyPrefix>().unwrap_err().into());
    errors.push(MalformedPrefix.into());
    errors.push(KEY.parse::<KeyDigest>().unwrap_err().into());
    errors.push(KeyDigest::from_bytes(KEY.as_bytes()).unwrap_err().into());
    errors.extend([MalformedDigest::Length, MalformedDigest::Hexadecimal].map(Into::into));
    errors.push(ApiKey::generate(Environment::Live, &mut Script::new([])).unwrap_err().into());
    errors.push(GenerateError::Stuck.into());

    for error in errors {
        let mut source: Option<&dyn Error> = Some(&*error);
        let mut above = String::new();
        while let Some(error) = source {
            assert_hides(&debug(&error), secret);
            assert_hides(&error.to_string(), secret);
            assert_ne!(error.to_string(), above, "an error does not repeat its source");
            assert!((10..=80).contains(&error.to_string().len()), "{error}");
            above = error.to_string();
            source = error.source();
        }
    }
}
