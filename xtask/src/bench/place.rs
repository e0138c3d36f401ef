//! Where it happens: a folder of its own, in it the databases with their users and keys, made by the admin tasks.

use super::{
    USERS, http,
    refusals::{Kind, Refused},
    system::{Interrupt, Pins},
};
use crate::{
    error::{Done, TaskError, Tried},
    output::progress,
    suite,
};
use kv_server::config::Config;
use kv_store::DatabaseUrl;
use serde_json::Value;
use std::{
    cell::Cell,
    fs::{self, OpenOptions},
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Command, Stdio},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How long an admin task may take; seeding 10,000 keys is 10,000 durable transactions.
const TASK_LIMIT: Duration = Duration::from_secs(600);
/// Refused keys of each kind.
const REFUSED: usize = 8;
/// Durable writes of which the median is told.
const WRITES: usize = 300;

/// The folder, and the programs built for release.
#[derive(Debug)]
pub(super) struct Place {
    folder: tempfile::TempDir,
    /// The server.
    pub(super) server: PathBuf,
    /// This program.
    pub(super) tasks: PathBuf,
    logs: Cell<u32>,
}

/// A database with users and keys.
#[derive(Debug)]
pub(super) struct Database {
    /// What it is called in the report.
    pub(super) name: &'static str,
    /// And a session on it.
    pub(super) session_name: &'static str,
    /// How server and admin tasks find it.
    pub(super) environment: Vec<(&'static str, String)>,
    /// One request for each live key.
    pub(super) requests: Rc<Vec<Vec<u8>>>,
    /// Keys that are refused.
    pub(super) refused: Refused,
}

impl Place {
    /// A new folder beside these programs' build.
    pub(super) fn new() -> Done<Self> {
        let (tasks, server) = (suite::program("xtask")?, suite::program("kv-server")?);
        if !server.is_file() {
            return Err(TaskError::new("the server is not built for release; run: cargo xtask bench"));
        }
        let folder = tempfile::Builder::new().prefix("kv-bench-").tempdir().tried("making a folder")?;
        Ok(Self { folder, server, tasks, logs: Cell::new(0) })
    }

    /// A file for a server's words.
    pub(super) fn log(&self) -> PathBuf {
        self.logs.set(self.logs.get() + 1);
        self.folder.path().join(format!("server-{}.log", self.logs.get()))
    }

    /// A SQLite database.
    pub(super) fn sqlite(&self, pins: &Pins, keys: u32, interrupt: &Interrupt) -> Done<Database> {
        self.database(("sqlite", "  a session"), None, pins, keys, interrupt)
    }

    /// A PostgreSQL database, where there was none.
    pub(super) fn postgres(&self, pins: &Pins, url: &str, keys: u32, interrupt: &Interrupt) -> Done<Database> {
        self.database(("postgresql", "  a session"), Some(url), pins, keys, interrupt)
    }

    fn database(
        &self,
        (name, session_name): (&'static str, &'static str),
        url: Option<&str>,
        pins: &Pins,
        keys: u32,
        interrupt: &Interrupt,
    ) -> Done<Database> {
        let data = self.folder.path().join(name);
        let mut environment = vec![
            ("KUBEVISION_DATA_DIR", data.display().to_string()),
            ("KUBEVISION_API_KEYS__MAX_PER_USER", keys.div_ceil(USERS).max(100).to_string()),
            ("KUBEVISION_CLUSTERS__ALLOWED_ADDRESSES", "127.0.0.1".to_owned()),
            ("KUBEVISION_CLUSTERS__MAX_STREAMS_PER_USER", "10000".to_owned()),
        ];
        environment.extend(url.map(|url| ("KUBEVISION_DATABASE_URL", url.to_owned())));
        fs::create_dir_all(&data).tried("making a folder")?;
        let tasks = Tasks { place: self, pins, environment: &environment, interrupt };

        progress(&format!("filling {name} with {keys} keys of {USERS} users"));
        let file = self.folder.path().join(format!("{name}.keys"));
        let path = file.display().to_string();
        tasks.run(&["seed", "--users", &USERS.to_string(), "--keys", &keys.to_string(), "--out", &path])?;
        let text = fs::read_to_string(&file).tried("reading the keys")?;
        // Where there are users already, a server's first start makes no administrator.
        let password = self.folder.path().join(format!("{name}.password"));
        fs::write(&password, super::people::PASSWORD).tried("writing a password")?;
        let password = fs::File::open(&password).tried("reading a password")?;
        tasks.run_with(&["user", "create", "admin", "--role", "admin", "--password-stdin"], password.into())?;
        let requests = text.lines().map(request).collect();
        let refused = tasks.refused()?;
        Ok(Database { name, session_name, environment, requests: Rc::new(requests), refused })
    }

    /// Runs an admin task on a database and gives what it said.
    pub(super) fn task(
        &self,
        pins: &Pins,
        database: &Database,
        interrupt: &Interrupt,
        arguments: &[&str],
    ) -> Done<String> {
        Tasks { place: self, pins, environment: &database.environment, interrupt }.run(arguments)
    }

    /// What one durable write of 4 KiB costs here: the median.
    pub(super) fn durable_write(&self) -> Done<Duration> {
        let path = self.folder.path().join("durable-write");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).tried("making a file")?;
        let mut took = Vec::with_capacity(WRITES);
        for _ in 0..WRITES {
            let began = Instant::now();
            file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).tried("writing durably")?;
            took.push(began.elapsed());
        }
        took.sort();
        fs::remove_file(&path).tried("removing a file")?;
        Ok(took[WRITES / 2])
    }
}

/// The request of the load, with a key. The same bytes go to whichever server; the name of the host is as long as any port's.
pub(super) fn request(key: &str) -> Vec<u8> {
    http::get(SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000)), "/api/v1/clusters", Some(key))
}

/// The database of this environment, for a task of a measurement.
pub(super) fn database() -> Done<DatabaseUrl> {
    let config = Config::from_environment().tried("reading the configuration")?;
    config.database().tried("reading the configuration")
}

struct Tasks<'a> {
    place: &'a Place,
    pins: &'a Pins,
    environment: &'a [(&'static str, String)],
    interrupt: &'a Interrupt,
}

impl Tasks<'_> {
    /// Runs an admin task and gives what it said. Its progress goes where ours does.
    fn run(&self, arguments: &[&str]) -> Done<String> {
        self.run_with(arguments, Stdio::null())
    }

    fn run_with(&self, arguments: &[&str], input: Stdio) -> Done<String> {
        let mut command: Command = self.pins.server(&self.place.tasks);
        command.args(arguments).env_clear().envs(self.environment.iter().cloned());
        let output = self.place.log();
        let words = fs::File::create(&output).tried("making a file")?;
        let mut child = command.stdin(input).stdout(words).spawn().tried("starting an admin task")?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().tried("waiting for an admin task")? {
                break status;
            }
            let stop = match began.elapsed() > TASK_LIMIT {
                true => Err(TaskError::new(format!("`{}` takes too long", arguments.join(" ")))),
                false => self.interrupt.check(),
            };
            if let Err(error) = stop {
                // Both fail only where it has ended.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
            thread::sleep(Duration::from_millis(2));
        };
        if !status.success() {
            return Err(TaskError::new(format!("`{}` failed ({status})", arguments.join(" "))));
        }
        fs::read_to_string(&output).tried("reading what an admin task said")
    }

    /// Keys that are refused, some of each kind.
    fn refused(&self) -> Done<Refused> {
        let users = ["refused-revoked", "refused-expired", "refused-disabled"];
        for user in users {
            self.run(&["user", "create", user, "--role", "readonly"])?;
            self.run(&["user", "assign", user, "--cluster", "*"])?;
        }
        let [revoked, expired, disabled] = users;
        let revoked_keys = self.keys(revoked, None)?;
        self.run(&["key", "revoke-all", "--user", revoked])?;
        let disabled_keys = self.keys(disabled, None)?;
        self.run(&["user", "disable", disabled])?;
        let clock = kv_server::clock::Clock::system();
        let end = clock.now() + Duration::from_secs(10);
        let expired_keys = self.keys(expired, Some(end))?;
        while clock.now() <= end {
            self.interrupt.sleep(Duration::from_millis(100))?;
        }
        Ok(vec![
            (Kind::Unknown, super::refusals::unknown_keys()?),
            (Kind::Revoked, revoked_keys),
            (Kind::Expired, expired_keys),
            (Kind::OwnerDisabled, disabled_keys),
        ])
    }

    fn keys(&self, user: &str, end: Option<OffsetDateTime>) -> Done<Vec<String>> {
        let end = end.map(|end| end.format(&Rfc3339)).transpose().tried("writing a time")?;
        let make = |n: usize| {
            let name = format!("key-{n}");
            let mut arguments = vec!["key", "create", "--json", "--user", user, "--name", &name];
            arguments.extend(end.iter().flat_map(|end| ["--expires-at", end]));
            let told: Value = serde_json::from_str(&self.run(&arguments)?).tried("reading a key")?;
            told["key"].as_str().map(str::to_owned).ok_or_else(|| TaskError::new("no key was told"))
        };
        (0..REFUSED).map(make).collect()
    }
}
