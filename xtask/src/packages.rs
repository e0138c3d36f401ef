//! Programs taken from Debian's packages where a machine lacks them: by apt-get, as root or by a sudo that asks nothing.
//! Never here: the machine's sources or configuration changed, and nothing installed that is there.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// Why something was not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    /// No Debian to take it from.
    #[error(
        "no {what} here, and no apt-get to install it: install {what} and put its programs ({programs}) on the PATH"
    )]
    NoApt {
        /// What is missing.
        what: &'static str,
        /// Its programs.
        programs: String,
    },

    /// This user may not.
    #[error("no {what} here, and only root can install it: run `sudo apt-get install {packages}`, then try again")]
    NeedsRoot {
        /// What is missing.
        what: &'static str,
        /// The packages that bring it.
        packages: String,
    },

    /// apt-get could not be started at all.
    #[error("could not start {program} to install {what}")]
    Start {
        /// The program.
        program: String,
        /// What is missing.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },

    /// apt-get ran and failed.
    #[error("could not {step} for {what}: {status}; apt-get's last words:\n{tail}")]
    Failed {
        /// What it was to do.
        step: &'static str,
        /// What is missing.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last it said.
        tail: String,
    },
}

/// Something that Debian has packages of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// What people call it.
    pub(crate) what: &'static str,
    /// The packages that bring it.
    pub(crate) packages: &'static [&'static str],
    /// The programs it is wanted for.
    pub(crate) programs: &'static [&'static str],
    /// How much it is, in words.
    pub(crate) size: &'static str,
}

impl Wanted {
    /// Installs its packages.
    ///
    /// # Errors
    /// [`PackageError`], each with what to do about it.
    pub(crate) fn install(&self, progress: &dyn Fn(&str)) -> Result<(), PackageError> {
        let Self { what, packages, programs, size } = *self;
        if find("apt-get").is_none() {
            return Err(PackageError::NoApt { what, programs: programs.join(", ") });
        }
        progress(&format!("installing {what}: reading the package lists"));
        self.apt("read the package lists", &["update"])?;
        progress(&format!("installing {what}: {size}, once"));
        self.apt("install the packages", &[&["install", "--yes", "--no-install-recommends"], packages].concat())
    }

    fn apt(&self, step: &'static str, arguments: &[&str]) -> Result<(), PackageError> {
        let what = self.what;
        let needs_root = || PackageError::NeedsRoot { what, packages: self.packages.join(" ") };
        let mut command = if is_root() {
            Command::new("env")
        } else if find("sudo").is_some() {
            let mut sudo = Command::new("sudo");
            // `-n`: a test run has nobody to ask for a password.
            sudo.args(["-n", "env"]);
            sudo
        } else {
            return Err(needs_root());
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "apt-get"]);
        command.args(["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]).args(arguments);
        let program = command.get_program().to_string_lossy().into_owned();
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|source| PackageError::Start { program, what, source })?;
        if output.status.success() {
            return Ok(());
        }
        let words = [output.stdout, output.stderr].concat();
        let tail = tail(&String::from_utf8_lossy(&words));
        // What fails for an ordinary user failed for want of root, whatever sudo and apt call it.
        if !is_root() && tail.contains("sudo:") {
            return Err(needs_root());
        }
        Err(PackageError::Failed { step, what, status: output.status, tail })
    }
}

/// Where `program` is on the PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether this user is root.
pub(crate) fn is_root() -> bool {
    // A process owns its own entry, so this is the effective user without a system call of our own.
    fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// The last lines of what a program said.
pub(crate) fn tail(words: &str) -> String {
    const LINES: usize = 25;
    let lines: Vec<&str> = words.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
