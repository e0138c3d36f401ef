//! Credentials: the state of a key at a given time, and the reasons for refusing one.
//!
//! The time is always given; nothing here reads a clock. Callers learn no reason, only the owner and the audit log do.

use serde::Serialize;
use time::{Duration, OffsetDateTime};

/// The state of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Usable, and not near its expiry.
    Active,
    /// Usable, within the warning window before its expiry.
    Expiring,
    /// Past its expiry.
    Expired,
    /// Revoked, before or after expiry.
    Revoked,
}

impl KeyState {
    /// The state at `now`. A key is expired from the very instant of its expiry on.
    #[must_use]
    pub fn at(
        now: OffsetDateTime,
        revoked_at: Option<OffsetDateTime>,
        expires_at: Option<OffsetDateTime>,
        window: Duration,
    ) -> Self {
        match (revoked_at, expires_at) {
            (Some(_), _) => KeyState::Revoked,
            (None, Some(end)) if end <= now => KeyState::Expired,
            (None, Some(end)) if end - now <= window => KeyState::Expiring,
            (None, _) => KeyState::Active,
        }
    }
}

/// Why a well-formed credential is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unusable {
    /// Nobody has this credential.
    #[error("unknown")]
    Unknown,
    /// The key was revoked.
    #[error("revoked")]
    Revoked,
    /// The key or session is past its expiry.
    #[error("expired")]
    Expired,
    /// The owner's account is disabled.
    #[error("owner_disabled")]
    OwnerDisabled,
    /// The owner's account is deleted.
    #[error("owner_deleted")]
    OwnerDeleted,
    /// The session was ended.
    #[error("session_ended")]
    SessionEnded,
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_key_is_expired_from_the_instant_of_its_expiry_on() {
        let end = datetime!(2026-03-29 01:59:59 UTC);
        let week = Duration::days(7);
        let at = |now| KeyState::at(now, None, Some(end), week);
        assert_eq!(at(end - Duration::days(8)), KeyState::Active);
        assert_eq!(at(end - week), KeyState::Expiring);
        assert_eq!(at(end - Duration::microseconds(1)), KeyState::Expiring);
        assert_eq!(at(end), KeyState::Expired);
        assert_eq!(KeyState::at(end, Some(end), Some(end), week), KeyState::Revoked);
        assert_eq!(KeyState::at(end, None, None, week), KeyState::Active);
    }
}
