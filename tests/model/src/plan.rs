//! What happens in a run, drawn from its seed: who is there, what they ask for, what is revoked, and which faults come when.
//! Never anything that depends on how it goes.

use crate::{
    clock::{Clock, MS, Micros, S},
    database::{Node, Tables, UserRow},
    event::{Around, ProcessNo},
    history::{Subject, User},
    network::{End, Network, Trouble},
    process::{Condition, Memory, Process, Rights},
    request::{About, Request, Step},
    world::{OPERATOR, REPLICAS, World},
};

const USERS: usize = 16;
const CREDENTIALS: usize = 48;
/// Revocations in a run.
const REVOCATIONS: usize = 22;
/// Requests that have nothing to do with any of them.
const BESIDES: usize = 350;
/// When the last planned thing happens.
const LENGTH: Micros = 9 * S;

/// A request, as far as it is not left to chance.
pub(crate) struct Drawn {
    pub(crate) credential: usize,
    pub(crate) replica: ProcessNo,
    pub(crate) needs_right: bool,
    pub(crate) streams: bool,
    /// It reads our own tables, and leaves no entry. Only sessions do.
    pub(crate) reads: bool,
}

impl World {
    /// Draws everything.
    pub(crate) fn plan(&mut self) -> Micros {
        let fails_over = self.random.chance(400);
        self.only_reads = self.rules.faults && fails_over && self.random.chance(400);
        self.people();
        self.machines();
        let changes = self.revocations();
        for _ in 0..BESIDES {
            let at = self.random.between(20 * MS, LENGTH);
            let credential = self.somebody();
            self.request_at(at, credential, 100);
        }
        for _ in 0..24 {
            let at = self.random.between(S, LENGTH);
            let user = self.random.below(USERS);
            self.put(at, Around::Write { user, give: false });
            // In bursts now and then, so that rights change while they are read.
            let bursts = if self.rules.faults { self.random.below(4) } else { 0 };
            for _ in 0..bursts {
                let again = at + self.random.between(0, 3 * MS);
                self.put(again, Around::Write { user, give: false });
                let (request, credential) = (at + self.random.between(0, 2 * MS), self.one_of(user));
                self.request_at(request, credential, 0);
            }
        }
        if self.rules.faults {
            self.faults(&changes, fails_over);
        }
        LENGTH + Self::AFTERMATH
    }

    fn people(&mut self) {
        let owners: Vec<usize> = (0..CREDENTIALS).map(|credential| credential % USERS).collect();
        let start = self.moment();
        let mut tables = Tables { owners: owners.clone(), dead: vec![false; CREDENTIALS], ..Tables::default() };
        for user in 0..USERS {
            // Some are given the right later, and some of those lose it again.
            let later = user % 4 == 3;
            tables.users.push(UserRow { version: 1, right: !later });
            self.history.users.push(User { right_given: (!later).then_some(start) });
            if later {
                let at = self.random.between(S, 4 * S);
                self.put(at, Around::Write { user, give: true });
                for _ in 0..6 {
                    let (at, credential) = (at + self.random.between(0, 300 * MS), self.one_of(user));
                    self.request_at(at, credential, 0);
                }
            }
        }
        self.history.owners = owners;
        self.nodes.push(Node::new(tables));
    }

    fn machines(&mut self) {
        let drift = self.rules.drift;
        for process in 0..=OPERATOR {
            // The ends of what clocks may do are where it is tight.
            let rate = match self.random.below(5) {
                0..2 => S - drift,
                2..4 => S + drift,
                _ => self.random.between(S - drift, S + drift + 1),
            };
            self.processes.push(Process {
                serves: process < REPLICAS,
                incarnation: 0,
                condition: Condition::Dead,
                clock: Clock { rate, ahead: 0 },
                pause: 0,
                paused_at: 0,
                backlog: Vec::new(),
                memory: Memory::default(),
            });
            self.start(process);
        }
    }

    /// Revocations, each in the middle of requests and streams of its credential. Returns when.
    fn revocations(&mut self) -> Vec<Micros> {
        let mut times = Vec::new();
        for number in 0..REVOCATIONS {
            let at = if number % 4 == 3 {
                // Some at the same time as another.
                times.last().copied().unwrap_or_default() + self.random.between(0, 3 * MS)
            } else {
                self.random.between(3 * S / 2, LENGTH)
            };
            times.push(at);
            let subject = if number % 3 == 2 {
                Subject::Right(self.random.below(USERS))
            } else {
                Subject::Credential(self.somebody())
            };
            let process = self.random.below(OPERATOR + 1);
            self.add_call(at, subject, process, 3);
            if self.random.chance(150) {
                // Two people have the same idea.
                let (process, at) = (self.random.below(OPERATOR + 1), at + self.random.between(MS, 900 * MS));
                self.add_call(at, subject, process, 3);
            }
            if let (Subject::Right(user), true) = (subject, self.random.chance(700)) {
                // Rights are read again while they are taken away.
                let just_before = at.saturating_sub(self.random.between(0, 20 * MS));
                self.put(just_before, Around::Write { user, give: false });
            }
            for replica in 0..REPLICAS {
                if self.random.chance(300) {
                    let credential = match subject {
                        Subject::Credential(credential) => credential,
                        Subject::Right(user) => session_of(user),
                    };
                    let from = at.saturating_sub(self.random.between(50 * MS, 500 * MS));
                    self.reading((from, at + 70 * MS), 50 * MS, credential, replica);
                }
            }
            for _ in 0..3 {
                let (begins, credential) =
                    (at.saturating_sub(self.random.between(5 * MS, 1_500 * MS)), self.meant(subject));
                self.request_at(begins, credential, 1_000);
            }
            for _ in 0..8 {
                let (begins, credential) =
                    ((at + self.random.between(0, 40 * MS)).saturating_sub(30 * MS), self.meant(subject));
                self.request_at(begins, credential, 0);
            }
        }
        times
    }

    /// A person reads on and on at one replica.
    fn reading(&mut self, (from, until): (Micros, Micros), gaps: Micros, credential: usize, replica: ProcessNo) {
        let mut at = from;
        while at < until && is_session(credential) {
            let needs_right = self.random.chance(500);
            let request = self.draw(Drawn { credential, replica, needs_right, streams: false, reads: true });
            let request = self.add(request);
            self.put(at, Around::Send(request));
            at += self.random.between(0, gaps);
        }
    }

    fn meant(&mut self, subject: Subject) -> usize {
        match subject {
            Subject::Credential(credential) => credential,
            Subject::Right(user) => self.one_of(user),
        }
    }

    /// A credential.
    fn somebody(&mut self) -> usize {
        let user = self.random.below(USERS);
        self.one_of(user)
    }

    /// One of a user's credentials.
    pub(crate) fn one_of(&mut self, user: usize) -> usize {
        let credential = user + USERS * self.random.below(CREDENTIALS / USERS);
        if self.only_reads && !is_session(credential) { session_of(user) } else { credential }
    }

    fn request_at(&mut self, at: Micros, credential: usize, streams: u64) {
        let (replica, needs_right) = (self.random.below(REPLICAS), self.random.chance(500));
        let (streams, reads) = (self.random.chance(streams) && !self.only_reads, self.only_reads);
        let request = self.draw(Drawn { credential, replica, needs_right, streams, reads });
        let request = self.add(request);
        self.put(at, Around::Send(request));
        if self.rules.faults && self.random.chance(20) {
            let at = at + self.random.between(0, 30 * MS);
            self.put(at, Around::HangUp(request));
        }
    }

    /// A request with the rest left to chance.
    pub(crate) fn draw(&mut self, drawn: Drawn) -> Request {
        let Drawn { credential, replica, needs_right, streams, reads } = drawn;
        let about = match self.random.below(10) {
            _ if streams => About::Stream,
            _ if reads => About::Own,
            0..4 => About::Own,
            4..9 => About::Call,
            _ => About::Stream,
        };
        let audited = !(is_session(credential) && (reads || self.random.chance(700)));
        // Most work is short. Some waits for something, and that is where the gates are for.
        let works = match self.random.below(100) {
            0..8 => self.random.between(50 * MS, 2_600 * MS),
            8..12 => self.random.between(2 * S, 6 * S),
            _ => self.random.between(0, 3 * MS),
        };
        let writes = if self.random.chance(300) { 1 + self.random.below(3) as u32 } else { 1 };
        Request {
            credential,
            replica,
            about,
            needs_right,
            audited,
            instant: false,
            step: Step::Ahead,
            rights: Rights { version: 0, right: false, dead: false, loaded: 0 },
            forbidden: false,
            entered: false,
            here: false,
            attempts: 0,
            mark: None,
            works,
            writes,
            streams_for: self.random.between(100 * MS, 6 * S),
            stream_ends: 0,
            hung_up: false,
            done: false,
        }
    }

    /// Faults, more of them around revocations than elsewhere.
    fn faults(&mut self, changes: &[Micros], fails_over: bool) {
        self.deaf = [0, 100, 1_000][self.random.below(3)];
        self.stops_at_gates = self.random.chance(400);
        let mut times: Vec<Micros> = Vec::new();
        for change in changes {
            if self.random.chance(280) {
                times.push((change + self.random.between(0, 550 * MS)).saturating_sub(500 * MS));
            }
        }
        for _ in 0..self.random.below(6) {
            times.push(self.random.between(500 * MS, LENGTH));
        }
        for at in times {
            self.fault_at(at);
        }
        if self.random.chance(700) {
            let (at, process) = (self.random.between(S, 6 * S), self.random.below(REPLICAS));
            self.dead_from(at, process);
        }
        if fails_over {
            let at = self.random.between(S, 6 * S);
            self.put(at, Around::Failover);
            self.two_primaries(at);
        }
    }

    /// Both are written to after a failover, and come to the same numbers by different writes, while people read on.
    fn two_primaries(&mut self, at: Micros) {
        for _ in 0..4 {
            let (user, soon) = (self.random.below(USERS), at + self.random.between(50 * MS, 3 * S / 2));
            self.put(soon, Around::Write { user, give: false });
        }
        for _ in 0..3 {
            let (credential, replica) = (session_of(self.random.below(USERS)), self.random.below(REPLICAS));
            let ends = at + self.random.between(300 * MS, 3 * S / 2);
            self.reading((at, ends + 3 * S), 80 * MS, credential, replica);
            let process = self.random.below(OPERATOR + 1);
            self.add_call(ends, Subject::Credential(credential), process, 3);
        }
    }

    fn fault_at(&mut self, at: Micros) {
        let process = self.random.below(REPLICAS);
        let anybody = self.random.below(OPERATOR + 1);
        let what = match self.random.below(100) {
            0..40 => self.trouble(anybody, End::Database),
            40..50 => self.trouble(process, End::Cluster),
            50..55 => self.trouble(process, End::Client),
            55..65 => {
                // Answers are late at first, and then nothing passes.
                let soon = at + self.random.between(200 * MS, 900 * MS);
                self.dead_from(soon, process);
                let back = self.random.between(300 * MS, 640 * MS);
                let trouble = Trouble::Slow { out: 0, back, lasting: S };
                Around::Befall { process, end: End::Database, trouble }
            }
            65..71 => {
                let soon = at + self.random.between(200 * MS, 900 * MS);
                self.dead_from(soon, process);
                let (by, lasting) = (self.random.between(100 * MS, 900 * MS), self.random.between(300 * MS, S));
                Around::SlowDisk { by, lasting }
            }
            71..81 => Around::Pause { process: anybody, lasting: self.random.between(30 * MS, 4 * S) },
            81..86 => Around::Crash { process, lasting: self.random.between(50 * MS, 1_500 * MS) },
            86..91 => {
                if self.random.chance(500) {
                    let soon = at + self.random.between(0, S);
                    self.dead_from(soon, process);
                }
                let by = self.random.between(0, 20 * S).cast_signed() - (10 * S).cast_signed();
                Around::SetWall { process, by }
            }
            91..94 => Around::Restart { lasting: self.random.between(100 * MS, S), told: self.random.chance(600) },
            _ => Around::Stall(self.random.between(30 * MS, 1_500 * MS)),
        };
        self.put(at, what);
    }

    fn trouble(&mut self, process: ProcessNo, end: End) -> Around {
        Around::Befall { process, end, trouble: Network::some_trouble(&mut self.random) }
    }

    /// Nothing passes between a process and the database, for longer than a lease.
    fn dead_from(&mut self, at: Micros, process: ProcessNo) {
        let lasting = self.random.between(2 * S, 7 * S / 2);
        let trouble = Trouble::Blocked { out: true, back: true, lasting };
        self.put(at, Around::Befall { process, end: End::Database, trouble });
        if self.random.chance(500) {
            // Somebody who reads there loses the session meanwhile, and is among the first when it comes back.
            let credential = session_of(self.random.below(USERS));
            self.reading((at.saturating_sub(400 * MS), at + 20 * MS), 80 * MS, credential, process);
            for _ in 0..6 {
                let begins = at.saturating_sub(self.random.between(5 * MS, 400 * MS));
                let stream =
                    self.draw(Drawn { credential, replica: process, needs_right: false, streams: true, reads: false });
                let stream = self.add(stream);
                self.put(begins, Around::Send(stream));
            }
            // The last that it hears of is somebody else's, so that its lease is as long as can be.
            let (before, other) = (at.saturating_sub(self.random.between(4 * MS, 7 * MS)), self.somebody());
            self.add_call(before, Subject::Credential(other), OPERATOR, 3);
            let most = if self.random.chance(700) { 2 * MS } else { 200 * MS };
            let (soon, by) = (at + self.random.between(0, most), self.random.below(OPERATOR + 1));
            self.add_call(soon, Subject::Credential(credential), by, 3);
            self.reading((at + lasting, at + lasting + 600 * MS), 6 * MS, credential, process);
        }
    }
}

/// Half of the credentials are sessions, whose reads leave no entry.
pub(crate) fn is_session(credential: usize) -> bool {
    credential / USERS == 2 || credential / USERS + credential % 2 == 1
}

/// A session of a user's.
fn session_of(user: usize) -> usize {
    user + 2 * USERS
}
