//! What takes several calls to a cluster, with a cluster that can stop in the middle: one request, one entry, and the truth
//! about what was changed.

use kv_tests::{Backend, Cluster, Key, Reply, Session, TestApp, on_both};
use serde_json::{Value, json};

on_both!(
    every_call_is_made_as_the_caller_under_the_entrys_id,
    a_revocation_before_the_write_leaves_nothing_written,
    a_revocation_during_the_write_is_recorded_as_unknown,
    nothing_is_sent_for_what_may_not_be_done,
    a_workload_that_changed_meanwhile_is_left_alone,
    a_cluster_that_fails_while_it_is_read_has_changed_nothing,
);

const WEB: &str = "/apis/apps/v1/namespaces/team/deployments/web";
const KEPT: &str = "/apis/apps/v1/namespaces/team/replicasets";
const OURS: &str = "/api/v1/clusters/prod/namespaces/team/deployments/web";

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

async fn world(backend: Backend) -> (TestApp, Cluster, Session, Key) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, session, key) = app.someone("ann", "dev", Some("prod")).await;
    let workload = json!({
        "metadata": {"name": "web", "uid": "u", "generation": 2},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("c:2")},
    });
    let kept = |number: &str| {
        json!({
            "metadata": {
                "annotations": {"deployment.kubernetes.io/revision": number},
                "ownerReferences": [{"uid": "u", "controller": true}],
            },
            "spec": {"template": template(&format!("c:{number}"))},
        })
    };
    cluster.reply(WEB, Reply::json(200, &workload));
    cluster.reply(KEPT, Reply::json(200, &json!({"items": [kept("1"), kept("2")]})));
    (app, cluster, session, key)
}

async fn every_call_is_made_as_the_caller_under_the_entrys_id(backend: Backend) {
    let (app, cluster, _, key) = world(backend).await;
    let admin = app.admin().await;
    let named = json!({"impersonate": true});
    app.patch("/api/v1/clusters/prod").session(&admin).json(&named).send().await.expect(200);
    let answer = app.post(&format!("{OURS}/rollback?fieldManager=ci")).key(&key).send().await.expect(200);
    let seen = cluster.seen();
    let lines: Vec<String> = seen.iter().map(kv_tests::Seen::line).collect();
    let (read, list, patch) =
        (format!("GET {WEB}"), format!("GET {KEPT}?labelSelector=app%3Dweb"), format!("PATCH {WEB}?fieldManager=ci"));
    assert_eq!(lines, [read, list, patch]);
    for call in &seen {
        assert_eq!(call.header("audit-id"), Some(answer.request_id()), "{}", call.line());
        assert_eq!(call.header("impersonate-user"), Some("kubevision:ann"), "{}", call.line());
    }
    assert_eq!((seen[0].body.as_str(), seen[1].body.as_str()), ("", ""));
    let patch: Value = serde_json::from_str(&seen[2].body).unwrap();
    assert_eq!(patch[1], json!({"op": "test", "path": "/metadata/generation", "value": 2}));
    assert_eq!(patch[2], json!({"op": "replace", "path": "/spec/template", "value": template("c:1")}));
    assert_eq!(app.entry_of(&answer).await["action"], "kubernetes.rollback");
}

async fn a_revocation_before_the_write_leaves_nothing_written(backend: Backend) {
    let (app, cluster, session, key) = world(backend).await;
    app.get(OURS).key(&key).send().await.expect(200);
    let seen = cluster.seen().len();
    cluster.hold();
    let restart = app.post(&format!("{OURS}/restart")).key(&key).start();
    cluster.has_seen(seen + 1).await;
    app.revoke(&session, &key).await.expect(204);
    cluster.release();
    assert!(restart.await.unwrap().map_or(true, |answer| answer.status == 401));
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(cluster.seen().iter().all(|call| call.method == "GET"));
    app.outcomes_written().await;
    let entry = app.audit("action=kubernetes.restart").await.remove(0);
    assert_eq!((&entry["outcome"], &entry["status_code"]), (&json!("denied"), &json!(401)), "{entry}");
}

async fn a_revocation_during_the_write_is_recorded_as_unknown(backend: Backend) {
    let (app, cluster, session, key) = world(backend).await;
    cluster.hold_writes();
    let restart = app.post(&format!("{OURS}/restart")).key(&key).start();
    cluster.has_seen(2).await;
    app.revoke(&session, &key).await.expect(204);
    cluster.release();
    assert!(restart.await.unwrap().map_or(true, |answer| answer.status == 401));
    app.outcomes_written().await;
    let entry = app.audit("action=kubernetes.restart").await.remove(0);
    assert_eq!(entry["outcome"], "unknown", "{entry}");
}

async fn nothing_is_sent_for_what_may_not_be_done(backend: Backend) {
    let (app, cluster, ..) = world(backend).await;
    let (.., key) = app.someone("reader", "readonly", Some("prod")).await;
    for what in ["restart", "rollback"] {
        app.post(&format!("{OURS}/{what}")).key(&key).send().await.expect(403);
        let dots = format!("/api/v1/clusters/prod/namespaces/team/deployments/..%2fweb/{what}");
        app.post(&dots).key(&key).send().await.expect(400);
    }
    app.post("/api/v1/clusters/prod/deployments/web/restart").key(&key).send().await.expect(400);
    assert!(cluster.seen().is_empty(), "{:?}", cluster.seen());
}

async fn a_workload_that_changed_meanwhile_is_left_alone(backend: Backend) {
    let (app, cluster, _, key) = world(backend).await;
    let changed = "the server rejected our request due to an error in our request";
    cluster.reply(&format!("{WEB}?"), Reply::refusal(422, changed));
    let answer = app.post(&format!("{OURS}/rollback?fieldManager=ci")).key(&key).send().await.expect(409);
    assert_eq!(answer.code(), "cluster_conflict");
    assert_eq!(app.entry_of(&answer).await["outcome"], "failed");
}

async fn a_cluster_that_fails_while_it_is_read_has_changed_nothing(backend: Backend) {
    let (app, cluster, _, key) = world(backend).await;
    let rollback = async || app.post(&format!("{OURS}/rollback?fieldManager=ci")).key(&key).send().await;
    cluster.reply(&format!("{WEB}?"), Reply::refusal(500, "no"));
    let answer = rollback().await.expect(502);
    assert_eq!(app.entry_of(&answer).await["outcome"], "unknown", "it was sent the write");
    for (path, reply) in [
        (KEPT, Reply::refusal(500, "no")),
        (KEPT, Reply::json(200, &json!({"items": 7}))),
        (WEB, Reply::json(200, &json!([]))),
        (WEB, Reply::refusal(500, "no")),
    ] {
        cluster.reply(path, reply);
        let answer = rollback().await.expect(502);
        let entry = app.entry_of(&answer).await;
        assert_eq!(entry["outcome"], "failed", "{entry}");
    }
    assert_eq!(cluster.seen().iter().filter(|call| call.method != "GET").count(), 1);
}
