//! The audit log: one truthful entry a request, on disk before anything else happens, or nothing happens.

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use kv_store::DatabaseUrl;
use kv_tests::{Backend, Cluster, Key, Session, TestApp, User, on_both};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_both!(
    attack_216_what_a_client_calls_itself_stays_one_record,
    attack_217_an_entry_says_who_did_what_with_which_key,
    attack_218_refusals_are_denied,
    refusals_of_nobody_are_counted_together_and_none_is_lost,
    attack_220_the_entry_is_there_before_the_cluster_sees_the_request,
    attack_221_a_client_that_hangs_up_does_not_take_the_outcome_along,
    attack_48_222_without_an_entry_nothing_is_sent,
    every_request_of_a_key_is_on_record_once,
    of_people_writes_and_failures_are_on_record_and_reads_are_not,
    filters_find_and_strangers_do_not,
);

const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";
const PODS: &str = "/api/v1/clusters/prod/namespaces/team/pods";

async fn world(backend: Backend) -> (TestApp, Cluster, User, Session, Key) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (user, session, key) = app.someone("ann", "dev", Some("prod")).await;
    for _ in 0..8 {
        app.get(POD).key(&key).send().await.expect(200);
    }
    (app, cluster, user, session, key)
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry[field].as_str().unwrap_or_default()
}

async fn attack_216_what_a_client_calls_itself_stays_one_record(backend: Backend) {
    let (app, _cluster, _, _, key) = world(backend).await;
    for agent in ["\"},{\"outcome\":\"succeeded", "=cmd|' /C calc'!A0", "a\u{202e}b", "\u{feff}x", &"x".repeat(60_000)]
    {
        let answer = app.get("/api/v1/clusters").key(&key).header("user-agent", agent).send().await.expect(200);
        let entry = app.entry_of(&answer).await;
        assert_eq!((text(&entry, "user"), text(&entry, "agent")), ("ann", "ci"), "{agent:.40}");
        assert!(text(&entry, "user_agent").len() < 2_000, "{agent:.40}");
    }
    // A path and a namespace with the same in them never get that far, and are on record all the same.
    let answer = app.get("/api/v1/clusters/%22%7D%2C%7B/pods").key(&key).send().await.expect(400);
    assert_eq!(text(&app.entry_of(&answer).await, "outcome"), "failed");
}

async fn attack_217_an_entry_says_who_did_what_with_which_key(backend: Backend) {
    let (app, _cluster, user, _, key) = world(backend).await;
    let answer =
        app.patch(POD).key(&key).header("user-agent", "curl/8").json(&json!({"spec": {}})).send().await.expect(200);
    let entry = app.entry_of(&answer).await;
    let expected = json!({
        "user_id": user.id.to_string(), "user": "ann", "agent": "ci", "key_id": key.id, "action": "kubernetes.patch",
        "resource": "pods", "resource_name": "web", "cluster": "prod", "namespace": "team", "status_code": 200,
        "outcome": "succeeded", "ip": "127.0.0.1", "user_agent": "curl/8", "request_id": answer.request_id(), "count": 1,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(entry[field], *value, "{field} of {entry}");
    }
    let format = &time::format_description::well_known::Rfc3339;
    assert!(time::OffsetDateTime::parse(text(&entry, "timestamp"), format).is_ok());
}

async fn attack_218_refusals_are_denied(backend: Backend) {
    let (app, _cluster, _, session, key) = world(backend).await;
    let forbidden = app.get("/api/v1/users").key(&key).send().await.expect(403);
    app.revoke(&session, &key).await.expect(204);
    let revoked = app.get("/api/v1/clusters").key(&key).send().await.expect(401);
    for answer in [forbidden, revoked] {
        let entry = app.entry_of(&answer).await;
        assert_eq!((text(&entry, "outcome"), entry["status_code"].as_u64()), ("denied", Some(answer.status.into())));
        assert_eq!((text(&entry, "user"), text(&entry, "key_id")), ("ann", key.id.as_str()));
    }
    let malformed = app.get("/api/v1/clusters").header("authorization", "ApiKey kv_live_x").send().await.expect(401);
    let counted: u64 = app.audit("action=auth.refuse").await.iter().map(|entry| entry["count"].as_u64().unwrap()).sum();
    assert!(counted >= 1, "{}", malformed.request_id());
}

async fn refusals_of_nobody_are_counted_together_and_none_is_lost(backend: Backend) {
    let app = TestApp::start(backend).await;
    let counted = async || {
        let entries = app.audit("action=auth.refuse").await;
        let count: u64 = entries.iter().map(|entry| entry["count"].as_u64().unwrap()).sum();
        assert!(entries.iter().all(|entry| text(entry, "outcome") == "denied" && text(entry, "ip") == "127.0.0.1"));
        (entries.len(), count)
    };
    let before = counted().await;
    let mut connections = Vec::new();
    for _ in 0..60 {
        connections.push(app.connect().await);
    }
    let all = connections.into_iter().map(|mut connection| {
        let request = app.get("/api/v1/clusters").header("authorization", "ApiKey kv_live_x");
        tokio::spawn(async move { connection.send(request).await.unwrap().expect(401) })
    });
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    // Each was on disk before its answer, so that all are there by now; and they did not take an entry each.
    let after = counted().await;
    assert_eq!(after.1 - before.1, 60);
    assert!(after.0 - before.0 < 60, "{} entries", after.0 - before.0);
    // One alone is answered and counted like any other.
    app.get("/api/v1/clusters").header("authorization", "ApiKey kv_live_x").send().await.expect(401);
    assert_eq!(counted().await.1, after.1 + 1);
}

async fn attack_220_the_entry_is_there_before_the_cluster_sees_the_request(backend: Backend) {
    let (app, cluster, _, _, key) = world(backend).await;
    let seen = cluster.seen().len();
    cluster.hold();
    let held = app.patch(POD).key(&key).json(&json!({"spec": {}})).start();
    cluster.has_seen(seen + 1).await;
    // The cluster has it and has not answered: what is on disk now was there before.
    let entry = app.audit("action=kubernetes.patch").await.remove(0);
    assert_eq!((text(&entry, "outcome"), &entry["status_code"]), ("unknown", &Value::Null));
    let arrived = cluster.seen().pop().unwrap();
    assert_eq!(arrived.header("audit-id"), Some(text(&entry, "id")), "the cluster's own log has the same id");
    cluster.release();
    let answer = held.await.unwrap().unwrap().expect(200);
    assert_eq!((answer.request_id(), text(&app.entry_of(&answer).await, "outcome")), (text(&entry, "id"), "succeeded"));
}

async fn attack_221_a_client_that_hangs_up_does_not_take_the_outcome_along(backend: Backend) {
    let (app, cluster, _, _, key) = world(backend).await;
    let seen = cluster.seen().len();
    cluster.hold();
    let held = app.patch(POD).key(&key).json(&json!({"spec": {}})).start();
    cluster.has_seen(seen + 1).await;
    held.abort();
    assert!(held.await.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster.release();
    for _ in 0..200 {
        let entry = app.audit("action=kubernetes.patch").await.remove(0);
        if text(&entry, "outcome") == "succeeded" {
            assert_eq!(entry["status_code"], 200);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the outcome was lost with the client");
}

/// Keeps everyone from writing to the database as long as it lives.
pub(super) enum Outage<'a> {
    Locked(SqliteConnection),
    ShutOut(&'a TestApp),
}

impl<'a> Outage<'a> {
    pub(super) fn of(app: &'a TestApp) -> Self {
        match &app.database.url {
            DatabaseUrl::Sqlite(path) => {
                let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                conn.batch_execute("PRAGMA busy_timeout=5000; BEGIN EXCLUSIVE").unwrap();
                Self::Locked(conn)
            }
            DatabaseUrl::Postgres(_) => {
                app.database.shut_out();
                Self::ShutOut(app)
            }
        }
    }
}

impl Drop for Outage<'_> {
    fn drop(&mut self) {
        match self {
            Self::Locked(conn) => conn.batch_execute("ROLLBACK").unwrap(),
            Self::ShutOut(app) => app.database.admit_again(),
        }
    }
}

async fn attack_48_222_without_an_entry_nothing_is_sent(backend: Backend) {
    let (app, cluster, _, _, key) = world(backend).await;
    let seen = cluster.seen().len();
    let outage = Outage::of(&app);
    for request in [app.patch(POD).json(&json!({"spec": {}})), app.get(POD), app.get(PODS), app.get("/api/v1/clusters")]
    {
        let started = Instant::now();
        let answer = request.key(&key).send().await.expect(503);
        assert!(!answer.header("retry-after").is_empty());
        let text = answer.text();
        assert!(!text.contains("postgres") && !text.contains("SELECT") && !text.contains(".db"), "{text}");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "refused after {took:?}");
    }
    // Nobody gets in meanwhile either.
    let anyone = app.get("/api/v1/clusters").header("authorization", "ApiKey kv_live_x").send().await;
    assert!([401, 503].contains(&anyone.status), "{}", anyone.status);
    assert_eq!(cluster.seen().len(), seen, "the cluster has seen nothing");
    drop(outage);
    let started = Instant::now();
    while app.patch(POD).key(&key).json(&json!({"spec": {}})).send().await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(10), "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn every_request_of_a_key_is_on_record_once(backend: Backend) {
    let (app, _cluster, _, _, key) = world(backend).await;
    let body = json!({"spec": {}});
    for (request, status) in [
        (app.get("/api/v1/clusters"), 200),
        (app.get("/api/v1/clusters/prod"), 200),
        (app.get("/api/v1/clusters/none"), 404),
        (app.get("/api/v1/api-keys/current"), 200),
        (app.get("/api/v1/api-keys"), 403),
        (app.get("/api/v1/audit-logs"), 403),
        (app.get(POD), 200),
        (app.get(PODS), 200),
        (app.get("/api/v1/clusters/prod/pods"), 200),
        (app.get(&format!("{PODS}?watch=1")), 400),
        (app.get("/api/v1/clusters/prod/namespaces/team/unicorns"), 404),
        (app.patch(POD).json(&body), 200),
        (app.patch(POD).body("text/plain", "x"), 415),
        (app.patch(POD).body("application/json", "{"), 400),
        (app.delete(POD), 200),
        (app.delete(PODS), 400),
        (app.post(PODS).json(&json!({"kind": "Pod", "apiVersion": "v1"})), 201),
        (app.request("PUT", "/api/v1/clusters"), 405),
        (app.get("/api/v1/nothing/here"), 404),
        (app.get("/nothing"), 404),
        (app.get("/api/v1/clusters?x=1"), 400),
    ] {
        let answer = request.key(&key).send().await.expect(status);
        let entry = app.entry_of(&answer).await;
        assert_eq!(entry["status_code"], status, "{entry}");
        assert_eq!(
            (text(&entry, "user"), text(&entry, "agent"), text(&entry, "key_id")),
            ("ann", "ci", key.id.as_str())
        );
        let outcome = match status {
            200..300 => "succeeded",
            401 | 403 => "denied",
            _ => text(&entry, "outcome"),
        };
        assert_eq!(text(&entry, "outcome"), outcome, "{entry}");
        assert_ne!(text(&entry, "outcome"), "unknown", "{entry}");
    }
}

async fn of_people_writes_and_failures_are_on_record_and_reads_are_not(backend: Backend) {
    let (app, _cluster, user, session, _) = world(backend).await;
    for path in ["/api/v1/clusters", "/api/v1/api-keys", POD, PODS] {
        let answer = app.get(path).session(&session).send().await.expect(200);
        assert_eq!(app.entries_of(&answer).await, Vec::<Value>::new(), "{path}");
    }
    let written =
        app.patch(POD).session(&session).header("user-agent", "curl/8.0").json(&json!({})).send().await.expect(200);
    let entry = app.entry_of(&written).await;
    assert_eq!((text(&entry, "agent"), &entry["key_id"], text(&entry, "outcome")), ("curl", &Value::Null, "succeeded"));
    for (path, status) in [("/api/v1/users", 403), ("/api/v1/clusters/none", 404), ("/api/v1/nothing", 404)] {
        let answer = app.get(path).session(&session).send().await.expect(status);
        assert_eq!(app.entry_of(&answer).await["status_code"], status);
    }
    let wrong = app.try_login("ann", "wrong").await.expect(401);
    let entry = app.entry_of(&wrong).await;
    assert_eq!((text(&entry, "action"), text(&entry, "outcome")), ("auth.login", "denied"));
    assert_eq!(text(&entry, "user_id"), user.id.to_string());
    let unknown = app.try_login("my-password-typed-here", "wrong").await.expect(401);
    assert!(!app.entry_of(&unknown).await.to_string().contains("my-password"), "a name nobody has is not kept");
    let right = app.try_login("ann", kv_tests::PASSWORD).await.expect(200);
    assert_eq!(text(&app.entry_of(&right).await, "outcome"), "succeeded");
}

async fn filters_find_and_strangers_do_not(backend: Backend) {
    let (app, _cluster, _, session, key) = world(backend).await;
    app.patch(POD).key(&key).json(&json!({})).send().await.expect(200);
    app.outcomes_written().await;
    for (filter, some) in [
        ("user=ann", true),
        ("user=bob", false),
        ("agent=ci", true),
        (&format!("key_id={}", key.id), true),
        ("action=kubernetes.patch", true),
        ("action=kubernetes.delete", false),
        ("resource=pods&namespace=team&cluster=prod", true),
        ("namespace=other", false),
        ("outcome=succeeded&status=200", true),
        ("status=418", false),
        ("since=2020-01-01T00:00:00Z&until=2021-01-01T00:00:00Z", false),
    ] {
        assert_eq!(!app.audit(filter).await.is_empty(), some, "{filter}");
    }
    let admin = app.admin().await;
    for query in ["q=1", "action=all", "outcome=good", "status=x", "since=yesterday", "key_id=1", "user=a&user=b"] {
        app.get(&format!("/api/v1/audit-logs?{query}")).session(&admin).send().await.expect(400);
    }
    app.get("/api/v1/audit-logs").session(&session).send().await.expect(403);
}
