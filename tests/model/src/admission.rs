//! Admission: requests that have arrived are taken to the database together, and what it says of them is handed back. Also the
//! outcomes, which are written behind. Never a request in a statement that was issued before it arrived.

use crate::{
    clock::{MS, Micros},
    counts::Branch,
    database::{AdmitRow, Kind, Reply, Verdict},
    event::{Inside, ProcessNo, RequestNo, StatementNo},
    history::{Outcome, Status},
    process::{LANES, Mark, OUTCOMES, Standing},
    request::Step,
    rules::Mutant,
    world::World,
};

/// The most requests a statement carries.
const BATCH: usize = 256;

impl World {
    pub(crate) fn ask_admission(&mut self, process: ProcessNo, request: RequestNo) {
        if self.is(Mutant::JoinInFlight) && self.join(process, request) {
            return;
        }
        self.memory(process).waiting.push_back(request);
        self.fill_lanes(process);
    }

    /// Each free lane takes what waits.
    fn fill_lanes(&mut self, process: ProcessNo) {
        for (lane, connection) in LANES.into_iter().enumerate() {
            if self.memory(process).lanes[lane].is_some() {
                continue;
            }
            let memory = self.memory(process);
            let most = memory.waiting.len().min(BATCH);
            let taken: Vec<RequestNo> = memory.waiting.drain(..most).collect();
            if taken.is_empty() {
                return;
            }
            let unjudged = self.is(Mutant::NotifyOnlyCache) || self.is(Mutant::TimeToLiveCache);
            let row = |request: &RequestNo| {
                let it = &self.requests[*request];
                AdmitRow {
                    request: *request,
                    credential: it.credential,
                    version: it.rights.version,
                    audited: it.audited || it.forbidden,
                    unjudged,
                }
            };
            let kind = Kind::Admit { rows: taken.iter().map(row).collect(), sent: self.boot(process) };
            let statement = self.state(process, connection, kind);
            self.memory(process).lanes[lane] = Some(statement);
            for request in taken {
                if self.requests[request].step == Step::Waiting {
                    self.requests[request].step = Step::Judging(statement);
                }
            }
        }
    }

    /// Takes part in a statement that is under way for the same credential, which is what must not be done.
    fn join(&mut self, process: ProcessNo, request: RequestNo) -> bool {
        let (credential, version) = (self.requests[request].credential, self.requests[request].rights.version);
        for statement in self.memory(process).lanes.into_iter().flatten() {
            if let Kind::Admit { rows, .. } = &mut self.statements[statement].kind
                && let Some(same) = rows.iter().position(|row| (row.credential, row.version) == (credential, version))
            {
                self.requests[request].step = Step::Judging(statement);
                let it = AdmitRow { request, ..rows[same] };
                rows.push(it);
                // Its snapshot may have been taken; the verdict is that of the other.
                if let Some(Reply::Verdicts { verdicts, .. }) = &mut self.statements[statement].reply {
                    let verdict = verdicts[same];
                    verdicts.push(verdict);
                }
                return true;
            }
        }
        false
    }

    pub(crate) fn judged(
        &mut self,
        process: ProcessNo,
        statement: StatementNo,
        (rows, sent): (&[AdmitRow], Micros),
        reply: Reply,
    ) {
        self.free_lane(process, statement);
        let Reply::Verdicts { verdicts, standings } = reply else { return };
        let node = self.statements[statement].node;
        let current = node >= self.memory(process).lease.node;
        for (row, verdict) in rows.iter().zip(verdicts) {
            let request = row.request;
            if verdict == Verdict::Admitted {
                self.keep(process, row, Standing { number: standings, node }, sent);
            }
            self.tell(Some(row.credential), || format!("database {node} says of request {request}: {verdict:?}"));
            let unaware = matches!(self.requests[request].step, Step::Over);
            match verdict {
                // An intent that nobody waits for any more: nothing was done.
                Verdict::Admitted if unaware => self.outcome(request, Outcome::Failed),
                _ if self.requests[request].step != Step::Judging(statement) => {}
                _ if row.unjudged && self.requests[request].rights.dead => self.refused(request),
                Verdict::Refused => self.refused(request),
                Verdict::Stale => self.stale(request),
                Verdict::Admitted => self.admitted_unless_marked(request, current),
            }
        }
        self.fill_lanes(process);
    }

    fn admitted_unless_marked(&mut self, request: RequestNo, current: bool) {
        match self.requests[request].mark {
            None => self.admitted(request, current),
            Some(mark) => {
                self.outcome(request, Outcome::Failed);
                let by_cut = matches!(mark, Mark::Cut(_));
                self.answer(request, if by_cut { Status::Unauthorized } else { Status::Unavailable });
            }
        }
    }

    pub(crate) fn not_judged(&mut self, process: ProcessNo, statement: StatementNo, rows: &[AdmitRow]) {
        self.free_lane(process, statement);
        for row in rows {
            if self.requests[row.request].step == Step::Judging(statement) {
                self.answer(row.request, Status::Unavailable);
            }
        }
        self.fill_lanes(process);
    }

    fn free_lane(&mut self, process: ProcessNo, statement: StatementNo) {
        for lane in &mut self.memory(process).lanes {
            if *lane == Some(statement) {
                *lane = None;
            }
        }
    }

    pub(crate) fn flush(&mut self, process: ProcessNo) {
        let rows = std::mem::take(&mut self.memory(process).outcomes);
        if rows.is_empty() {
            self.memory(process).flushing = false;
        } else {
            self.state(process, OUTCOMES, Kind::Outcomes(rows));
        }
    }

    pub(crate) fn outcomes_written(&mut self, process: ProcessNo) {
        self.flush(process);
    }

    /// They may have been written; they are written again, and known by their request.
    pub(crate) fn outcomes_lost(&mut self, process: ProcessNo, rows: Vec<(RequestNo, Outcome)>) {
        self.note(Branch::OutcomesAgain);
        self.memory(process).outcomes.splice(0..0, rows);
        let soon = self.random.between(10 * MS, 50 * MS);
        self.after(process, soon, Inside::Flush);
    }
}
