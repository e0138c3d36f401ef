//! `cargo xtask faults`: the long runs that `test` leaves out. The same tests with many more cases, the key statistics as
//! released code does them, the revocation tests, and servers under faults. Bounded: it ends by itself after some
//! ten minutes.

use crate::{
    error::{Done, Tried},
    output::{line, progress},
    postgres, suite,
};
use std::{path::Path, time::Instant};

/// A run: what it is for, what cargo is asked, and how many cases each property has in it.
struct Run {
    what: &'static str,
    arguments: &'static [&'static str],
    cases: u32,
}

const RUNS: &[Run] = &[
    Run {
        what: "a million keys, unique and even, as released code makes them",
        arguments: &["test", "--release", "-p", "kv-keys", "--test", "keys", "attack_25"],
        cases: 256,
    },
    Run {
        what: "whatever arrives as a key or a header",
        arguments: &["test", "--release", "-p", "kv-keys", "--test", "fuzz"],
        cases: 5_000_000,
    },
    Run {
        what: "what is allowed to a key is allowed to its owner",
        arguments: &["test", "--release", "-p", "kv-authz", "--test", "roles"],
        cases: 200_000,
    },
];

/// The tests that hold S1 to S5, as nextest names them; those of kubectl would want a Kubernetes.
const REVOCATIONS: &str = "package(kv-tests) and binary(http) and (test(revocation::) or test(expiry::))";
/// The tests with servers as processes, links that go wrong, and a checker of what was seen.
const REAL_THING: &str = "package(kv-tests) and binary(faults)";
/// How many of them run at once.
const AT_ONCE: &str = "3";
/// Tells them to be long.
const LONG: &str = "KUBEVISION_TEST_FAULTS";

/// Runs everything long.
pub(crate) fn run() -> Done {
    let (started, root) = (Instant::now(), suite::root()?);
    for run in RUNS {
        progress(&format!("\n== {} ({} cases a property)", run.what, run.cases));
        suite::cargo(&root, run.arguments, &[("PROPTEST_CASES", run.cases.to_string())])?;
    }
    progress("\n== PostgreSQL");
    let postgres = postgres::start(&progress).tried("starting a PostgreSQL for tests")?;
    let url = postgres.url("postgres");
    let done = revocations(&root, &url).and_then(|()| real_thing(&root, &url));
    postgres.stop().tried("ending the PostgreSQL for tests")?;
    done?;
    line(&format!("\nNothing was found in {} s.", started.elapsed().as_secs()));
    Ok(())
}

fn revocations(root: &Path, url: &str) -> Done {
    progress("\n== revocations and expiries");
    let environment = [(suite::POSTGRES, url.to_owned())];
    suite::cargo(root, &["nextest", "run", "--workspace", "-E", REVOCATIONS], &environment)
}

fn real_thing(root: &Path, url: &str) -> Done {
    progress("\n== servers, links and revocations under faults");
    let environment = [(suite::POSTGRES, url.to_owned()), (LONG, "1".to_owned())];
    // Each says what it has seen and drawn. Most of their time they wait: for leases to run out, for servers to come back.
    let arguments = ["nextest", "run", "--workspace", "--no-fail-fast", "--test-threads", AT_ONCE].into_iter().chain([
        "--success-output",
        "immediate",
        "--failure-output",
        "immediate",
        "-E",
        REAL_THING,
    ]);
    let arguments: Vec<&str> = arguments.collect();
    suite::cargo(root, &arguments, &environment)
}
