//! Purge the audit log: entries whose time is over are deleted, a bounded step at a time.

use super::Acting;
use crate::{app::App, failure::Failure};
use kv_authz::{action::PurgeAuditLog, audit::Target};
use kv_store::Purged;
use parking_lot::Mutex;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;

/// The most rows that one step deletes.
const STEP: i64 = 2_000;
/// How far a clock may be ahead of the newest entry before it is not believed.
const LEAP: Duration = Duration::days(31);

/// The time as the purge believes it: from where the log was at the first look, counted on by the monotonic clock. A wall
/// clock that is set ahead, before the start or after it, deletes nothing.
#[derive(Debug, Default)]
pub struct PurgeClock(Mutex<Option<(OffsetDateTime, Instant)>>);

impl PurgeClock {
    fn now(
        &self,
        wall: OffsetDateTime,
        newest: OffsetDateTime,
        elapsed: impl Fn(Instant) -> Duration,
    ) -> OffsetDateTime {
        let (start, since) = *self.0.lock().get_or_insert_with(|| (believed(wall, newest), Instant::now()));
        wall.min(start + elapsed(since))
    }
}

/// Deletes what is older than the operator keeps, one step of it, and tells how much that was.
///
/// # Errors
/// [`Failure`].
pub async fn purge_audit(app: &Arc<App>) -> Result<Purged, Failure> {
    let days = app.config.audit.retention_days;
    let newest = app.with_store(kv_store::Store::newest_entry).await?;
    let (1.., Some(newest)) = (days, newest) else { return Ok(Purged::default()) };
    let elapsed = |since: Instant| Duration::try_from(since.elapsed()).unwrap_or(Duration::ZERO);
    let now = app.purge_clock.now(app.clock.now(), newest, elapsed);
    let acting = Acting::operator(app)?;
    let permit = acting.authorize::<PurgeAuditLog>(Target::of("audit-logs"))?;
    let (cutoff, occasion) = (now - Duration::days(i64::from(days)), acting.occasion.clone());
    app.with_store(move |store| store.purge_audit(&permit, cutoff, STEP, &occasion)).await
}

/// The earlier of the clock and the newest entry, where they are far apart.
fn believed(now: OffsetDateTime, newest: OffsetDateTime) -> OffsetDateTime {
    if now - newest > LEAP { newest } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn attack_225_a_clock_far_ahead_is_not_believed() {
        let newest = datetime!(2026-11-24 12:00 UTC);
        let (hour, year) = (Duration::HOUR, Duration::days(365));
        // Ahead before the start, and after it.
        for (start, later, found) in [
            (newest + hour, newest + 2 * hour, newest + 2 * hour),
            (newest + year, newest + year + hour, newest + hour),
            (newest + hour, newest + year, newest + 2 * hour),
            (newest - year, newest - year + hour, newest - year + hour),
        ] {
            let clock = PurgeClock::default();
            clock.now(start, newest, |_| Duration::ZERO);
            assert_eq!(clock.now(later, newest, |_| hour), found);
        }
    }
}
