//! Logging: JSON lines on standard error. No header, body, key or password is ever handed to it, at any level.

use std::{error::Error, io::Write, process::ExitCode};
use tracing_subscriber::{EnvFilter, util::TryInitError};

/// The log filter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It is not understood.
    #[error("the setting `log` is not a filter such as `info` or `info,kv_server=debug`")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else logs already.
    #[error("logging cannot be started")]
    Taken(#[from] TryInitError),
}

/// Starts logging with a filter such as `info`.
///
/// # Errors
/// [`LogError`].
pub fn start(filter: &str) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = EnvFilter::try_new(filter)?;
    let lines = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).finish();
    Ok(lines.try_init()?)
}

/// Says why the process ends, with everything that led to it.
pub fn fail(error: &dyn Error) -> ExitCode {
    let mut text = format!("kv-server: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}
