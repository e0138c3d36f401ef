//! Issued formats never change: if a test here fails, the code is wrong, never the literal.
//!
//! The literals come from Python: `base64.urlsafe_b64encode`, `zlib.crc32` and `hashlib.sha256`.

use crate::support::Script;
use kv_keys::{Algorithm, ApiKey, Environment, KeyDigest};

struct Vector {
    environment: Environment,
    /// The random bytes count up from here.
    first: u8,
    key: &'static str,
    prefix: &'static str,
    sha256: &'static str,
}

const VECTORS: [Vector; 3] = [
    Vector {
        environment: Environment::Live,
        first: 1,
        key: "kv_live_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyCH5uwl",
        prefix: "kv_live_AQID",
        sha256: "e776efe9309489965c14a5b3b8610d2689b1dd08faaab827c51808fcfab547d0",
    },
    Vector {
        environment: Environment::Live,
        first: 13,
        key: "kv_live_DQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywF0MyB",
        prefix: "kv_live_DQ4P",
        sha256: "c95b576df39e25c98cf36b75dbfa24863b34aa7360afaab5cabc72c62cd6af63",
    },
    Vector {
        environment: Environment::Test,
        first: 1,
        key: "kv_test_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyCH5uwl",
        prefix: "kv_test_AQID",
        sha256: "3dfc7974df7f9e7c7e57768c7245ce1ef73bbba8cccee6c5f84fecc55bb53204",
    },
];

#[test]
fn random_bytes_become_the_same_key_for_ever() {
    for vector in &VECTORS {
        let mut rng = Script::new((vector.first..).take(32));
        let key = ApiKey::generate(vector.environment, &mut rng).unwrap();
        assert_eq!(key.expose(), vector.key);
        assert_eq!(key.environment(), vector.environment);
    }
}

#[test]
fn keys_are_read_and_stored_the_same_for_ever() {
    for vector in &VECTORS {
        let key = ApiKey::parse(vector.key, vector.environment).unwrap();
        let digest = key.digest();
        assert_eq!(key.prefix().as_str(), vector.prefix);
        assert_eq!(key.prefix().to_string().parse(), Ok(key.prefix()));

        assert_eq!(digest.algorithm(), Algorithm::Sha256);
        assert_eq!(digest.to_text(), format!("sha256:{}", vector.sha256));
        assert_eq!(digest.to_text().parse(), Ok(digest));

        let stored = digest.to_bytes();
        assert_eq!(stored[0], 1, "the tag of SHA-256");
        let hexadecimal: String = stored[1..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hexadecimal, vector.sha256);
        assert_eq!(KeyDigest::from_bytes(&stored), Ok(digest));
    }
}

#[test]
fn a_draw_with_a_dash_or_underscore_is_drawn_again() {
    let begins_with_a_dash = [0b1111_1000].into_iter().chain([0; 31]);
    let mut rng = Script::new(begins_with_a_dash.chain(1..=32));
    let key = ApiKey::generate(Environment::Live, &mut rng).unwrap();
    assert_eq!(key.expose(), VECTORS[0].key);
}
