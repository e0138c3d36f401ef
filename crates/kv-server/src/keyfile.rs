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

/// The 32 bytes of the file, made if it is missing. Two processes that start at once end up with the same key.
///
/// # Errors
/// [`KeyFileError`].
pub fn load_or_make(path: &Path, random: &Random) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    if !path.exists() {
        let key = Zeroizing::new(random.bytes::<32>()?);
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        // Whole or not there at all: written beside it, then linked, which fails if another process was first.
        let draft = path.with_extension(format!("new-{}", std::process::id()));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(failed)?;
        file.write_all(key.as_slice()).and_then(|()| file.sync_all()).map_err(failed)?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => fs::remove_file(&draft).map_err(failed)?,
        }
        // The name as well must survive a power cut: what is sealed with a lost key stays sealed.
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed(path.to_owned()));
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyFileError::Malformed(path.to_owned()))?;
    Ok(Zeroizing::new(key))
}
