//! Being written.
use std::path::Path;
pub(crate) fn run(_: &Path) -> Result<(), Vec<String>> {
    Ok(())
}
