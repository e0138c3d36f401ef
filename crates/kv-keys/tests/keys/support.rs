//! Generators for tests: one that says what it is told, one that is random from a seed.

use chacha20::ChaCha20Rng;
use kv_keys::{ApiKey, Environment};
use rand_core::{SeedableRng, TryCryptoRng, TryRng};

/// A well-formed key, its plaintext in the open.
pub(crate) const KEY: &str = "kv_live_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyCH5uwl";

/// The published pattern of secret scanners.
pub(crate) const PATTERN: &str = "kv_(?:live|test)_[0-9A-Za-z]{48}";

/// A generator that gives these bytes in turn and then fails.
pub(crate) struct Script<I>(I);

impl<I: Iterator<Item = u8>> Script<I> {
    pub(crate) fn new(bytes: impl IntoIterator<IntoIter = I>) -> Self {
        Self(bytes.into_iter())
    }
}

impl<I: Iterator<Item = u8>> TryRng for Script<I> {
    type Error = std::io::Error;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Self::Error> {
        for byte in buffer {
            *byte = self.0.next().ok_or_else(|| std::io::Error::other("no entropy left"))?;
        }
        Ok(())
    }
}

impl<I: Iterator<Item = u8>> TryCryptoRng for Script<I> {}

/// The same random numbers in every run.
pub(crate) fn seeded(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Keys from the seeded generator.
pub(crate) fn keys(seed: u64, environment: Environment) -> impl Iterator<Item = ApiKey> {
    let mut rng = seeded(seed);
    std::iter::from_fn(move || ApiKey::generate(environment, &mut rng).ok())
}
