//! Pods with kubectl: their logs, commands in them, files into and out of them, their ports.

use crate::{
    running::{PATIENCE, Running},
    world::{Person, World},
};
use kv_tests::{Backend, on_both};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

on_both!(
    logs_are_read_and_followed,
    commands_run_with_and_without_input_and_on_terminals,
    files_are_copied_both_ways,
    ports_are_forwarded,
);

async fn logs_are_read_and_followed(backend: Backend) {
    let world = World::new(backend, "kubectl-logs").await;
    world.pods(&[("clock", "clock"), ("twice", "twice")]);
    // To read what is written takes no right to run anything.
    let ann = world.own("ann", "readonly").await;
    assert!(ann.does(&["logs", "clock"]).starts_with("started\n"));
    assert_eq!(ann.does(&["logs", "clock", "--tail=1"]).lines().count(), 1);
    assert_eq!(ann.does(&["logs", "twice", "--previous"]), "started, and ended with 1\n");
    assert!(ann.does(&["logs", "-l", "app=clock", "--prefix", "--timestamps"]).contains("[pod/clock/main]"));
    let follows = ann.starts(&["logs", "-f", "clock", "--since=1s"]);
    follows.says_so("a line comes", |answer| answer.lines().count() > 0);
    let so_far = follows.answer().lines().count();
    follows.says_so("more lines come", |answer| answer.lines().count() > so_far + 5);
    let entries = world.entries(&ann, "action=kubernetes.logs").await;
    assert!(entries.iter().any(|entry| entry["resource_name"] == "clock"), "{entries:?}");
    let said = ann.fails(&["logs", "none"]);
    assert!(said.contains("NotFound"), "{said}");
}

/// kubectl on a terminal.
fn on_terminal(person: &Person, arguments: &[&str]) -> Running {
    let kubectl = person.command(arguments);
    let words: Vec<String> = std::iter::once(kubectl.get_program())
        .chain(kubectl.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")))
        .collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]).env_clear();
    script.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("SHELL", "/bin/sh");
    Running::start(script)
}

async fn commands_run_with_and_without_input_and_on_terminals(backend: Backend) {
    let world = World::new(backend, "kubectl-exec").await;
    world.pods(&[("clock", "clock"), ("twice", "twice")]);
    let ann = world.own("ann", "dev").await;
    let said = ann.tries(&["exec", "clock", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert!(said.success, "{said:?}");
    assert_eq!(said.answer, "out\n");
    // A kubelet says with an empty message that a command has begun; a kubectl that is not ready for it yet complains of that.
    assert!(said.complaint.ends_with("err\n"), "{said:?}");
    let ended = ann.fails(&["exec", "clock", "--", "sh", "-c", "exit 7"]);
    assert!(ended.contains("exit code 7"), "{ended}");
    assert_eq!(ann.does(&["exec", "clock", "--", "printf", "%s|", "a b", "*", "ü\nö"]), "a b|*|ü\nö|");

    assert_eq!(ann.does_with(&["exec", "-i", "clock", "--", "head", "-n", "2"], "one\ntwo\n"), "one\ntwo\n");
    let mut cat = ann.starts(&["exec", "-i", "clock", "--", "cat"]);
    cat.tell("one\n");
    cat.says("one\n");
    // This one goes on until its input ends, of which the cluster for tests is too old to be told.
    cat.tell_all("two\n");
    let said = cat.ends_within(PATIENCE);
    assert_eq!((said.success, said.answer.as_str()), (false, "one\ntwo\n"), "{said:?}");
    assert!(said.complaint.contains("too old") && said.complaint.contains("it was ended"), "{said:?}");

    let mut shell =
        on_terminal(&ann, &["exec", "-it", "clock", "--", "sh", "-c", "tty; read word; echo got $word; exit 5"]);
    shell.says("/dev/");
    shell.tell("through\n");
    shell.says("got through");
    let said = shell.ends_within(PATIENCE);
    assert!(!said.success && said.answer.contains("exit code 5"), "{said:?}");

    let mut attached = ann.starts(&["attach", "-i", "-q", "twice"]);
    attached.tell("a line\n");
    attached.says("a line\n");
    drop(attached);
    let entries = world.entries(&ann, "action=kubernetes.attach").await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entries = world.entries(&ann, "action=kubernetes.exec").await;
    assert_eq!(entries.len(), 6, "one for each command: {entries:?}");
}

async fn files_are_copied_both_ways(backend: Backend) {
    let world = World::new(backend, "kubectl-cp").await;
    world.pods(&[("clock", "clock")]);
    let ann = world.own("ann", "dev").await;
    // Bytes that no compression and no text survives in another form.
    let mut state = 7_u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    let bytes = bytes.take(3_000_001).collect::<Vec<u8>>();
    let there = ann.file("there", &bytes);
    let back = ann.folder().join("back");
    // GNU tar reads on after the end of the archive. What it was sent is there all the same.
    let said = ann.fails(&["cp", &there, "clock:file"]);
    assert!(said.contains("too old") && said.contains("the input has ended"), "{said}");
    assert_eq!(ann.does(&["exec", "clock", "--", "sh", "-c", "wc -c < file"]).trim(), bytes.len().to_string());
    ann.does(&["cp", "clock:file", back.to_str().unwrap()]);
    assert!(std::fs::read(back).unwrap() == bytes, "the bytes that come back are others");
}

async fn ports_are_forwarded(backend: Backend) {
    let world = World::new(backend, "kubectl-port").await;
    world.pods(&[("echo", "echo")]);
    let ann = world.own("ann", "dev").await;
    // Time and again: a cluster that refuses the WebSocket closes that connection soon, and another must be taken.
    for _ in 0..20 {
        ann.starts(&["port-forward", "pod/echo", ":80"]).says("Forwarding from 127.0.0.1:");
    }
    let forwards = ann.starts(&["port-forward", "pod/echo", ":80"]);
    forwards.says("Forwarding from 127.0.0.1:");
    let answer = forwards.answer();
    let port: u16 = answer.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    // Several at once, each its own.
    let mut open: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        open.push(stream);
    }
    for (number, stream) in open.iter_mut().enumerate() {
        let sent = format!("{number}").repeat(100_000);
        let (mut writing, bytes) = (stream.try_clone().unwrap(), sent.clone());
        let writer = std::thread::spawn(move || writing.write_all(bytes.as_bytes()));
        let mut heard = vec![0; sent.len()];
        stream.read_exact(&mut heard).unwrap();
        writer.join().unwrap().unwrap();
        assert!(heard == sent.as_bytes(), "{number}: other bytes come back");
    }
    let entries = world.entries(&ann, "action=kubernetes.port_forward").await;
    assert_eq!(entries.len(), 21, "{entries:?}");
    drop(forwards);
    let bob = world.own("bob", "readonly").await;
    let refused = bob.fails(&["port-forward", "pod/echo", ":80"]);
    assert!(refused.contains("pods:exec"), "{refused}");
}
