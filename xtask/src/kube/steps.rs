//! The build's steps, told as they happen: each a line with the seconds since the start, a heartbeat while a step takes
//! long, every word of the programs in one log. Never here: what the steps are.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::KubeError;
use super::folders::{self, HEARTBEAT};

/// A run of steps with one log and one clock.
pub(crate) struct Steps<'a> {
    started: Instant,
    log: PathBuf,
    progress: &'a dyn Fn(&str),
}

impl<'a> Steps<'a> {
    /// Begins a run; an earlier run's log is overwritten.
    pub(crate) fn new(log: PathBuf, progress: &'a dyn Fn(&str)) -> Result<Self, KubeError> {
        File::create(&log).map_err(KubeError::file("begin the log", &log))?;
        Ok(Self { started: Instant::now(), log, progress })
    }

    /// Where the programs' words go.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Tells one line, with the seconds since the start.
    pub(crate) fn say(&self, text: &str) {
        (self.progress)(&format!("[{:>4} s] {text}", self.started.elapsed().as_secs()));
    }

    /// Tells `step`, runs `command` for it and waits, telling every so often that it still goes on.
    pub(crate) fn run(&self, step: &str, command: &mut Command) -> Result<(), KubeError> {
        self.say(step);
        let log = self.appended(step)?;
        let second = log.try_clone().map_err(KubeError::file("write the log", &self.log))?;
        let spawned = command.stdin(Stdio::null()).stdout(log).stderr(second).spawn();
        let mut child = spawned.map_err(|source| KubeError::Start {
            program: command.get_program().to_string_lossy().into_owned(),
            step: step.to_owned(),
            source,
        })?;
        let mut said = Instant::now();
        loop {
            match child.try_wait().map_err(KubeError::file("wait for a step", &self.log))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let (step, log, tail) = (step.to_owned(), self.log.clone(), folders::tail(&self.log));
                    return Err(KubeError::Failed { step, status, log, tail });
                }
                None => thread::sleep(Duration::from_millis(100)),
            }
            if said.elapsed() >= HEARTBEAT {
                said = Instant::now();
                self.say(&format!("… still at it: {step}"));
            }
        }
    }

    fn appended(&self, step: &str) -> Result<File, KubeError> {
        let write = || {
            let mut file = OpenOptions::new().append(true).open(&self.log)?;
            writeln!(file, "\n=== {step}")?;
            Ok(file)
        };
        write().map_err(KubeError::file("write the log", &self.log))
    }
}
