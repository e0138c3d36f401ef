//! The rules that a run is played by: the protocol's numbers, and the ways of getting it wrong that the checker has to
//! catch. Never a decision; those are where the protocol is.

use crate::{
    clock::{MS, Micros, S},
    counts::listed,
};

/// How long a lease is, on the boot clock of the replica, from the moment its renewal was sent.
pub(crate) const LEASE: Micros = 2 * S;
/// How often it is renewed.
pub(crate) const RENEWAL: Micros = LEASE / 3;
/// How long a revoker waits for a silent replica, on its own boot clock.
pub(crate) const SILENCE: Micros = LEASE / 10 * 11;
/// How old a renewal may be, by its sending, for a read to be decided here. No promise needs it, the lease is enough: it has
/// a replica that was cut off ask, and answer 503, before its lease is over.
pub(crate) const FRESH: Micros = 900 * MS;
/// How long a credential reads on at most. No promise needs that either, and it is longer than a revoker waits for a silent
/// replica, so that none is kept by it.
pub(crate) const READS_ON: Micros = 4 * S;
/// How long a request waits to be admitted, and a statement to be answered.
pub(crate) const PATIENCE: Micros = S;
/// How long an answer of a cluster is waited for.
pub(crate) const CLUSTER_PATIENCE: Micros = 5 * S;
/// How long outcomes are gathered.
pub(crate) const GATHERED: Micros = 10 * MS;
/// How often a request is decided, when the rights it was decided on have changed each time.
pub(crate) const ATTEMPTS: u32 = 3;
/// How far a boot clock may be off, in millionths. A lease of the slowest clock, 2 s / (1 - d), must be over when the fastest
/// has waited, 2.2 s / (1 + d): d is below 1/21.
pub const DRIFT: u64 = 45_000;

listed! {
    /// A way of getting the protocol wrong.
    Mutant {
        /// The check is made in a cache, which notifications clear.
        NotifyOnlyCache,
        /// The check is made in a cache, whose entries are good for ten seconds.
        TimeToLiveCache,
        /// A request takes the verdict of a statement that is under way for the same credential.
        JoinInFlight,
        /// The lease is counted from the answer to its renewal.
        LeaseFromAnswer,
        /// The lease is counted on the wall clock.
        LeaseOnWallClock,
        /// A lease that ran out ends nothing: what was in flight goes on when there is a lease again.
        LapseEndsNothing,
        /// The effect gate looks at the mark, and not at the lease.
        EffectGateWithoutLease,
        /// The effect gate is passed when the work begins, and not at the write.
        EffectGateTooEarly,
        /// The answer gate looks at the mark, and not at the lease.
        AnswerGateWithoutLease,
        /// A stream's write looks at the mark, and not at the lease.
        StreamWithoutLease,
        /// A replica acknowledges a cut before it has marked anything.
        AcknowledgeBeforeMark,
        /// The revoker waits 300 ms for a silent replica.
        SilentNotWaitedFor,
        /// The revoker's wait begins when it sends the commit, and not when it is answered.
        WaitFromCommitSent,
        /// Cuts are numbered from a sequence: a higher number may be committed first.
        NumbersWithoutOrder,
        /// The revoker waits for the other replicas, and not for the one that it runs in.
        RevokerNotWaitedFor,
        /// Revoking what is revoked already answers at once.
        RepeatWithoutWait,
        /// Unaudited reads ask for no lease.
        ReadWithoutLease,
        /// An unaudited read counts, though the primary it was judged by may be older than the one that renewed the lease.
        ReadElsewhere,
        /// What was admitted at one number counts at every other.
        NumberNotCompared,
        /// The number is published some time after the cuts that came with it were marked and acknowledged.
        NumberAfterMarks,
        /// A number counts for that of another primary, which has come to it by other writes.
        NumberElsewhere,
        /// What was admitted on other rights counts for those that were decided on.
        VersionNotCompared,
        /// A read is decided here without a look at the lease, until its answer's gate.
        ReadHereWithoutLease,
        /// The replicas' rows count, though the primary they were read from may be older than the one that has the cut.
        RowsElsewhere,
        /// Versions are counted up: two writes on two primaries can make the same one.
        VersionsCounted,
        /// A refusal is answered from the cache.
        RefusalFromCache,
        /// A commit is answered before it is on disk.
        CommitNotDurable,
        /// The effect is sent beside its intent, and not after it.
        EffectBesideIntent,
        /// Outcomes are written again when their answer was lost, with no key to know them by.
        OutcomeWithoutKey,
        /// When a cluster does not say how it went, success is assumed.
        OutcomeGuessed,
    }
}

/// What a run is played by.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// What is done wrong, if anything.
    pub mutant: Option<Mutant>,
    /// Whether there are faults.
    pub faults: bool,
    /// How far boot clocks are off at most, in millionths.
    pub drift: u64,
}

impl Rules {
    /// The protocol as it should be, under faults.
    #[must_use]
    pub const fn protocol() -> Self {
        Self { mutant: None, faults: true, drift: DRIFT }
    }

    /// The same with one thing done wrong.
    #[must_use]
    pub const fn wrong(mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), faults: true, drift: DRIFT }
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
