//! Readers: credentials whose unaudited reads the database has admitted, and who read on here for as long as its number stands
//! where it stood. Never a refusal, and never what reaches a cluster or leaves an entry: for those the database is asked.

use crate::{
    clock::{MS, Micros},
    counts::Branch,
    database::AdmitRow,
    event::{Inside, ProcessNo, RequestNo},
    process::{Reader, Standing},
    request::Step,
    rules::{Mutant, READS_ON},
    world::World,
};

impl World {
    /// Whoever was admitted at another number has to ask again.
    pub(crate) fn publish(&mut self, process: ProcessNo, standing: Standing) {
        if self.is(Mutant::NumberAfterMarks) {
            let soon = self.random.between(0, 60 * MS);
            self.after(process, soon, Inside::PublishLate(standing));
        } else {
            self.publish_now(process, standing);
        }
    }

    pub(crate) fn publish_late(&mut self, process: ProcessNo, standing: Standing) {
        let at = |standing: Standing| (standing.node, standing.number);
        if self.memory(process).published.is_none_or(|newer| at(newer) <= at(standing)) {
            self.publish_now(process, standing);
        }
    }

    fn publish_now(&mut self, process: ProcessNo, standing: Standing) {
        if self.memory(process).published.replace(standing) != Some(standing) {
            let Standing { number, node } = standing;
            self.tell(None, || format!("replica {process} publishes number {number} of database {node}"));
        }
    }

    /// Keeps what the database said, which was asked at `sent` of the boot clock. Also where that was an older primary: it is
    /// the comparison that has to see to it.
    pub(crate) fn keep(&mut self, process: ProcessNo, row: &AdmitRow, standing: Standing, sent: Micros) {
        if !row.audited && !row.unjudged {
            let reader = Reader { version: row.version, standing, until: sent + READS_ON };
            self.memory(process).readers[row.credential] = Some(reader);
        }
    }

    /// Whether the database would admit a request as it admitted one before.
    pub(crate) fn reads_on(&mut self, request: RequestNo) -> bool {
        let it = &self.requests[request];
        let (process, version) = (it.replica, it.rights.version);
        if !it.reads_own() || it.forbidden || it.rights.dead || it.mark.is_some() {
            return false;
        }
        let memory = &self.processes[process].memory;
        let (Some(reader), Some(published)) = (memory.readers[it.credential], memory.published) else { return false };
        if self.boot(process) >= reader.until {
            return false;
        }
        let standing = reader.standing;
        if standing.number != published.number && !self.is(Mutant::NumberNotCompared) {
            self.note(Branch::ReadNumberMoved);
            return false;
        }
        if standing.node != published.node && !self.is(Mutant::NumberElsewhere) {
            self.note(Branch::ReadNumberElsewhere);
            return false;
        }
        if reader.version != version && !self.is(Mutant::VersionNotCompared) {
            self.note(Branch::ReadVersionMoved);
            return false;
        }
        if self.is(Mutant::ReadHereWithoutLease) {
            return true;
        }
        // Who is fresh has a lease. It is asked for all the same, because it is what the promises rest on.
        if !self.is_fresh(process) {
            self.note(Branch::ReadNotFresh);
            return false;
        }
        self.has_lease(process)
    }

    /// Nobody was asked. Its answer takes a while, and the gate is still before it.
    pub(crate) fn admitted_here(&mut self, request: RequestNo) {
        self.note(Branch::ReadHere);
        let it = &mut self.requests[request];
        it.here = true;
        it.step = Step::Working;
        let (process, credential, works) = (it.replica, it.credential, it.works);
        self.tell(Some(credential), || {
            format!("request {request} is admitted by replica {process}, which asks nobody")
        });
        self.after(process, works, Inside::ReadOn(request));
    }

    pub(crate) fn read_on(&mut self, request: RequestNo) {
        if self.requests[request].step == Step::Working {
            self.answer_ok(request);
        }
    }
}
