//! New keys, from a generator the caller brings.
//!
//! Never here: a generator of our own, a default one, or a second try with a worse one.

use std::error::Error;

use rand_core::TryCryptoRng;
use zeroize::Zeroizing;

use crate::{ApiKey, Environment, GenerateError, format};

/// A generator that needs this many draws is broken: a sound one fails with a probability of 10⁻¹⁰⁷.
const MAX_DRAWS: u32 = 1_000;

impl ApiKey {
    /// Draws a new key with 256 bits from `rng`, which should be the operating system's: `getrandom::SysRng`.
    ///
    /// A draw counts if its 48 characters are all letters and digits, so that one double-click selects the key; with
    /// 62 of 64 characters welcome at each place that is (62/64)⁴⁸ ≈ 0.218, or 4.6 draws of 32 bytes for a key on
    /// average. The choice costs 2.2 of the 256 bits and favours no key that is left.
    ///
    /// # Errors
    ///
    /// [`GenerateError::Rng`] if `rng` fails, with its error as the source. [`GenerateError::Stuck`] if it says that it
    /// does not, but gives the same byte 32 times (an untouched buffer, say) or no usable draw among 1,000.
    pub fn generate<R>(environment: Environment, rng: &mut R) -> Result<Self, GenerateError>
    where
        R: TryCryptoRng + ?Sized,
        R::Error: Error + Send + Sync + 'static,
    {
        let mut secret = Zeroizing::new([0; format::SECRET_LEN]);
        let mut text = Zeroizing::new([0; format::KEY_LEN]);
        for _ in 0..MAX_DRAWS {
            rng.try_fill_bytes(secret.as_mut_slice()).map_err(|error| GenerateError::Rng(error.into()))?;
            if secret.iter().all(|byte| *byte == secret[0]) {
                return Err(GenerateError::Stuck);
            }
            // Through the same door as every key from outside: what `parse` would refuse is never issued.
            let key =
                format::write(&secret, environment, &mut text).and_then(|()| Self::parse(text.as_slice(), environment));
            if let Ok(key) = key {
                return Ok(key);
            }
        }
        Err(GenerateError::Stuck)
    }
}
