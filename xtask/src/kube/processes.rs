//! The cluster's processes: started on their own, remembered by pid *and* start time, ended. Never here: a signal to a
//! process that is not provably the one that was started – pids are used again, a pid with its start time is not.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::KubeError;

/// One process that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// The program's name.
    pub(crate) name: String,
    /// Its pid.
    pub(crate) pid: u32,
    /// When it started, in the kernel's ticks since boot.
    started: u64,
}

impl Process {
    /// Starts `command` with its words in `log`, in a process group of its own, so that Ctrl-C here does not reach it.
    pub(crate) fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self, KubeError> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let (out, err) = (
            open().map_err(KubeError::file("begin a log", log))?,
            open().map_err(KubeError::file("begin a log", log))?,
        );
        let spawned = command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).spawn();
        let mut child = spawned.map_err(|source| KubeError::Start {
            program: command.get_program().to_string_lossy().into_owned(),
            step: "run the cluster".to_owned(),
            source,
        })?;
        // Not yet waited for, so its entry is there even if it has ended already.
        let started = stat(child.id()).map(|stat| stat.started).unwrap_or_default();
        let process = Self { name: name.to_owned(), pid: child.id(), started };
        // Waited for on a thread of its own: ended children of a long test run must not stay behind as zombies.
        thread::spawn(move || child.wait());
        Ok(process)
    }

    /// Whether this very process runs.
    pub(crate) fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && !matches!(stat.state, 'Z' | 'X'))
    }

    /// Ends the process at once. A cluster's data goes with it, so there is nothing it would have to save.
    pub(crate) fn end(&self) -> Result<(), KubeError> {
        if self.is_alive() {
            // The shell's own `kill`: std signals only children, and these may be another run's.
            let kill = Command::new("sh").args(["-c", "kill -KILL \"$0\"", &self.pid.to_string()]).output();
            kill.map_err(|source| KubeError::Start {
                program: "sh".to_owned(),
                step: format!("end {}", self.name),
                source,
            })?;
        }
        let asked = Instant::now();
        while self.is_alive() {
            if asked.elapsed() > Duration::from_secs(10) {
                return Err(KubeError::WouldNotEnd { process: self.name.clone(), pid: self.pid });
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

struct Stat {
    state: char,
    started: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state … start time …`: the third and the twenty-second field. The name may hold blanks and brackets.
fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Stat { state, started: fields.nth(18)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_the_kernels_line_may_be_anything() {
        let text = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2 3";
        assert_eq!(parse(text).map(|stat| (stat.state, stat.started)), Some(('S', 98765)));
    }

    #[test]
    fn a_process_ends_and_a_later_one_of_its_pid_is_left_alone() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let process = Process::start("sleep", Command::new("sleep").arg("60"), &folder.path().join("log"))?;
        assert!(process.is_alive());
        let later = Process { started: process.started + 1, ..process.clone() };
        later.end()?;
        assert!(process.is_alive() && !later.is_alive());
        process.end()?;
        assert!(!process.is_alive());
        Ok(())
    }
}
