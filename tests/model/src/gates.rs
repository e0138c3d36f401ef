//! The three gates, which look at mark and lease in the instant of a write, and the writes themselves: to a cluster, to a
//! client, to the client of a stream. Never a write that has not passed its gate.

use crate::{
    clock::{MS, Micros, Moment},
    counts::{Branch, Fault},
    event::{Around, EffectNo, Inside, ProcessNo, RequestNo},
    history::{Effect, Outcome, Status},
    network::{End, Way},
    process::Mark,
    request::{About, Step},
    rules::{CLUSTER_PATIENCE, Mutant},
    world::World,
};

#[derive(Clone, Copy)]
enum Gate {
    Effect,
    Answer,
    Stream,
}

impl World {
    /// Looks at mark and lease.
    fn gate(&mut self, request: RequestNo, gate: Gate) -> Result<(), Status> {
        let it = &self.requests[request];
        let (process, mark, audited) = (it.replica, it.mark, it.audited);
        let blind = match gate {
            Gate::Effect => self.is(Mutant::EffectGateWithoutLease),
            Gate::Answer => self.is(Mutant::AnswerGateWithoutLease),
            Gate::Stream => self.is(Mutant::StreamWithoutLease),
        } || (self.is(Mutant::ReadWithoutLease) && !audited);
        let (marked, bare) = match gate {
            Gate::Effect => (Branch::EffectMarked, Branch::EffectWithoutLease),
            Gate::Answer => (Branch::AnswerMarked, Branch::AnswerWithoutLease),
            Gate::Stream => (Branch::StreamMarked, Branch::StreamWithoutLease),
        };
        match mark {
            Some(Mark::Cut(_)) => {
                self.note(marked);
                Err(Status::Unauthorized)
            }
            Some(Mark::Lapse) if audited || !self.is(Mutant::ReadWithoutLease) => Err(Status::Unavailable),
            _ if !self.has_lease(process) => {
                self.note(bare);
                if blind { Ok(()) } else { Err(Status::Unavailable) }
            }
            _ => Ok(()),
        }
    }

    /// The effect gate. Whoever does not pass is answered.
    pub(crate) fn effect_gate(&mut self, request: RequestNo) -> Result<(), ()> {
        self.gate(request, Gate::Effect).map_err(|status| {
            self.outcome(request, Outcome::Failed);
            self.answer(request, status);
        })
    }

    /// The answer gate, and the answer.
    pub(crate) fn answer_ok(&mut self, request: RequestNo) {
        match self.gate(request, Gate::Answer) {
            Ok(()) => {
                self.note(Branch::Accepted);
                self.answer(request, Status::Ok);
            }
            Err(status) => self.answer(request, status),
        }
    }

    /// The next write of a request to its cluster.
    pub(crate) fn work(&mut self, request: RequestNo) {
        if self.requests[request].step != Step::Working {
            return;
        }
        if !self.is(Mutant::EffectGateTooEarly) && self.effect_gate(request).is_err() {
            return;
        }
        let checked = self.moment();
        let it = &mut self.requests[request];
        it.writes = it.writes.saturating_sub(1);
        let (process, last) = (it.replica, it.writes == 0);
        if self.stops_at_gates && self.random.chance(5) {
            let lasting = self.random.between(50 * MS, 3_000 * MS);
            self.pause(process, lasting, Fault::PauseAtGate);
            return self.reach(self.now, process, Inside::Write { request, checked, last });
        }
        self.write_effect(request, checked, last);
    }

    pub(crate) fn write_effect(&mut self, request: RequestNo, checked: Moment, last: bool) {
        let it = &self.requests[request];
        let (process, about, step) = (it.replica, it.about, it.step);
        self.write_to_cluster(process, request, checked, last);
        match about {
            _ if step != Step::Working => {}
            About::Stream => self.open_stream(request),
            _ if last => {
                self.requests[request].step = Step::Calling;
                self.after(process, CLUSTER_PATIENCE, Inside::ClusterLost(request));
            }
            _ => {
                let soon = self.random.between(MS, 20 * MS);
                self.after(process, soon, Inside::Work(request));
            }
        }
    }

    fn write_to_cluster(&mut self, process: ProcessNo, request: RequestNo, checked: Moment, last: bool) {
        let effect = self.history.effects.len();
        let written = self.moment();
        self.tell(Some(self.requests[request].credential), || format!("request {request} writes to its cluster"));
        self.history.effects.push(Effect { request, checked, written, received: None, last });
        let link = (process, End::Cluster);
        if let Some(at) = self.network.transit(&mut self.random, self.now, link, Way::Out) {
            self.put(at, Around::EffectArrives { effect, sent: self.now });
        }
    }

    /// The cluster has it. Only what is whole is done.
    pub(crate) fn effect_arrives(&mut self, effect: EffectNo, sent: Micros) {
        let request = self.history.effects[effect].request;
        let process = self.requests[request].replica;
        if self.network.was_reset_since(sent, (process, End::Cluster)) {
            return;
        }
        let at = self.moment();
        self.history.effects[effect].received = Some(at);
        if !self.history.effects[effect].last || self.requests[request].about == About::Stream {
            return;
        }
        let done = !self.random.chance(30);
        if done {
            self.requests[request].done = true;
            self.history.done_by_cluster.push((request, at));
        }
        let thinks = if self.random.chance(150) { 4_500 * MS } else { 5 * MS };
        let leaves = self.now + self.random.between(200, thinks);
        let there = self.network.transit(&mut self.random, leaves, (process, End::Cluster), Way::Back);
        if let Some(at) = there {
            self.reach(at, process, Inside::ClusterAnswer { request, done, sent: leaves });
        }
    }

    pub(crate) fn cluster_answers(&mut self, request: RequestNo, done: bool, sent: Micros) {
        let process = self.requests[request].replica;
        if self.requests[request].step != Step::Calling || self.network.was_reset_since(sent, (process, End::Cluster)) {
            return;
        }
        self.outcome(request, if done { Outcome::Succeeded } else { Outcome::Failed });
        if done { self.answer_ok(request) } else { self.answer(request, Status::BadGateway) }
    }

    /// All calls of a process that a cluster had not answered.
    pub(crate) fn lose_cluster(&mut self, process: ProcessNo) {
        for request in self.memory(process).in_flight.clone() {
            self.reach(self.now, process, Inside::ClusterLost(request));
        }
    }

    /// Nobody knows how it ended: the entry is left without an outcome.
    pub(crate) fn cluster_is_silent(&mut self, request: RequestNo) {
        match self.requests[request].step {
            Step::Calling => {
                self.note(Branch::ClusterSilent);
                if self.is(Mutant::OutcomeGuessed) {
                    self.outcome(request, Outcome::Succeeded);
                }
                self.answer(request, Status::BadGateway);
            }
            Step::Streaming => self.answer(request, Status::Aborted),
            _ => {}
        }
    }

    fn open_stream(&mut self, request: RequestNo) {
        if let Err(status) = self.gate(request, Gate::Answer) {
            return self.answer(request, status);
        }
        self.note(Branch::Accepted);
        self.write_answer(request, Status::Ok);
        let it = &mut self.requests[request];
        it.step = Step::Streaming;
        it.stream_ends = self.now + it.streams_for;
        let process = it.replica;
        self.after(process, MS, Inside::Tick(request));
    }

    /// A piece of a stream, in either direction.
    pub(crate) fn tick(&mut self, request: RequestNo) {
        if self.requests[request].step != Step::Streaming {
            return;
        }
        let process = self.requests[request].replica;
        if self.now >= self.requests[request].stream_ends {
            return self.let_go(request);
        }
        if self.random.chance(150) {
            if self.gate(request, Gate::Effect).is_err() {
                return self.answer(request, Status::Aborted);
            }
            let checked = self.moment();
            self.write_to_cluster(process, request, checked, false);
        } else {
            if self.gate(request, Gate::Stream).is_err() {
                return self.answer(request, Status::Aborted);
            }
            let at = self.moment();
            self.history.stream_writes.push((request, at));
        }
        let soon = self.random.between(4 * MS, 24 * MS);
        self.after(process, soon, Inside::Tick(request));
    }
}
