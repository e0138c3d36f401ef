//! The value of an `Authorization` field (RFC 9110 §11): which credential it carries.
//!
//! Never here: a second field, a cookie, a query or a guess. A value follows the rules to the byte or is refused.

use std::fmt;

use crate::{ApiKey, Environment, HeaderError};

/// Bytes of an `Authorization` value that are looked at, enough for a large OpenID Connect token. Longer ones are refused.
pub const MAX_VALUE_LEN: usize = 8 * 1024;

/// What every key begins with, whatever its environment: a bearer token that does is a key.
const KEY_START: &[u8] = b"kv_";

/// Whether all bytes are those that a `token68` is made of, its padding apart (RFC 9110 §11.2). Without a branch, so that many are
/// compared at once: every request of a person is read by it, some hundred bytes each.
fn is_token68(bytes: &[u8]) -> bool {
    let in_range = |byte: u8, first: u8, last: u8| (first <= byte) & (byte <= last);
    bytes.iter().fold(true, |all, &byte| {
        // Of the other ones `.` and `/` are neighbours of the digits.
        let alphanumeric = in_range(byte, b'.', b'9') | in_range(byte | 0x20, b'a', b'z');
        all & (alphanumeric | (byte == b'-') | (byte == b'_') | (byte == b'~') | (byte == b'+'))
    })
}

/// The credential in an `Authorization` value.
#[derive(Debug)]
pub enum Credential<'a> {
    /// A well-formed API key, sent as `ApiKey <key>` or as `Bearer <key>`.
    ApiKey(ApiKey),
    /// Any other bearer token.
    Bearer(BearerToken<'a>),
}

impl<'a> Credential<'a> {
    /// Reads the value of an `Authorization` field, without the whitespace around it that HTTP does not count as part of it.
    ///
    /// - The scheme is `ApiKey` or `Bearer` in any case (RFC 9110 §11.1), then comes exactly one space.
    /// - After `ApiKey` stands a key of `environment`.
    /// - After `Bearer` stands a `token68` (RFC 9110 §11.2, RFC 6750 §2.1). If it begins with `kv_` it is a key and must be
    ///   a well-formed one: kubectl, helm and most SDKs can send nothing but bearer tokens.
    ///
    /// Nothing may follow: no space, comma, parameter or second credential. Neither time nor memory grows with the length
    /// of a value that is longer than [`MAX_VALUE_LEN`].
    ///
    /// # Errors
    ///
    /// [`HeaderError`] with the first rule that is broken.
    pub fn parse(value: &'a [u8], environment: Environment) -> Result<Self, HeaderError> {
        if value.len() > MAX_VALUE_LEN {
            return Err(HeaderError::Length);
        }
        let end = value.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(value.len());
        let (scheme, rest) = value.split_at(end);
        if scheme.eq_ignore_ascii_case(b"ApiKey") {
            Ok(Self::ApiKey(ApiKey::parse(after_space(rest)?, environment)?))
        } else if scheme.eq_ignore_ascii_case(b"Bearer") {
            let token = after_space(rest)?;
            if token.starts_with(KEY_START) {
                Ok(Self::ApiKey(ApiKey::parse(token, environment)?))
            } else {
                Ok(Self::Bearer(BearerToken::parse(token)?))
            }
        } else {
            Err(HeaderError::Scheme)
        }
    }
}

/// A bearer token that is no API key, borrowed from the value it was found in. It cannot be printed, cloned or compared.
pub struct BearerToken<'a>(&'a str);

impl<'a> BearerToken<'a> {
    fn parse(token: &'a [u8]) -> Result<Self, HeaderError> {
        let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
        let (body, _) = token.split_at(token.len() - padding);
        if body.is_empty() || !is_token68(body) {
            return Err(HeaderError::Token);
        }
        std::str::from_utf8(token).map(Self).map_err(|_| HeaderError::Token)
    }

    /// The token itself, for whoever verifies it.
    #[must_use]
    pub fn expose(&self) -> &'a str {
        self.0
    }
}

/// Always `BearerToken([redacted])`.
impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken([redacted])")
    }
}

/// What follows the one space after the scheme.
fn after_space(rest: &[u8]) -> Result<&[u8], HeaderError> {
    match rest {
        [b' ', next, ..] if !matches!(next, b' ' | b'\t') => Ok(&rest[1..]),
        _ => Err(HeaderError::Separator),
    }
}
