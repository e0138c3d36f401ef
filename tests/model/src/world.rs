//! The world: everything there is, the loop that lets things happen one after the other, and the life of processes. Never the
//! protocol; that is in the rooms of the processes.

use crate::{
    clock::{Micros, Moment},
    counts::{Branch, Counts, Fault},
    database::{Node, Statement},
    event::{Around, Event, Inside, ProcessNo, Queue, RequestNo},
    history::{History, Inspection},
    network::{End, Network},
    process::{CONNECTIONS, Condition, Memory, Process},
    random::Random,
    request::{Request, Step},
    revoker::Call,
    rules::{Mutant, Rules},
};

/// How many replicas there are.
pub(crate) const REPLICAS: usize = 3;
/// The process of an operator's tasks.
pub(crate) const OPERATOR: ProcessNo = REPLICAS;

/// A line of what happened, for a person who follows it.
pub(crate) struct Line {
    pub(crate) at: Moment,
    /// What it is about. None: everybody.
    pub(crate) credential: Option<usize>,
    pub(crate) text: String,
}

pub(crate) struct World {
    pub(crate) rules: Rules,
    pub(crate) random: Random,
    pub(crate) now: Micros,
    no: u64,
    pub(crate) queue: Queue,
    pub(crate) processes: Vec<Process>,
    pub(crate) network: Network,
    pub(crate) nodes: Vec<Node>,
    /// From when a process's connection finds the new primary, after a failover.
    pub(crate) switched: Vec<[Micros; CONNECTIONS]>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) requests: Vec<Request>,
    pub(crate) calls: Vec<Call>,
    /// Whether people do nothing but read: a primary that was cut off answers that, and nothing that comes with an entry.
    pub(crate) only_reads: bool,
    /// How many notifications in a thousand are lost.
    pub(crate) deaf: u64,
    /// Whether a process may be stopped between a check and its write.
    pub(crate) stops_at_gates: bool,
    /// How many names of rows, renewals and versions there were.
    pub(crate) rows: u64,
    pub(crate) renewals: u64,
    pub(crate) versions: u64,
    pub(crate) history: History,
    pub(crate) counts: Counts,
    pub(crate) story: Option<Vec<Line>>,
}

impl World {
    pub(crate) fn new(seed: u64, rules: Rules) -> Self {
        Self {
            rules,
            random: Random::new(seed),
            now: 0,
            no: 0,
            queue: Queue::default(),
            processes: Vec::new(),
            network: Network::new(REPLICAS + 1, rules.faults),
            nodes: Vec::new(),
            switched: vec![[0; CONNECTIONS]; REPLICAS + 1],
            statements: Vec::new(),
            requests: Vec::new(),
            calls: Vec::new(),
            only_reads: false,
            deaf: 0,
            stops_at_gates: false,
            rows: 0,
            renewals: 0,
            versions: 1,
            history: History::default(),
            counts: Counts::default(),
            story: None,
        }
    }

    /// Lets everything happen until nothing is left, or a time is reached.
    pub(crate) fn run(&mut self, until: Micros) {
        while let Some((at, event)) = self.queue.take() {
            if at > until {
                break;
            }
            self.now = at;
            match event {
                Event::Around(what) => self.around(what),
                Event::Inside { process, incarnation, what } => {
                    let it = &mut self.processes[process];
                    if it.incarnation != incarnation {
                        continue;
                    }
                    match it.condition {
                        Condition::Dead => {}
                        Condition::Stopped => it.backlog.push(what),
                        Condition::Running => self.inside(process, what),
                    }
                }
            }
        }
        self.inspect();
    }

    /// The next moment in the order of all.
    pub(crate) fn moment(&mut self) -> Moment {
        self.no += 1;
        Moment { at: self.now, no: self.no }
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.rules.is(mutant)
    }

    pub(crate) fn put(&mut self, at: Micros, what: Around) {
        self.queue.put(at, Event::Around(what));
    }

    /// Something will reach a process, at a time of the model.
    pub(crate) fn reach(&mut self, at: Micros, process: ProcessNo, what: Inside) {
        let incarnation = self.processes[process].incarnation;
        self.queue.put(at, Event::Inside { process, incarnation, what });
    }

    /// A timer of a process, by its own clock.
    pub(crate) fn after(&mut self, process: ProcessNo, local: Micros, what: Inside) {
        let lasting = self.processes[process].clock.lasting(local);
        self.reach(self.now + lasting, process, what);
    }

    pub(crate) fn boot(&self, process: ProcessNo) -> Micros {
        self.processes[process].clock.boot(self.now)
    }

    pub(crate) fn memory(&mut self, process: ProcessNo) -> &mut Memory {
        &mut self.processes[process].memory
    }

    /// Writes down what happened, if anybody wants to read it.
    pub(crate) fn tell(&mut self, credential: Option<usize>, text: impl FnOnce() -> String) {
        if self.story.is_some() {
            let line = Line { at: self.moment(), credential, text: text() };
            self.story.iter_mut().for_each(|story| story.push(Line { text: line.text.clone(), ..line }));
        }
    }

    /// Somebody looks at the table of credentials.
    pub(crate) fn inspect(&mut self) {
        let at = self.moment();
        let tables = &self.nodes[self.primary()].tables;
        let right = tables.users.iter().map(|user| user.right).collect();
        let inspection = Inspection { at, dead: tables.dead.clone(), right };
        self.history.inspections.push(inspection);
    }

    /// The server whose commits count.
    pub(crate) fn primary(&self) -> usize {
        self.nodes.len() - 1
    }

    fn around(&mut self, what: Around) {
        match what {
            Around::Send(request) => self.send(request),
            Around::Arrive(request) => self.arrive(request),
            Around::HangUp(request) => self.hang_up(request),
            Around::Ask(call) => self.ask(call),
            Around::Write { user, give } => self.write_rights(user, give),
            Around::Befall { process, end, trouble } => self.befall(process, end, trouble),
            Around::Pause { process, lasting } => self.pause(process, lasting, Fault::Pause),
            Around::Resume { process, pause } => self.resume(process, pause),
            Around::Crash { process, lasting } => self.crash(process, lasting),
            Around::Start(process) => self.start(process),
            Around::SetWall { process, by } => {
                self.processes[process].clock.ahead += by;
                self.counts.fault(Fault::WallStep);
            }
            Around::StatementArrives { statement, sent } => self.statement_arrives(statement, sent),
            Around::Execute { statement, epoch } => self.execute(statement, epoch),
            Around::Commit { statement, epoch } => self.commit(statement, epoch),
            Around::Restart { lasting, told } => self.restart_database(lasting, told),
            Around::Stall(lasting) => self.stall_database(lasting),
            Around::SlowDisk { by, lasting } => self.slow_disk(by, lasting),
            Around::NodeUp(node) => self.nodes[node].up = true,
            Around::Failover => self.fail_over(),
            Around::Fence(node) => self.fence(node),
            Around::EffectArrives { effect, sent } => self.effect_arrives(effect, sent),
        }
    }

    fn inside(&mut self, process: ProcessNo, what: Inside) {
        match what {
            Inside::Handle(request) => self.handle(request),
            Inside::Patience(request) => self.out_of_patience(request),
            Inside::ReadOn(request) => self.read_on(request),
            Inside::Work(request) => self.work(request),
            Inside::Write { request, checked, last } => self.write_effect(request, checked, last),
            Inside::ClusterAnswer { request, done, sent } => self.cluster_answers(request, done, sent),
            Inside::ClusterLost(request) => self.cluster_is_silent(request),
            Inside::Tick(request) => self.tick(request),
            Inside::Abandon(request) => self.abandon(request),
            Inside::Connected { connection, generation } => self.connected(process, connection, generation),
            Inside::NotConnected { connection, generation } => self.not_connected(process, connection, generation),
            Inside::Reset { connection, generation } => self.reset(process, connection, generation),
            Inside::Answer { statement, sent } => self.answered(statement, sent),
            Inside::TimeOut(statement) => self.timed_out(statement),
            Inside::Retry(statement) => self.retry(statement),
            Inside::Notified => self.notified(process),
            Inside::RenewalDue(timer) => self.renewal_due(process, timer),
            Inside::LapseDue(until) => self.lapse_due(process, until),
            Inside::Flush => self.flush(process),
            Inside::Revoke(call) => self.revoke(call),
            Inside::Poll(call) => self.poll(call),
            Inside::WaitedOut(call) => self.waited_out(call),
            Inside::PublishLate(standing) => self.publish_late(process, standing),
            Inside::MarkLate(number) => self.mark_late(process, number),
        }
    }

    fn befall(&mut self, process: ProcessNo, end: End, trouble: crate::network::Trouble) {
        self.tell(None, || format!("link of process {process} to {end:?}: {trouble:?}"));
        self.network.befalls(self.now, (process, end), trouble, &mut self.counts);
        if matches!(trouble, crate::network::Trouble::Reset) {
            match end {
                End::Database => self.reset_all(process),
                End::Cluster => self.lose_cluster(process),
                End::Client => {}
            }
        }
    }

    /// A process begins, with nothing in memory.
    pub(crate) fn start(&mut self, process: ProcessNo) {
        let credentials = self.history.owners.len();
        let it = &mut self.processes[process];
        it.condition = Condition::Running;
        it.memory = Memory::new(credentials);
        if it.serves {
            self.tell(None, || format!("process {process} starts"));
            self.renew(process);
        }
    }

    pub(crate) fn pause(&mut self, process: ProcessNo, lasting: Micros, fault: Fault) {
        let it = &mut self.processes[process];
        if it.condition != Condition::Running {
            return;
        }
        it.condition = Condition::Stopped;
        it.pause += 1;
        it.paused_at = self.now;
        let pause = it.pause;
        self.counts.fault(fault);
        self.tell(None, || format!("process {process} is stopped for {} ms", lasting / 1_000));
        self.put(self.now + lasting, Around::Resume { process, pause });
    }

    fn resume(&mut self, process: ProcessNo, pause: u64) {
        let it = &mut self.processes[process];
        if it.condition != Condition::Stopped || it.pause != pause {
            return;
        }
        it.condition = Condition::Running;
        let (from, mut backlog) = (it.paused_at, std::mem::take(&mut it.backlog));
        self.history.pauses.push((process, from, self.now));
        self.tell(None, || format!("process {process} goes on"));
        // Which of its threads is first is anybody's guess.
        self.random.shuffle(&mut backlog);
        for what in backlog {
            self.reach(self.now, process, what);
        }
    }

    fn crash(&mut self, process: ProcessNo, lasting: Micros) {
        let it = &mut self.processes[process];
        if it.condition == Condition::Dead {
            return;
        }
        it.condition = Condition::Dead;
        it.incarnation += 1;
        it.backlog.clear();
        it.memory = Memory::default();
        self.counts.fault(Fault::Crash);
        self.tell(None, || format!("process {process} is killed"));
        let theirs: Vec<RequestNo> =
            (0..self.requests.len()).filter(|request| self.requests[*request].replica == process).collect();
        for request in theirs {
            if !matches!(self.requests[request].step, Step::Ahead | Step::Over) {
                self.requests[request].step = Step::Over;
            }
        }
        self.put(self.now + lasting, Around::Start(process));
    }

    pub(crate) fn note(&mut self, branch: Branch) {
        self.counts.branch(branch);
    }
}
