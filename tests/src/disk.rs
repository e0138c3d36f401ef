//! A small disk of a test's own in the place of a folder, which can be filled and freed, where the machine lets a test mount one.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// A disk. Gone with this value, and all that is on it.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Puts a disk of so many MiB in a folder's place, with all that the folder holds. Nobody may be using it.
    ///
    /// # Errors
    /// Why this machine does not let a test mount one.
    ///
    /// # Panics
    /// Where what was mounted cannot be used.
    pub fn under(folder: &Path, megabytes: u32) -> Result<Self, String> {
        let kept = folder.with_extension("kept");
        copy(folder, &kept);
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        let mounted = mounted.map_err(|error| error.to_string()).and_then(|output| match output.status.success() {
            true => Ok(Self { at: folder.to_owned() }),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        });
        if mounted.is_ok() {
            copy(&kept, folder);
        }
        fs::remove_dir_all(&kept).unwrap();
        mounted
    }

    /// Takes all the room there is.
    ///
    /// # Panics
    /// Where that fails for another reason than that there is no more.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).unwrap();
        let mut piece = vec![0; 1 << 20];
        while !piece.is_empty() {
            match file.write(&piece) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => piece.truncate(piece.len() / 2),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Gives it back.
    ///
    /// # Panics
    /// Where nothing was taken.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Though somebody still has a file of it open.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// Copies a folder's contents, and whose they and it are.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success(), "{} is copied", from.display());
}
