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

/// How often a server tries to take a file that seems taken, with a pause before each: a task that looks holds it for a moment.
const AGAIN: u32 = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the file for this server.
///
/// # Errors
/// [`StoreError::Setup`] when another server has it.
pub(crate) fn server(path: &Path) -> Result<ServerLock> {
    let file = lock_file(path)?;
    let mut held = file.try_lock();
    for _ in 0..AGAIN {
        if !matches!(held, Err(TryLockError::WouldBlock)) {
            break;
        }
        thread::sleep(PAUSE);
        held = file.try_lock();
    }
    match held {
        Ok(()) => Ok(ServerLock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Setup(format!(
            "another server is running on {}; one process at a time may serve a SQLite file, use PostgreSQL for several",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => {
            Err(StoreError::Setup(format!("cannot lock the file beside {}: {error}", path.display())))
        }
    }
}

/// Whether a server has the file. Where that cannot be told, one may.
pub(crate) fn is_served(path: &Path) -> bool {
    // Shared: those who look do not take each other for a server.
    !lock_file(path).is_ok_and(|file| file.try_lock_shared().is_ok())
}

/// The one lock for the file, whichever link leads to it.
fn lock_file(path: &Path) -> Result<File> {
    let path =
        path.canonicalize().map_err(|error| StoreError::Setup(format!("cannot find {}: {error}", path.display())))?;
    let lock = path.with_extension("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
    opened.map_err(|error| StoreError::Setup(format!("cannot open {}: {error}", lock.display())))
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
