//! Where the programs are that tests run: each named by a variable, or found on the `PATH`. None is ever fetched here, and
//! a test without its program fails.

use std::path::PathBuf;

/// A program.
///
/// # Panics
/// Where there is none: no test of it can be left out.
pub(crate) fn program(name: &str, variable: &str) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let on_path = || {
        let all = std::env::var_os("PATH")?;
        std::env::split_paths(&all).map(|folder| folder.join(name)).find(|program| program.is_file())
    };
    named.or_else(on_path).unwrap_or_else(|| panic!("no {name}: put one on the PATH, or name it in {variable}"))
}
