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

/// An error and everything that led to it, for a line of the log; JSON lines would tell the error alone. Who only says again what
/// its source says is heard once.
pub(crate) fn whole(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let (mut last, mut source) = (said.clone(), error.source());
    while let Some(error) = source {
        let next = error.to_string();
        if !last.trim_end_matches('.').eq_ignore_ascii_case(&next) {
            said.push_str(": ");
            said.push_str(&next);
        }
        (last, source) = (next, error.source());
    }
    said
}

/// Says why the process ends, with everything that led to it.
pub fn fail(error: &dyn Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "kv-server: {}", whole(error));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use crate::{cluster::UpstreamError, upstreams};

    #[test]
    fn a_line_says_what_led_to_an_error() {
        let refused = UpstreamError::Unreachable("connection refused".into());
        let said = super::whole(&upstreams::failure(refused));
        assert_eq!(said, "The cluster cannot be reached.: connection refused");
    }
}
