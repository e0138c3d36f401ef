//! `cargo xtask postgres`: a PostgreSQL to be ill-treated, with a synchronous standby if wanted. It tells where it is in a line
//! of JSON, obeys a line on standard input at a time, answers each with a line of JSON, and ends with all it kept when standard
//! input does.
//!
//! Never here: SQL. What is wanted of the databases themselves is asked over a connection.

use super::{
    PostgresError, USER, User, await_ready, binaries, initialise, new_folder, postmaster, remove, remove_file,
    run as run_program, serve,
};
use crate::{
    cli::PostgresOptions,
    error::{Done, TaskError, Tried},
    output::{line, progress},
};
use serde_json::json;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, Write},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The name by which the primary knows its standby.
const STANDBY: &str = "standby";
/// How long a server that is told to end may take.
const FAREWELL: Duration = Duration::from_secs(15);

/// Runs it until standard input ends.
pub(crate) fn run(options: &PostgresOptions) -> Done {
    let mut trial = Trial::start(options)?;
    let url = |node: &Node| format!("postgres://{USER}@{}:{}/postgres", Ipv4Addr::LOCALHOST, node.port);
    line(&json!({"primary": url(&trial.primary), "standby": trial.standby.as_ref().map(url)}).to_string());
    for order in io::stdin().lock().lines() {
        let order = order.tried("reading standard input")?;
        line(&match trial.obey(order.trim()) {
            Ok(()) => json!({"done": order}).to_string(),
            Err(error) => json!({"failed": order, "because": chain(&error)}).to_string(),
        });
    }
    Ok(())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

struct Trial {
    place: Place,
    primary: Node,
    standby: Option<Node>,
}

/// What both servers are started with.
struct Place {
    binaries: PathBuf,
    user: User,
    settings: Vec<String>,
}

impl Trial {
    fn start(options: &PostgresOptions) -> Done<Self> {
        let place = Place {
            binaries: binaries(&progress).tried("finding PostgreSQL")?,
            user: User::to_run_as().tried("finding a user to run PostgreSQL as")?,
            settings: options.settings.clone(),
        };
        let mut primary = Node::new(&place.user)?;
        initialise(&place.binaries, &place.user, &primary.folder).tried("making the primary")?;
        primary.start(&place)?;
        let mut trial = Self { place, primary, standby: None };
        if options.standby {
            trial.add_standby()?;
        }
        Ok(trial)
    }

    /// The standby is a copy of the primary, which from then on says nothing is committed before its standby has it.
    fn add_standby(&mut self) -> Done {
        let mut standby = Node::new(&self.place.user)?;
        let mut copy = Command::new(self.place.binaries.join("pg_basebackup"));
        let source =
            format!("host={} port={} user={USER} application_name={STANDBY}", Ipv4Addr::LOCALHOST, self.primary.port);
        copy.arg("-d").arg(source).args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"]);
        copy.arg(standby.folder.join("data"));
        run_program("copy the primary", self.place.user.prepare(&mut copy, &standby.folder))
            .tried("making the standby")?;
        standby.start(&self.place)?;
        self.standby = Some(standby);
        let settings = self.primary.folder.join("data/postgresql.conf");
        let opened = OpenOptions::new().append(true).open(settings);
        let written = opened.and_then(|mut file| writeln!(file, "synchronous_standby_names = '{STANDBY}'"));
        written.tried("telling the primary of its standby")?;
        self.primary.signal("HUP")
    }

    fn obey(&mut self, order: &str) -> Done {
        let (order, whom) = order.split_once(' ').unwrap_or((order, "primary"));
        let node = match whom {
            "primary" => &mut self.primary,
            _ => self
                .standby
                .as_mut()
                .filter(|_| whom == STANDBY)
                .ok_or_else(|| TaskError::new("there is no such server"))?,
        };
        match order {
            "start" => node.start(&self.place),
            "stop" => node.stop(&["INT"]),
            "kill" => node.stop(&["KILL"]),
            // What it has on disk stays though it ends by itself.
            "keep" => File::create(node.keep()).tried("making a file").map(drop),
            "freeze" => node.signal_all("STOP"),
            "thaw" => node.signal_all("CONT"),
            "promote" => node.promote(&self.place),
            _ => Err(TaskError::new(
                "the orders are start, stop, kill, keep, freeze, thaw and promote; then `primary` or `standby`",
            )),
        }
    }
}

/// One server, running or not.
struct Node {
    folder: PathBuf,
    port: u16,
    keeper: Option<Child>,
}

impl Node {
    fn new(user: &User) -> Done<Self> {
        let folder = new_folder(user).tried("making a folder")?;
        Ok(Self { port: quiet_port().tried("finding a port")?, folder, keeper: None })
    }

    fn keep(&self) -> PathBuf {
        self.folder.join("keep")
    }

    fn start(&mut self, place: &Place) -> Done {
        let started = serve(&place.binaries, &place.user, &self.folder, (self.port, &place.settings));
        let keeper = self.keeper.insert(started.tried("starting PostgreSQL")?);
        await_ready(keeper, &self.folder, self.port).tried("starting PostgreSQL")?;
        // Should this program be killed, the keeper removes the folder with its server.
        remove_file(&self.keep()).tried("starting PostgreSQL")
    }

    fn promote(&self, place: &Place) -> Done {
        let mut command = Command::new(place.binaries.join("pg_ctl"));
        command.args(["promote", "--wait", "--pgdata"]).arg(self.folder.join("data"));
        run_program("promote the standby", place.user.prepare(&mut command, &self.folder)).tried("failing over")
    }

    /// Ends the server and keeps what it has on disk. Killed, all its processes are.
    fn stop(&mut self, signals: &[&str]) -> Done {
        File::create(self.keep()).tried("making a file")?;
        for &signal in signals {
            if signal == "KILL" { self.signal_all(signal)? } else { self.signal(signal)? }
        }
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let asked = Instant::now();
        while matches!(keeper.try_wait(), Ok(None)) {
            if asked.elapsed() > FAREWELL {
                return Err(TaskError::new("it does not end"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.keeper = None;
        Ok(())
    }

    fn signal(&self, signal: &str) -> Done {
        let postmaster = postmaster(&self.folder).ok_or_else(|| TaskError::new("it does not run"))?;
        send(signal, &[postmaster])
    }

    /// To the postmaster first: it makes no more processes then.
    fn signal_all(&self, signal: &str) -> Done {
        let postmaster = postmaster(&self.folder).ok_or_else(|| TaskError::new("it does not run"))?;
        if signal == "CONT" {
            return send(signal, &[children_of(postmaster), vec![postmaster]].concat());
        }
        let frozen = if signal == "KILL" { send("STOP", &[postmaster]) } else { send(signal, &[postmaster]) };
        frozen?;
        let children = children_of(postmaster);
        if signal == "KILL" {
            return send(signal, &[vec![postmaster], children].concat());
        }
        if children.is_empty() { Ok(()) } else { send(signal, &children) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            // A frozen server hears nothing. Whether it was is not known, and no harm is done where not.
            let _ = self.signal_all("CONT");
            // Letting go of the lifeline is the signal, as in `Postgres::end`.
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        let _ = remove(&self.folder);
    }
}

/// Sends a signal. One that has ended meanwhile is no failure.
fn send(signal: &str, processes: &[u32]) -> Done {
    let mut command = Command::new("kill");
    command.args(["-s", signal]).args(processes.iter().map(u32::to_string));
    command.output().tried("sending a signal").map(drop)
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

fn parent_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// A port that the system gives to nobody who does not ask for it by number, so that a server finds it free when it comes back.
fn quiet_port() -> Result<u16, PostgresError> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let first = 20_000 + u16::try_from(nanos / 1_000 % 10_000).unwrap_or_default();
    let mut last = None;
    for port in first..first + 100 {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(PostgresError::NoPort(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into())))
}
