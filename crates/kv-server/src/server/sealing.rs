//! The audit log is sealed as it grows, and what a crash left unsealed is adopted.
//!
//! Nobody waits for it here; what cannot be sealed now waits for the next round.

use crate::{app::App, logging};
use kv_store::StoreError;
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;

/// Between two seals of the audit log.
const SEALING: Duration = Duration::from_secs(1);
/// The round of sealing in which what a crash left is adopted.
const ADOPTION: u32 = 10;

/// Seals the audit log each second, on a thread of its own: the requests do not wait for it. What a crash left unsealed is
/// adopted once, when whoever else may have written it has had the time to seal it.
pub(super) async fn keep_sealing(app: Arc<App>) {
    let started = app.clock.now();
    // From when on: asked before this process seals anything of its own, which would hide what is asked for.
    let mut since = None;
    let mut round = 0_u32;
    loop {
        tokio::time::sleep(SEALING).await;
        let (sealing, known, adopts) = (app.clone(), since, round == ADOPTION);
        let done = tokio::task::spawn_blocking(move || seal_once(&sealing, known, adopts.then_some(started)));
        match done.await {
            Ok(Ok(from)) => {
                since = Some(from);
                round = round.saturating_add(1);
            }
            Ok(Err(error)) => {
                tracing::warn!(error = logging::whole(&error), "the audit log is not sealed for now");
            }
            Err(error) => tracing::error!(%error, "sealing the audit log panicked"),
        }
    }
}

/// One round, which adopts what was written before `until` where that is given. Tells from when on there may be something
/// to adopt.
fn seal_once(
    app: &App,
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
) -> Result<OffsetDateTime, StoreError> {
    let since = match since {
        Some(since) => since,
        None => app.store.unsealed_since()?,
    };
    // First: an adoption that fails must not stop this.
    app.seal_audit()?;
    if let Some(until) = until
        && let Err(error) = adopt(app, since, until)
    {
        let error = logging::whole(&error);
        tracing::warn!(error, "what an earlier run left unsealed stays so until the next start, and reads as unsealed");
    }
    Ok(since)
}

/// Seals what an earlier run wrote and did not seal.
fn adopt(app: &App, since: OffsetDateTime, until: OffsetDateTime) -> Result<(), StoreError> {
    let found = app.store.adopt_unsealed(since, until)?;
    if found > 0 {
        tracing::warn!(entries = found, "entries that an earlier run left unsealed are sealed now");
    }
    app.seal_audit()?;
    app.store.note_adopted(until)
}
