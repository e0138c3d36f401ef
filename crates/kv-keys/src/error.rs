//! What can go wrong, as the rule that was broken.
//!
//! Never here: the input. No error holds, prints or borrows what was refused, so every one of them may be logged.

use crate::header::MAX_VALUE_LEN;

/// The first rule of the written form that a text breaks, in the order in which they are checked.
///
/// For the log of the server alone. A caller that learns more than "refused" learns how to guess better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MalformedKey {
    /// Not 56 bytes.
    #[error("an API key is 56 characters long")]
    Length,
    /// Begins with neither `kv_live_` nor `kv_test_`.
    #[error("an API key begins with kv_live_ or kv_test_")]
    Prefix,
    /// Begins with the prefix of the other environment.
    #[error("the API key is for another environment")]
    Environment,
    /// A byte after the prefix is not one of `0-9A-Za-z`.
    #[error("an API key ends in 48 ASCII letters and digits")]
    Alphabet,
    /// The last 32 bits are not the CRC-32 of the 256 before them: a typing error, or a guess.
    #[error("the checksum of the API key does not match")]
    Checksum,
}

/// Why no key could be generated. There is no weak key instead.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The random number generator failed; the source is its own error.
    #[error("the random number generator failed")]
    Rng(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The random number generator claims success, but what it gives is not random.
    #[error("the random number generator is stuck")]
    Stuck,
}

/// A text or a row that is no stored digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MalformedDigest {
    /// The algorithm is missing or not one of [`Algorithm`](crate::Algorithm).
    #[error("the algorithm of the key digest is unknown")]
    Algorithm,
    /// The digest is longer or shorter than its algorithm makes it.
    #[error("the key digest has the wrong length")]
    Length,
    /// The written digest holds something other than `0-9a-f`.
    #[error("the key digest is not lower-case hexadecimal")]
    Hexadecimal,
}

/// A text that is not the first twelve characters of any API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a key prefix is kv_live_ or kv_test_ and four ASCII letters or digits")]
pub struct MalformedPrefix;

/// The first rule that an `Authorization` value breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeaderError {
    /// Longer than [`MAX_VALUE_LEN`] bytes.
    #[error("the Authorization value is longer than {MAX_VALUE_LEN} bytes")]
    Length,
    /// The scheme is neither `ApiKey` nor `Bearer`, or there is none.
    #[error("the authorization scheme is neither ApiKey nor Bearer")]
    Scheme,
    /// The scheme is not followed by exactly one space and then the credential.
    #[error("the authorization scheme is not followed by one space and a credential")]
    Separator,
    /// The bearer token is not a `token68`: one byte or more of `0-9A-Za-z-._~+/`, then any number of `=`.
    #[error("the bearer token holds a character that no bearer token has")]
    Token,
    /// The credential stands where an API key must be and is none; the source says which rule it breaks.
    #[error("the API key is malformed")]
    Key(#[from] MalformedKey),
}
