//! The key files of the data folder: made at the first start, readable by their owner alone, never printed.

use crate::clock::{Random, RandomError};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("the key file {path} cannot be read or made: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error("the key file {0} is readable by others; run: chmod 600 {0}")]
    Exposed(PathBuf),
    /// It is not 32 bytes.
    #[error("the key file {0} is not 32 bytes long; restore it from a backup")]
    Malformed(PathBuf),
    /// No key could be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The keys of one purpose: the newest, and those it has taken the place of.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys(Vec<Zeroizing<[u8; 32]>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Keys {
    /// The key that signs or seals from now on.
    #[must_use]
    pub fn newest(&self) -> &[u8; 32] {
        &self.0[0]
    }

    /// All of them, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.0.iter().map(|key| &**key)
    }

    /// The newest alone, to see what still needs an older one.
    #[must_use]
    pub fn without_older(&self) -> Self {
        Self(vec![self.0[0].clone()])
    }

    /// For tests.
    #[cfg(test)]
    pub(crate) fn of(keys: &[[u8; 32]]) -> Self {
        Self(keys.iter().map(|key| Zeroizing::new(*key)).collect())
    }
}

/// The keys of a purpose: `<name>.key`, made if it is missing, and `<name>-….key`, those before it.
///
/// # Errors
/// [`KeyFileError`].
pub fn load_ring(folder: &Path, name: &str, random: &Random) -> Result<Keys, KeyFileError> {
    let mut keys = vec![load_or_make(&folder.join(format!("{name}.key")), random)?];
    for path in older(folder, name)? {
        keys.push(read(&path)?);
    }
    Ok(Keys(keys))
}

/// The files of the keys before the newest, the latest first.
fn older(folder: &Path, name: &str) -> Result<Vec<PathBuf>, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        if file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".key")) {
            found.push(path);
        }
    }
    found.sort();
    found.reverse();
    Ok(found)
}

/// Puts a new key in the place of the newest, which is kept beside it as `<name>-<time>.key`.
///
/// # Errors
/// [`KeyFileError`]; then the newest is what it was.
pub fn rotate(folder: &Path, name: &str, unix_seconds: i64, random: &Random) -> Result<PathBuf, KeyFileError> {
    let newest = folder.join(format!("{name}.key"));
    load_or_make(&newest, random)?;
    let kept = folder.join(format!("{name}-{unix_seconds:012}.key"));
    let failed = |source| KeyFileError::Io { path: kept.clone(), source };
    // First a second name for the old one, then the new one in its place: at no moment is either missing.
    fs::hard_link(&newest, &kept).map_err(failed)?;
    let draft = write_draft(&newest, random)?;
    fs::rename(&draft, &newest).map_err(failed)?;
    sync(folder).map_err(failed)?;
    Ok(kept)
}

/// The 32 bytes of the file, made if it is missing. Two processes that start at once end up with the same key.
///
/// # Errors
/// [`KeyFileError`].
pub fn load_or_make(path: &Path, random: &Random) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    if !path.exists() {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        // Whole or not there at all: written beside it, then linked, which fails if another process was first.
        let draft = write_draft(path, random)?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => fs::remove_file(&draft).map_err(failed)?,
        }
        sync(folder).map_err(failed)?;
    }
    read(path)
}

/// A new key in a file of its own beside the given one.
fn write_draft(path: &Path, random: &Random) -> Result<PathBuf, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let key = Zeroizing::new(random.bytes::<32>()?);
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(failed)?;
    file.write_all(key.as_slice()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(draft)
}

/// The names as well must survive a power cut: what is sealed with a lost key stays sealed.
fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder).and_then(|folder| folder.sync_all())
}

fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed(path.to_owned()));
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyFileError::Malformed(path.to_owned()))?;
    Ok(Zeroizing::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_key_comes_first_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let random = Random::system();
        let first = load_ring(folder.path(), "signing", &random).unwrap();
        load_ring(folder.path(), "sealing", &random).unwrap();
        rotate(folder.path(), "signing", 1, &random).unwrap();
        rotate(folder.path(), "signing", 20, &random).unwrap();
        let ring = load_ring(folder.path(), "signing", &random).unwrap();
        assert_eq!(ring.all().count(), 3);
        assert_ne!(ring.newest(), first.newest());
        assert_eq!(ring.all().last(), Some(first.newest()));
        assert_eq!(load_ring(folder.path(), "sealing", &random).unwrap().all().count(), 1);
        let mode = fs::metadata(folder.path().join("signing.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
