//! The browser for the tests of the pages: Chromium, and the driver by which tests move it. Never here: starting either, or
//! a browser of somebody's own settings – each test gives its browser a profile of its own.

use crate::{
    error::{Done, TaskError, Tried},
    packages::{self, Wanted},
};
use std::path::PathBuf;

const WANTED: Wanted = Wanted {
    what: "Chromium with its driver",
    packages: &["chromium", "chromium-driver"],
    programs: &["chromium", "chromedriver"],
    size: "about 130 MB",
};

/// Both programs, of one version where they come from one distribution.
#[derive(Debug)]
pub(crate) struct Browser {
    /// The browser.
    pub(crate) chromium: PathBuf,
    /// Its driver.
    pub(crate) chromedriver: PathBuf,
}

/// Finds both on the PATH, or installs them.
///
/// # Errors
/// Where they are missing and cannot be installed, with what to do about it.
pub(crate) fn ensure(progress: &dyn Fn(&str)) -> Done<Browser> {
    if let Some(browser) = find() {
        return Ok(browser);
    }
    WANTED.install(progress).tried("the browser for tests")?;
    let hint =
        "the packages of Chromium are installed, but `chromium` and `chromedriver` are not on the PATH; put them there";
    find().ok_or_else(|| TaskError::new(hint))
}

fn find() -> Option<Browser> {
    let [chromium, chromedriver] = ["chromium", "chromedriver"].map(packages::find);
    Some(Browser { chromium: chromium?, chromedriver: chromedriver? })
}
