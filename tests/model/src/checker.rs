//! The checker: reads the history and says which promises were not kept. Never a look at what a replica believed.

use crate::{
    clock::Moment,
    history::{Asked, Entry, History, Outcome, Status, Subject},
};
use std::collections::HashMap;

/// A promise of the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// No replica accepts a request whose first byte arrived after the revoking call was answered.
    S1,
    /// Nothing is sent to a cluster for the credential after that.
    S2,
    /// A request in flight then ends in a refusal or an aborted connection.
    S3,
    /// No byte flows on a stream after that.
    S4,
    /// No crash, restart or failover makes the credential valid again.
    S5,
    /// Every answer and every call to a cluster has an entry, which was there first.
    A1,
    /// One intent, at most one outcome.
    A2,
    /// No outcome is made up.
    A3,
    /// A credential that is live for a whole request is not refused.
    V1,
}

/// A promise that was not kept.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// Whose.
    pub credential: usize,
    /// What was seen.
    pub text: String,
    at: Moment,
}

impl Violation {
    pub(crate) fn at(&self) -> u64 {
        self.at.at
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {}, credential {}: {}", self.promise, self.at, self.credential, self.text)
    }
}

/// When what a request needs was taken away.
#[derive(Clone, Copy, Default)]
struct Gone {
    committed: Option<Moment>,
    returned: Option<Moment>,
}

struct Checker<'a> {
    history: &'a History,
    credentials: Vec<Gone>,
    rights: Vec<Gone>,
    found: Vec<Violation>,
}

/// Checks everything.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let credentials = vec![Gone::default(); history.owners.len()];
    let rights = vec![Gone::default(); history.users.len()];
    let mut checker = Checker { history, credentials, rights, found: Vec::new() };
    checker.read_revocations();
    checker.admission_and_response();
    checker.effects();
    checker.streams();
    checker.durability();
    checker.audit();
    checker.validity();
    checker.found.sort_by_key(|violation| violation.at);
    checker.found
}

impl Checker<'_> {
    fn read_revocations(&mut self) {
        let first = |one: Option<Moment>, other: Option<Moment>| one.into_iter().chain(other).min();
        for call in &self.history.revocations {
            let gone = match call.subject {
                Subject::Credential(credential) => &mut self.credentials[credential],
                Subject::Right(user) => &mut self.rights[user],
            };
            gone.committed = first(gone.committed, call.committed);
            gone.returned = first(gone.returned, call.returned);
        }
    }

    /// From when on nothing may happen for a request.
    fn dead_from(&self, asked: &Asked) -> Option<Moment> {
        let right = self.rights[self.history.owners[asked.credential]].returned.filter(|_| asked.needs_right);
        self.credentials[asked.credential].returned.into_iter().chain(right).min()
    }

    fn report(&mut self, promise: Promise, at: Moment, credential: usize, text: String) {
        self.found.push(Violation { promise, credential, text, at });
    }

    fn admission_and_response(&mut self) {
        for (request, asked) in self.history.requests.iter().enumerate() {
            let (Some(arrived), Some(dead)) = (asked.arrived, self.dead_from(asked)) else { continue };
            let Some((answered, Status::Ok)) = asked.answered else { continue };
            if arrived > dead {
                let text = format!(
                    "request {request} arrived at replica {} at {arrived}, after {dead}, and was accepted",
                    asked.replica
                );
                self.report(Promise::S1, answered, asked.credential, text);
            } else if answered > dead {
                let promise = if asked.stream { Promise::S4 } else { Promise::S3 };
                let text = format!("request {request} was in flight at {dead}, and answered with success");
                self.report(promise, answered, asked.credential, text);
            }
        }
    }

    fn effects(&mut self) {
        for effect in &self.history.effects {
            let asked = &self.history.requests[effect.request];
            let Some(dead) = self.dead_from(asked).filter(|dead| effect.written > *dead) else { continue };
            // A process that was stopped between its check and its write is beyond any scheme.
            let stopped = self.history.pauses.iter().any(|(process, from, to)| {
                *process == asked.replica && *from >= effect.checked.at && *to <= effect.written.at
            });
            if stopped && effect.checked < dead {
                continue;
            }
            let text = format!("request {} wrote to its cluster after {dead}", effect.request);
            self.report(Promise::S2, effect.written, asked.credential, text);
        }
    }

    fn streams(&mut self) {
        for (request, at) in &self.history.stream_writes {
            let asked = &self.history.requests[*request];
            if let Some(dead) = self.dead_from(asked).filter(|dead| at > dead) {
                self.report(Promise::S4, *at, asked.credential, format!("stream {request} flowed after {dead}"));
            }
        }
    }

    fn durability(&mut self) {
        for inspection in &self.history.inspections {
            for (credential, gone) in self.credentials.clone().into_iter().enumerate() {
                if gone.returned.is_some_and(|dead| dead < inspection.at) && !inspection.dead[credential] {
                    self.report(Promise::S5, inspection.at, credential, "the database has it as live".to_owned());
                }
            }
            for (user, gone) in self.rights.clone().into_iter().enumerate() {
                if gone.returned.is_some_and(|lost| lost < inspection.at) && inspection.right[user] {
                    self.report(Promise::S5, inspection.at, user, "the database has the right as given".to_owned());
                }
            }
        }
    }

    fn audit(&mut self) {
        let mut entries: HashMap<usize, Vec<&Entry>> = HashMap::new();
        for entry in &self.history.entries {
            entries.entry(entry.request).or_default().push(entry);
        }
        let on_record = |request: usize, by: Moment| {
            entries.get(&request).is_some_and(|entries| entries.iter().any(|entry| entry.committed < by))
        };
        let done: HashMap<usize, Moment> = self.history.done_by_cluster.iter().copied().collect();
        for (request, asked) in self.history.requests.iter().enumerate().filter(|(_, asked)| asked.audited) {
            let said = matches!(
                asked.answered,
                Some((_, Status::Ok | Status::Unauthorized | Status::Forbidden | Status::BadGateway))
            );
            if let Some((at, status)) = asked.answered.filter(|(at, _)| said && !on_record(request, *at)) {
                let text = format!("request {request} was answered {status:?} without an entry");
                self.report(Promise::A1, at, asked.credential, text);
            }
        }
        for effect in &self.history.effects {
            let asked = &self.history.requests[effect.request];
            if asked.audited && !on_record(effect.request, effect.written) {
                let text = format!("request {} wrote to its cluster before its entry was there", effect.request);
                self.report(Promise::A1, effect.written, asked.credential, text);
            }
        }
        for (request, entries) in &entries {
            if let [_, second, ..] = entries[..] {
                let credential = self.history.requests[*request].credential;
                self.report(Promise::A2, second.committed, credential, format!("request {request} has two entries"));
            }
        }
        let mut ended: HashMap<usize, Outcome> = HashMap::new();
        for (request, outcome, at) in &self.history.outcomes {
            let credential = self.history.requests[*request].credential;
            if ended.insert(*request, *outcome).is_some() {
                self.report(Promise::A2, *at, credential, format!("request {request} has two outcomes"));
            }
            if !entries.contains_key(request) {
                self.report(Promise::A2, *at, credential, format!("request {request} has an outcome and no entry"));
            }
            let was_refused = entries.get(request).is_some_and(|entries| entries[0].refused);
            let unfounded = done.get(request).is_none_or(|done| done > at) || was_refused;
            if *outcome == Outcome::Succeeded && unfounded {
                let text = format!("request {request} is said to have succeeded, and its cluster has not done it");
                self.report(Promise::A3, *at, credential, text);
            }
        }
    }

    fn validity(&mut self) {
        for (request, asked) in self.history.requests.iter().enumerate() {
            let (Some(arrived), Some((answered, status))) = (asked.arrived, asked.answered) else { continue };
            if !matches!(status, Status::Unauthorized | Status::Forbidden) {
                continue;
            }
            let owner = self.history.owners[asked.credential];
            let by_then = |gone: Gone| gone.committed.is_some_and(|committed| committed < answered);
            let not_yet = self.history.users[owner].right_given.is_none_or(|given| given > arrived);
            let lacking = asked.needs_right && (by_then(self.rights[owner]) || not_yet);
            if !by_then(self.credentials[asked.credential]) && !lacking {
                let text = format!("request {request} of {arrived} was live, and answered {status:?}");
                self.report(Promise::V1, answered, asked.credential, text);
            }
        }
    }
}

impl History {
    /// How many requests were answered 503.
    pub(crate) fn unavailable(&self) -> usize {
        self.requests.iter().filter(|asked| matches!(asked.answered, Some((_, Status::Unavailable)))).count()
    }
}
