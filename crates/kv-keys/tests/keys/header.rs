//! Which `Authorization` values carry a credential.

use std::sync::LazyLock;

use kv_keys::{Credential, Environment, HeaderError, MAX_VALUE_LEN, MalformedKey};
use proptest::prelude::*;
use regex_lite::Regex;

use crate::support::{KEY, PATTERN};

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

fn parse(value: &(impl AsRef<[u8]> + ?Sized)) -> Result<Credential<'_>, HeaderError> {
    Credential::parse(value.as_ref(), Environment::Live)
}

fn refusal(value: impl AsRef<[u8]>) -> Option<HeaderError> {
    parse(&value).err()
}

fn is_key(value: &str) -> bool {
    matches!(parse(value), Ok(Credential::ApiKey(key)) if key.expose() == KEY)
}

#[test]
fn a_key_comes_under_either_scheme() {
    assert!(is_key(&format!("ApiKey {KEY}")));
    assert!(is_key(&format!("Bearer {KEY}")));
}

#[test]
fn any_other_bearer_token_is_handed_back() {
    for token in [JWT, "x", "a-._~+/b==", "k", "kv", "KV_LIVE_x", "xkv_"] {
        let value = format!("Bearer {token}");
        assert!(matches!(parse(&value), Ok(Credential::Bearer(bearer)) if bearer.expose() == token));
    }
}

#[test]
fn attack_2_empty_or_only_spaces() {
    for value in ["", " ", "   ", "\t"] {
        assert_eq!(refusal(value), Some(HeaderError::Scheme), "{value:?}");
    }
}

#[test]
fn attack_4_the_scheme_is_case_insensitive() {
    for scheme in ["ApiKey", "apikey", "APIKEY", "aPIkEY", "Bearer", "bearer", "BEARER", "bEARER"] {
        assert!(is_key(&format!("{scheme} {KEY}")), "{scheme}");
    }
    // U+212A, the Kelvin sign, is a k to those who fold Unicode.
    for scheme in ["", "Api-Key", "ApiKe", "ApiKeyy", "Basic", "Token", "Bearer:", "Digest", "Api\u{212a}ey", "ApiKey:"]
    {
        assert_ne!(refusal(format!("{scheme} {KEY}")), None, "{scheme}");
    }
    assert_eq!(refusal(KEY), Some(HeaderError::Scheme));
    assert_eq!(refusal("Basic dXNlcjpwYXNz"), Some(HeaderError::Scheme));
}

#[test]
fn attack_5_exactly_one_space() {
    for scheme in ["ApiKey", "Bearer"] {
        for separator in ["", "  ", "   ", "\t", " \t", "\t ", "=", ":", "\u{a0}"] {
            let error = refusal(format!("{scheme}{separator}{KEY}")).unwrap();
            // Without a separator the key's letters belong to the scheme.
            let rule = if separator.is_empty() { HeaderError::Scheme } else { HeaderError::Separator };
            assert_eq!(error, rule, "{separator:?}");
        }
        assert_eq!(refusal(scheme), Some(HeaderError::Separator));
        assert_eq!(refusal(format!("{scheme} ")), Some(HeaderError::Separator));
    }
}

#[test]
fn attack_6_whitespace_around_or_within() {
    for space in [" ", "\t", "\r\n ", "\u{2003}"] {
        assert_eq!(refusal(format!("{space}ApiKey {KEY}")), Some(HeaderError::Scheme));
        for value in [format!("ApiKey {KEY}{space}"), format!("ApiKey {}{space}{}", &KEY[..20], &KEY[20..])] {
            assert_eq!(refusal(value), Some(HeaderError::Key(MalformedKey::Length)));
        }
        let key = format!("ApiKey {}{space}{}", &KEY[..20], &KEY[20 + space.len()..]);
        assert_eq!(refusal(key), Some(HeaderError::Key(MalformedKey::Alphabet)));
        let token = format!("Bearer {}{space}{}", &JWT[..20], &JWT[20..]);
        assert_eq!(refusal(token), Some(HeaderError::Token));
    }
}

#[test]
fn attack_8_two_credentials_in_one_value() {
    for value in [
        format!("ApiKey {KEY}, ApiKey {KEY}"),
        format!("ApiKey {KEY},{KEY}"),
        format!("ApiKey {KEY},"),
        format!("Bearer {KEY}, Bearer {KEY}"),
        format!("ApiKey {KEY} Bearer {JWT}"),
        format!("ApiKey key={KEY}"),
    ] {
        assert_eq!(refusal(&value), Some(HeaderError::Key(MalformedKey::Length)), "{value}");
    }
    for value in [format!("Bearer {JWT}, ApiKey {KEY}"), format!("Bearer {JWT},"), format!("Bearer token=\"{JWT}\"")] {
        assert_eq!(refusal(&value), Some(HeaderError::Token), "{value}");
    }
}

#[test]
fn attack_12_a_jwt_is_no_api_key() {
    assert_eq!(refusal(format!("ApiKey {JWT}")), Some(HeaderError::Key(MalformedKey::Length)));
    assert_eq!(refusal(format!("ApiKey {}", &JWT[..56])), Some(HeaderError::Key(MalformedKey::Prefix)));
}

#[test]
fn attack_13_bytes_that_no_value_has() {
    for bytes in
        [&b"\0"[..], b"\r\n", b"\r\n ", b"\n", b"\x7f", b"\x80", b"\xff\xfe", "é".as_bytes(), b"\"", b"\\", b"="]
    {
        for scheme in ["ApiKey", "Bearer"] {
            let [before, within, after] = [
                [bytes, scheme.as_bytes(), b" ", KEY.as_bytes()].concat(),
                [scheme.as_bytes(), b" ", &KEY.as_bytes()[..30], bytes, &KEY.as_bytes()[30 + bytes.len()..]].concat(),
                [scheme.as_bytes(), b" ", KEY.as_bytes(), bytes].concat(),
            ];
            assert_eq!(refusal(before), Some(HeaderError::Scheme));
            assert_eq!(refusal(within), Some(HeaderError::Key(MalformedKey::Alphabet)));
            assert_eq!(refusal(after), Some(HeaderError::Key(MalformedKey::Length)));
        }
        let token = [b"Bearer ey", bytes, b"x"].concat();
        assert_eq!(refusal(token), Some(HeaderError::Token));
    }
    assert_eq!(refusal("Bearer ="), Some(HeaderError::Token));
}

#[test]
fn attack_18_a_bearer_token_that_begins_like_a_key_must_be_one() {
    for (token, rule) in [
        ("kv_", MalformedKey::Length),
        ("kv_live_", MalformedKey::Length),
        (&KEY.replace("live", "test"), MalformedKey::Environment),
        (&KEY.replace("live", "prod"), MalformedKey::Prefix),
        (&KEY.replace("uwl", "uwm"), MalformedKey::Checksum),
    ] {
        assert_eq!(refusal(format!("Bearer {token}")), Some(HeaderError::Key(rule)), "{token}");
    }
}

#[test]
fn attack_21_100_kib_are_refused_by_their_length() {
    assert_eq!(refusal(format!("ApiKey kv_live_{}", "A".repeat(100 * 1024))), Some(HeaderError::Length));
    assert_eq!(refusal(format!("Bearer {}", "A".repeat(100 * 1024))), Some(HeaderError::Length));

    let longest = format!("Bearer {}", "A".repeat(MAX_VALUE_LEN - 7));
    assert!(parse(&longest).is_ok());
    assert_eq!(refusal(longest + "A"), Some(HeaderError::Length));
}

static KEY_VALUE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("(?i)^(apikey|bearer) (?-i:{PATTERN})$")).unwrap());
static BEARER_VALUE: LazyLock<Regex> = LazyLock::new(|| Regex::new("(?i)^bearer [0-9a-z._~+/-]+=*$").unwrap());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Never a panic, and what is accepted is what the rules say, here as a regular expression.
    #[test]
    fn any_bytes_follow_the_rules_or_are_refused(
        scheme in "(?i)apikey|bearer|basic|\\PC*",
        space in " |  |\t|",
        rest in proptest::collection::vec(any::<u8>(), 0..80)
            .boxed()
            .prop_union("[0-9A-Za-z._~+/-]{0,80}=*".prop_map(String::into_bytes).boxed())
            .or(Just(KEY.as_bytes().to_vec()).boxed()),
    ) {
        let value = [scheme.as_bytes(), space.as_bytes(), &rest].concat();
        let follows = |rule: &Regex| std::str::from_utf8(&value).is_ok_and(|value| rule.is_match(value));
        match parse(&value) {
            Ok(Credential::ApiKey(_)) => prop_assert!(follows(&KEY_VALUE)),
            Ok(Credential::Bearer(token)) => {
                prop_assert!(follows(&BEARER_VALUE));
                prop_assert!(!token.expose().starts_with("kv_"));
                prop_assert_eq!(token.expose().as_bytes(), &value[7..]);
            }
            Err(HeaderError::Key(_)) => {}
            Err(_) => prop_assert!(!follows(&KEY_VALUE) && !follows(&BEARER_VALUE)),
        }
    }
}
