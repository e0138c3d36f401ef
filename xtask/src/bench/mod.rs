//! `cargo xtask bench`: how fast the server is beside a bare one, how soon ready, how large when idle, and whether the
//! time of a refusal tells why. Everything runs in one go, on this machine alone, and ends with it.
//!
//! Never a test: figures depend on the machine, so a missed bar is told, and only a wrong answer is an error.

mod bogus;
mod cluster;
mod hello;
mod http;
mod latencies;
mod load;
mod many;
mod pages;
mod people;
mod place;
mod process;
mod raw;
mod refusals;
mod report;
mod revocations;
mod system;

pub(crate) use hello::hello;
pub(crate) use many::fill;
use raw::Raw;
pub(crate) use raw::raw;

use crate::{
    cli::BenchOptions,
    error::{Done, TaskError, Tried},
    output::{line, progress},
    postgres, suite,
};
use load::{Load, Measured};
use place::{Database, Place};
use process::Server;
use report::{Bare, Bars, Speed};
use std::{
    net::Ipv4Addr,
    os::unix::process::CommandExt,
    process::Command,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};
use system::{Interrupt, Pins};

/// Starts of which the median is told.
const STARTS: usize = 5;
/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(3);
/// How often a page and its call are measured, of which the median is told.
const TURNS: usize = 3;
/// How many keys nobody uses there may be beside those that are.
const MANY: u64 = 10_000_000;
/// The owners of the keys.
const USERS: u32 = 100;

/// Runs the measurements: built for release, in a process built for release.
pub(crate) fn run(options: &BenchOptions) -> Done {
    if cfg!(debug_assertions) {
        let root = suite::root()?;
        progress("building for release; the first time this takes ten minutes");
        suite::cargo(&root, &["build", "--release", "--bin", "kv-server", "--bin", "xtask"], &[])?;
        let target = std::env::current_exe().tried("finding this program")?;
        let target = target.parent().and_then(std::path::Path::parent).map(|folder| folder.join("release/xtask"));
        let program = target.ok_or_else(|| TaskError::new("this program is not in cargo's target folder"))?;
        let error = Command::new(program).args(std::env::args_os().skip(1)).exec();
        return Err(TaskError::because("starting the measurements", error));
    }
    Bench::new(options)?.run()
}

struct Bench<'a> {
    options: &'a BenchOptions,
    interrupt: Interrupt,
    pins: Pins,
    place: Place,
}

impl<'a> Bench<'a> {
    fn new(options: &'a BenchOptions) -> Done<Self> {
        Ok(Self { options, interrupt: Interrupt::listen()?, pins: Pins::choose(options.pin)?, place: Place::new()? })
    }

    fn wants(&self, name: &str) -> bool {
        self.options.only.as_deref().is_none_or(|part| name.contains(part))
    }

    fn run(&self) -> Done {
        line(&system::machine(&self.pins));
        let (mut speeds, mut bars) = (Vec::new(), Bars::default());
        let wanted = |database: &str| {
            ["start", "load", "refusals", "flood", "bogus", "cluster", "pages", "many", "revocations"]
                .iter()
                .any(|measurement| self.wants(&format!("{database} {measurement}")))
        };
        let mut databases = Vec::new();
        if wanted("sqlite") {
            databases.push(self.place.sqlite(&self.pins, self.options.keys, &self.interrupt)?);
        }
        let mut postgres = None;
        if wanted("postgresql") {
            self.pins.this_like_servers()?;
            let started = postgres::start(&progress).tried("starting a PostgreSQL to measure");
            self.pins.this_like_load()?;
            let started = started?;
            databases.push(self.place.postgres(
                &self.pins,
                &started.url("postgres"),
                self.options.keys,
                &self.interrupt,
            )?);
            postgres = Some(started);
        }
        let postmaster = postgres.as_ref().and_then(postgres::Postgres::postmaster);
        for database in &databases {
            self.start_and_rest(database, &mut bars)?;
        }
        self.load(&databases, &mut speeds, &mut bars)?;
        for database in &databases {
            if self.wants(&format!("{} refusals", database.name)) {
                // All from one address, and far more than one may show: the time of a look-up is what is asked.
                let mut environment = database.environment.clone();
                environment.push(("KUBEVISION_UNKNOWN_RATE_LIMIT", "off".to_owned()));
                let server = Server::ready_with(&self.place, &self.pins, &environment)?;
                progress(&format!("timing refusals on {}", database.name));
                let told = refusals::measure(server.address, &database.refused, &self.interrupt)?;
                server.stop()?;
                bars.refusals(database.name, &told);
            }
        }
        for database in &databases {
            if self.wants(&format!("{} flood", database.name)) {
                // On every core, as people run it. On a core of their own, PostgreSQL and a hash would take turns as the
                // kernel's scheduling groups have it, whatever the priority of a thread.
                let lifted = self.pins.lift(postmaster)?;
                let server = Server::ready(&self.place, &lifted, database)?;
                progress(&format!("a flood of sign-ins on {}", database.name));
                let flooded = people::flood(&server, &database.requests, &self.interrupt)?;
                server.stop()?;
                self.pins.put_back(postmaster)?;
                bars.flood(database.name, "sign-ins", &flooded);
            }
        }
        for database in databases.iter().filter(|database| self.wants(&format!("{} bogus", database.name))) {
            self.bogus(database, &mut bars)?;
        }
        let reached: Vec<&Database> =
            databases.iter().filter(|database| self.wants(&format!("{} cluster", database.name))).collect();
        if !reached.is_empty() {
            // On every core, as people run it: on one, the API server and this one empty each other's caches, which takes the
            // former half as long again.
            let lifted = self.pins.lift(postmaster)?;
            let prepared = cluster::prepare(&lifted)?;
            for database in reached {
                let (seconds, interrupt) = (self.options.seconds, &self.interrupt);
                let reached = cluster::measure(&self.place, &lifted, database, &prepared, seconds, interrupt)?;
                bars.cluster(database.name, &reached);
            }
            self.pins.put_back(postmaster)?;
        }
        for database in databases.iter().filter(|database| self.wants(&format!("{} pages", database.name))) {
            self.pages(database, &mut bars)?;
        }
        let named = self.options.only.as_deref().is_some_and(|part| part.contains("many"));
        for database in databases.iter().filter(|database| named && self.wants(&format!("{} many", database.name))) {
            self.many(database, &mut bars)?;
        }
        // Last: the keys are used up by it.
        for database in databases.iter().filter(|database| self.wants(&format!("{} revocations", database.name))) {
            for notify in [true, false] {
                progress(&format!("revocations on {}", database.name));
                let revoked = revocations::measure(&self.place, &self.pins, database, notify, &self.interrupt)?;
                bars.revocations(database.name, notify, &revoked);
                if database.name == "sqlite" {
                    break;
                }
            }
        }
        if let Some(postgres) = postgres {
            postgres.stop().tried("ending PostgreSQL")?;
        }
        report::print(&speeds, &mut bars);
        line(&system::load_average());
        match bars.wrong_answers {
            0 => Ok(()),
            wrong => Err(TaskError::new(format!("{wrong} answers were not those expected; the figures do not count"))),
        }
    }

    /// A server on the database, ready.
    fn ready(&self, database: &Database) -> Done<Server> {
        self.interrupt.check()?;
        Server::ready(&self.place, &self.pins, database)
    }

    /// How soon a server is ready, and how large it is when nobody asks anything.
    fn start_and_rest(&self, database: &Database, bars: &mut Bars) -> Done {
        // The first start makes the administrator; it is no start on an existing database.
        self.ready(database)?.stop()?;
        if !self.wants(&format!("{} start", database.name)) {
            return Ok(());
        }
        let mut took = Vec::new();
        let mut resident = 0;
        for start in 1..=STARTS {
            self.interrupt.check()?;
            progress(&format!("start {start} of {STARTS} on {}", database.name));
            let began = Instant::now();
            let mut server = Server::start(&self.place, &self.pins, database)?;
            server.wait_until_ready()?;
            took.push(began.elapsed());
            if start == STARTS {
                thread::sleep(IDLE);
                resident = server.resident_kib()?;
            }
            server.stop()?;
        }
        took.sort();
        bars.start(database.name, &took, resident);
        Ok(())
    }

    /// The servers under load, a bare one before and after each.
    fn load(&self, databases: &[Database], speeds: &mut Vec<Speed>, bars: &mut Bars) -> Done {
        let chosen: Vec<&Database> =
            databases.iter().filter(|database| self.wants(&format!("{} load", database.name))).collect();
        let Some(first) = chosen.first() else { return Ok(()) };
        let mut before = self.bare(first, speeds)?;
        for database in chosen {
            let commit = self.place.durable_write()?;
            let server = self.ready(database)?;
            progress(&format!("load on {}", database.name));
            let measured = self.measure(&server, &database.requests)?;
            thread::sleep(IDLE);
            let after_load = server.resident_kib()?;
            progress(&format!("load of a session on {}", database.name));
            let session = self.measure(&server, &people::session_request(&server)?)?;
            progress(&format!("load of a malformed key on {}", database.name));
            let malformed = self.measure_expecting(&server, &Rc::new(vec![malformed(database)?]), 401)?;
            progress(&format!("one request at a time on {}", database.name));
            let alone =
                Load { connections: 1, ..self.load_of(&server, &database.requests, 200) }.run(&self.interrupt)?;
            server.stop()?;
            let after = self.bare(database, speeds)?;
            progress(&format!("rows written plainly into {}", database.name));
            let rows = self.raw(database, self.options.seconds, 64)?.rows_a_second;
            progress(&format!("one row at a time into {}", database.name));
            let one = self.raw(database, self.options.seconds.min(5), 1)?;
            let bare = before.and(after);
            bars.load(database.name, &measured, &bare, commit, after_load);
            bars.raw(database.name, &measured, rows);
            bars.session(database.name, &session, &measured, &bare);
            bars.malformed(database.name, &malformed, &bare);
            bars.alone(database.name, &alone, &one);
            speeds.push(Speed { name: database.name, measured });
            speeds.push(Speed { name: database.session_name, measured: session });
            speeds.push(Speed { name: "  a malformed key", measured: malformed });
            speeds.push(Speed { name: "  one at a time", measured: alone });
            before = after;
        }
        Ok(())
    }

    /// Rows written plainly, so many a commit.
    fn raw(&self, database: &Database, seconds: u64, rows: usize) -> Done<Raw> {
        let (seconds, rows) = (seconds.to_string(), rows.to_string());
        let task = ["bench-raw", "--seconds", &seconds, "--rows", &rows];
        let told = self.place.task(&self.pins, database, &self.interrupt, &task)?;
        serde_json::from_str(&told).tried("reading how rows were written")
    }

    /// Keys beside a flood of those that nobody has: some that cannot be one, and some that could.
    fn bogus(&self, database: &Database, bars: &mut Bars) -> Done {
        let (keys, elsewhere) = (refusals::unknown_keys()?, Ipv4Addr::new(10, 0, 0, 0));
        let unknown = |from: &dyn Fn(u32) -> Ipv4Addr| -> Vec<Vec<u8>> {
            keys.iter().zip(0..).map(|(key, n)| bogus::from(place::request(key), from(n))).collect()
        };
        for (what, bogus) in [
            ("malformed keys", vec![bogus::from(malformed(database)?, elsewhere)]),
            ("unknown keys", unknown(&|_| elsewhere)),
            ("unknown keys from 512 addresses", unknown(&|n| Ipv4Addr::from_bits(elsewhere.to_bits() + n))),
        ] {
            let server = self.ready(database)?;
            progress(&format!("a flood of {what} on {}", database.name));
            let told = bogus::flood(&server, &database.requests, &bogus, &self.interrupt)?;
            server.stop()?;
            bars.flood(database.name, what, &told);
        }
        Ok(())
    }

    /// The load with few keys in the table, and with ten million. Only where it is asked for by name: it takes ten gigabytes.
    fn many(&self, database: &Database, bars: &mut Bars) -> Done {
        let load = || -> Done<(Measured, u64)> {
            let server = self.ready(database)?;
            progress(&format!("load on {}", database.name));
            let measured = self.measure(&server, &database.requests)?;
            thread::sleep(IDLE);
            let resident = server.resident_kib()?;
            server.stop()?;
            Ok((measured, resident))
        };
        let few = load()?;
        let keys = MANY.to_string();
        self.place.task(&self.pins, database, &self.interrupt, &["bench-fill", "--keys", &keys])?;
        let many = load()?;
        bars.many(database.name, &few, &many);
        Ok(())
    }

    /// Each page beside the call that reads the same.
    fn pages(&self, database: &Database, bars: &mut Bars) -> Done {
        let server = self.ready(database)?;
        for pair in pages::pairs(&server)? {
            progress(&format!("{} on {}", pair.page, database.name));
            let one = |requests| Load { connections: 1, ..self.load_of(&server, requests, 200) }.run(&self.interrupt);
            // In turn: a machine that others slow down for a while would else slow down one of the two.
            let turns = (0..TURNS).map(|_| Ok((one(&pair.asked)?, one(&pair.call)?))).collect::<Done<Vec<_>>>()?;
            bars.page(database.name, pair.page, &turns);
        }
        server.stop()
    }

    fn bare(&self, database: &Database, speeds: &mut Vec<Speed>) -> Done<Bare> {
        self.interrupt.check()?;
        let mut server = Server::start_bare(&self.place, &self.pins)?;
        server.wait_until_ready()?;
        progress("load on the bare server");
        let measured = self.measure(&server, &database.requests)?;
        server.stop()?;
        let bare = Bare { per_second: measured.per_second(), cpu_each: measured.cpu_each() };
        speeds.push(Speed { name: "bare actix-web", measured });
        Ok(bare)
    }

    fn measure(&self, server: &Server, requests: &Rc<Vec<Vec<u8>>>) -> Done<Measured> {
        self.measure_expecting(server, requests, 200)
    }

    fn measure_expecting(&self, server: &Server, requests: &Rc<Vec<Vec<u8>>>, expected: u16) -> Done<Measured> {
        self.load_of(server, requests, expected).run(&self.interrupt)
    }

    fn load_of<'b>(&self, server: &Server, requests: &'b Rc<Vec<Vec<u8>>>, expected: u16) -> Load<'b> {
        Load {
            address: server.address,
            pid: server.pid(),
            requests,
            connections: self.options.connections.max(1),
            seconds: Duration::from_secs(self.options.seconds.clamp(1, 600)),
            expected,
        }
    }
}

/// A request with a key whose checksum is wrong: the first one's, with another first letter.
fn malformed(database: &Database) -> Done<Vec<u8>> {
    let mut request = database.requests.first().cloned().ok_or_else(|| TaskError::new("there are no keys"))?;
    let start = request.windows(8).position(|window| window == b"kv_live_").map(|start| start + 8);
    let letter = start.and_then(|start| request.get_mut(start));
    let letter = letter.ok_or_else(|| TaskError::new("a request carries no key"))?;
    *letter = if *letter == b'A' { b'B' } else { b'A' };
    Ok(request)
}
