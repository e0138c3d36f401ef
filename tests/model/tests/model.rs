//! The protocol keeps its promises in half a million requests under faults, and everything that makes it up is needed: each
//! way of getting it wrong is caught, by the promise that it breaks. Never a server, a database or a socket; those have tests
//! of their own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says by failing what is wrong, and whoever asks for its output gets the history"
)]

use kv_model::{Branch, Counts, Fault, Mutant, Promise, Rules, Run, Violation, run, story};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

/// The seeds of the protocol, among which are those that each mutant has to be caught by.
const SEEDS: u64 = 400;

/// Plays seeds on all cores and hands over each run, until there are enough.
fn play(seeds: u64, rules: Rules, enough: impl Fn(&Run) -> bool + Sync) -> Vec<Run> {
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut runs: Vec<Run> = thread::scope(|scope| {
        let work = || {
            let mut runs = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return runs;
                }
                let run = run(seed, rules);
                if enough(&run) {
                    next.store(seeds, Ordering::Relaxed);
                }
                runs.push(run);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    runs.sort_by_key(|run| run.seed);
    runs
}

fn total(runs: &[Run]) -> Counts {
    let mut total = Counts::default();
    runs.iter().for_each(|run| total.add(&run.counts));
    total
}

fn first_violation(runs: &[Run]) -> Option<(u64, &Violation)> {
    runs.iter().find_map(|run| run.violations.first().map(|violation| (run.seed, violation)))
}

#[test]
fn every_promise_is_kept_in_half_a_million_requests_under_faults() {
    let started = Instant::now();
    let rules = Rules::protocol();
    let runs = play(SEEDS, rules, |_| false);
    let requests: usize = runs.iter().map(|run| run.requests).sum();
    let counts = total(&runs);
    println!("{requests} requests in {} ms\n\n{counts}", started.elapsed().as_millis());

    if let Some((seed, violation)) = first_violation(&runs) {
        panic!("seed {seed}: {}", story(seed, rules, violation));
    }
    assert!(requests >= 500_000, "{requests} requests are too few");
    // A model in which nothing happens keeps every promise.
    for fault in Fault::ALL {
        assert!(counts.of_fault(*fault) >= 20, "{fault:?} happened {} times", counts.of_fault(*fault));
    }
    for branch in Branch::ALL {
        assert!(counts.of_branch(*branch) >= 20, "{branch:?} was taken {} times", counts.of_branch(*branch));
    }
    let accepted = counts.of_branch(Branch::Accepted);
    assert!(accepted >= 100_000, "only {accepted} requests were accepted");
    let revoked: usize = runs.iter().map(|run| run.revoked).sum();
    assert!(revoked >= 8_000, "only {revoked} revocations were answered");
}

#[test]
fn without_faults_everybody_is_answered_and_nobody_with_503() {
    let rules = Rules { faults: false, ..Rules::protocol() };
    let runs = play(40, rules, |_| false);
    let counts = total(&runs);
    assert!(first_violation(&runs).is_none());
    for run in &runs {
        assert_eq!((run.unavailable, run.unanswered), (0, 0), "seed {}", run.seed);
        assert!(run.requests > 1_000 && run.revoked >= 20, "seed {}: {} requests", run.seed, run.requests);
    }
    for fault in Fault::ALL {
        assert_eq!(counts.of_fault(*fault), 0, "{fault:?}");
    }
    for branch in [Branch::LeaseLapsed, Branch::SomeGone, Branch::WaitedOut, Branch::RowMissing] {
        assert_eq!(counts.of_branch(branch), 0, "{branch:?}");
    }
    for branch in [Branch::CutMarked, Branch::StaleReloaded, Branch::ReadHere] {
        assert!(counts.of_branch(branch) > 0, "{branch:?}");
    }
}

#[test]
fn a_seed_is_played_the_same_way_every_time() {
    let rules = Rules::protocol();
    let (one, other) = (run(7, rules), run(7, rules));
    assert_eq!((one.requests, one.unavailable, one.counts), (other.requests, other.unavailable, other.counts));
}

/// Looks for a run that breaks the promise. The protocol as it should be breaks none in the same seeds.
fn is_caught(rules: Rules, promise: Promise) {
    let breaks = |run: &Run| run.violations.iter().any(|violation| violation.promise == promise);
    let runs = play(SEEDS, rules, breaks);
    let Some(run) = runs.iter().find(|run| breaks(run)) else { panic!("{rules:?} breaks {promise:?} in no seed") };
    println!("seed {}", run.seed);
    let violation = run.violations.iter().find(|violation| violation.promise == promise);
    println!("{}", story(run.seed, rules, violation.unwrap()));
}

#[test]
fn clocks_that_differ_by_more_than_a_tenth_break_s4() {
    is_caught(Rules { drift: 50_000, ..Rules::protocol() }, Promise::S4);
}

macro_rules! mutants {
    ($($name:ident: $mutant:ident breaks $promise:ident;)*) => {
        $(#[test]
        fn $name() {
            is_caught(Rules::wrong(Mutant::$mutant), Promise::$promise);
        })*

        #[test]
        fn every_mutant_has_a_test() {
            let tested = [$(Mutant::$mutant),*];
            for mutant in Mutant::ALL {
                assert!(tested.contains(mutant), "{mutant:?}");
            }
        }
    };
}

mutants! {
    a_check_in_a_cache_that_notifications_clear_breaks_s1: NotifyOnlyCache breaks S1;
    a_check_in_a_cache_with_a_time_to_live_breaks_s1: TimeToLiveCache breaks S1;
    joining_a_statement_under_way_breaks_s1: JoinInFlight breaks S1;
    a_lease_counted_from_the_answer_breaks_s4: LeaseFromAnswer breaks S4;
    a_lease_on_the_wall_clock_breaks_s4: LeaseOnWallClock breaks S4;
    a_lapse_that_ends_nothing_breaks_s2: LapseEndsNothing breaks S2;
    an_effect_gate_that_does_not_look_at_the_lease_breaks_s2: EffectGateWithoutLease breaks S2;
    an_effect_gate_before_the_work_breaks_s2: EffectGateTooEarly breaks S2;
    an_answer_gate_that_does_not_look_at_the_lease_breaks_s3: AnswerGateWithoutLease breaks S3;
    a_stream_that_does_not_look_at_the_lease_breaks_s4: StreamWithoutLease breaks S4;
    an_acknowledgement_before_the_mark_breaks_s4: AcknowledgeBeforeMark breaks S4;
    a_revoker_that_does_not_wait_for_the_silent_breaks_s4: SilentNotWaitedFor breaks S4;
    a_wait_counted_from_sending_the_commit_breaks_s4: WaitFromCommitSent breaks S4;
    numbers_from_a_sequence_break_s4: NumbersWithoutOrder breaks S4;
    a_revoker_that_does_not_wait_for_its_own_replica_breaks_s1: RevokerNotWaitedFor breaks S1;
    a_repeated_revocation_that_does_not_wait_breaks_s4: RepeatWithoutWait breaks S4;
    an_unaudited_read_without_a_lease_breaks_s1: ReadWithoutLease breaks S1;
    an_unaudited_read_on_an_older_primary_breaks_s1: ReadElsewhere breaks S1;
    a_number_that_is_not_compared_breaks_s1: NumberNotCompared breaks S1;
    a_number_published_after_the_marks_breaks_s1: NumberAfterMarks breaks S1;
    a_number_of_another_primary_breaks_s1: NumberElsewhere breaks S1;
    a_version_that_is_not_compared_breaks_s1: VersionNotCompared breaks S1;
    a_read_decided_here_without_a_lease_breaks_s1: ReadHereWithoutLease breaks S1;
    rows_read_on_an_older_primary_break_s4: RowsElsewhere breaks S4;
    versions_that_are_counted_break_s1: VersionsCounted breaks S1;
    a_refusal_from_the_cache_breaks_v1: RefusalFromCache breaks V1;
    a_commit_answered_before_it_is_on_disk_breaks_s5: CommitNotDurable breaks S5;
    an_effect_beside_its_intent_breaks_a1: EffectBesideIntent breaks A1;
    outcomes_without_a_key_break_a2: OutcomeWithoutKey breaks A2;
    a_guessed_outcome_breaks_a3: OutcomeGuessed breaks A3;
}
