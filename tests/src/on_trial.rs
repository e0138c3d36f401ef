//! The server on trial: the server itself, but that tests can have it killed at a point, or leave out a rule. Both come by
//! variables that no released server knows.
//!
//! Built without debug assertions it is a server like any other.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test says what is wrong by failing")]

use kv_server::{
    broken::{Broken, Rule},
    config::Config,
    logging, server,
};
use kv_store::points::TARGET;
use std::{
    env::var,
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, Targets},
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// The point, how often it is passed before, and which rule is left out.
const KILLED_AT: &str = "KV_TRIAL_KILLED_AT";
const PASSED: &str = "KV_TRIAL_PASSED";
const WITHOUT: &str = "KV_TRIAL_WITHOUT";
/// A server that has begun a moment ago is not killed yet, so that whoever started it sees it there.
const BEGINS: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    server::to_its_end(run())
}

async fn run() -> ExitCode {
    let mut config = Config::from_environment().expect("settings that are understood");
    if let Ok(name) = var(WITHOUT) {
        let rule = Rule::ALL.into_iter().find(|rule| format!("{rule:?}") == name);
        config.broken = Broken::without(rule.unwrap_or_else(|| panic!("{name} is no rule")));
    }
    let lines = tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr);
    let kills = var(KILLED_AT).ok().map(|point| Kills {
        point,
        left: AtomicU32::new(var(PASSED).map_or(0, |passed| passed.parse().expect("a number"))),
        from: Instant::now() + BEGINS,
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(EnvFilter::try_new(&config.log).expect("a filter")))
        .with(kills.with_filter(Targets::new().with_target(TARGET, LevelFilter::TRACE)))
        .init();
    match server::run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => logging::fail(&error),
    }
}

/// Kills this process where it is told to.
struct Kills {
    point: String,
    left: AtomicU32,
    from: Instant,
}

impl<S: Subscriber> Layer<S> for Kills {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told(String::new());
        event.record(&mut told);
        if told.0 != self.point || Instant::now() < self.from {
            return;
        }
        let passed = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if passed.is_err() {
            // The thread that has come here goes no step further: the signal is there when the call returns.
            let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            panic!("this process lives on: {killed:?}");
        }
    }
}

/// Which point an event tells of.
struct Told(String);

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "point" {
            self.0 = format!("{value:?}");
        }
    }
}
