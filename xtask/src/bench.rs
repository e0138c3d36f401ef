//! `cargo xtask bench`.

use crate::{cli::BenchOptions, error::Done};
use std::net::SocketAddr;

/// Runs the measurements.
pub(crate) fn run(_options: &BenchOptions) -> Done {
    Err(crate::error::TaskError::new("being written"))
}

/// The baseline.
pub(crate) fn hello(_listen: SocketAddr) -> Done {
    Err(crate::error::TaskError::new("being written"))
}
