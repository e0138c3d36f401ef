//! The revoking call, from the controller's question to its answer, and the controller's probes at that very instant. Never an
//! answer before every replica, this one too, is done with the cut or cannot act.

use crate::{
    clock::{MS, Micros, S},
    counts::Branch,
    database::{Kind, ReplicaRow, Reply},
    event::{Around, CallNo, Inside, ProcessNo},
    history::{Revocation, Subject},
    plan::{Drawn, is_session},
    process::{CHANGES, Condition, POLLS},
    rules::{Mutant, SILENCE},
    world::{OPERATOR, REPLICAS, World},
};

/// When each replica is probed, counted from the answer, in microseconds.
const PROBES: [Micros; 10] = [0, 50, 200, MS, 5 * MS, 20 * MS, 80 * MS, 300 * MS, 900 * MS, 1_800 * MS];

pub(crate) struct Call {
    pub(crate) subject: Subject,
    pub(crate) process: ProcessNo,
    pub(crate) tries: u32,
    /// When its commit was sent, by the boot clock.
    pub(crate) sent: Micros,
    /// The number of its cut.
    pub(crate) number: Option<u64>,
    /// The primary that has it.
    pub(crate) node: usize,
    pub(crate) over: bool,
}

impl World {
    /// Adds a call, which will be made.
    pub(crate) fn add_call(&mut self, at: Micros, subject: Subject, process: ProcessNo, tries: u32) {
        self.history.revocations.push(Revocation { subject, committed: None, returned: None });
        self.calls.push(Call { subject, process, tries, sent: 0, number: None, node: 0, over: false });
        self.put(at, Around::Ask(self.calls.len() - 1));
    }

    pub(crate) fn ask(&mut self, call: CallNo) {
        let process = self.calls[call].process;
        if self.processes[process].condition == Condition::Dead {
            self.fail(call);
        } else {
            self.reach(self.now, process, Inside::Revoke(call));
        }
    }

    pub(crate) fn revoke(&mut self, call: CallNo) {
        let process = self.calls[call].process;
        if self.processes[process].serves && !self.has_lease(process) {
            return self.fail(call);
        }
        self.calls[call].sent = self.boot(process);
        self.state(process, CHANGES, Kind::Revoke(call));
    }

    /// It committed. Here it is a cut like any other, which is looked for at once; the others hear of it.
    pub(crate) fn committed(&mut self, call: CallNo, node: usize, reply: Reply) {
        let Reply::Committed { number, repeated } = reply else { return };
        let Call { process, subject, sent, .. } = self.calls[call];
        (self.calls[call].number, self.calls[call].node) = (Some(number), node);
        self.tell(subject.credential(), || {
            format!("process {process} knows that call {call} has committed cut {number}")
        });
        if repeated && self.is(Mutant::RepeatWithoutWait) {
            return self.give_back(call);
        }
        if self.processes[process].serves {
            self.renew(process);
        }
        let silence = match self.rules.mutant {
            Some(Mutant::SilentNotWaitedFor) => 300 * MS,
            Some(Mutant::WaitFromCommitSent) => SILENCE.saturating_sub(self.boot(process) - sent),
            _ => SILENCE,
        };
        self.after(process, silence, Inside::WaitedOut(call));
        self.poll(call);
    }

    /// Nobody knows whether it committed: 503.
    pub(crate) fn not_committed(&mut self, call: CallNo) {
        self.note(Branch::CommitUnknown);
        self.fail(call);
    }

    /// It ends without a word that could be relied on, and the controller asks again, mostly elsewhere.
    pub(crate) fn fail(&mut self, call: CallNo) {
        let it = &mut self.calls[call];
        if std::mem::replace(&mut it.over, true) || it.tries == 0 {
            return;
        }
        let (subject, tries) = (it.subject, it.tries - 1);
        let process = self.random.below(OPERATOR + 1);
        let at = self.now + self.random.between(20 * MS, 400 * MS);
        self.add_call(at, subject, process, tries);
    }

    pub(crate) fn poll(&mut self, call: CallNo) {
        if !self.calls[call].over {
            let process = self.calls[call].process;
            self.state(process, POLLS, Kind::Poll(call));
        }
    }

    pub(crate) fn polled(&mut self, call: CallNo, node: usize, reply: Reply) {
        let Reply::Rows(rows) = reply else { return };
        let Call { process, number, over, .. } = self.calls[call];
        let Some(number) = number.filter(|_| !over) else { return };
        self.watch(process, &rows);
        // A primary that was cut off shows rows of a time before the cut; nothing follows from them.
        let counts = node >= self.calls[call].node;
        if !counts {
            self.note(Branch::RowsElsewhere);
        }
        let others: Vec<ReplicaRow> =
            rows.into_iter().filter(|row| Some(row.id) != self.processes[process].memory.row).collect();
        let silent: Vec<ReplicaRow> = others.into_iter().filter(|row| row.acknowledged < number).collect();
        let all_gone = silent.iter().all(|row| self.is_gone(process, row));
        // No second way for what is taken away here: it would have to be told the new standings, too.
        let here = self.processes[process].serves && self.acknowledgeable(process) < number;
        let here = here && !self.is(Mutant::RevokerNotWaitedFor);
        if (counts || self.is(Mutant::RowsElsewhere)) && all_gone && !here {
            self.note(if silent.is_empty() { Branch::AllAcknowledged } else { Branch::SomeGone });
            for ReplicaRow { id: row, renewals, .. } in silent {
                if self.random.chance(500) {
                    self.state(process, CHANGES, Kind::Delete { row, renewals });
                }
            }
            return self.give_back(call);
        }
        let soon = if counts { self.random.between(2 * MS, 8 * MS) } else { 25 * MS };
        self.after(process, soon, Inside::Poll(call));
    }

    /// Whether a row has stood still for so long that its replica has no lease. The row was read after the commit.
    fn is_gone(&self, process: ProcessNo, row: &ReplicaRow) -> bool {
        let seen = self.processes[process].memory.watched.get(&row.id);
        seen.is_some_and(|(renewals, since)| *renewals == row.renewals && self.boot(process) >= since + SILENCE)
    }

    pub(crate) fn waited_out(&mut self, call: CallNo) {
        if !self.calls[call].over {
            self.note(Branch::WaitedOut);
            self.give_back(call);
        }
    }

    /// The answer: 2xx. From here on the promise counts, and the controller looks whether it is kept.
    fn give_back(&mut self, call: CallNo) {
        self.calls[call].over = true;
        let at = self.moment();
        self.history.revocations[call].returned = Some(at);
        let subject = self.calls[call].subject;
        self.tell(subject.credential(), || format!("call {call} returns: {subject:?} is gone"));
        for replica in 0..REPLICAS {
            for offset in PROBES {
                let (credential, needs_right) = match subject {
                    Subject::Credential(credential) => (credential, self.random.chance(300)),
                    Subject::Right(user) => (self.one_of(user), true),
                };
                // Who was admitted without asking is who may be so still.
                let reads = is_session(credential) && (self.only_reads || self.random.chance(400));
                let mut probe = self.draw(Drawn { credential, replica, needs_right, streams: false, reads });
                probe.instant = offset <= 50;
                let request = self.add(probe);
                self.put(self.now + offset, Around::Arrive(request));
            }
        }
    }

    /// Whether a cut is one that a process has made itself.
    pub(crate) fn made_here(&self, process: ProcessNo, number: u64) -> bool {
        self.calls.iter().any(|call| call.process == process && call.number == Some(number))
    }

    /// When everything that was asked for is over, at the latest.
    pub(crate) const AFTERMATH: Micros = 12 * S;
}
