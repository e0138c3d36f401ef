//! The database's tables, the servers that hold them, and the statements that are sent to them. Never the network.

use crate::{
    clock::{Micros, Moment},
    event::{CallNo, ProcessNo, RequestNo, StatementNo},
    history::{Outcome, Subject},
};
use std::collections::{BTreeSet, VecDeque};

/// A row of `replicas`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplicaRow {
    pub(crate) id: u64,
    /// Another after each renewal, and unlike any other's: one that is counted up may have been seen before, where it was
    /// never acknowledged, and its replica would seem to have stood still since.
    pub(crate) renewals: u64,
    pub(crate) acknowledged: u64,
}

/// A row of `cuts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) number: u64,
    pub(crate) subject: Subject,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct UserRow {
    /// Unlike any other write's.
    pub(crate) version: u64,
    pub(crate) right: bool,
}

/// What is committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    pub(crate) owners: Vec<usize>,
    pub(crate) dead: Vec<bool>,
    pub(crate) users: Vec<UserRow>,
    /// Moves with everything that gives rights or takes them.
    pub(crate) standings: u64,
    /// The number of the newest cut.
    pub(crate) newest: u64,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) replicas: Vec<ReplicaRow>,
    pub(crate) with_outcome: BTreeSet<RequestNo>,
}

/// A request as it is brought to admission.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdmitRow {
    pub(crate) request: RequestNo,
    pub(crate) credential: usize,
    pub(crate) version: u64,
    /// Whether an entry is written though it is admitted.
    pub(crate) audited: bool,
    /// Only where the check is made elsewhere: nothing is judged.
    pub(crate) unjudged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    Refused,
    Stale,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A new row, at the newest number. Returns what the standings are.
    Register {
        row: u64,
        sent: Micros,
    },
    /// Raises `renewals`, writes `acknowledged`, returns the cuts above what the replica has, and the standings.
    Renew {
        row: u64,
        acknowledged: u64,
        has: u64,
        sent: Micros,
    },
    /// Judges and writes intents. Returns the standings that it judged at.
    Admit {
        rows: Vec<AdmitRow>,
        sent: Micros,
    },
    /// Reads rights.
    Load(RequestNo),
    /// Takes rights away.
    Revoke(CallNo),
    /// Reads the replicas' rows.
    Poll(CallNo),
    Outcomes(Vec<(RequestNo, Outcome)>),
    /// Deletes a row, if it still stands where it stood.
    Delete {
        row: u64,
        renewals: u64,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Missing,
    Registered { newest: u64, standings: u64 },
    Renewed { cuts: Vec<Cut>, rows: Vec<ReplicaRow>, standings: u64 },
    Verdicts { verdicts: Vec<Verdict>, standings: u64 },
    Rights { version: u64, right: bool, dead: bool },
    Committed { number: u64, repeated: bool },
    Rows(Vec<ReplicaRow>),
    Done,
}

/// A statement on its way, or done.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) process: ProcessNo,
    pub(crate) incarnation: u64,
    pub(crate) connection: usize,
    /// Of the connection it was sent on. None: it waits for one.
    pub(crate) generation: Option<u64>,
    /// The primary it was sent to: a connection knows which one it leads to, by its timeline.
    pub(crate) node: usize,
    pub(crate) kind: Kind,
    pub(crate) reply: Option<Reply>,
    /// The process has its answer, or has given up.
    pub(crate) over: bool,
}

/// A server.
pub(crate) struct Node {
    pub(crate) tables: Tables,
    pub(crate) up: bool,
    /// Whether commits reach the standby. Without it they never end.
    pub(crate) commits: bool,
    pub(crate) epoch: u64,
    pub(crate) stalled_until: Micros,
    /// Until when its disk is slow, and by how much.
    pub(crate) slow_until: Micros,
    pub(crate) slow_by: Micros,
    /// Who holds the row of the newest number, and who waits for it.
    pub(crate) numbering: Option<StatementNo>,
    pub(crate) waiting: VecDeque<StatementNo>,
    /// Only where numbers are taken from a sequence.
    pub(crate) sequence: u64,
    /// Only where commits are answered before they are on disk: what a crash takes back.
    pub(crate) not_on_disk: Vec<(Moment, usize)>,
}

impl Node {
    pub(crate) fn new(tables: Tables) -> Self {
        Self {
            tables,
            up: true,
            commits: true,
            epoch: 0,
            stalled_until: 0,
            slow_until: 0,
            slow_by: 0,
            numbering: None,
            waiting: VecDeque::new(),
            sequence: 0,
            not_on_disk: Vec::new(),
        }
    }
}

impl Tables {
    /// What a snapshot says of a request.
    pub(crate) fn verdict(&self, row: &AdmitRow) -> Verdict {
        if row.unjudged {
            Verdict::Admitted
        } else if self.dead[row.credential] {
            Verdict::Refused
        } else if self.users[self.owners[row.credential]].version != row.version {
            Verdict::Stale
        } else {
            Verdict::Admitted
        }
    }

    pub(crate) fn row(&self, id: u64) -> Option<&ReplicaRow> {
        self.replicas.iter().find(|row| row.id == id)
    }

    pub(crate) fn row_mut(&mut self, id: u64) -> Option<&mut ReplicaRow> {
        self.replicas.iter_mut().find(|row| row.id == id)
    }

    /// Takes away what is to be taken, and makes a user's version another. False: it was gone already.
    pub(crate) fn take(&mut self, subject: Subject, version: u64) -> bool {
        match subject {
            Subject::Credential(credential) => {
                let taken = !std::mem::replace(&mut self.dead[credential], true);
                // Where nothing changes, nothing moves.
                self.standings += u64::from(taken);
                taken
            }
            Subject::Right(user) => {
                self.users[user].version = version;
                self.standings += 1;
                std::mem::replace(&mut self.users[user].right, false)
            }
        }
    }
}
