//! What was seen from outside: by clients, by the controller, by the clusters, and in the database's tables. The checker reads
//! this and nothing else. Never what a replica believed.

use crate::clock::{Micros, Moment};

/// What an answer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    Unauthorized,
    Forbidden,
    /// The cluster said no, or nothing: 502 or 504.
    BadGateway,
    Unavailable,
    /// The connection was aborted.
    Aborted,
}

/// A request, as its client saw it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) credential: usize,
    pub(crate) replica: usize,
    /// Whether it needs the right that users may lose.
    pub(crate) needs_right: bool,
    /// Whether it leaves an entry in the audit log.
    pub(crate) audited: bool,
    pub(crate) stream: bool,
    /// When its first byte arrived.
    pub(crate) arrived: Option<Moment>,
    /// The call that wrote the answer.
    pub(crate) answered: Option<(Moment, Status)>,
}

/// A message to a cluster, as its sender's system call and the cluster saw it.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) request: usize,
    /// When the gate was passed. Only to know whether the process was stopped between it and the write.
    pub(crate) checked: Moment,
    /// The write call.
    pub(crate) written: Moment,
    pub(crate) received: Option<Moment>,
    /// Whether it completes the request, so that the cluster acts on it.
    pub(crate) last: bool,
}

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A credential: it is dead.
    Credential(usize),
    /// The right of a user.
    Right(usize),
}

impl Subject {
    /// The credential, if it is one.
    pub(crate) fn credential(self) -> Option<usize> {
        match self {
            Self::Credential(credential) => Some(credential),
            Self::Right(_) => None,
        }
    }
}

/// A revoking call.
#[derive(Debug, Clone)]
pub(crate) struct Revocation {
    pub(crate) subject: Subject,
    /// When the database committed it.
    pub(crate) committed: Option<Moment>,
    /// When it was answered 2xx.
    pub(crate) returned: Option<Moment>,
}

/// How a call to a cluster ended, as the audit log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
}

/// A row of the audit log, with the moment it was committed.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) request: usize,
    pub(crate) committed: Moment,
    /// What became of it, if it was written with it.
    pub(crate) refused: bool,
}

/// What a user had, apart from what was revoked.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// When the right was given. None: never.
    pub(crate) right_given: Option<Moment>,
}

/// The database's table of credentials, looked at by somebody.
#[derive(Debug, Clone)]
pub(crate) struct Inspection {
    pub(crate) at: Moment,
    pub(crate) dead: Vec<bool>,
    pub(crate) right: Vec<bool>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// Whose each credential is.
    pub(crate) owners: Vec<usize>,
    pub(crate) users: Vec<User>,
    pub(crate) requests: Vec<Asked>,
    pub(crate) effects: Vec<Effect>,
    /// Writes to the clients of streams, by request.
    pub(crate) stream_writes: Vec<(usize, Moment)>,
    pub(crate) revocations: Vec<Revocation>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) outcomes: Vec<(usize, Outcome, Moment)>,
    /// Requests that a cluster has done.
    pub(crate) done_by_cluster: Vec<(usize, Moment)>,
    /// When a process stood still: from, to.
    pub(crate) pauses: Vec<(usize, Micros, Micros)>,
    pub(crate) inspections: Vec<Inspection>,
}
