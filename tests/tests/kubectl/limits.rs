//! Limits, as kubectl meets them.

use crate::{running::PATIENCE, world::World};
use kv_tests::{Backend, on_both};
use std::time::{Duration, Instant};

on_both!(streams_have_their_limits, kubectl_waits_when_it_asks_too_often);

async fn streams_have_their_limits(backend: Backend) {
    let settings =
        [("KUBEVISION_CLUSTERS__MAX_STREAMS_PER_USER", "1"), ("KUBEVISION_CLUSTERS__STREAM_IDLE_SECONDS", "8")];
    let world = World::with(backend, "kubectl-limits", &settings).await;
    world.pods(&[("clock", "clock")]);
    let ann = world.own("ann", "dev").await;
    let begun = Instant::now();
    // kubectl pings every five seconds, which keeps nothing open that is otherwise silent.
    let silent = ann.starts(&["exec", "clock", "--", "sh", "-c", "echo begun; sleep 100"]);
    silent.says("begun");
    let refused = ann.fails(&["logs", "-f", "clock"]);
    assert!(refused.contains("You have 1 streams open"), "{refused}");
    // What ends by itself is no stream.
    ann.does(&["logs", "clock", "--tail=1"]);
    let said = silent.ends_within(PATIENCE);
    assert!(!said.success && said.complaint.contains("nothing was said for too long"), "{said:?}");
    assert!(begun.elapsed() >= Duration::from_secs(8), "{:?}", begun.elapsed());
    ann.starts(&["logs", "-f", "clock"]).says("started");
}

async fn kubectl_waits_when_it_asks_too_often(backend: Backend) {
    let world = World::with(backend, "kubectl-rate", &[("KUBEVISION_RATE_LIMIT", "120/m,burst=3")]).await;
    let ann = world.own("ann", "readonly").await;
    for _ in 0..4 {
        ann.does(&["get", "configmaps"]);
    }
    let limited = world.entries(&ann, "status=429").await;
    assert!(!limited.is_empty(), "it was over the limit");
}
