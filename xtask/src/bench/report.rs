//! What came out, as tables, and last whether each bar is met. A missed one is told plainly and is no error.

use super::{load::Measured, people::Beside, raw::Raw, refusals::Told, revocations::Revoked};
use crate::output::{line, rows};
use serde_json::{Value, json};
use std::time::Duration;

/// The most a page takes beside the call that reads the same.
const PAGE: f64 = 1.5;
/// The least share of a bare server's speed: on SQLite, on PostgreSQL, and with a session, whose reads leave no entry.
const SQLITE: f64 = 0.40;
const POSTGRES: f64 = 0.25;
const SESSION: f64 = 0.50;
/// The most one request at a time may take to one commit, in the middle and at the 99th percentile.
const ALONE_P50: f64 = 1.3;
const ALONE_P99: f64 = 2.0;
/// The most that refusing a malformed key may cost the server, to what a bare one's answer does.
const MALFORMED: f64 = 1.5;
/// The longest way from start to ready.
const READY: Duration = Duration::from_millis(150);
/// The most memory when idle.
const RESIDENT_KIB: u64 = 40 * 1024;
/// The least share of rows written plainly, 64 a commit.
const RAW_SQLITE: f64 = 0.35;
const RAW_POSTGRES: f64 = 0.45;
/// The least share of its speed with ten million keys in the table, and the most memory they take.
const MANY: f64 = 0.9;
const MANY_KIB: u64 = 64 * 1024;
/// How much longer a key may take beside a flood of sign-ins, or of keys that nobody has.
const FLOODED: f64 = 2.0;
/// The longest a revocation may take until every server has ended what it ends; and where they hear of it at their renewals.
const REVOKED: Duration = Duration::from_millis(20);
const REVOKED_UNTOLD: Duration = Duration::from_millis(800);
/// The widest gap between the medians of refusals.
const GAP: f64 = 0.10;

/// One server under load.
#[derive(Debug)]
pub(super) struct Speed {
    /// Which.
    pub(super) name: &'static str,
    /// How fast.
    pub(super) measured: Measured,
}

/// The bare server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bare {
    /// Its answers a second.
    pub(super) per_second: f64,
    /// What each costs it, in seconds of a processor.
    pub(super) cpu_each: f64,
}

impl Bare {
    /// The mean of two runs.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            per_second: f64::midpoint(self.per_second, other.per_second),
            cpu_each: f64::midpoint(self.cpu_each, other.cpu_each),
        }
    }
}

/// What is asked of the server, met or not.
#[derive(Debug, Default)]
pub(super) struct Bars {
    bars: Vec<Value>,
    refusals: Vec<Value>,
    notes: Vec<String>,
    /// Answers that make the figures worthless.
    pub(super) wrong_answers: u64,
}

impl Bars {
    pub(super) fn bar(&mut self, met: bool, what: String, measured: String, bar: String) {
        let verdict = if met { "met" } else { "MISSED" };
        self.bars.push(json!({ "bar": what, "measured": measured, "asked": bar, "verdict": verdict }));
    }

    /// Starts, quickest first, and the memory of an idle server.
    pub(super) fn start(&mut self, name: &str, took: &[Duration], resident_kib: u64) {
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        let slowest = took.last().copied().unwrap_or_default();
        self.bar(
            median <= READY,
            format!("{name}: ready after"),
            format!("{} ms (slowest of {}: {} ms)", median.as_millis(), took.len(), slowest.as_millis()),
            format!("<= {} ms", READY.as_millis()),
        );
        self.bar(
            resident_kib <= RESIDENT_KIB,
            format!("{name}: resident when idle"),
            mib(resident_kib),
            format!("<= {}", mib(RESIDENT_KIB)),
        );
    }

    /// A server's speed beside the bare one's.
    pub(super) fn load(&mut self, name: &str, measured: &Measured, bare: &Bare, commit: Duration, after_load_kib: u64) {
        let ratio = measured.per_second() / bare.per_second;
        let asked = if name == "sqlite" { SQLITE } else { POSTGRES };
        self.bar(ratio >= asked, format!("{name}: speed to bare"), format!("{ratio:.3}"), format!(">= {asked:.2}"));
        self.notes.push(format!(
            "{name}: a durable write of 4 KiB in the same file system takes {} (median); resident after the load {}",
            shown(commit),
            mib(after_load_kib),
        ));
    }

    /// Audited requests beside rows that are written plainly into the same database.
    pub(super) fn raw(&mut self, name: &str, measured: &Measured, rows: f64) {
        let ratio = measured.per_second() / rows;
        let asked = if name == "sqlite" { RAW_SQLITE } else { RAW_POSTGRES };
        self.bar(
            ratio >= asked,
            format!("{name}: audited requests to rows written plainly, 64 a commit"),
            format!("{ratio:.3} ({rows:.0} rows a second)"),
            format!(">= {asked:.2}"),
        );
    }

    /// The load with ten million keys in the table beside few, each with the memory of the server afterwards.
    pub(super) fn many(&mut self, name: &str, few: &(Measured, u64), many: &(Measured, u64)) {
        self.wrong_answers += few.0.wrong + many.0.wrong;
        let ratio = many.0.per_second() / few.0.per_second();
        self.bar(
            ratio >= MANY,
            format!("{name}: speed with ten million keys in the table to few"),
            format!("{ratio:.2} ({:.0} to {:.0} a second)", many.0.per_second(), few.0.per_second()),
            format!(">= {MANY:.1}"),
        );
        let more = many.1.saturating_sub(few.1);
        self.bar(
            more <= MANY_KIB,
            format!("{name}: resident more by them"),
            format!("{} ({} to {})", mib(more), mib(many.1), mib(few.1)),
            format!("<= {}", mib(MANY_KIB)),
        );
    }

    /// A session's speed beside a key's, in the same server, and the bare one's.
    pub(super) fn session(&mut self, name: &str, session: &Measured, key: &Measured, bare: &Bare) {
        let share = session.per_second() / bare.per_second;
        self.bar(
            share >= SESSION,
            format!("{name}: a session's speed to bare"),
            format!("{share:.3}"),
            format!(">= {SESSION:.2}"),
        );
        let ratio = session.per_second() / key.per_second();
        self.bar(
            ratio >= 1.0,
            format!("{name}: a session's speed to a key's"),
            format!("{ratio:.2}"),
            ">= 1.00".into(),
        );
    }

    /// Revocations among several servers.
    pub(super) fn revocations(&mut self, name: &str, notify: bool, revoked: &Revoked) {
        self.wrong_answers += revoked.wrong;
        let at = |share: usize| revoked.took.get(revoked.took.len() * share / 100).copied().unwrap_or_default();
        let (asked, how) = if notify { (REVOKED, "") } else { (REVOKED_UNTOLD, ", without NOTIFY") };
        self.bar(
            at(99) <= asked,
            format!("{name}: p99 of {} revocations{how}", revoked.took.len()),
            format!("{} (p50 {})", shown(at(99)), shown(at(50))),
            format!("<= {} ms", asked.as_millis()),
        );
    }

    /// What refusing a malformed key costs the server.
    pub(super) fn malformed(&mut self, name: &str, malformed: &Measured, bare: &Bare) {
        let ratio = malformed.cpu_each() / bare.cpu_each;
        self.bar(
            ratio <= MALFORMED,
            format!("{name}: processor of a malformed key's refusal to a bare answer's"),
            format!("{ratio:.2} ({:.1} us)", malformed.cpu_each() * 1e6),
            format!("<= {MALFORMED:.1}"),
        );
    }

    /// How long one request takes when there is no other.
    pub(super) fn alone(&mut self, name: &str, alone: &Measured, one: &Raw) {
        for (share, which, commit, asked) in [(0.5, "p50", one.p50, ALONE_P50), (0.99, "p99", one.p99, ALONE_P99)] {
            let took = alone.latencies.quantile(share);
            let ratio = took.as_secs_f64() / commit.as_secs_f64();
            let what = format!("{name}: {which} of one request at a time to that of a commit of one row");
            let measured = format!("{} to {}: {ratio:.2}", shown(took), shown(commit));
            match name {
                "postgresql" => self.bar(ratio <= asked, what, measured, format!("<= {asked:.1} times")),
                _ => self.notes.push(format!("{what}: {measured}")),
            }
        }
    }

    /// A page beside the call that reads the same, one request at a time: the middle one of some turns of both.
    pub(super) fn page(&mut self, name: &str, path: &str, turns: &[(Measured, Measured)]) {
        let mut ratios = Vec::new();
        for (page, call) in turns {
            self.wrong_answers += page.wrong + call.wrong;
            let [took, asked] = [page, call].map(|measured| measured.latencies.quantile(0.5));
            ratios.push((took.as_secs_f64() / asked.as_secs_f64(), took, asked));
        }
        ratios.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let Some(&(ratio, took, asked)) = ratios.get(ratios.len() / 2) else { return };
        self.bar(
            ratio <= PAGE,
            format!("{name}: {path} to the same by REST"),
            format!("{ratio:.2} ({} to {}, p50)", shown(took), shown(asked)),
            format!("<= {PAGE:.2}"),
        );
    }

    /// Keys beside a flood of something.
    pub(super) fn flood(&mut self, name: &str, what: &str, flooded: &Beside) {
        self.wrong_answers += flooded.wrong;
        let (alone, beside) = (flooded.alone, flooded.beside);
        let ratio = beside.as_secs_f64() / alone.as_secs_f64();
        self.bar(
            ratio <= FLOODED,
            format!("{name}: p99 of a key beside a flood of {what}"),
            format!("{} to {} alone: {ratio:.1} ({})", shown(beside), shown(alone), flooded.flood),
            format!("<= {FLOODED:.0} times"),
        );
    }

    /// The times of refusals.
    pub(super) fn refusals(&mut self, name: &str, told: &Told) {
        self.wrong_answers += told.wrong;
        for (kind, median, p99) in &told.kinds {
            self.refusals.push(json!({
                "refusals": name, "key": kind.to_string(), "p50": shown(*median), "p99": shown(*p99),
            }));
        }
        self.bar(
            told.gap <= GAP,
            format!("{name}: gap between refusals"),
            format!("{:.1} % of p50 (noise {:.1} %)", told.gap * 100.0, told.noise * 100.0),
            format!("<= {:.0} %", GAP * 100.0),
        );
    }
}

/// Prints everything and counts the wrong answers of the load.
pub(super) fn print(speeds: &[Speed], bars: &mut Bars) {
    if !speeds.is_empty() {
        let table: Vec<Value> = speeds.iter().map(row).collect();
        line("");
        rows(false, &["server", "requests/s", "p50", "p99", "wrong", "server_cpu", "load_cpu"], &table);
    }
    for Speed { name, measured } in speeds {
        bars.wrong_answers += measured.wrong;
        if let Some(example) = &measured.example {
            line(&format!("\n{name} answered, among others:\n{example}"));
        }
    }
    for (list, columns) in
        [(&bars.refusals, &["refusals", "key", "p50", "p99"]), (&bars.bars, &["bar", "measured", "asked", "verdict"])]
    {
        if !list.is_empty() {
            line("");
            rows(false, columns, list);
        }
    }
    line("");
    bars.notes.iter().for_each(|note| line(note));
}

fn row(speed: &Speed) -> Value {
    let measured = &speed.measured;
    json!({
        "server": speed.name,
        "requests/s": format!("{:.0}", measured.per_second()),
        "p50": shown(measured.latencies.quantile(0.5)),
        "p99": shown(measured.latencies.quantile(0.99)),
        "wrong": measured.wrong,
        "server_cpu": format!("{:.0} %", measured.server_cpu * 100.0),
        "load_cpu": format!("{:.0} %", measured.load_cpu * 100.0),
    })
}

fn shown(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1_000.0)
}

fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1_024.0)
}
