//! Counters for operators, as OpenMetrics text on a listener of its own. Labels are routes and classes of status, never
//! names, ids or addresses, so that their number is bounded.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{fmt, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: &'static str,
    status: &'static str,
}

/// What is neither counted nor measured, but looked at when somebody asks.
#[derive(Debug, Clone, Copy)]
pub struct Levels {
    /// Requests that wait for admission.
    pub admissions_waiting: usize,
    /// Outcomes that wait to be written.
    pub outcomes_waiting: usize,
    /// Credentials that have requests in flight.
    pub credentials_in_flight: usize,
    /// Whether this server's lease holds.
    pub lease_held: bool,
    /// Cuts that are marked, and have still to let go.
    pub cuts_running: usize,
}

/// The counters.
pub struct Metrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    seconds: Histogram,
    waiting_admissions: Gauge,
    waiting_outcomes: Gauge,
    in_flight: Gauge,
    lease_held: Gauge,
    cuts_running: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("kubevision");
        let answers = Family::<Answer, Counter>::default();
        let seconds = Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        registry.register("answers", "Answers by route and class of status", answers.clone());
        registry.register("request_seconds", "Time from a request's head to its answer", seconds.clone());
        Self {
            waiting_admissions: gauge(&mut registry, "admissions_waiting", "Requests waiting for admission"),
            waiting_outcomes: gauge(&mut registry, "outcomes_waiting", "Audit outcomes not yet written"),
            in_flight: gauge(&mut registry, "credentials_in_flight", "Credentials with requests in flight"),
            lease_held: gauge(
                &mut registry,
                "lease_held",
                "1 while this server knows of every revocation; 0: it serves nobody",
            ),
            cuts_running: gauge(
                &mut registry,
                "cuts_running",
                "Revocations whose requests and streams have still to end here",
            ),
            registry,
            answers,
            seconds,
        }
    }

    /// Counts an answer.
    pub fn answered(&self, route: &'static str, status: u16, took: Duration) {
        let status = match status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            401 => "401",
            403 => "403",
            429 => "429",
            400..=499 => "4xx",
            503 => "503",
            _ => "5xx",
        };
        self.answers.get_or_create(&Answer { route, status }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// The text, with the gauges as they are now.
    #[must_use]
    pub fn text(&self, now: &Levels) -> String {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.waiting_admissions.set(number(now.admissions_waiting));
        self.waiting_outcomes.set(number(now.outcomes_waiting));
        self.in_flight.set(number(now.credentials_in_flight));
        self.lease_held.set(i64::from(now.lease_held));
        self.cuts_running.set(number(now.cuts_running));
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
