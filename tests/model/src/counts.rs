//! How often each fault happened and each interesting branch was taken: a model that explores nothing must fail.

/// An enum that knows all of its variants.
macro_rules! listed {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant),* }
        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }
    };
}

pub(crate) use listed;

listed! {
    /// What goes wrong around the protocol.
    Fault {
        /// The connections of a link are reset.
        Reset,
        /// Messages are late.
        Delay,
        /// Nothing passes, in either direction.
        Partition,
        /// Requests do not pass, answers do.
        OneWay,
        /// Requests pass, answers do not.
        HalfOpen,
        /// A process is stopped for a while.
        Pause,
        /// A process is stopped for a while between a check and its write.
        PauseAtGate,
        /// A process is killed and started again.
        Crash,
        /// A wall clock is set.
        WallStep,
        /// The database is killed and started again, and its clients are told.
        DatabaseRestart,
        /// The same, and nobody is told.
        DatabasePowerLoss,
        /// The database stands still for a while.
        DatabaseStall,
        /// The database's disk is slow: snapshots are taken as ever, commits are late.
        SlowDisk,
        /// The standby takes over, and the old primary still answers those who ask it.
        Failover,
        /// A notification is lost.
        NotificationLost,
        /// A client hangs up.
        HangUp,
    }
}

listed! {
    /// What the protocol does about it.
    Branch {
        /// A request is answered 2xx.
        Accepted,
        /// A request is refused by the database.
        Refused,
        /// A request is forbidden, and the database has confirmed why.
        Forbidden,
        /// A request came while there was no lease.
        NoLeaseAtArrival,
        /// A lease ran out with requests in flight.
        LeaseLapsed,
        /// A renewal came back after the lease had run out, before the timer noticed.
        LapseAtRenewal,
        /// A row was missing.
        RowMissing,
        /// A row was deleted because its replica was gone.
        RowDeleted,
        /// A cut marked requests.
        CutMarked,
        /// A cut marked the requests of the revoking process.
        CutMarkedHere,
        /// A renewal brought nothing but an acknowledgement.
        AcknowledgedAtOnce,
        /// A revoker answered because all had acknowledged.
        AllAcknowledged,
        /// A revoker answered because the others had acknowledged or stood still.
        SomeGone,
        /// A revoker answered because it had waited long enough.
        WaitedOut,
        /// A revoker did not learn whether it had committed.
        CommitUnknown,
        /// What was revoked already was revoked once more.
        Repeated,
        /// A revocation had to wait for the number of another.
        NumberWaited,
        /// Rights were read again, because they had changed.
        StaleReloaded,
        /// They had changed too often.
        StaleTooOften,
        /// A request waited too long for admission.
        OutOfPatience,
        /// The effect gate found the mark of a cut.
        EffectMarked,
        /// The effect gate found no lease, and no mark.
        EffectWithoutLease,
        /// The answer gate found the mark of a cut.
        AnswerMarked,
        /// The answer gate found no lease, and no mark.
        AnswerWithoutLease,
        /// A stream's write found the mark of a cut.
        StreamMarked,
        /// A stream's write found no lease, and no mark.
        StreamWithoutLease,
        /// An unaudited read was judged by an older primary than the one that renewed the lease.
        ReadElsewhere,
        /// An unaudited read was decided here.
        ReadHere,
        /// It was marked before it was answered.
        ReadHereMarked,
        /// It was not decided here, because the number had moved.
        ReadNumberMoved,
        /// It was not, because the number was the same, and another primary's.
        ReadNumberElsewhere,
        /// It was not, because the rights were not those that had been admitted.
        ReadVersionMoved,
        /// It was not, because the lease was not renewed just now.
        ReadNotFresh,
        /// Rows were read from an older primary than the one that has the cut.
        RowsElsewhere,
        /// A probe came at the instant of the revoker's answer, and was not accepted.
        ProbeRefused,
        /// Outcomes were written once more.
        OutcomesAgain,
        /// A cluster did not say how a call went.
        ClusterSilent,
    }
}

/// The counts of a run, or of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    faults: Vec<u64>,
    branches: Vec<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { faults: vec![0; Fault::ALL.len()], branches: vec![0; Branch::ALL.len()] }
    }
}

impl Counts {
    pub(crate) fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    pub(crate) fn branch(&mut self, branch: Branch) {
        self.branches[branch as usize] += 1;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        let pairs = self.faults.iter_mut().zip(&other.faults).chain(self.branches.iter_mut().zip(&other.branches));
        pairs.for_each(|(mine, theirs)| *mine += theirs);
    }

    /// How often a fault happened.
    #[must_use]
    pub fn of_fault(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// How often a branch was taken.
    #[must_use]
    pub fn of_branch(&self, branch: Branch) -> u64 {
        self.branches[branch as usize]
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for fault in Fault::ALL {
            writeln!(f, "{:>9} {fault:?}", self.of_fault(*fault))?;
        }
        writeln!(f)?;
        Branch::ALL.iter().try_for_each(|branch| writeln!(f, "{:>9} {branch:?}", self.of_branch(*branch)))
    }
}
