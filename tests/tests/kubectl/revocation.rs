//! A key that is revoked while kubectl uses it: what runs ends at once and says why where kubectl can, and nothing begins.

use crate::{running::Running, world::World};
use kv_tests::{Backend, on_both};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

on_both!(what_runs_ends_and_nothing_begins);

/// As quick as kubectl itself is, on a busy machine.
const PROMPTLY: Duration = Duration::from_secs(10);

async fn what_runs_ends_and_nothing_begins(backend: Backend) {
    let world = World::new(backend, "kubectl-revoked").await;
    world.pods(&[("clock", "clock"), ("echo", "echo"), ("twice", "twice")]);
    let ann = world.own("ann", "dev").await;
    ann.does(&["create", "configmap", "seen"]);
    let started: Vec<(&str, Running)> = [
        ("watch", &["get", "configmaps", "--watch"][..]),
        ("json", &["get", "configmaps", "--watch", "-o", "json"]),
        ("logs", &["logs", "-f", "clock"]),
        (
            "exec",
            &["exec", "clock", "--", "sh", "-c", "echo begun; sleep 100; echo survived > /dev/stderr; touch survived"],
        ),
        ("shell", &["exec", "-i", "clock", "--", "sh", "-c", "echo begun; cat"]),
        ("ports", &["port-forward", "pod/echo", ":80"]),
    ]
    .into_iter()
    .map(|(what, arguments)| (what, ann.starts(arguments)))
    .collect();
    for ((_, running), begun) in started.iter().zip(["seen", "seen", "started", "begun", "begun", "Forwarding from"]) {
        running.says(begun);
    }
    let answer = started[5].1.answer();
    let port: u16 = answer.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let mut through = TcpStream::connect(("127.0.0.1", port)).unwrap();
    through.set_read_timeout(Some(PROMPTLY)).unwrap();
    through.write_all(b"back").unwrap();
    through.read_exact(&mut [0; 4]).unwrap();
    kv_tests::until("six streams are open", || world.app.inside().streams.count() == 6).await;

    let revoked = Instant::now();
    world.app.revoke(&ann.session, &ann.key).await.expect(204);
    // From here on nothing flows.
    assert_eq!(world.app.inside().streams.count(), 0, "its places are given back");
    let heard = through.read(&mut [0; 4]);
    assert!(matches!(heard, Ok(0) | Err(_)), "nothing comes through any more: {heard:?}");
    for (what, running) in started {
        let said = running.ends_within(PROMPTLY);
        assert!(revoked.elapsed() < PROMPTLY * 2, "{what}: {said:?}");
        match what {
            "watch" | "json" => assert!(said.answer.contains("the credential was revoked"), "{what}: {said:?}"),
            "logs" => assert!(said.complaint.contains("EOF"), "a part is not taken for the whole: {said:?}"),
            "ports" => assert!(said.complaint.contains("lost connection to pod"), "{said:?}"),
            _ => assert!(!said.success && said.complaint.contains("the credential was revoked"), "{what}: {said:?}"),
        }
    }

    for arguments in
        [&["get", "pods"][..], &["logs", "clock"], &["exec", "clock", "--", "true"], &["auth", "can-i", "get", "pods"]]
    {
        let said = ann.fails(arguments);
        assert!(said.contains("You must be logged in") || said.contains("nauthorized"), "{arguments:?}: {said}");
    }
}
