//! Streams through the server: they end with their credential, for both halves, before the revoking call has answered; and
//! they cost the same, whatever the cluster sends.

use crate::sessions;
use kv_tests::{Backend, Cluster, Key, Reply, Session, Socket, TestApp, User, on_both, until};
use serde_json::json;
use std::time::{Duration, Instant};

on_both!(
    attack_133_a_watch_and_a_followed_log_end_at_the_revocation,
    attack_136_who_does_not_read_is_cut_too,
    attack_142_a_list_under_way_is_cut_and_not_taken_for_whole,
    attack_134_a_thousand_idle_streams_end_together,
    attack_138_only_what_is_no_longer_allowed_ends,
    a_question_about_oneself_ends_with_the_rights_to_the_cluster,
    attack_90_a_stream_ends_when_its_key_expires,
    a_stream_ends_with_its_session_unless_that_was_renewed,
    a_client_that_leaves_ends_the_cluster_s_half,
    attack_153_an_endless_answer_costs_no_memory_and_ends_at_its_bound,
    attack_153_a_byte_now_and_then_and_silence_end,
    streams_are_counted_for_each_user,
    a_stopping_server_ends_its_streams,
    a_watch_of_some_namespaces_is_the_union_of_theirs,
    attack_81_events_of_secrets_are_masked,
);

pub(crate) const API: &str = "/api/v1/clusters/prod/k8s/api/v1";
pub(crate) const EVENT: &str =
    r#"{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"team"}}}"#;
const EVERY: Duration = Duration::from_millis(20);

/// A server with one user, their key, and a cluster whose watches and logs never end.
pub(crate) struct World {
    pub(crate) app: TestApp,
    pub(crate) cluster: Cluster,
    pub(crate) user: User,
    pub(crate) session: Session,
    pub(crate) key: Key,
}

pub(crate) async fn world(backend: Backend, settings: &[(&str, &str)]) -> World {
    let (app, cluster) = (TestApp::with(backend, settings).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let user = app.user("ann", "dev").await;
    app.assign(&user, "prod", &["team", "other"]).await;
    let session = app.login("ann").await;
    let key = app.key(&session, "ci").await;
    for namespace in ["team", "other"] {
        for what in [
            format!("/api/v1/namespaces/{namespace}/pods?watch"),
            format!("/api/v1/namespaces/{namespace}/pods/web/log"),
        ] {
            cluster.reply(&what, Reply::endless(EVENT, 0, EVERY));
        }
    }
    World { app, cluster, user, session, key }
}

fn watch(namespace: &str) -> String {
    format!("{API}/namespaces/{namespace}/pods?watch=true")
}

async fn attack_133_a_watch_and_a_followed_log_end_at_the_revocation(backend: Backend) {
    let world = world(backend, &[]).await;
    let log = format!("{API}/namespaces/team/pods/web/log?follow=true");
    let (mut watching, mut following) =
        (Socket::get(&world.app, &watch("team"), &world.key).await, Socket::get(&world.app, &log, &world.key).await);
    watching.hears("ADDED").await;
    following.hears("ADDED").await;
    world.app.revoke(&world.session, &world.key).await.expect(204);
    let sent = world.cluster.streams().sent;
    until("the cluster's halves are over", || world.cluster.streams().ended == 2).await;
    // Whatever is read now was on its way before the answer; then comes the end, and it is no good one.
    let (_, watched) = watching.rest().await;
    let last = watched.lines().rev().find(|line| line.starts_with('{')).unwrap();
    assert!(last.contains(r#""type":"ERROR""#) && last.contains(r#""code":401"#), "{last}");
    assert!(!watched.ends_with("0\r\n\r\n"), "a cut answer has no last chunk");
    let (_, followed) = following.rest().await;
    assert!(!followed.ends_with("0\r\n\r\n"));
    assert!(world.cluster.streams().sent <= sent + 2 * EVENT.len() as u64, "the cluster goes on sending to nobody");
    world.app.outcomes_written().await;
    for action in ["kubernetes.watch", "kubernetes.logs"] {
        let entry = world.app.audit(&format!("action={action}")).await.remove(0);
        assert_eq!((entry["outcome"].as_str(), entry["status_code"].as_u64()), (Some("denied"), Some(401)), "{entry}");
        assert_eq!((entry["agent"].as_str(), entry["namespace"].as_str()), (Some("ci"), Some("team")));
    }
}

async fn attack_136_who_does_not_read_is_cut_too(backend: Backend) {
    let world = world(backend, &[]).await;
    world.cluster.reply("/api/v1/namespaces/team/pods?watch", Reply::endless(EVENT, 256 * 1024, Duration::ZERO));
    let mut blocked = Socket::get(&world.app, &watch("team"), &world.key).await;
    blocked.hears("ADDED").await;
    // It reads no more; what is on the way fills every buffer there is.
    let mut sent = 0;
    until("nothing more is taken from the cluster", || {
        std::thread::sleep(Duration::from_millis(100));
        std::mem::replace(&mut sent, world.cluster.streams().sent) == world.cluster.streams().sent
    })
    .await;
    let started = Instant::now();
    world.app.revoke(&world.session, &world.key).await.expect(204);
    assert!(started.elapsed() < Duration::from_secs(1), "the revocation took {:?}", started.elapsed());
    until("the cluster's half is over", || world.cluster.streams().ended == 1).await;
    assert!(blocked.ends_within(Duration::from_secs(5)).await, "the socket is closed");
}

async fn attack_142_a_list_under_way_is_cut_and_not_taken_for_whole(backend: Backend) {
    let world = world(backend, &[]).await;
    world.cluster.reply("/api/v1/namespaces/team/pods", Reply::endless("{\"items\":[", 64 * 1024, EVERY));
    for path in [format!("{API}/namespaces/team/pods"), "/api/v1/clusters/prod/namespaces/team/pods".to_owned()] {
        let key = world.app.key(&world.session, &path).await;
        let mut listing = Socket::get(&world.app, &path, &key).await;
        listing.hears("200 OK").await.hears("items").await;
        world.app.revoke(&world.session, &key).await.expect(204);
        let (_, text) = listing.rest().await;
        assert!(!text.ends_with("0\r\n\r\n"), "{path}");
    }
    until("the cluster's halves are over", || world.cluster.streams().open == 0).await;
}

async fn attack_134_a_thousand_idle_streams_end_together(backend: Backend) {
    const MANY: usize = 1_000;
    let world = world(backend, &[("KUBEVISION_CLUSTERS__MAX_STREAMS_PER_USER", "2000")]).await;
    world.cluster.reply("/api/v1/namespaces/team/pods?watch", Reply::endless(EVENT, 0, Duration::from_secs(600)));
    let mut open = Vec::new();
    for _ in 0..MANY / 50 {
        let some = (0..50).map(|_| async {
            let mut stream = Socket::get(&world.app, &watch("team"), &world.key).await;
            stream.hears("ADDED").await;
            stream
        });
        open.extend(futures_util::future::join_all(some).await);
    }
    world.cluster.has_open(MANY).await;
    world.app.revoke(&world.session, &world.key).await.expect(204);
    until("the cluster's halves are over", || world.cluster.streams().ended == MANY).await;
    for stream in open {
        assert!(stream.ends_within(Duration::from_millis(200)).await);
    }
    assert_eq!(world.app.inside().streams.count(), 0);
}

async fn attack_138_only_what_is_no_longer_allowed_ends(backend: Backend) {
    let world = world(backend, &[]).await;
    let mut lost = Socket::get(&world.app, &watch("other"), &world.key).await;
    let mut kept = Socket::get(&world.app, &watch("team"), &world.key).await;
    let mut across = Socket::get(&world.app, &format!("{API}/pods?watch=true"), &world.key).await;
    lost.hears("ADDED").await;
    kept.hears("ADDED").await;
    across.hears("ADDED").await;
    world.app.assign(&world.user, "prod", &["team"]).await;
    let admin = world.app.admin().await;
    let path = format!("/api/v1/users/{}/assignments", world.user.id);
    let one = json!({"cluster": "prod", "namespaces": ["team"]});
    world.app.request("PUT", &path).session(&admin).json(&one).send().await.expect(204);
    assert!(lost.ends_within(Duration::from_secs(2)).await, "the watch of the lost namespace ends");
    assert!(across.ends_within(Duration::from_secs(2)).await, "and that of all there were");
    assert_eq!(world.cluster.streams().open, 1);
    let before = world.cluster.streams().sent;
    until("the other goes on", || world.cluster.streams().sent > before + 5 * EVENT.len() as u64).await;
    kept.hears("ADDED").await;
    world.app.change(&world.user, &json!({"disabled": true})).await;
    assert!(kept.ends_within(Duration::from_secs(2)).await, "a disabled owner has no streams");
}

async fn a_question_about_oneself_ends_with_the_rights_to_the_cluster(backend: Backend) {
    let world = world(backend, &[]).await;
    let path = "/api/v1/clusters/prod/k8s/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({
        "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "team", "name": "web"}},
    });
    let ask = || world.app.post(path).key(&world.key).json(&review);
    ask().send().await.expect(201);
    let seen = world.cluster.seen().len();
    world.cluster.hold_writes();
    let held = ask().start();
    world.cluster.has_seen(seen + 1).await;
    let assigned = format!("/api/v1/users/{}/assignments?cluster=prod", world.user.id);
    world.app.delete(&assigned).session(&world.app.admin().await).send().await.expect(204);
    world.cluster.release();
    let answer = held.await.unwrap();
    assert!(!answer.as_ref().is_ok_and(kv_tests::Answer::is_success), "{answer:?}");
}

async fn attack_90_a_stream_ends_when_its_key_expires(backend: Backend) {
    let world = world(backend, &[]).await;
    let soon = world.app.now() + time::Duration::seconds(2);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    let key = world.app.key_until(&world.session, "short", &json!(soon)).await;
    let mut watching = Socket::get(&world.app, &watch("team"), &key).await;
    watching.hears("ADDED").await;
    let (_, watched) = watching.rest().await;
    assert!(watched.contains("expired") && watched.contains(r#""code":401"#), "the reason is told");
    until("the cluster's half is over", || world.cluster.streams().ended == 1).await;
}

async fn a_stream_ends_with_its_session_unless_that_was_renewed(backend: Backend) {
    let world = world(backend, &[]).await;
    let mut streams = Vec::new();
    // Before either is known to the server: it ends in two seconds.
    let (left, renewed) = (sessions::tokens(&world.app).await, sessions::tokens(&world.app).await);
    let soon = (world.app.now() + time::Duration::seconds(2)).unix_timestamp_nanos() / 1_000;
    world.app.database.execute(&format!("UPDATE sessions SET expires_at = {soon}"));
    for tokens in [&left, &renewed] {
        let mut watching = Socket::get_in(&world.app, &watch("team"), &sessions::session(tokens)).await;
        watching.hears("ADDED").await;
        streams.push(watching);
    }
    sessions::refresh(&world.app, &sessions::text(&renewed, "refresh_token")).await.expect(200);
    let (goes_on, over) = (streams.pop().unwrap(), streams.pop().unwrap());
    let (_, watched) = over.rest().await;
    assert!(watched.contains("expired") && watched.contains(r#""code":401"#), "the reason is told");
    until("the cluster's half is over", || world.cluster.streams().ended == 1).await;
    assert!(!goes_on.ends_within(Duration::from_secs(1)).await, "a session that was renewed goes on");
    assert_eq!(world.cluster.streams().ended, 1);
}

async fn a_client_that_leaves_ends_the_cluster_s_half(backend: Backend) {
    let world = world(backend, &[]).await;
    world.cluster.reply("/api/v1/namespaces/team/pods?watch", Reply::endless(EVENT, 0, Duration::from_secs(600)));
    let mut watching = Socket::get(&world.app, &watch("team"), &world.key).await;
    watching.hears("ADDED").await;
    drop(watching);
    until("the cluster's half is over", || world.cluster.streams().ended == 1).await;
    world.app.outcomes_written().await;
    let entry = world.app.audit("action=kubernetes.watch").await.remove(0);
    assert_eq!((entry["outcome"].as_str(), entry["status_code"].as_u64()), (Some("succeeded"), Some(200)), "{entry}");
}

async fn attack_153_an_endless_answer_costs_no_memory_and_ends_at_its_bound(backend: Backend) {
    let world = world(backend, &[("KUBEVISION_CLUSTERS__MAX_ANSWER_MEBIBYTES", "64")]).await;
    world.cluster.reply("/api/v1/namespaces/team/pods", Reply::endless("{\"items\":[", 256 * 1024, Duration::ZERO));
    let before = resident();
    let (bytes, text) = Socket::get(&world.app, &format!("{API}/namespaces/team/pods"), &world.key).await.rest().await;
    assert!((60 << 20..=66 << 20).contains(&bytes), "{bytes} bytes came through");
    assert!(!text.ends_with("0\r\n\r\n"), "what was cut off is not taken for whole");
    drop(text);
    // The client of this test keeps what it reads, in this same process.
    assert!(resident() < before + (200 << 20), "{} MiB more", (resident() - before) >> 20);
    // What must be looked into is bounded by what is kept of it: a write's answer, an error's.
    let configmaps = format!("{API}/namespaces/team/configmaps");
    world.cluster.reply("/api/v1/namespaces/team/configmaps", Reply::endless("{", 1024 * 1024, Duration::ZERO));
    let made = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}});
    let answer = world.app.post(&configmaps).key(&world.key).json(&made).send().await.expect(502);
    assert!(answer.text().contains("too large"), "{}", answer.text());
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

async fn attack_153_a_byte_now_and_then_and_silence_end(backend: Backend) {
    let settings = [("KUBEVISION_CLUSTERS__TIMEOUT_SECONDS", "1"), ("KUBEVISION_CLUSTERS__STREAM_IDLE_SECONDS", "2")];
    let world = world(backend, &settings).await;
    // An answer whose second piece does not come is broken off; a stream may be silent a little longer.
    world.cluster.reply("/api/v1/namespaces/team/pods", Reply::endless("{", 0, Duration::from_secs(60)));
    let answer = world.app.get(&format!("{API}/namespaces/team/pods")).key(&world.key).send().await.expect(504);
    assert_eq!(answer.json()["reason"], "Timeout", "{}", answer.text());
    world.cluster.reply("/api/v1/namespaces/team/pods?watch", Reply::endless(EVENT, 0, Duration::from_secs(60)));
    let mut silent = Socket::get(&world.app, &watch("team"), &world.key).await;
    silent.hears("ADDED").await;
    assert!(silent.ends_within(Duration::from_secs(6)).await);
    // Another cluster is none the worse, and this one answers what it answers.
    world.app.get("/api/v1/clusters/prod/namespaces/other/pods").key(&world.key).send().await.expect(200);
}

async fn streams_are_counted_for_each_user(backend: Backend) {
    let world = world(backend, &[("KUBEVISION_CLUSTERS__MAX_STREAMS_PER_USER", "2")]).await;
    let mut open = Vec::new();
    for namespace in ["team", "other"] {
        let mut stream = Socket::get(&world.app, &watch(namespace), &world.key).await;
        stream.hears("ADDED").await;
        open.push(stream);
    }
    let refused = world.app.get(&watch("team")).key(&world.key).send().await.expect(429);
    assert_eq!(refused.json()["reason"], "TooManyRequests", "{}", refused.text());
    // Ordinary requests are not streams, and somebody else has streams of their own.
    world.app.get(&format!("{API}/namespaces/team/configmaps")).key(&world.key).send().await.expect(200);
    let (_, _, other) = world.app.someone("bob", "dev", Some("prod")).await;
    Socket::get(&world.app, &watch("team"), &other).await.hears("ADDED").await;
    open.pop();
    until("a place is free again", || world.app.inside().streams.count() == 1).await;
    Socket::get(&world.app, &watch("team"), &world.key).await.hears("ADDED").await;
}

async fn a_stopping_server_ends_its_streams(backend: Backend) {
    let mut world = world(backend, &[]).await;
    let mut watching = Socket::get(&world.app, &watch("team"), &world.key).await;
    watching.hears("ADDED").await;
    let started = Instant::now();
    world.app.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5), "stopping took {:?}", started.elapsed());
    let (_, text) = watching.rest().await;
    assert!(text.ends_with("0\r\n\r\n"), "a good end: its client begins anew elsewhere");
}

async fn a_watch_of_some_namespaces_is_the_union_of_theirs(backend: Backend) {
    let world = world(backend, &[]).await;
    let bookmark =
        r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}"#;
    world.cluster.reply("/api/v1/namespaces/other/pods?watch", Reply::endless(bookmark, 0, EVERY));
    let mut watching = Socket::get(&world.app, &format!("{API}/pods?watch=1&labelSelector=a"), &world.key).await;
    watching.hears("ADDED").await;
    let asked: Vec<String> = world.cluster.seen().iter().map(kv_tests::Seen::line).collect();
    assert_eq!(
        asked,
        [
            "GET /api/v1/namespaces/other/pods?watch=true&labelSelector=a",
            "GET /api/v1/namespaces/team/pods?watch=true&labelSelector=a"
        ],
        "the cluster as a whole is never asked"
    );
    world.app.revoke(&world.session, &world.key).await.expect(204);
    let (_, text) = watching.rest().await;
    assert!(!text.contains("BOOKMARK"), "a bookmark of one is none of the union");
    let refused = format!("{API}/pods?watch=1&sendInitialEvents=true");
    let key = world.app.key(&world.session, "again").await;
    world.app.get(&refused).key(&key).send().await.expect(422);
}

async fn attack_81_events_of_secrets_are_masked(backend: Backend) {
    let world = world(backend, &[]).await;
    let applied = json!({"data": {"p": "aHVudGVyMg=="}}).to_string();
    let secret = json!({
        "kind": "Secret", "apiVersion": "v1", "data": {"p": "aHVudGVyMg=="},
        "metadata": {"name": "s", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}},
    });
    let table = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": [{"cells": ["s"], "object": secret}]});
    for object in [secret, table] {
        let event = json!({"type": "MODIFIED", "object": object}).to_string();
        world.cluster.reply("/api/v1/namespaces/team/secrets?watch", Reply::endless(&event, 0, EVERY));
        let path = format!("{API}/namespaces/team/secrets?watch=true");
        let mut watching = Socket::get(&world.app, &path, &world.key).await;
        watching.hears("MODIFIED").await.hears("KioqKioqKio=").await;
        drop(watching);
    }
    let mut watching = Socket::get(&world.app, &format!("{API}/namespaces/team/secrets?watch=true"), &world.key).await;
    watching.hears("MODIFIED").await;
    world.app.revoke(&world.session, &world.key).await.expect(204);
    let (_, text) = watching.rest().await;
    assert!(!text.contains("aHVudGVyMg"), "{text}");
    // Neither YAML nor protobuf is asked for, for nothing could be masked in it.
    let key = world.app.key(&world.session, "again").await;
    for form in ["application/yaml", "application/vnd.kubernetes.protobuf"] {
        let path = format!("{API}/namespaces/team/secrets");
        world.app.get(&path).key(&key).header("accept", form).send().await.expect(406);
    }
}
