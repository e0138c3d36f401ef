//! kubectl as its users run it, with an environment of its own and nothing of ours.

use serde_json::Value;
use std::{
    path::PathBuf,
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
    pub fn by(program: &std::path::Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { success: output.status.success(), answer: text(&output.stdout), complaint: text(&output.stderr) }
    }
}

impl Kubectl {
    /// With this kubeconfig.
    ///
    /// # Panics
    /// Where there is no kubectl: no test of it can be left out.
    #[must_use]
    pub fn new(kubeconfig: &str) -> Self {
        let named = std::env::var_os(VARIABLE).map(PathBuf::from);
        let on_path = std::env::var_os("PATH").and_then(|all| {
            std::env::split_paths(&all).map(|folder| folder.join("kubectl")).find(|program| program.is_file())
        });
        let program = named.or(on_path);
        let program = program.unwrap_or_else(|| panic!("no kubectl: put one on the PATH, or name it in {VARIABLE}"));
        let folder = tempfile::Builder::new().prefix("kv-kubectl-").tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        Self { program, folder }
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let (home, kubeconfig) = (path(""), path("kubeconfig"));
        let mut all = vec![("HOME", home.as_str()), ("KUBECONFIG", kubeconfig.as_str())];
        all.extend(variables);
        Said::by(&self.program, arguments, &all)
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
