//! An entry of the audit log: begun before anything happens, finished at most once.

use super::{Detail, Event, Fact, clip};
use crate::{ids::EntryId, principal::Actor};
use std::{fmt, net::IpAddr, str::FromStr};

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done.
    Succeeded,
    /// It was refused, and nothing happened.
    Denied,
    /// It was tried and did not work.
    Failed,
    /// Nobody knows. Never shown as anything better.
    Unknown,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 4] = [Outcome::Succeeded, Outcome::Denied, Outcome::Failed, Outcome::Unknown];

    /// The outcome of an answer by its HTTP status.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            100..=399 => Outcome::Succeeded,
            401 | 403 | 404 | 429 => Outcome::Denied,
            _ => Outcome::Failed,
        }
    }

    /// The outcome as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Denied => "denied",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
        }
    }
}

/// The text names no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such outcome")]
pub struct UnknownOutcome;

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or(UnknownOutcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an act is done to, as audited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The kind of object.
    pub resource: String,
    /// Its name.
    pub name: Option<String>,
    /// The cluster it is in.
    pub cluster: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
}

impl Target {
    /// A kind of object of KubeVision's own, without a name.
    #[must_use]
    pub fn of(resource: &str) -> Self {
        Self { resource: resource.to_owned(), ..Self::default() }
    }

    /// The same, with a name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The client's address; none for the operator's tasks.
    pub ip: Option<IpAddr>,
    /// What the client calls itself: its own word, bounded at [`Origin::MAX_USER_AGENT`] bytes.
    pub user_agent: String,
    /// The request's id, as the answer carries it.
    pub request_id: String,
}

impl Origin {
    /// The longest user agent kept, in bytes.
    pub const MAX_USER_AGENT: usize = 256;

    /// From a request.
    #[must_use]
    pub fn new(ip: Option<IpAddr>, user_agent: &str, request_id: String) -> Self {
        Self { ip, user_agent: clip(user_agent, Self::MAX_USER_AGENT).0.to_owned(), request_id }
    }
}

/// How an entry ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// How the act ended.
    pub outcome: Outcome,
    /// The HTTP status answered.
    pub status: u16,
    /// Facts learned while acting.
    pub detail: Detail,
}

impl Finish {
    /// The end of a request answered with `status`, its outcome told by it.
    #[must_use]
    pub fn with_status(status: u16) -> Self {
        Self { outcome: Outcome::of_status(status), status, detail: Detail::none() }
    }

    /// The same with facts.
    #[must_use]
    pub fn because(self, detail: Detail) -> Self {
        Self { detail: self.detail.and(detail), ..self }
    }
}

/// One entry, as it is begun. Its time is given by the database that keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// Who.
    pub actor: Actor,
    /// Did what.
    pub event: Event,
    /// To what.
    pub target: Target,
    /// From where.
    pub origin: Origin,
    /// Facts known from the start.
    pub detail: Detail,
}

impl Entry {
    /// The facts of the beginning and the end together.
    #[must_use]
    pub fn detail_with(&self, finish: &Finish) -> Detail {
        self.detail.clone().and(finish.detail.clone())
    }

    /// The same entry with one more fact.
    #[must_use]
    pub fn noting(mut self, fact: Fact, value: impl Into<String>) -> Self {
        self.detail.add(fact, value);
        self
    }
}
