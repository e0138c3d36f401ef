//! The lock that keeps a second server away from a SQLite file, and the guard that keeps other system users away.
//!
//! PostgreSQL needs neither.

use crate::error::{Result, StoreError};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    thread,
    time::Duration,
};

/// Held as long as the server runs; the system lets go of it however the process ends.
#[derive(Debug)]
pub(crate) struct ServerLock(#[allow(dead_code, reason = "held, never read")] File);

/// Takes the file for this server.
///
/// # Errors
/// [`StoreError::Setup`] when another server has it.
pub(crate) fn server(path: &Path) -> Result<ServerLock> {
    // One lock for the file, whichever link leads to it.
    let path =
        path.canonicalize().map_err(|error| StoreError::Setup(format!("cannot find {}: {error}", path.display())))?;
    let lock = path.with_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock)
        .map_err(|error| StoreError::Setup(format!("cannot open {}: {error}", lock.display())))?;
    // A task that looks whether anybody has it, has it for a moment.
    let mut looks = (0..5).map(|look| (look > 0).then(|| thread::sleep(Duration::from_millis(20))));
    let held = loop {
        match (looks.next(), file.try_lock()) {
            (Some(_), Err(TryLockError::WouldBlock)) => {}
            (_, held) => break held,
        }
    };
    match held {
        Ok(()) => Ok(ServerLock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Setup(format!(
            "another server is running on {}; one process at a time may serve a SQLite file, use PostgreSQL for several",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(StoreError::Setup(format!("cannot lock {}: {error}", lock.display()))),
    }
}

/// Makes the file if it is missing, readable by its owner alone, and refuses one that belongs to somebody else:
/// SQLite's side files would then be theirs, and the server locked out.
///
/// A file that is there is looked at, never opened: closing any handle of it would drop the locks that SQLite holds on it
/// in this process.
///
/// # Errors
/// [`StoreError::Setup`].
pub(crate) fn own_file(path: &Path) -> Result<()> {
    let failed = |what: &str, error| StoreError::Setup(format!("cannot {what} {}: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| failed("make the folder of", error))?;
    }
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make", error)),
        _ => {}
    }
    let file = fs::metadata(path).map_err(|error| failed("look at", error))?;
    if !file.is_file() || file.permissions().readonly() {
        return Err(StoreError::Setup(format!("{} is not a file that can be written", path.display())));
    }
    let owner = file.uid();
    // The owner of its own entry there is the process's effective user.
    let me = fs::metadata("/proc/self").map_or(owner, |meta| meta.uid());
    if owner == me {
        return Ok(());
    }
    Err(StoreError::Setup(format!(
        "{} belongs to system user {owner}, and this runs as {me}; run it as that user",
        path.display()
    )))
}
