//! Marks: what ends requests, and those that were ended and have still to let go.
//!
//! Who is to be ended is not decided here.

use kv_authz::Unusable;
use std::{sync::OnceLock, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a revocation waits for a request that does not let go; longer only a stopped thread would take.
const DEADLINE: Duration = Duration::from_secs(2);

/// Why a request was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Its credential is good no longer, or its owner may no longer do this.
    Refused(Unusable),
    /// Whether it is, cannot be known: this server's lease has run out, or the database does not say.
    Unconfirmed,
}

/// What ends requests, once.
#[derive(Default)]
pub(super) struct Mark {
    pub(super) token: CancellationToken,
    /// Set before the token is cancelled.
    why: OnceLock<Interruption>,
}

impl Mark {
    pub(super) fn set(&self, why: Interruption) {
        // Of two the first says why.
        let _ = self.why.set(why);
        self.token.cancel();
    }

    /// Whether it is set: without the lock that the token takes to say so.
    pub(super) fn is_set(&self) -> bool {
        self.why.get().is_some()
    }

    /// Why it was set, if it was by itself.
    pub(super) fn why(&self) -> Option<Interruption> {
        self.why.get().copied()
    }
}

/// Requests that were marked, and have still to let go.
pub struct Marked(Vec<Marking>);

enum Marking {
    All(TaskTracker),
    One(CancellationToken),
}

impl Marked {
    /// Waits until they have, no longer than two seconds.
    pub async fn let_go(self) {
        let all = async {
            for one in &self.0 {
                match one {
                    Marking::All(requests) => requests.wait().await,
                    Marking::One(gone) => gone.cancelled().await,
                }
            }
        };
        if tokio::time::timeout(DEADLINE, all).await.is_err() {
            tracing::error!("requests did not end when they were cut");
        }
    }

    /// All of these, which no other joins any more.
    pub(super) fn all(requests: impl Iterator<Item = TaskTracker>) -> Self {
        Self(requests.map(Marking::All).collect())
    }

    /// Each of these, which is over when its token is cancelled.
    pub(super) fn each(gone: impl Iterator<Item = CancellationToken>) -> Self {
        Self(gone.map(Marking::One).collect())
    }

    /// Nothing was.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl std::fmt::Debug for Marked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Marked").field(&self.0.len()).finish()
    }
}
