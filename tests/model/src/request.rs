//! A request's way through a replica: arrival, rights, decision, admission's verdict, answer. Never the gates, and never what
//! is sent to a cluster.

use crate::{
    clock::{Micros, S},
    counts::{Branch, Fault},
    database::{Kind, Reply},
    event::{Around, Inside, ProcessNo, RequestNo, StatementNo},
    history::{Asked, Outcome, Status},
    network::{End, Way},
    process::{Condition, Mark, READS, Rights},
    rules::{ATTEMPTS, Mutant, PATIENCE},
    world::World,
};

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// An answer from our own tables.
    Own,
    /// A call to a cluster.
    Call,
    /// A stream from a cluster.
    Stream,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has not arrived.
    Ahead,
    Loading,
    Waiting,
    Judging(StatementNo),
    Working,
    Calling,
    Streaming,
    Over,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) credential: usize,
    pub(crate) replica: ProcessNo,
    pub(crate) about: About,
    pub(crate) needs_right: bool,
    pub(crate) audited: bool,
    /// A probe at the instant of an answer.
    pub(crate) instant: bool,
    pub(crate) step: Step,
    pub(crate) rights: Rights,
    /// What was decided is a refusal, to be confirmed.
    pub(crate) forbidden: bool,
    pub(crate) entered: bool,
    /// It was admitted without asking.
    pub(crate) here: bool,
    pub(crate) attempts: u32,
    pub(crate) mark: Option<Mark>,
    /// How long it works before its first write, how many writes it has, and how long a stream goes on.
    pub(crate) works: Micros,
    pub(crate) writes: u32,
    pub(crate) streams_for: Micros,
    pub(crate) stream_ends: Micros,
    pub(crate) hung_up: bool,
    /// Its cluster has done it.
    pub(crate) done: bool,
}

impl Request {
    /// Whether it is a read of our own tables that leaves no entry.
    pub(crate) fn reads_own(&self) -> bool {
        self.about == About::Own && !self.audited
    }

    /// Whether its client waits, and has no answer.
    pub(crate) fn waits_in_vain(&self, asked: &Asked) -> bool {
        asked.arrived.is_some() && asked.answered.is_none() && !self.hung_up
    }
}

impl World {
    /// Adds a request, which nobody has sent yet.
    pub(crate) fn add(&mut self, request: Request) -> RequestNo {
        self.history.requests.push(Asked {
            credential: request.credential,
            replica: request.replica,
            needs_right: request.needs_right,
            audited: request.audited,
            stream: request.about == About::Stream,
            arrived: None,
            answered: None,
        });
        self.requests.push(request);
        self.requests.len() - 1
    }

    pub(crate) fn send(&mut self, request: RequestNo) {
        let link = (self.requests[request].replica, End::Client);
        if let Some(at) = self.network.transit(&mut self.random, self.now, link, Way::Out) {
            self.put(at, Around::Arrive(request));
        }
    }

    pub(crate) fn arrive(&mut self, request: RequestNo) {
        let it = &self.requests[request];
        let process = it.replica;
        if self.processes[process].condition == Condition::Dead {
            self.requests[request].step = Step::Over;
            return;
        }
        let at = self.moment();
        self.history.requests[request].arrived = Some(at);
        self.requests[request].step = Step::Loading;
        self.reach(self.now, process, Inside::Handle(request));
    }

    pub(crate) fn hang_up(&mut self, request: RequestNo) {
        if !matches!(self.requests[request].step, Step::Ahead | Step::Over) {
            self.requests[request].hung_up = true;
            self.counts.fault(Fault::HangUp);
        }
    }

    pub(crate) fn handle(&mut self, request: RequestNo) {
        let (process, credential) = (self.requests[request].replica, self.requests[request].credential);
        self.tell(Some(credential), || format!("request {request} is taken up by replica {process}"));
        let it = &self.requests[request];
        let asks_for_lease = !self.is(Mutant::ReadWithoutLease) || it.audited;
        let asks_for_lease = asks_for_lease && !(self.is(Mutant::ReadHereWithoutLease) && it.reads_own());
        if asks_for_lease && !self.has_lease(process) {
            self.note(Branch::NoLeaseAtArrival);
            return self.answer(request, Status::Unavailable);
        }
        self.after(process, PATIENCE, Inside::Patience(request));
        let known = self.memory(process).cache[credential];
        let too_old = |known: &Rights| self.boot(process) > known.loaded + 10 * S;
        match known.filter(|known| !self.is(Mutant::TimeToLiveCache) || !too_old(known)) {
            Some(rights) => self.decide(request, rights),
            None => self.load(request),
        }
    }

    /// Reads the rights of a request's credential.
    pub(crate) fn load(&mut self, request: RequestNo) {
        if self.requests[request].step != Step::Over {
            self.requests[request].step = Step::Loading;
            let process = self.requests[request].replica;
            self.state(process, READS, Kind::Load(request));
        }
    }

    pub(crate) fn loaded(&mut self, request: RequestNo, node: usize, reply: Reply) {
        let Reply::Rights { version, right, dead } = reply else { return };
        let (process, credential) = (self.requests[request].replica, self.requests[request].credential);
        let rights = Rights { version, right, dead, loaded: self.boot(process) };
        self.tell(Some(credential), || {
            format!("replica {process} reads in database {node}: version {version}, right {right}, dead {dead}")
        });
        self.memory(process).cache[credential] = Some(rights);
        if self.requests[request].step == Step::Loading {
            self.decide(request, rights);
        }
    }

    /// Decides by what is known, and asks for admission, which confirms it.
    fn decide(&mut self, request: RequestNo, rights: Rights) {
        let it = &mut self.requests[request];
        it.rights = rights;
        it.forbidden = it.needs_right && !rights.right;
        it.step = Step::Waiting;
        let (process, forbidden) = (it.replica, it.forbidden);
        if !std::mem::replace(&mut it.entered, true) {
            self.memory(process).in_flight.push(request);
        }
        if forbidden && self.is(Mutant::RefusalFromCache) {
            return self.answer(request, Status::Forbidden);
        }
        if self.is(Mutant::EffectBesideIntent) && self.requests[request].about == About::Call && !forbidden {
            self.requests[request].step = Step::Working;
            self.work(request);
        }
        if self.reads_on(request) {
            return self.admitted_here(request);
        }
        self.ask_admission(process, request);
    }

    pub(crate) fn refused(&mut self, request: RequestNo) {
        let (process, credential) = (self.requests[request].replica, self.requests[request].credential);
        self.note(Branch::Refused);
        if self.requests[request].instant {
            self.note(Branch::ProbeRefused);
        }
        let forgets = !self.is(Mutant::NotifyOnlyCache) && !self.is(Mutant::TimeToLiveCache);
        if forgets {
            self.memory(process).cache[credential] = None;
        }
        self.answer(request, Status::Unauthorized);
    }

    pub(crate) fn stale(&mut self, request: RequestNo) {
        let (process, credential) = (self.requests[request].replica, self.requests[request].credential);
        self.memory(process).cache[credential] = None;
        self.requests[request].attempts += 1;
        if self.requests[request].attempts >= ATTEMPTS {
            self.note(Branch::StaleTooOften);
            return self.answer(request, Status::Unavailable);
        }
        self.note(Branch::StaleReloaded);
        self.load(request);
    }

    /// The database has confirmed what was decided. `current`: and it is no older than the one that the lease
    /// rests on.
    pub(crate) fn admitted(&mut self, request: RequestNo, current: bool) {
        let it = &self.requests[request];
        let (process, about, audited, works) = (it.replica, it.about, it.audited, it.works);
        if self.requests[request].forbidden {
            self.note(Branch::Forbidden);
            return self.answer(request, Status::Forbidden);
        }
        if !audited && !current {
            // A primary that was cut off still answers reads, and lacks what was revoked since.
            self.note(Branch::ReadElsewhere);
            if !self.is(Mutant::ReadElsewhere) && !self.is(Mutant::ReadWithoutLease) {
                return self.answer(request, Status::Unavailable);
            }
        }
        match about {
            About::Own => self.answer_ok(request),
            About::Call | About::Stream => {
                self.requests[request].step = Step::Working;
                if self.is(Mutant::EffectGateTooEarly) && self.effect_gate(request).is_err() {
                    return;
                }
                self.after(process, works, Inside::Work(request));
            }
        }
    }

    pub(crate) fn out_of_patience(&mut self, request: RequestNo) {
        let process = self.requests[request].replica;
        if matches!(self.requests[request].step, Step::Loading | Step::Waiting | Step::Judging(_)) {
            self.note(Branch::OutOfPatience);
            self.memory(process).waiting.retain(|other| *other != request);
            self.answer(request, Status::Unavailable);
        }
    }

    /// A marked request lets go where it is.
    pub(crate) fn abandon(&mut self, request: RequestNo) {
        let it = &self.requests[request];
        let by_cut = matches!(it.mark, Some(Mark::Cut(_)));
        match it.step {
            Step::Ahead | Step::Over => {}
            // It is on its way to the audit log, and is answered when that has it.
            Step::Waiting | Step::Judging(_) | Step::Loading if by_cut && it.audited => {}
            Step::Streaming => self.answer(request, Status::Aborted),
            _ => {
                let process = it.replica;
                self.memory(process).waiting.retain(|other| *other != request);
                self.answer(request, if by_cut { Status::Unauthorized } else { Status::Unavailable });
            }
        }
    }

    /// Writes an answer that is no success, and is done with the request.
    pub(crate) fn answer(&mut self, request: RequestNo, status: Status) {
        if self.requests[request].step == Step::Over {
            return;
        }
        self.write_answer(request, status);
        self.let_go(request);
    }

    pub(crate) fn write_answer(&mut self, request: RequestNo, status: Status) {
        let at = self.moment();
        let it = &self.requests[request];
        self.tell(Some(it.credential), || format!("request {request} is answered {status:?}"));
        let asked = &mut self.history.requests[request];
        // The end of a stream does not undo its beginning.
        if !self.requests[request].hung_up && asked.answered.is_none() {
            asked.answered = Some((at, status));
        }
    }

    /// How a call ended, to be written behind.
    pub(crate) fn outcome(&mut self, request: RequestNo, outcome: Outcome) {
        if !self.requests[request].audited {
            return;
        }
        let process = self.requests[request].replica;
        self.memory(process).outcomes.push((request, outcome));
        if !std::mem::replace(&mut self.memory(process).flushing, true) {
            self.after(process, crate::rules::GATHERED, Inside::Flush);
        }
    }
}
