//! The servers under measurement: started with nothing of this environment, ended with this value at the latest.

use super::{
    http,
    place::{Database, Place},
    system::Pins,
};
use crate::error::{Done, TaskError, Tried};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Between two looks at whether it is ready.
const LOOK: Duration = Duration::from_millis(5);
/// How long it may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to end; its own limit is ten seconds.
const FAREWELL: Duration = Duration::from_secs(13);

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// The real one.
    pub(super) fn start(place: &Place, pins: &Pins, database: &Database) -> Done<Self> {
        Self::start_with(place, pins, &database.environment)
    }

    fn start_with(place: &Place, pins: &Pins, environment: &[(&'static str, String)]) -> Done<Self> {
        let (address, metrics) = (free_address()?, free_address()?);
        let mut command = pins.server(&place.server);
        command.env_clear().envs(environment.iter().cloned());
        command.env("KUBEVISION_LISTEN", address.to_string()).env("KUBEVISION_METRICS_LISTEN", metrics.to_string());
        // Whoever floods says from which addresses they come.
        command.env("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1");
        // On, and never the reason for an answer.
        command.env("KUBEVISION_RATE_LIMIT", "6000000/m,burst=1000000");
        Self::spawn(command, address, place.log())
    }

    /// The real one, once it is ready.
    pub(super) fn ready(place: &Place, pins: &Pins, database: &Database) -> Done<Self> {
        let mut server = Self::start(place, pins, database)?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// The same with these settings.
    pub(super) fn ready_with(place: &Place, pins: &Pins, environment: &[(&'static str, String)]) -> Done<Self> {
        let mut server = Self::start_with(place, pins, environment)?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// The baseline.
    pub(super) fn start_bare(place: &Place, pins: &Pins) -> Done<Self> {
        let address = free_address()?;
        let mut command = pins.server(&place.tasks);
        command.args(["bench-hello", "--listen", &address.to_string()]).env_clear();
        Self::spawn(command, address, place.log())
    }

    fn spawn(mut command: Command, address: SocketAddr, log: PathBuf) -> Done<Self> {
        let words = File::create(&log).tried("making a server's log")?;
        // A group of its own: Ctrl-C ends this process, which ends the server.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(words).process_group(0);
        Ok(Self { child: command.spawn().tried("starting a server")?, address, log })
    }

    /// Its process; `taskset` becomes the server, so it is the same.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it is ready.
    pub(super) fn wait_until_ready(&mut self) -> Done {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if is_ready(self.address) {
                return Ok(());
            }
            if self.child.try_wait().tried("looking at a server")?.is_some() {
                break;
            }
            thread::sleep(LOOK);
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        Err(TaskError::new(format!("a server did not become ready; its log:\n{log}")))
    }

    /// The memory it holds.
    pub(super) fn resident_kib(&self) -> Done<u64> {
        self.kib("VmRSS:")
    }

    /// The most it has held since [`Self::forget_most`].
    pub(super) fn most_resident_kib(&self) -> Done<u64> {
        self.kib("VmHWM:")
    }

    /// Counts the most that it holds from here on.
    pub(super) fn forget_most(&self) -> Done {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").tried("counting a server's memory anew")
    }

    fn kib(&self, name: &str) -> Done<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).tried("reading a server's memory")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
        number.ok_or_else(|| TaskError::new("the kernel does not tell a server's memory"))
    }

    /// Ends it as an operator would.
    pub(super) fn stop(mut self) -> Done {
        // The shell's own `kill`: std only knows the hard way. The child was not awaited, so the pid is its own.
        let kill = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.pid().to_string()]).status();
        kill.tried("ending a server")?;
        let asked = Instant::now();
        while asked.elapsed() < FAREWELL {
            if self.child.try_wait().tried("looking at a server")?.is_some() {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        Err(TaskError::new("a server did not end when told to"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(&http::get(address, "/readyz", None))?;
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer)?;
        Ok(buffer[..read].starts_with(b"HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}

/// An address nobody listens at. Whoever takes it first between here and its use makes the start fail.
fn free_address() -> Done<SocketAddr> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.tried("finding a free port")
}
