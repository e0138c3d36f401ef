//! Entries that are not done: on the way to the database, and left there by a request that was cut; or on disk, and without an
//! end. What is on its way is seen through, so that no second entry is written for the same request.
//!
//! Nothing is decided here, and nothing is brought a second time.

use crate::{
    admission::{Batcher, Brought, Outcomes, Replies},
    app::App,
    broken::Rule,
    patience::Unanswered,
};
use kv_authz::{EntryId, audit::Finish};
use kv_store::admission::{Decision, EntryEnd, Request, Verdict};
use std::{cell::RefCell, sync::Arc};
use time::OffsetDateTime;

/// Work outside that was admitted: its entry is on disk and waits for its end.
#[derive(Debug)]
#[must_use = "an entry without an end reads `unknown`"]
pub struct Begun {
    app: Arc<App>,
    entry: Option<(EntryId, OffsetDateTime)>,
}

impl Begun {
    /// What has this entry, if it has one.
    pub(crate) fn new(app: &Arc<App>, entry: Option<(EntryId, OffsetDateTime)>) -> Self {
        if app.config.broken.leaves_out(Rule::OutcomeComesLast) {
            Self { app: app.clone(), entry }.end(Finish::with_status(200));
        }
        Self { app: app.clone(), entry }
    }

    /// Says how it ended.
    pub fn end(self, finish: Finish) {
        if let Some((entry, entry_at)) = self.entry {
            self.app.outcomes.push(EntryEnd { entry, entry_at, finish });
        }
    }
}

/// An entry that nobody waits for any more.
#[derive(Debug)]
pub struct Left {
    brought: Brought,
    /// Whether it is written if it is admitted, and has its end then.
    audited: bool,
    ended: bool,
}

impl Left {
    /// Waits for it, and ends it so where it has no end. Whether it is on record.
    ///
    /// # Errors
    /// [`Unanswered`]: it may be written yet.
    pub async fn see_through(
        mut self,
        outcomes: &Outcomes,
        entry: EntryId,
        finish: &Finish,
    ) -> Result<bool, Unanswered> {
        let Decision { verdict, at, .. } = self.brought.decision().await?;
        if verdict == Verdict::Admitted && self.audited && !self.ended {
            // Nothing of it was done.
            outcomes.push(EntryEnd { entry, entry_at: at, finish: finish.clone() });
        }
        Ok(match verdict {
            Verdict::Admitted => self.audited,
            Verdict::Refused(_) => true,
            Verdict::Stale => false,
        })
    }
}

/// Waits for an entry. Dropped before its answer, it leaves it in its place.
#[derive(Debug)]
pub struct Waiting<'a> {
    place: &'a RefCell<Option<Left>>,
    left: Option<Left>,
}

impl<'a> Waiting<'a> {
    /// Brings a request to admission, whose answer comes by this way.
    pub fn bring(batcher: &Batcher, request: Request, way: Option<Replies>, place: &'a RefCell<Option<Left>>) -> Self {
        let (audited, ended) = (request.audited, request.finish.is_some());
        Self { place, left: Some(Left { brought: batcher.bring(request, way), audited, ended }) }
    }

    /// Its answer.
    ///
    /// # Errors
    /// [`Unanswered`]: the request must go no further.
    pub async fn decision(mut self) -> Result<Decision, Unanswered> {
        let decision = match &mut self.left {
            Some(left) => left.brought.decision().await,
            None => Err(Unanswered),
        };
        self.left = None;
        decision
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            self.place.replace(Some(left));
        }
    }
}
