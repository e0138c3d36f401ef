//! The server's binary: configuration in, exit code out. Everything else is in the library.

use kv_server::{config::Config, logging, server};
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Rust takes an allocator from a static alone. What it is better at than the system's is told in decision 14.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    server::to_its_end(run())
}

async fn run() -> ExitCode {
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(error) => return logging::fail(&error),
    };
    if let Err(error) = logging::start(&config.log) {
        return logging::fail(&error);
    }
    match server::run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => logging::fail(&error),
    }
}
