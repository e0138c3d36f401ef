//! Debian's packages for the build: a private apt configuration, downloads into the build's own folder, and the few
//! packages that may have to be installed. Never here: the machine's package lists or sources changed, a service started –
//! etcd and Go are unpacked, not installed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::KubeError;
use super::sources;
use super::steps::Steps;
use crate::packages::{find, is_root};

/// apt with the machine's sources plus their source packages, and lists of its own.
pub(crate) struct Apt {
    folder: PathBuf,
    options: Vec<OsString>,
}

impl Apt {
    /// Lays out the private configuration in `folder` and reads the package lists.
    pub(crate) fn new(folder: PathBuf, steps: &Steps) -> Result<Self, KubeError> {
        if find("apt-get").is_none() {
            return Err(KubeError::NoApt);
        }
        for part in ["sources", "lists/partial", "archives/partial"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(KubeError::file("make a folder", &path))?;
        }
        sources::with_source_packages(Path::new("/etc/apt"), &folder.join("sources"))?;
        let mut options = Vec::new();
        for (name, value) in [
            ("Dir::Etc::SourceList", Path::new("/dev/null").to_owned()),
            ("Dir::Etc::SourceParts", folder.join("sources")),
            ("Dir::State::Lists", folder.join("lists")),
            ("Dir::Cache", folder.clone()),
            // The folders are private to this user, so apt's own unprivileged user could not write there.
            ("APT::Sandbox::User", PathBuf::from("root")),
            ("Acquire::Retries", PathBuf::from("3")),
        ] {
            let mut option = OsString::from(format!("{name}="));
            option.push(value);
            options.extend([OsString::from("-o"), option]);
        }
        let apt = Self { folder, options };
        steps.run("read Debian's package lists", apt.get().arg("update"))?;
        Ok(apt)
    }

    /// Downloads `packages` (binary ones), unpacks them below `into`, and forgets the downloads. Nothing is installed.
    pub(crate) fn unpack(&self, packages: &[&str], into: &Path, steps: &Steps) -> Result<(), KubeError> {
        let what = packages.join(", ");
        steps.run(&format!("download {what}"), self.get().arg("download").args(packages))?;
        for package in self.downloaded(".deb")? {
            let mut unpack = Command::new("dpkg-deb");
            steps.run(&format!("unpack {}", named(&package)), unpack.arg("-x").arg(&package).arg(into))?;
            fs::remove_file(&package).map_err(KubeError::file("remove a download", &package))?;
        }
        Ok(())
    }

    /// Downloads the source package `name`, and answers with its description.
    pub(crate) fn source(&self, name: &str, steps: &Steps) -> Result<Option<PathBuf>, KubeError> {
        let mut download = self.get();
        download.args(["--download-only", "--only-source", "source", name]);
        steps.run(&format!("download the source of {name}"), &mut download)?;
        Ok(self.downloaded(".dsc")?.pop())
    }

    /// Sees to it that `program` is there, from `package` if need be.
    pub(crate) fn program(&self, program: &'static str, package: &'static str, steps: &Steps) -> Result<(), KubeError> {
        if find(program).is_some() { Ok(()) } else { self.install(program, package, steps) }
    }

    /// Installs `package`, which brings `program`, if this user may.
    pub(crate) fn install(&self, program: &'static str, package: &'static str, steps: &Steps) -> Result<(), KubeError> {
        let mut install = if is_root() {
            self.get()
        } else if find("sudo").is_some() {
            // `-n`: a test run has nobody to ask for a password.
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(&self.options);
            sudo
        } else {
            return Err(KubeError::NeedsRoot { program, package });
        };
        install.args(["install", "--yes", "--no-install-recommends", package]);
        match steps.run(&format!("install {package}"), &mut install) {
            Err(KubeError::Failed { .. }) if !is_root() => Err(KubeError::NeedsRoot { program, package }),
            other => other,
        }
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.args(&self.options).current_dir(&self.folder);
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
        command
    }

    fn downloaded(&self, ending: &str) -> Result<Vec<PathBuf>, KubeError> {
        let entries = fs::read_dir(&self.folder).map_err(KubeError::file("list the downloads", &self.folder))?;
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        Ok(paths.filter(|path| named(path).ends_with(ending)).collect())
    }
}

fn named(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
