//! `cargo xtask`: the project's tasks. Reads the command line and hands over; nothing is done here.

mod admin;
mod bench;
mod browser;
mod certificates;
mod cli;
mod demo;
mod error;
mod faults;
mod kube;
mod output;
mod packages;
mod postgres;
mod suite;
mod tidy;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match cli::Cli::parse().task {
        cli::Task::Demo { once } => demo::run(once),
        cli::Task::Test { filter } => suite::run(&filter),
        cli::Task::Bench(options) => bench::run(&options),
        cli::Task::BenchHello { listen } => bench::hello(listen),
        cli::Task::BenchRaw { seconds, rows } => bench::raw(seconds, rows),
        cli::Task::BenchFill { keys } => bench::fill(keys),
        cli::Task::Faults => faults::run(),
        cli::Task::Tidy => suite::tidy(),
        cli::Task::Openapi => suite::openapi(),
        cli::Task::Kube { task } => suite::kube(task),
        cli::Task::Postgres(options) => postgres::trial::run(&options),
        cli::Task::Seed(options) => admin::seed(&options),
        cli::Task::Admin(task) => admin::run(task),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}
