//! Python's client: as its users write it, in `round.py`.

use crate::world::{World, run};
use kv_tests::{Backend, on_both};

on_both!(python_s_client_does_a_round);

const SCRIPT: &str = include_str!("round.py");

async fn python_s_client_does_a_round(backend: Backend) {
    let world = World::new(backend, "python").await;
    world.pods(&[("clock", "clock"), ("echo", "echo")]);
    let ann = world.own("ann", "dev").await;
    let mut python = ann.program("KUBEVISION_TEST_PYTHON");
    python.args(["-", &world.namespace]);
    let said = run(python, SCRIPT);
    assert!(said.success, "{}{}", said.answer, said.complaint);
    let steps: Vec<&str> = said.answer.lines().collect();
    assert_eq!(
        steps,
        [
            "discovered",
            "made, watched, scaled, deleted",
            "listed page by page",
            "followed a log",
            "ran a command",
            "forwarded a port",
            "was refused",
        ]
    );
    let entries = world.entries(&ann, "").await;
    assert!(entries.len() > 15, "every call is on record: {entries:?}");
}
