//! A replica's lease: renewals, what they bring, and what happens when it runs out. Never a request's own business.

use crate::{
    clock::{MS, Micros},
    counts::Branch,
    database::{Kind, Reply},
    event::{Inside, ProcessNo, RequestNo},
    history::Subject,
    process::{Lease, Mark, RENEWALS, Standing},
    request::Step,
    rules::{FRESH, LEASE, Mutant, RENEWAL},
    world::World,
};

impl World {
    /// What the clock that leases are counted on shows.
    fn lease_clock(&self, process: ProcessNo) -> Micros {
        let clock = self.processes[process].clock;
        if self.is(Mutant::LeaseOnWallClock) { clock.wall(self.now) } else { clock.boot(self.now) }
    }

    /// Whether the replica may act, in this instant.
    pub(crate) fn has_lease(&self, process: ProcessNo) -> bool {
        self.lease_clock(process) < self.processes[process].memory.lease.until
    }

    /// Whether the newest renewal that counts was sent just now.
    pub(crate) fn is_fresh(&self, process: ProcessNo) -> bool {
        self.lease_clock(process) + LEASE < self.processes[process].memory.lease.until + FRESH
    }

    /// Sends a renewal, or sees to it that one more is sent when the one that is under way is done.
    pub(crate) fn renew(&mut self, process: ProcessNo) {
        if self.memory(process).renewal.is_some() {
            self.memory(process).renew_again = true;
            return;
        }
        let sent = self.lease_clock(process);
        let acknowledged = self.acknowledgeable(process);
        let memory = self.memory(process);
        memory.renew_again = false;
        let kind = match memory.row {
            Some(row) => Kind::Renew { row, acknowledged, has: memory.applied, sent },
            None => Kind::Register { row: self.new_row(process), sent },
        };
        let statement = self.state(process, RENEWALS, kind);
        self.memory(process).renewal = Some(statement);
        self.renewal_in(process, RENEWAL);
    }

    /// Each registration has a name of its own, so that nobody takes its count for one seen earlier.
    fn new_row(&mut self, process: ProcessNo) -> u64 {
        self.rows += 1;
        self.rows * 10 + process as u64
    }

    pub(crate) fn renewal_in(&mut self, process: ProcessNo, local: Micros) {
        let memory = self.memory(process);
        memory.renewal_timer += 1;
        let timer = memory.renewal_timer;
        self.after(process, local, Inside::RenewalDue(timer));
    }

    pub(crate) fn renewal_due(&mut self, process: ProcessNo, timer: u64) {
        if self.memory(process).renewal_timer == timer {
            self.renew(process);
        }
    }

    pub(crate) fn notified(&mut self, process: ProcessNo) {
        if self.is(Mutant::NotifyOnlyCache) {
            self.memory(process).cache.iter_mut().for_each(|known| *known = None);
        }
        self.renew(process);
    }

    pub(crate) fn registered(&mut self, process: ProcessNo, (row, node): (u64, usize), sent: Micros, reply: Reply) {
        self.memory(process).renewal = None;
        let Reply::Registered { newest, standings } = reply else { return };
        let memory = self.memory(process);
        memory.row = Some(row);
        (memory.applied, memory.acknowledged) = (newest, newest);
        self.tell(None, || format!("replica {process} has registered row {row} at cut {newest}"));
        self.publish(process, Standing { number: standings, node });
        self.extend(process, node, sent);
    }

    pub(crate) fn renewed(&mut self, process: ProcessNo, node: usize, sent: Micros, reply: Reply) {
        self.memory(process).renewal = None;
        let (cuts, rows, standings) = match reply {
            Reply::Renewed { cuts, rows, standings } => (cuts, rows, standings),
            _ => return self.row_is_missing(process),
        };
        self.watch(process, &rows);
        // First: nobody who arrives after an acknowledgement is admitted by what was so before the cut.
        self.publish(process, Standing { number: standings, node });
        if !self.has_lease(process) && self.memory(process).lease.until > 0 {
            // The timer may be late. What was in flight when the lease ran out has been waited for by nobody since.
            self.note(Branch::LapseAtRenewal);
            self.cut_everything(process);
        }
        for cut in cuts {
            let late = self.is(Mutant::AcknowledgeBeforeMark);
            if late {
                self.memory(process).late.insert(cut.number, cut.subject);
                let soon = self.random.between(0, 60 * MS);
                self.after(process, soon, Inside::MarkLate(cut.number));
            } else if self.mark(process, cut.subject, cut.number) {
                let here = self.made_here(process, cut.number);
                self.note(if here { Branch::CutMarkedHere } else { Branch::CutMarked });
            }
            self.memory(process).applied = self.memory(process).applied.max(cut.number);
            self.tell(cut.subject.credential(), || {
                format!("replica {process} applies cut {} {:?}", cut.number, cut.subject)
            });
        }
        let counted_from = if self.is(Mutant::LeaseFromAnswer) { self.lease_clock(process) } else { sent };
        self.extend(process, node, counted_from);
        self.acknowledge(process);
    }

    /// The marks are set; only now is the lease good again.
    fn extend(&mut self, process: ProcessNo, node: usize, from: Micros) {
        let until = from + LEASE;
        self.memory(process).lease = Lease { until, node };
        // A timer is late, now and then by much.
        let late = if self.random.chance(100) { 700 * MS } else { 20 * MS };
        let late = if self.rules.faults { self.random.between(0, late) } else { 0 };
        let ends = self.processes[process].clock.when(until).max(self.now);
        self.reach(ends + late, process, Inside::LapseDue(until));
        if self.memory(process).renew_again {
            self.renew(process);
        }
    }

    pub(crate) fn lapse_due(&mut self, process: ProcessNo, until: Micros) {
        if self.memory(process).lease.until != until || self.has_lease(process) {
            return;
        }
        self.tell(None, || format!("replica {process}: the lease has run out"));
        if self.cut_everything(process) {
            self.note(Branch::LeaseLapsed);
        }
    }

    /// Nobody waits for this replica any more: it ends what it has, gives up its lease, and begins anew.
    fn row_is_missing(&mut self, process: ProcessNo) {
        self.note(Branch::RowMissing);
        self.tell(None, || format!("replica {process}: the row is missing"));
        self.memory(process).row = None;
        self.memory(process).lease.until = 0;
        self.cut_everything(process);
        self.renew(process);
    }

    /// Marks all that is in flight. True: there was something.
    fn cut_everything(&mut self, process: ProcessNo) -> bool {
        let mut found = false;
        if self.is(Mutant::LapseEndsNothing) {
            return false;
        }
        for request in self.memory(process).in_flight.clone() {
            if self.requests[request].mark.is_none() {
                found = true;
                self.set_mark(request, Mark::Lapse);
            }
        }
        found
    }

    /// Marks what a cut is about. True: there was something.
    pub(crate) fn mark(&mut self, process: ProcessNo, subject: Subject, number: u64) -> bool {
        let mut found = false;
        for request in self.memory(process).in_flight.clone() {
            let it = &self.requests[request];
            let meant = match subject {
                Subject::Credential(credential) => it.credential == credential,
                Subject::Right(user) => it.needs_right && self.history.owners[it.credential] == user,
            };
            if meant && !matches!(it.mark, Some(Mark::Cut(_))) {
                found = true;
                self.set_mark(request, Mark::Cut(number));
            }
        }
        let keeps_cache = self.is(Mutant::NotifyOnlyCache) || self.is(Mutant::TimeToLiveCache);
        if !keeps_cache {
            let owners = &self.history.owners;
            for (credential, known) in self.processes[process].memory.cache.iter_mut().enumerate() {
                let meant = match subject {
                    Subject::Credential(other) => other == credential,
                    Subject::Right(user) => owners[credential] == user,
                };
                if meant {
                    *known = None;
                }
            }
        }
        found
    }

    pub(crate) fn mark_late(&mut self, process: ProcessNo, number: u64) {
        if let Some(subject) = self.memory(process).late.remove(&number) {
            self.mark(process, subject, number);
        }
    }

    fn set_mark(&mut self, request: RequestNo, mark: Mark) {
        let it = &mut self.requests[request];
        let (process, credential, first, here) = (it.replica, it.credential, it.mark.is_none(), it.here);
        it.mark = Some(mark);
        self.tell(Some(credential), || format!("request {request} is marked: {mark:?}"));
        if first {
            if here {
                self.note(Branch::ReadHereMarked);
            }
            // It lets go soon; a slow one later. Until then gates see the mark.
            let most = if self.random.chance(30) { 100 * MS } else { 2 * MS };
            let soon = self.random.between(0, most);
            self.after(process, soon, Inside::Abandon(request));
        }
    }

    /// The number through which the requests of all cuts have let go.
    pub(crate) fn acknowledgeable(&mut self, process: ProcessNo) -> u64 {
        let memory = &self.processes[process].memory;
        let held = memory.in_flight.iter().filter_map(|request| match self.requests[*request].mark {
            Some(Mark::Cut(number)) => Some(number - 1),
            _ => None,
        });
        held.fold(memory.applied, u64::min)
    }

    /// Sends an acknowledgement, if there is a new one.
    pub(crate) fn acknowledge(&mut self, process: ProcessNo) {
        if !self.processes[process].serves {
            return;
        }
        let can = self.acknowledgeable(process);
        let memory = self.memory(process);
        if memory.row.is_some() && can > memory.acknowledged {
            memory.acknowledged = can;
            self.note(Branch::AcknowledgedAtOnce);
            self.renew(process);
        }
    }

    /// Notes since when rows stand where they stand.
    pub(crate) fn watch(&mut self, process: ProcessNo, rows: &[crate::database::ReplicaRow]) {
        let now = self.boot(process);
        let watched = &mut self.memory(process).watched;
        for row in rows {
            let seen = watched.entry(row.id).or_insert((row.renewals, now));
            if seen.0 != row.renewals {
                *seen = (row.renewals, now);
            }
        }
    }

    /// A request is over: its place is free.
    pub(crate) fn let_go(&mut self, request: RequestNo) {
        let it = &mut self.requests[request];
        it.step = Step::Over;
        let process = it.replica;
        let memory = self.memory(process);
        memory.in_flight.retain(|other| *other != request);
        self.acknowledge(process);
    }
}
