//! How values are stored: times as microseconds since 1970 UTC, ids as 16 bytes, closed lists as their text.

use crate::error::{Result, StoreError};
use std::borrow::Cow;
use time::OffsetDateTime;
use uuid::Uuid;

/// The stored form of a time.
pub(crate) fn micros(time: OffsetDateTime) -> i64 {
    // The whole range of `OffsetDateTime` fits: ±9999 years are ±3.2e17 µs.
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX)
}

/// The time of a stored form.
pub(crate) fn time(micros: i64) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .map_err(|_| StoreError::Unreadable { what: "time" })
}

/// The same for one that may be missing.
pub(crate) fn maybe_time(micros: Option<i64>) -> Result<Option<OffsetDateTime>> {
    micros.map(time).transpose()
}

/// The stored form of an id.
pub(crate) fn bytes(id: impl Into<Uuid>) -> Vec<u8> {
    id.into().as_bytes().to_vec()
}

/// The id of a stored form.
pub(crate) fn id<T: From<Uuid>>(bytes: &[u8]) -> Result<T> {
    Uuid::from_slice(bytes).map(T::from).map_err(|_| StoreError::Unreadable { what: "id" })
}

/// Text with what PostgreSQL cannot store taken out, so that one request's NUL never fails its batch.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}
