//! Statements on their way: connections that open, break and find one server or another, answers and their absence. Never what
//! an answer means; that is said in the room that asked.

use crate::{
    clock::{MS, Micros},
    database::{Kind, Statement},
    event::{Around, Inside, ProcessNo, StatementNo},
    network::{End, Way},
    process::{CONNECTIONS, RENEWALS},
    rules::{PATIENCE, RENEWAL},
    world::World,
};

impl World {
    /// Sends a statement on a connection, when that is open.
    pub(crate) fn state(&mut self, process: ProcessNo, connection: usize, kind: Kind) -> StatementNo {
        let number = self.statements.len();
        let incarnation = self.processes[process].incarnation;
        let patience = if connection == RENEWALS { RENEWAL } else { PATIENCE };
        self.statements.push(Statement {
            process,
            incarnation,
            connection,
            generation: None,
            node: 0,
            kind,
            reply: None,
            over: false,
        });
        self.after(process, patience, Inside::TimeOut(number));
        self.memory(process).connections[connection].unsent.push(number);
        self.connect(process, connection);
        number
    }

    /// Opens a connection, or sends what waits for it.
    fn connect(&mut self, process: ProcessNo, connection: usize) {
        let it = &mut self.memory(process).connections[connection];
        if it.open {
            return self.send_all(process, connection);
        }
        if it.opening {
            return;
        }
        it.opening = true;
        it.generation += 1;
        let generation = it.generation;
        let node = self.found(process, connection);
        self.memory(process).connections[connection].node = node;
        let link = (process, End::Database);
        if self.network.is_blocked(self.now, link) {
            self.after(process, 500 * MS, Inside::NotConnected { connection, generation });
        } else if !self.nodes[node].up {
            let soon = self.random.between(10 * MS, 60 * MS);
            self.after(process, soon, Inside::NotConnected { connection, generation });
        } else {
            let there = self.network.transit(&mut self.random, self.now, link, Way::Out).unwrap_or(self.now + PATIENCE);
            let back = self.network.transit(&mut self.random, there, link, Way::Back).unwrap_or(there + PATIENCE);
            self.reach(back, process, Inside::Connected { connection, generation });
        }
    }

    /// Which server a connection that is opened now leads to: the new primary, or still the old one.
    fn found(&self, process: ProcessNo, connection: usize) -> usize {
        let newest = self.primary();
        let old_one_answers = newest > 0 && self.nodes[newest - 1].up;
        if old_one_answers && self.now < self.switched[process][connection] { newest - 1 } else { newest }
    }

    pub(crate) fn connected(&mut self, process: ProcessNo, connection: usize, generation: u64) {
        let it = &mut self.memory(process).connections[connection];
        if it.generation == generation && it.opening {
            it.opening = false;
            it.open = true;
            self.send_all(process, connection);
        }
    }

    pub(crate) fn not_connected(&mut self, process: ProcessNo, connection: usize, generation: u64) {
        let it = &mut self.memory(process).connections[connection];
        if it.generation == generation && it.opening {
            it.opening = false;
            if !it.unsent.is_empty() {
                self.connect(process, connection);
            }
        }
    }

    fn send_all(&mut self, process: ProcessNo, connection: usize) {
        let it = &mut self.memory(process).connections[connection];
        let (generation, node, unsent) = (it.generation, it.node, std::mem::take(&mut it.unsent));
        for statement in unsent {
            if self.statements[statement].over {
                continue;
            }
            self.memory(process).connections[connection].outstanding.push(statement);
            let it = &mut self.statements[statement];
            it.generation = Some(generation);
            it.node = node;
            let link = (process, End::Database);
            if let Some(at) = self.network.transit(&mut self.random, self.now, link, Way::Out) {
                self.put(at, Around::StatementArrives { statement, sent: self.now });
            }
        }
    }

    /// A server answers.
    pub(crate) fn reply(&mut self, statement: StatementNo) {
        let Statement { process, incarnation, .. } = self.statements[statement];
        let link = (process, End::Database);
        if self.processes[process].incarnation != incarnation {
            return;
        }
        if let Some(at) = self.network.transit(&mut self.random, self.now, link, Way::Back) {
            // What was read is told late now and then, whatever has been written and told meanwhile.
            let reads = matches!(self.statements[statement].kind, Kind::Load(_));
            let late = reads && self.rules.faults && self.random.chance(200);
            let at = if late { at + self.random.between(MS, 100 * MS) } else { at };
            self.reach(at, process, Inside::Answer { statement, sent: self.now });
        }
    }

    pub(crate) fn answered(&mut self, statement: StatementNo, sent: Micros) {
        let Statement { process, connection, generation, node, over, .. } = self.statements[statement];
        let it = &mut self.processes[process].memory.connections[connection];
        // What comes on a connection that was closed is read by nobody.
        let closed = !it.open || Some(it.generation) != generation;
        if over || closed || self.network.was_reset_since(sent, (process, End::Database)) {
            return;
        }
        it.outstanding.retain(|other| *other != statement);
        self.statements[statement].over = true;
        let Some(reply) = self.statements[statement].reply.take() else { return };
        let kind = std::mem::replace(&mut self.statements[statement].kind, Kind::Poll(usize::MAX));
        match kind {
            Kind::Register { row, sent } => self.registered(process, (row, node), sent, reply),
            Kind::Renew { sent, .. } => self.renewed(process, node, sent, reply),
            Kind::Admit { rows, sent } => self.judged(process, statement, (&rows, sent), reply),
            Kind::Load(request) => self.loaded(request, node, reply),
            Kind::Revoke(call) => self.committed(call, node, reply),
            Kind::Poll(call) => self.polled(call, node, reply),
            Kind::Outcomes(_) => self.outcomes_written(process),
            Kind::Delete { .. } => {}
        }
    }

    pub(crate) fn timed_out(&mut self, statement: StatementNo) {
        let Statement { process, connection, generation, over, .. } = self.statements[statement];
        if over {
            return;
        }
        match generation {
            Some(generation) => self.reset(process, connection, generation),
            None => {
                self.memory(process).connections[connection].unsent.retain(|other| *other != statement);
                self.lost(statement);
            }
        }
    }

    /// All connections of a process are reset, by the network or by the server.
    pub(crate) fn reset_all(&mut self, process: ProcessNo) {
        for connection in 0..self.memory(process).connections.len() {
            let generation = self.memory(process).connections[connection].generation;
            self.reach(self.now, process, Inside::Reset { connection, generation });
        }
    }

    /// The same, for those that lead to one server.
    pub(crate) fn reset_those_to(&mut self, node: usize) {
        for process in 0..self.processes.len() {
            for connection in 0..CONNECTIONS.min(self.memory(process).connections.len()) {
                let it = &self.memory(process).connections[connection];
                let (leads_there, generation) = (it.node == node, it.generation);
                if leads_there {
                    self.reach(self.now, process, Inside::Reset { connection, generation });
                }
            }
        }
    }

    /// A connection is closed. What was sent on it may have been done, or may yet be.
    pub(crate) fn reset(&mut self, process: ProcessNo, connection: usize, generation: u64) {
        let it = &mut self.memory(process).connections[connection];
        if it.generation != generation {
            return;
        }
        it.generation += 1;
        (it.open, it.opening) = (false, false);
        for statement in std::mem::take(&mut it.outstanding) {
            self.lost(statement);
        }
        if !self.memory(process).connections[connection].unsent.is_empty() {
            self.connect(process, connection);
        }
    }

    /// There will be no answer.
    fn lost(&mut self, statement: StatementNo) {
        let it = &mut self.statements[statement];
        if std::mem::replace(&mut it.over, true) {
            return;
        }
        let process = it.process;
        match it.kind.clone() {
            Kind::Register { .. } | Kind::Renew { .. } => {
                self.memory(process).renewal = None;
                let soon = self.random.between(MS, 20 * MS);
                self.renewal_in(process, soon);
            }
            Kind::Admit { rows, .. } => self.not_judged(process, statement, &rows),
            Kind::Load(_) | Kind::Poll(_) => {
                let soon = self.random.between(5 * MS, 30 * MS);
                self.after(process, soon, Inside::Retry(statement));
            }
            Kind::Revoke(call) => self.not_committed(call),
            Kind::Outcomes(rows) => self.outcomes_lost(process, rows),
            Kind::Delete { .. } => {}
        }
    }

    pub(crate) fn retry(&mut self, statement: StatementNo) {
        match self.statements[statement].kind {
            Kind::Load(request) => self.load(request),
            Kind::Poll(call) => self.poll(call),
            _ => {}
        }
    }
}
