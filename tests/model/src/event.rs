//! What can happen, and the queue of what will. Never what it leads to.

use crate::{clock::Micros, network::Trouble, process::Standing};
use std::{cmp::Ordering, collections::BinaryHeap};

pub(crate) type RequestNo = usize;
pub(crate) type StatementNo = usize;
pub(crate) type CallNo = usize;
pub(crate) type EffectNo = usize;
pub(crate) type ProcessNo = usize;

/// What happens to the world around the processes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Around {
    /// A client sends a request.
    Send(RequestNo),
    /// Its first byte is there.
    Arrive(RequestNo),
    HangUp(RequestNo),
    /// The controller asks for a revocation.
    Ask(CallNo),
    /// A user's rights are written anew, with the right or as they were.
    Write {
        user: usize,
        give: bool,
    },
    /// Trouble on the link of a process.
    Befall {
        process: ProcessNo,
        end: crate::network::End,
        trouble: Trouble,
    },
    Pause {
        process: ProcessNo,
        lasting: Micros,
    },
    Resume {
        process: ProcessNo,
        pause: u64,
    },
    Crash {
        process: ProcessNo,
        lasting: Micros,
    },
    Start(ProcessNo),
    SetWall {
        process: ProcessNo,
        by: i64,
    },
    StatementArrives {
        statement: StatementNo,
        sent: Micros,
    },
    Execute {
        statement: StatementNo,
        epoch: u64,
    },
    Commit {
        statement: StatementNo,
        epoch: u64,
    },
    Restart {
        lasting: Micros,
        told: bool,
    },
    Stall(Micros),
    SlowDisk {
        by: Micros,
        lasting: Micros,
    },
    NodeUp(usize),
    Failover,
    /// The old primary ends at last.
    Fence(usize),
    EffectArrives {
        effect: EffectNo,
        sent: Micros,
    },
}

/// What happens inside a process. It waits while the process is stopped, and is gone with it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Inside {
    Handle(RequestNo),
    Patience(RequestNo),
    /// A read that was decided here has its answer.
    ReadOn(RequestNo),
    /// The work of an admitted request has come to its write.
    Work(RequestNo),
    /// The write itself, by a process that was stopped before it.
    Write {
        request: RequestNo,
        checked: crate::clock::Moment,
        last: bool,
    },
    ClusterAnswer {
        request: RequestNo,
        done: bool,
        sent: Micros,
    },
    ClusterLost(RequestNo),
    Tick(RequestNo),
    /// A request that was marked lets go.
    Abandon(RequestNo),
    Connected {
        connection: usize,
        generation: u64,
    },
    NotConnected {
        connection: usize,
        generation: u64,
    },
    Reset {
        connection: usize,
        generation: u64,
    },
    Answer {
        statement: StatementNo,
        sent: Micros,
    },
    TimeOut(StatementNo),
    Retry(StatementNo),
    Notified,
    RenewalDue(u64),
    LapseDue(Micros),
    Flush,
    Revoke(CallNo),
    Poll(CallNo),
    WaitedOut(CallNo),
    /// Only where the number is published late.
    PublishLate(Standing),
    /// Only where a replica marks after it has acknowledged.
    MarkLate(u64),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Around(Around),
    Inside { process: ProcessNo, incarnation: u64, what: Inside },
}

struct Scheduled {
    at: Micros,
    no: u64,
    event: Event,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.no).cmp(&(self.at, self.no))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.no == other.no
    }
}

impl Eq for Scheduled {}

/// What will happen, the soonest first; of two at the same time, the one that was put in first.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Scheduled>,
    next: u64,
}

impl Queue {
    pub(crate) fn put(&mut self, at: Micros, event: Event) {
        self.next += 1;
        self.heap.push(Scheduled { at, no: self.next, event });
    }

    pub(crate) fn take(&mut self) -> Option<(Micros, Event)> {
        self.heap.pop().map(|scheduled| (scheduled.at, scheduled.event))
    }
}
