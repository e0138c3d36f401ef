//! Where everything is kept: the project's cache folder, its locks, private folders and files, the end of a log.
//! Never here: a path outside the cache folder, a folder that other users can read.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::KubeError;

/// How often a long wait says that it still waits.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// The project's cache folder, made if need be.
pub(crate) fn cache() -> Result<PathBuf, KubeError> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let folder = base.ok_or(KubeError::NoCacheFolder)?.join("kubevision");
    private_folder(&folder)?;
    Ok(folder)
}

/// Makes a folder (and those above it) that only its owner may enter.
pub(crate) fn private_folder(path: &Path) -> Result<(), KubeError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(KubeError::file("make a folder", path))
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn private_file(path: &Path, content: &str) -> Result<(), KubeError> {
    let beside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(content.as_bytes())?;
        fs::rename(&beside, path)
    };
    write().map_err(KubeError::file("write a file", path))
}

/// Removes a folder and all in it; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), KubeError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KubeError::file("remove a folder", path)(error)),
        _ => Ok(()),
    }
}

/// Takes the lock `path` for as long as the answer lives, waiting for another run to let go of it.
///
/// The system frees it when its holder dies, so an interrupted run blocks nobody.
pub(crate) fn lock(path: &Path, progress: &dyn Fn(&str)) -> Result<File, KubeError> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = opened.map_err(KubeError::file("open a lock", path))?;
    let started = Instant::now();
    let mut said = None;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(KubeError::file("take a lock", path)(error)),
            Err(TryLockError::WouldBlock) => {
                if said.is_none_or(|at: Instant| at.elapsed() >= HEARTBEAT) {
                    said = Some(Instant::now());
                    progress(&format!("[{:>4} s] waiting for another run to finish", started.elapsed().as_secs()));
                }
                thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

/// The last lines of a log, as far as it can be read.
pub(crate) fn tail(path: &Path) -> String {
    const BYTES: u64 = 6_000;
    const LINES: usize = 25;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut end = Vec::new();
        file.take(BYTES).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = match read() {
        Ok(end) => end,
        Err(error) => return format!("(the log cannot be read: {error})"),
    };
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
