//! What asks for a second factor: everything where the operator requires one, and a recent code for what gives rights.

use kv_server::clock::Clock;
use kv_tests::{Backend, Cluster, TestApp, on_both};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use time::{Duration, OffsetDateTime};

on_both!(
    attack_105_193_who_must_have_a_factor_can_only_get_one,
    what_gives_rights_takes_a_code_of_the_last_five_minutes,
);

async fn attack_105_193_who_must_have_a_factor_can_only_get_one(backend: Backend) {
    let required = [("KUBEVISION_SECOND_FACTOR__REQUIRED_FOR", "dev, ops")];
    let (app, cluster) = (TestApp::with(backend, &required).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let user = app.user("ann", "readonly").await;
    app.assign(&user, "prod", &[]).await;
    let before = app.login("ann").await;
    let key = app.key(&before, "ci").await;
    app.change(&user, &json!({"role": "dev"})).await;
    let session = app.login("ann").await;
    let pod = "/api/v1/clusters/prod/namespaces/team/pods/web";
    for (method, path) in [
        ("GET", "/api/v1/clusters"),
        ("GET", "/api/v1/api-keys"),
        ("POST", "/api/v1/api-keys"),
        ("GET", "/api/v1/auth/sessions"),
        ("GET", pod),
        ("DELETE", pod),
        ("GET", "/api/v1/clusters/prod/pods"),
    ] {
        let request = app.request(method, path).session(&session);
        let request = if method == "POST" { request.json(&json!({"name": "x"})) } else { request };
        let refused = request.send().await.expect(403);
        assert_eq!(refused.code(), "second_factor_enrolment_required", "{method} {path}");
    }
    assert_eq!(cluster.seen().len(), 0);
    let me = app.get("/api/v1/auth/me").session(&session).send().await.expect(200).json();
    assert_eq!(me["second_factor_enrolment_required"], true);
    // Keys are not asked.
    app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    app.get(pod).key(&key).send().await.expect(200);
    let (session, _) = app.enrol("ann").await;
    app.get("/api/v1/clusters").session(&session).send().await.expect(200);
    app.get(pod).session(&session).send().await.expect(200);
}

async fn what_gives_rights_takes_a_code_of_the_last_five_minutes(backend: Backend) {
    let shift = Arc::new(AtomicI64::new(0));
    let seconds = shift.clone();
    let clock = Clock::from_fn(move || OffsetDateTime::now_utc() + Duration::seconds(seconds.load(Ordering::Relaxed)));
    let (app, cluster) = (TestApp::with_clock(backend, &[], clock).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    app.user("ann", "admin").await;
    let (here, factor) = app.enrol("ann").await;
    let bob = app.user("bob", "dev").await;
    let key = app.key(&here, "ci").await;
    let secret = "/api/v1/clusters/prod/namespaces/team/secrets/s";
    let value = async |request: kv_tests::Request| request.send().await.expect(200).json()["data"]["password"].clone();
    let revealed = json!("aHVudGVyMg==");
    let user = format!("/api/v1/users/{}", bob.id);
    let acts = || {
        vec![
            app.patch(&user).json(&json!({"role": "readonly"})),
            app.request("PUT", &format!("{user}/assignments")).json(&json!({"cluster": "prod"})),
            app.delete(&format!("{user}/assignments?cluster=prod")),
            app.delete(&format!("{user}/sessions")),
            app.post("/api/v1/roles").json(&json!({"name": format!("r{}", shift.load(Ordering::Relaxed))})),
            app.post("/api/v1/users")
                .json(&json!({"name": format!("u{}", shift.load(Ordering::Relaxed)), "role": "dev"})),
        ]
    };
    // Just enrolled: the code is recent.
    for act in acts() {
        assert!(act.session(&here).send().await.is_success());
    }
    assert_eq!(value(app.get(secret).session(&here)).await, revealed);
    shift.store(301, Ordering::Relaxed);
    for act in acts().into_iter().chain([app.delete("/api/v1/clusters/prod")]) {
        assert_eq!(act.session(&here).send().await.expect(403).code(), "second_factor_code_required");
    }
    assert_ne!(value(app.get(secret).session(&here)).await, revealed, "masked without a recent code");
    // A key is not asked, and that is on record.
    let by_key = app.get(secret).key(&key).send().await.expect(200);
    assert_eq!(by_key.json()["data"]["password"], revealed);
    assert_eq!(app.entry_of(&by_key).await["detail"]["second_factor"], "bypassed by key");
    // Shown once more, for five minutes.
    let body = json!({"totp_code": factor.next_code(&app).await});
    app.post("/api/v1/auth/reverify").session(&here).json(&body).send().await.expect(204);
    assert_eq!(value(app.get(secret).session(&here)).await, revealed);
    for act in acts() {
        assert!(act.session(&here).send().await.is_success());
    }
    let gone = app.delete("/api/v1/clusters/prod").key(&key).send().await.expect(204);
    assert_eq!(app.entry_of(&gone).await["detail"]["second_factor"], "bypassed by key");
}
