#![doc = include_str!("../README.md")]
//!
//! # Rooms
//!
//! Secrets live here; time, storage, networks and global randomness never do. A generator is passed in, a store is the
//! caller's, and whether a key is alive is somebody else's question.

mod api_key;
mod checksum;
mod digest;
mod environment;
mod error;
mod format;
mod generate;
mod header;
mod prefix;

pub use api_key::ApiKey;
pub use digest::{Algorithm, KeyDigest};
pub use environment::Environment;
pub use error::{GenerateError, HeaderError, MalformedDigest, MalformedKey, MalformedPrefix};
pub use header::{BearerToken, Credential, MAX_VALUE_LEN};
pub use prefix::KeyPrefix;
