//! The identifiers of stored objects: UUIDs (RFC 9562), version 7 for everything made here.
//!
//! A type for each table, so that a key's id cannot be passed where a user's is meant. Making one never reads a clock
//! or a generator: both are given.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct MalformedId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A version 7 id: `unix_ms` milliseconds since 1970, then 74 of the 80 given random bits
            /// (RFC 9562 §5.7).
            #[must_use]
            pub fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
            }

            /// The id that nothing has.
            pub const NIL: Self = Self(Uuid::nil());

            /// The id as a plain UUID.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }

            /// Its 16 bytes, as they are stored.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl From<Uuid> for $name {
            fn from(value: Uuid) -> Self {
                Self(value)
            }
        }

        impl From<$name> for Uuid {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            /// Accepts the hyphenated form only, in either case.
            fn from_str(text: &str) -> Result<Self, MalformedId> {
                match Uuid::try_parse(text) {
                    Ok(id) if text.len() == 36 => Ok(Self(id)),
                    _ => Err(MalformedId),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id!(
    /// A person.
    UserId
);
id!(
    /// An API key; not secret, unlike the key.
    KeyId
);
id!(
    /// A sign-in of a person.
    SessionId
);
id!(
    /// A registered Kubernetes cluster. Survives no re-creation: a namesake has another id.
    ClusterId
);
id!(
    /// An audit entry.
    EntryId
);
id!(
    /// A custom role. A namesake made later has another id, and inherits nobody.
    RoleId
);
