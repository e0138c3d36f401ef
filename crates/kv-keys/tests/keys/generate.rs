//! Keys are unique and evenly spread, and a broken generator gives none.

use std::error::Error;

use crate::support::{KEY, Script, keys, seeded};
use getrandom::SysRng;
use kv_keys::{ApiKey, Environment, GenerateError};
use rand_core::{TryCryptoRng, TryRng};

/// Random bytes whose base64url begins with `-`.
const UNUSABLE: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[0] = 0b1111_1000;
    bytes
};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// One million keys: no two alike, and at each of the 48 places each of the 62 characters equally often.
///
/// The last places depend on the checksum and so on all others; that the draws with `-` and `_` are left out favours
/// no character there either, because the checksum is linear in many places at once.
///
/// Chi-square with 61 degrees of freedom leaves the bounds with a probability of about 10⁻⁹ at either end so
/// that a sound generator fails in one run of ten million.
fn unique_and_even<R>(rng: &mut R)
where
    R: TryCryptoRng,
    R::Error: Error + Send + Sync + 'static,
{
    const KEYS: usize = 1_000_000;
    let mut counts = vec![[0_u32; 128]; 48];
    let mut seen: Vec<[u8; 48]> = Vec::with_capacity(KEYS);
    for _ in 0..KEYS {
        let key = ApiKey::generate(Environment::Live, rng).unwrap();
        let body: [u8; 48] = key.expose().as_bytes()[8..].try_into().unwrap();
        for (count, byte) in counts.iter_mut().zip(body) {
            count[usize::from(byte)] += 1;
        }
        seen.push(body);
    }

    seen.sort_unstable();
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "two keys are alike");

    let expected = KEYS as f64 / 62.0;
    for (place, count) in counts.iter().enumerate() {
        let deviation = |byte: &u8| (f64::from(count[usize::from(*byte)]) - expected).powi(2) / expected;
        let chi_square: f64 = ALPHABET.iter().map(deviation).sum();
        assert!((15.9..152.1).contains(&chi_square), "place {place}: chi-square {chi_square}");
    }
}

#[test]
fn attack_25_a_million_keys_of_a_fixed_seed_are_unique_and_even() {
    unique_and_even(&mut seeded(25));
}

#[test]
fn attack_25_a_million_keys_of_the_operating_system_are_unique_and_even() {
    let blocks = std::iter::repeat_with(|| {
        let mut block = [0; 4096];
        SysRng.try_fill_bytes(&mut block).unwrap();
        block
    });
    unique_and_even(&mut Script::new(blocks.flatten()));
}

/// (62/64)⁴⁸ ≈ 0.218 of the draws count: 4.6 draws a key.
#[test]
fn four_to_five_draws_make_a_key() {
    struct Counting<R>(R, u32);
    impl<R: TryCryptoRng> TryRng for Counting<R> {
        type Error = R::Error;
        fn try_next_u32(&mut self) -> Result<u32, R::Error> {
            self.0.try_next_u32()
        }
        fn try_next_u64(&mut self) -> Result<u64, R::Error> {
            self.0.try_next_u64()
        }
        fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), R::Error> {
            self.1 += 1;
            self.0.try_fill_bytes(buffer)
        }
    }
    impl<R: TryCryptoRng> TryCryptoRng for Counting<R> {}

    let mut rng = Counting(seeded(62), 0);
    for _ in 0..100_000 {
        ApiKey::generate(Environment::Live, &mut rng).unwrap();
    }
    let draws = f64::from(rng.1) / 100_000.0;
    assert!((4.5..4.7).contains(&draws), "{draws} draws a key");
}

#[test]
fn attack_26_a_failing_generator_gives_an_error_with_its_source() {
    // At once, after half a draw, and after a whole one that did not count.
    for drawn in [0, 16, 32] {
        let mut rng = Script::new(UNUSABLE.into_iter().take(drawn));
        let error = ApiKey::generate(Environment::Live, &mut rng).unwrap_err();
        assert!(matches!(error, GenerateError::Rng(_)));
        assert_eq!(error.to_string(), "the random number generator failed");
        assert_eq!(error.source().unwrap().to_string(), "no entropy left");
    }
}

#[test]
fn attack_26_a_generator_that_only_pretends_gives_an_error() {
    for byte in [0, 1, 0x55, 0xff] {
        let error = ApiKey::generate(Environment::Live, &mut Script::new(std::iter::repeat(byte))).unwrap_err();
        assert!(matches!(error, GenerateError::Stuck));
    }
    // The same unusable draw for ever: given up after a thousand.
    let mut drawn = 0_u32;
    let repeating = UNUSABLE.into_iter().cycle().inspect(|_| drawn += 1);
    let error = ApiKey::generate(Environment::Live, &mut Script::new(repeating)).unwrap_err();
    assert!(matches!(error, GenerateError::Stuck));
    assert_eq!(drawn, 32_000);
}

#[test]
fn a_generator_may_be_a_trait_object_or_a_reference() {
    let mut rng = Script::new(1..=32);
    let object: &mut dyn TryCryptoRng<Error = std::io::Error> = &mut rng;
    assert_eq!(ApiKey::generate(Environment::Live, object).unwrap().expose(), KEY);
}

#[test]
fn every_generated_key_is_one_of_its_environment_alone() {
    for (environment, other) in [(Environment::Live, Environment::Test), (Environment::Test, Environment::Live)] {
        for key in keys(1, environment).take(10_000) {
            assert_eq!(key.environment(), environment);
            assert!(ApiKey::parse(key.expose(), environment).is_ok());
            assert!(ApiKey::parse(key.expose(), other).is_err());
        }
    }
}
