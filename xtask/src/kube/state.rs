//! A cluster's folder and the record in it of what was started. Never here: a token or a key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::KubeError;
use super::folders;
use super::processes::Process;

/// What was started for a cluster. Written after every start, so that an interrupted `up` can be cleaned up after.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The API server's port.
    pub(crate) port: u16,
    /// What the API server was told beyond what every one is told.
    #[serde(default)]
    pub(crate) api_server_arguments: Vec<String>,
    /// How many processes it is to have.
    #[serde(default)]
    pub(crate) wanted: usize,
    /// The processes, in the order of their start.
    pub(crate) processes: Vec<Process>,
}

impl Record {
    /// The record in a cluster's folder, if there is one.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, KubeError> {
        let path = folder.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|source| KubeError::Record { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(KubeError::file("read the cluster's record", path)(error)),
        }
    }

    /// Keeps the record in a cluster's folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), KubeError> {
        let path = folder.join(FILE);
        let text = serde_json::to_string(self).map_err(|source| KubeError::Record { path: path.clone(), source })?;
        folders::private_file(&path, &text)
    }

    /// Whether all that it is to have was started, and runs.
    pub(crate) fn is_whole(&self) -> bool {
        self.processes.len() == self.wanted && self.alive() == self.wanted
    }

    /// How many of the processes run.
    pub(crate) fn alive(&self) -> usize {
        self.processes.iter().filter(|process| process.is_alive()).count()
    }

    /// Ends all processes, the last started first.
    pub(crate) fn end(&self) -> Result<(), KubeError> {
        self.processes.iter().rev().try_for_each(Process::end)
    }
}

const FILE: &str = "processes.json";

/// Where the cluster `name` keeps everything, and the lock that guards it.
pub(crate) fn folder_and_lock(name: &str) -> Result<(PathBuf, PathBuf), KubeError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 40 || name.starts_with('-') || !name.chars().all(allowed) {
        return Err(KubeError::BadName { name: name.to_owned() });
    }
    let clusters = clusters()?;
    // The lock is beside the folder, which comes and goes.
    Ok((clusters.join(name), clusters.join(format!("{name}.lock"))))
}

/// The names of all clusters that have a folder.
pub(crate) fn names() -> Result<Vec<String>, KubeError> {
    let clusters = clusters()?;
    let entries = fs::read_dir(&clusters).map_err(KubeError::file("list the clusters", &clusters))?;
    let folders = entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn clusters() -> Result<PathBuf, KubeError> {
    let folder = folders::cache()?.join("clusters");
    folders::private_folder(&folder)?;
    Ok(folder)
}
