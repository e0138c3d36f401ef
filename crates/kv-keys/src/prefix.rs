//! The part of a key that may be shown: its first twelve characters, as in `kv_live_Ab3x`.
//!
//! Never here: the thirteenth. Four characters tell an owner's hundred keys apart and leave 232 bits unknown.

use std::{fmt, str::FromStr};

use crate::{Environment, MalformedPrefix};

const LEN: usize = 12;

/// The first twelve characters of a key. It may be stored, listed and logged; it authenticates nobody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix(Box<str>);

impl KeyPrefix {
    /// The twelve characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The start of a whole, well-formed key.
    pub(crate) fn of(key: &str) -> Self {
        Self(key.chars().take(LEN).collect())
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for KeyPrefix {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Reads a prefix back from where it was stored.
impl FromStr for KeyPrefix {
    type Err = MalformedPrefix;

    fn from_str(text: &str) -> Result<Self, MalformedPrefix> {
        let environment = Environment::of(text.as_bytes()).ok_or(MalformedPrefix)?;
        let shown = &text[environment.prefix().len()..];
        if text.len() != LEN || !shown.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(MalformedPrefix);
        }
        Ok(Self(text.into()))
    }
}
