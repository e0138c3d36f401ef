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

/// The counters.
pub struct Metrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    seconds: Histogram,
    waiting_admissions: Gauge,
    waiting_outcomes: Gauge,
    in_flight: Gauge,
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
    pub fn text(&self, waiting_admissions: usize, waiting_outcomes: usize, in_flight: usize) -> String {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.waiting_admissions.set(number(waiting_admissions));
        self.waiting_outcomes.set(number(waiting_outcomes));
        self.in_flight.set(number(in_flight));
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
