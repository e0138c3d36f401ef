//! The server as a process of its own, with an environment of its own and nothing of ours.

use crate::PATIENCE;
use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How the kernel's table of sockets writes the state of a listener (proc(5), `TCP_LISTEN`).
const LISTENS: &str = "0A";

/// A process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where its API listens.
    pub address: SocketAddr,
    words: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// All it wrote.
    pub words: String,
    /// How long it took.
    pub took: Duration,
}

impl Process {
    /// Starts a program with these variables and no others, and addresses of its own.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(program: &str, folder: &Path, variables: &[(&str, &str)]) -> Self {
        // Both at once, so that they are two.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, metrics] = free.map(|listener| listener.local_addr().unwrap());
        let mut command = Command::new(program);
        command.env_clear().current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("KUBEVISION_LISTEN", address.to_string()).env("KUBEVISION_METRICS_LISTEN", metrics.to_string());
        command.env("KUBEVISION_DATA_DIR", folder).envs(variables.iter().copied());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let words = Arc::new(Mutex::new(Vec::new()));
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let readers = outputs.map(|mut output| {
            let words = words.clone();
            thread::spawn(move || {
                let mut buffer = [0; 16 * 1024];
                while let Ok(read @ 1..) = output.read(&mut buffer) {
                    words.lock().unwrap().extend_from_slice(&buffer[..read]);
                }
            })
        });
        Self { child, address, words, readers: readers.into() }
    }

    /// Starts a program and waits until it answers. On other addresses once more where somebody took one of its own meanwhile:
    /// every connection that a test makes has a port, and it may be this.
    ///
    /// # Panics
    /// Where it cannot be started or does not answer.
    pub async fn serving(program: &str, folder: &Path, variables: &[(&str, &str)]) -> Self {
        loop {
            let mut process = Self::start(program, folder, variables);
            // A server on trial may be killed as soon as it listens.
            if process.listens().await || process.was_killed() {
                return process;
            }
            // Its last words are still read.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let words = process.words();
            assert!(words.contains("Address already in use"), "it ended: {words}");
        }
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub async fn serves(&mut self) {
        assert!(self.listens().await, "it ended: {}", self.words());
    }

    /// Waits until it answers, or has ended without.
    async fn listens(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_listening() {
            if self.has_ended() {
                return false;
            }
            assert!(Instant::now() < deadline, "it does not listen: {}", self.words());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Whether the listener at its address is its own: whoever took the address before it did would answer too.
    fn is_listening(&self) -> bool {
        let pid = self.child.id();
        let listener = fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok().and_then(|table| {
            let ours = |fields: &Vec<&str>| {
                let port = fields.get(1)?.rsplit_once(':')?.1;
                Some(u16::from_str_radix(port, 16) == Ok(self.address.port()) && fields.get(3) == Some(&LISTENS))
            };
            let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            lines.find(|fields| ours(fields) == Some(true)).map(|fields| format!("socket:[{}]", fields[9]))
        });
        let Some(listener) = listener else { return false };
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        open.flatten().any(|one| fs::read_link(one.path()).is_ok_and(|to| to.as_os_str() == listener.as_str()))
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// Never.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Whether a signal has ended it.
    fn was_killed(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some_and(|status| status.code().is_none())
    }

    /// All it wrote so far.
    ///
    /// # Panics
    /// If a reader has panicked.
    #[must_use]
    pub fn words(&self) -> String {
        String::from_utf8_lossy(&self.words.lock().unwrap()).into_owned()
    }

    /// Sends it a signal by name.
    ///
    /// # Panics
    /// Where there is no `kill`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn ended(mut self) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < 2 * PATIENCE, "it does not end: {}", self.words());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let took = started.elapsed();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ended { code: status.code(), words: self.words(), took }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, or of no more use.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_somebody_else_at_its_address_is_none() {
        let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let address = somebody.local_addr().unwrap();
        let mut process = Process { child, address, words: Arc::default(), readers: Vec::new() };
        assert!(std::net::TcpStream::connect(address).is_ok());
        assert!(!process.is_listening());
        assert!(!process.has_ended(), "it would be none for that");
    }
}
