//! A process: a replica of the server, or an operator's task. What it holds in memory, which is gone when it is killed. Never
//! what it does; that is in the rooms beside this one.

use crate::{
    clock::{Clock, Micros},
    event::{Inside, RequestNo, StatementNo},
    history::{Outcome, Subject},
};
use std::collections::{BTreeMap, VecDeque};

/// The connections of a process, each to whichever server it found.
pub(crate) const RENEWALS: usize = 0;
pub(crate) const LANES: [usize; 2] = [1, 2];
pub(crate) const READS: usize = 3;
pub(crate) const CHANGES: usize = 4;
pub(crate) const POLLS: usize = 5;
pub(crate) const OUTCOMES: usize = 6;
pub(crate) const CONNECTIONS: usize = 7;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Running,
    Stopped,
    Dead,
}

/// A connection to the database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection {
    pub(crate) generation: u64,
    pub(crate) open: bool,
    pub(crate) opening: bool,
    pub(crate) node: usize,
    /// Sent and not answered.
    pub(crate) outstanding: Vec<StatementNo>,
    /// Not sent yet.
    pub(crate) unsent: Vec<StatementNo>,
}

/// The right to act.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lease {
    /// Until when, by the clock it is counted on.
    pub(crate) until: Micros,
    /// The primary that has its renewal.
    pub(crate) node: usize,
}

/// What the cache knows of a credential.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rights {
    pub(crate) version: u64,
    pub(crate) right: bool,
    pub(crate) dead: bool,
    pub(crate) loaded: Micros,
}

/// The number that moves with everything that gives rights or takes them, and the primary it was read from: another can
/// come to the same by other writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) number: u64,
    pub(crate) node: usize,
}

/// A credential whose unaudited read the database has admitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    /// Of the rights that were decided on.
    pub(crate) version: u64,
    pub(crate) standing: Standing,
    /// Until when it counts, by the boot clock.
    pub(crate) until: Micros,
}

/// Why a request has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A cut, by its number.
    Cut(u64),
    /// The lease ran out.
    Lapse,
}

pub(crate) struct Process {
    /// Whether it serves requests, and so has a lease.
    pub(crate) serves: bool,
    pub(crate) incarnation: u64,
    pub(crate) condition: Condition,
    pub(crate) clock: Clock,
    /// Which pause it is in.
    pub(crate) pause: u64,
    pub(crate) paused_at: Micros,
    pub(crate) backlog: Vec<Inside>,
    pub(crate) memory: Memory,
}

/// What is gone with the process.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) connections: Vec<Connection>,
    /// The row of this process. None: it has none yet.
    pub(crate) row: Option<u64>,
    pub(crate) lease: Lease,
    /// The number through which cuts have marked what was in flight.
    pub(crate) applied: u64,
    /// The number that the database has as acknowledged.
    pub(crate) acknowledged: u64,
    pub(crate) renewal: Option<StatementNo>,
    pub(crate) renew_again: bool,
    pub(crate) renewal_timer: u64,
    pub(crate) cache: Vec<Option<Rights>>,
    /// What the newest renewal told. None: there was none yet.
    pub(crate) published: Option<Standing>,
    /// By credential.
    pub(crate) readers: Vec<Option<Reader>>,
    pub(crate) in_flight: Vec<RequestNo>,
    pub(crate) waiting: VecDeque<RequestNo>,
    pub(crate) lanes: [Option<StatementNo>; 2],
    pub(crate) outcomes: Vec<(RequestNo, Outcome)>,
    pub(crate) flushing: bool,
    /// The renewals of each row, and since when they stand there, by the boot clock.
    pub(crate) watched: BTreeMap<u64, (u64, Micros)>,
    /// Only where marks come late.
    pub(crate) late: BTreeMap<u64, Subject>,
}

impl Memory {
    pub(crate) fn new(credentials: usize) -> Self {
        Self {
            connections: vec![Connection::default(); CONNECTIONS],
            cache: vec![None; credentials],
            readers: vec![None; credentials],
            ..Self::default()
        }
    }
}
