//! The points between two steps at which tests kill a server, with the signal that nobody can catch. A point that is reached is
//! told as an event; what listens for it is in the tests.
//!
//! Nothing is done here. As released, without debug assertions, there are no points.

/// Where the events go.
pub const TARGET: &str = "kubevision::point";

/// A point between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Intents are about to be brought to the database.
    IntentBrought,
    /// They are written, in a transaction that is not committed; on SQLite, where the transaction is ours.
    IntentWritten,
    /// They are committed, and nobody is told.
    IntentCommitted,
    /// A request was admitted, and nothing of it is sent to its cluster.
    Admitted,
    /// Its cluster has answered, and the outcome is not queued.
    ClusterAnswered,
    /// Outcomes are about to be written.
    OutcomeBrought,
    /// They are committed.
    OutcomeCommitted,
    /// An answer is ready, and none of it is written.
    AnswerReady,
    /// Rights were taken away and their cut is written, in a transaction that is not committed.
    CutWritten,
    /// They are committed, and nobody is waited for yet.
    CutCommitted,
    /// A server has fetched a cut, and nothing is marked.
    CutFetched,
    /// What it ends is marked, and not acknowledged.
    CutMarked,
    /// A server's acknowledgement is committed.
    CutAcknowledged,
    /// Every server has acknowledged, and the call that took rights away is not answered.
    CutSettled,
    /// A lease is about to be renewed.
    LeaseBrought,
    /// Its renewal is committed, and does not count yet.
    LeaseCommitted,
    /// A key is committed, and its plaintext in nobody's hands.
    KeyCommitted,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::IntentBrought,
        Self::IntentWritten,
        Self::IntentCommitted,
        Self::Admitted,
        Self::ClusterAnswered,
        Self::OutcomeBrought,
        Self::OutcomeCommitted,
        Self::AnswerReady,
        Self::CutWritten,
        Self::CutCommitted,
        Self::CutFetched,
        Self::CutMarked,
        Self::CutAcknowledged,
        Self::CutSettled,
        Self::LeaseBrought,
        Self::LeaseCommitted,
        Self::KeyCommitted,
    ];

    /// Says that it is reached.
    #[inline]
    pub fn reached(self) {
        if cfg!(debug_assertions) {
            tracing::trace!(target: TARGET, point = ?self);
        }
    }
}
