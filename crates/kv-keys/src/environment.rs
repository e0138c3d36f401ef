//! Which kind of server a key is for, and the prefix that says so.
//!
//! Never here: reading the process's environment. The caller knows what it is and passes it in.

use std::fmt;

/// The kind of server a key was issued for. Each server accepts only its own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Environment {
    /// Production: keys begin with `kv_live_`.
    Live,
    /// Everything else: keys begin with `kv_test_`.
    Test,
}

impl Environment {
    /// Every environment there is.
    pub const ALL: [Self; 2] = [Self::Live, Self::Test];

    /// What a key of this environment begins with: `kv_live_` or `kv_test_`, always 8 characters.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Live => "kv_live_",
            Self::Test => "kv_test_",
        }
    }

    /// The environment whose keys begin like `text`, if any does.
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|environment| text.starts_with(environment.prefix().as_bytes()))
    }
}

/// `live` or `test`, as in the prefix.
impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Test => "test",
        })
    }
}
