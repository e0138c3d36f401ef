//! The database's servers at work: snapshots, commits, the order of the numbers, restarts, and a failover that leaves the old
//! primary answering. Never a word about who asked.

use crate::{
    clock::{MS, Micros, Moment, S},
    counts::{Branch, Fault},
    database::{Kind, Node, ReplicaRow, Reply, Verdict},
    event::{Around, CallNo, Inside, StatementNo},
    history::{Entry, Subject},
    network::{End, Way},
    process::{LANES, READS, RENEWALS},
    rules::Mutant,
    world::{REPLICAS, World},
};

impl World {
    pub(crate) fn statement_arrives(&mut self, statement: StatementNo, sent: Micros) {
        let it = &self.statements[statement];
        let (process, connection, node) = (it.process, it.connection, it.node);
        if self.network.was_reset_since(sent, (process, End::Database)) {
            return;
        }
        if !self.nodes[node].up {
            if let (Some(generation), true) = (it.generation, it.incarnation == self.processes[process].incarnation) {
                self.reach(self.now, process, Inside::Reset { connection, generation });
            }
            return;
        }
        let epoch = self.nodes[node].epoch;
        let begins = self.now.max(self.nodes[node].stalled_until) + self.random.between(20, 120);
        self.put(begins, Around::Execute { statement, epoch });
    }

    /// The statement's snapshot.
    pub(crate) fn execute(&mut self, statement: StatementNo, epoch: u64) {
        let number = self.statements[statement].node;
        let node = &mut self.nodes[number];
        if node.epoch != epoch {
            return;
        }
        let tables = &node.tables;
        let (reply, writes) = match &self.statements[statement].kind {
            Kind::Register { .. } => (Reply::Registered { newest: tables.newest, standings: tables.standings }, true),
            Kind::Renew { row, has, .. } => match tables.row(*row) {
                None => (Reply::Missing, false),
                Some(_) => {
                    let cuts = tables.cuts.iter().filter(|cut| cut.number > *has).copied().collect();
                    (Reply::Renewed { cuts, rows: tables.replicas.clone(), standings: tables.standings }, true)
                }
            },
            Kind::Admit { rows, .. } => {
                let verdicts: Vec<Verdict> = rows.iter().map(|row| tables.verdict(row)).collect();
                let writes = rows.iter().zip(&verdicts).any(|(row, verdict)| writes(row.audited, *verdict));
                (Reply::Verdicts { verdicts, standings: tables.standings }, writes)
            }
            Kind::Load(request) => {
                let credential = self.requests[*request].credential;
                let user = tables.users[tables.owners[credential]];
                let dead = tables.dead[credential];
                (Reply::Rights { version: user.version, right: user.right, dead }, false)
            }
            Kind::Revoke(_) if self.rules.is(Mutant::NumbersWithoutOrder) => {
                node.sequence += 1;
                (Reply::Committed { number: node.sequence, repeated: false }, true)
            }
            Kind::Revoke(_) => match node.numbering {
                None => {
                    node.numbering = Some(statement);
                    (Reply::Done, true)
                }
                Some(_) => {
                    node.waiting.push_back(statement);
                    return self.note(Branch::NumberWaited);
                }
            },
            Kind::Poll(_) => (Reply::Rows(tables.replicas.clone()), false),
            Kind::Outcomes(_) | Kind::Delete { .. } => (Reply::Done, true),
        };
        self.statements[statement].reply = Some(reply);
        if writes { self.write_ahead(statement) } else { self.reply(statement) }
    }

    /// What is written is on disk, here and at the standby, after a while.
    fn write_ahead(&mut self, statement: StatementNo) {
        let (node, epoch) = (self.statements[statement].node, self.nodes[self.statements[statement].node].epoch);
        let mut takes = self.random.between(200, 1_500);
        if self.rules.faults && self.random.chance(30) {
            takes += self.random.between(3 * MS, 120 * MS);
        }
        if self.is(Mutant::NumbersWithoutOrder) && matches!(self.statements[statement].kind, Kind::Revoke(_)) {
            takes += self.random.between(0, 40 * MS);
        }
        if self.now < self.nodes[node].slow_until {
            takes += self.random.between(0, self.nodes[node].slow_by);
        }
        let at = self.now.max(self.nodes[node].stalled_until) + takes;
        self.put(at, Around::Commit { statement, epoch });
    }

    /// It is on disk, and visible.
    pub(crate) fn commit(&mut self, statement: StatementNo, epoch: u64) {
        let number = self.statements[statement].node;
        let counts = self.nodes[number].commits;
        // What does not reach the standby is never answered. Whoever ends the wait for it makes it visible all the same.
        if self.nodes[number].epoch != epoch || !(counts || self.random.chance(300)) {
            return;
        }
        if self.now < self.nodes[number].stalled_until {
            let at = self.nodes[number].stalled_until + 1;
            return self.put(at, Around::Commit { statement, epoch });
        }
        let at = self.moment();
        self.read_once_more(statement);
        self.renewals += 1;
        let renewals = self.renewals;
        let tables = &mut self.nodes[number].tables;
        match self.statements[statement].kind.clone() {
            Kind::Register { row, .. } => {
                let newest = match self.statements[statement].reply {
                    Some(Reply::Registered { newest, .. }) => newest,
                    _ => tables.newest,
                };
                tables.replicas.retain(|other| other.id != row);
                tables.replicas.push(ReplicaRow { id: row, renewals, acknowledged: newest });
            }
            Kind::Renew { row, acknowledged, .. } => match tables.row_mut(row) {
                Some(row) => {
                    row.renewals = renewals;
                    row.acknowledged = row.acknowledged.max(acknowledged);
                }
                None => self.statements[statement].reply = Some(Reply::Missing),
            },
            Kind::Admit { rows, .. } => {
                let Some(Reply::Verdicts { verdicts, .. }) = &self.statements[statement].reply else { return };
                let judged = rows.iter().zip(verdicts);
                let judged = judged.filter(|(row, verdict)| counts && writes(row.audited, **verdict));
                self.history.entries.extend(judged.map(|(row, verdict)| Entry {
                    request: row.request,
                    committed: at,
                    refused: *verdict == Verdict::Refused,
                }));
            }
            Kind::Revoke(call) => self.commit_revocation(statement, call, at),
            Kind::Outcomes(rows) => {
                for (request, outcome) in rows {
                    let new = tables.with_outcome.insert(request) || self.rules.is(Mutant::OutcomeWithoutKey);
                    if new && counts {
                        self.history.outcomes.push((request, outcome, at));
                    }
                }
            }
            Kind::Delete { row, renewals } => {
                let before = tables.replicas.len();
                tables.replicas.retain(|other| (other.id, other.renewals) != (row, renewals));
                if tables.replicas.len() < before {
                    self.note(Branch::RowDeleted);
                    self.tell(None, || format!("database: row {row} is deleted at renewal {renewals}"));
                }
            }
            Kind::Load(_) | Kind::Poll(_) => {}
        }
        if counts {
            self.reply(statement);
        }
    }

    /// The keeper of a lease reads the cuts first, and the standings in the same moment or later.
    fn read_once_more(&mut self, statement: StatementNo) {
        let later = self.random.chance(500);
        let it = &mut self.statements[statement];
        let now = self.nodes[it.node].tables.standings;
        if let Some(Reply::Registered { standings, .. } | Reply::Renewed { standings, .. }) = &mut it.reply
            && later
        {
            *standings = now;
        }
    }

    fn commit_revocation(&mut self, statement: StatementNo, call: CallNo, at: Moment) {
        let server = self.statements[statement].node;
        let subject = self.calls[call].subject;
        let in_order = !self.is(Mutant::NumbersWithoutOrder);
        let no_cut_for_nothing = self.is(Mutant::RepeatWithoutWait);
        let version = match subject {
            Subject::Right(user) => self.version_after(server, user),
            Subject::Credential(_) => 0,
        };
        let node = &mut self.nodes[server];
        let repeated = !node.tables.take(subject, version);
        let number = match self.statements[statement].reply {
            Some(Reply::Committed { number, .. }) if !in_order => number,
            _ => node.tables.newest + 1,
        };
        if !(repeated && no_cut_for_nothing) {
            node.tables.newest = node.tables.newest.max(number);
            node.tables.cuts.push(crate::database::Cut { number, subject });
        }
        if let Subject::Credential(credential) = subject {
            node.not_on_disk.push((at, credential));
        }
        self.statements[statement].reply = Some(Reply::Committed { number, repeated });
        self.tell(subject.credential(), || {
            format!("database {server}: cut {number} commits, {subject:?}, version {version}, call {call}")
        });
        if self.nodes[server].commits {
            self.history.revocations[call].committed = Some(at);
        }
        if repeated {
            self.note(Branch::Repeated);
        }
        if in_order {
            self.nodes[server].numbering = self.nodes[server].waiting.pop_front();
            if let Some(next) = self.nodes[server].numbering {
                self.statements[next].reply = Some(Reply::Done);
                self.write_ahead(next);
            }
        }
        self.notify(server);
    }

    fn notify(&mut self, server: usize) {
        for process in 0..REPLICAS {
            let connections = &self.memory(process).connections;
            let listens = connections.get(RENEWALS).is_some_and(|it| it.open && it.node == server);
            if !listens {
                continue;
            }
            let arrives = self.network.transit(&mut self.random, self.now, (process, End::Database), Way::Back);
            match arrives {
                Some(at) if !self.random.chance(self.deaf) => self.reach(at, process, Inside::Notified),
                _ => self.counts.fault(Fault::NotificationLost),
            }
        }
    }

    /// The version that a write gives to a user.
    fn version_after(&mut self, server: usize, user: usize) -> u64 {
        self.versions += 1;
        let counted = self.nodes[server].tables.users[user].version + 1;
        if self.is(Mutant::VersionsCounted) { counted } else { self.versions }
    }

    /// An administrator writes a user's rights anew: gives the right, or changes something else.
    pub(crate) fn write_rights(&mut self, user: usize, give: bool) {
        let primary = self.primary();
        if !self.nodes[primary].up || self.now < self.nodes[primary].stalled_until {
            return;
        }
        let at = self.moment();
        let lost =
            self.history.revocations.iter().any(|it| it.subject == Subject::Right(user) && it.committed.is_some());
        // Many reach the old primary, so that both have written about as much. They are never acknowledged there.
        let astray = !give && primary > 0 && self.nodes[primary - 1].up && self.random.chance(700);
        let server = if astray { primary - 1 } else { primary };
        let version = self.version_after(server, user);
        let tables = &mut self.nodes[server].tables;
        tables.standings += 1;
        tables.users[user].version = version;
        self.tell(None, || format!("database {server}: the rights of user {user} are written, version {version}"));
        let row = &mut self.nodes[server].tables.users[user];
        // What was taken from somebody stays taken, so that the checker need not ask which came last.
        if give && !lost {
            row.right = true;
            self.history.users[user].right_given = Some(at);
            self.tell(None, || format!("database: user {user} is given the right"));
        }
    }

    pub(crate) fn restart_database(&mut self, lasting: Micros, told: bool) {
        let number = self.primary();
        self.counts.fault(if told { Fault::DatabaseRestart } else { Fault::DatabasePowerLoss });
        self.tell(None, || format!("database {number} is down for {} ms", lasting / 1_000));
        let forgets = self.is(Mutant::CommitNotDurable);
        let node = &mut self.nodes[number];
        node.up = false;
        node.epoch += 1;
        node.numbering = None;
        node.waiting.clear();
        for (at, credential) in std::mem::take(&mut node.not_on_disk) {
            if forgets && at.at + 300 * MS > self.now {
                node.tables.dead[credential] = false;
            }
        }
        self.inspect();
        self.put(self.now + lasting, Around::NodeUp(number));
        if told {
            self.reset_those_to(number);
        }
    }

    pub(crate) fn stall_database(&mut self, lasting: Micros) {
        let number = self.primary();
        self.nodes[number].stalled_until = self.now + lasting;
        self.counts.fault(Fault::DatabaseStall);
        self.tell(None, || format!("database {number} stands still for {} ms", lasting / 1_000));
    }

    pub(crate) fn slow_disk(&mut self, by: Micros, lasting: Micros) {
        let number = self.primary();
        let node = &mut self.nodes[number];
        (node.slow_until, node.slow_by) = (self.now + lasting, by);
        self.counts.fault(Fault::SlowDisk);
        self.tell(None, || format!("database {number} has a slow disk for {} ms", lasting / 1_000));
    }

    /// The standby is made the primary. The old one cannot reach it, and does not know.
    pub(crate) fn fail_over(&mut self) {
        let old = self.primary();
        self.nodes[old].commits = false;
        let mut new = Node::new(self.nodes[old].tables.clone());
        new.up = false;
        self.nodes.push(new);
        self.counts.fault(Fault::Failover);
        self.tell(None, || "the standby takes over".to_owned());
        let up = self.now + self.random.between(50 * MS, 800 * MS);
        self.put(up, Around::NodeUp(old + 1));
        // Who writes is not answered any more, and looks for another; who reads may stay for long.
        let writers_first = self.random.chance(400);
        for process in 0..self.processes.len() {
            let all_at = up + self.random.between(0, 2 * S);
            let together = self.random.chance(200);
            for connection in 0..self.switched[process].len() {
                let only_reads = connection == READS || LANES.contains(&connection);
                let within = if writers_first && !only_reads { 200 * MS } else { 4 * S };
                let at = if together { all_at } else { up + self.random.between(0, within) };
                self.switched[process][connection] = at;
            }
        }
        let fenced = up + self.random.between(2 * S, 7 * S);
        self.put(fenced, Around::Fence(old));
    }

    pub(crate) fn fence(&mut self, node: usize) {
        self.nodes[node].up = false;
        self.nodes[node].epoch += 1;
        self.tell(None, || format!("database {node} is fenced"));
        self.reset_those_to(node);
    }
}

/// Whether a verdict leaves an entry.
fn writes(audited: bool, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Admitted => audited,
        Verdict::Refused => true,
        Verdict::Stale => false,
    }
}
