//! kubectl as its users run it, with an environment of its own and nothing of ours.

use crate::programs::program;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// Names the kubectl for tests; the one on the `PATH` if not set.
const VARIABLE: &str = "KUBEVISION_TEST_KUBECTL";

/// A kubectl with a kubeconfig.
#[derive(Debug)]
pub struct Kubectl {
    program: PathBuf,
    folder: TempDir,
}

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended well.
    pub success: bool,
    /// What it wrote as its answer.
    pub answer: String,
    /// What it wrote besides.
    pub complaint: String,
}

impl Said {
    /// Runs a program with these variables and the `PATH`, and no others.
    ///
    /// # Panics
    /// Where it cannot be run.
    #[must_use]
    pub fn by(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(prepared(program, variables).args(arguments))
    }

    fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { success: output.status.success(), answer: text(&output.stdout), complaint: text(&output.stderr) }
    }
}

/// A program with these variables and the `PATH`, and no others.
fn prepared(program: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs(variables.iter().copied());
    command
}

impl Kubectl {
    /// With this kubeconfig.
    ///
    /// # Panics
    /// Where there is no kubectl: no test of it can be left out.
    #[must_use]
    pub fn new(kubeconfig: &str) -> Self {
        let program = program("kubectl", VARIABLE);
        let folder = tempfile::Builder::new().prefix("kv-kubectl-").tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        Self { program, folder }
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        Said::of(&mut self.command(arguments, variables))
    }

    /// kubectl about to be run, for who reads its words while it runs.
    #[must_use]
    pub fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = self.lend(&self.program, variables);
        command.args(arguments);
        command
    }

    /// Another program that finds this kubeconfig.
    #[must_use]
    pub fn lend(&self, program: &Path, variables: &[(&str, &str)]) -> Command {
        let mut command = prepared(program, variables);
        command.env("HOME", self.folder()).env("KUBECONFIG", self.folder().join("kubeconfig"));
        command
    }

    /// The folder it has for its own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The kubeconfig as kubectl understands it.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn view(&self) -> Value {
        let file = self.folder.path().join("kubeconfig").display().to_string();
        let said = self.run(&["config", "view", "--kubeconfig", &file, "--raw", "--output", "json"], &[]);
        assert!(said.success, "{}", said.complaint);
        serde_json::from_str(&said.answer).unwrap()
    }
}
