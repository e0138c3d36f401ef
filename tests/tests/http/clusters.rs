//! What goes to a cluster and what comes back: our headers alone, no redirect, and its failures in our words.

use kv_tests::{Backend, Cluster, Key, Reply, TestApp, on_both};
use serde_json::json;
use std::time::{Duration, Instant};

on_both!(
    attack_144_nobody_says_whom_to_impersonate,
    attack_52_145_146_only_our_headers_arrive,
    attack_149_redirects_are_not_followed,
    attack_150_what_browsers_would_obey_is_not_passed_on,
    attack_49_a_clusters_refusals_are_told_in_our_words,
    a_slow_cluster_is_a_gateway_timeout,
    a_dead_cluster_is_a_bad_gateway,
    a_cluster_that_never_answers_slows_no_other,
    a_dead_credential_asks_the_cluster_nothing,
);

const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";

async fn world(backend: Backend, settings: &[(&str, &str)]) -> (TestApp, Cluster, Key) {
    let (app, cluster) = (TestApp::with(backend, settings).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, _, key) = app.someone("ann", "ops", Some("prod")).await;
    (app, cluster, key)
}

async fn attack_144_nobody_says_whom_to_impersonate(backend: Backend) {
    let (app, cluster, key) = world(backend, &[]).await;
    for name in [
        "Impersonate-User",
        "impersonate-group",
        "IMPERSONATE-UID",
        "Impersonate-Extra-scopes",
        "Impersonate_User",
        "impersonate-",
    ] {
        let answer = app.patch(POD).key(&key).header(name, "admin").json(&json!({})).send().await.expect(400);
        assert_eq!(answer.code(), "impersonation_refused", "{name}");
    }
    assert_eq!(cluster.connections(), 0);
}

async fn attack_52_145_146_only_our_headers_arrive(backend: Backend) {
    let (app, cluster, key) = world(backend, &[]).await;
    let request = app.patch(POD).key(&key).json(&json!({"spec": {}}));
    let foreign = [
        ("connection", "Authorization, Audit-ID, X-Request-Id"),
        ("cookie", "a=b"),
        ("x-remote-user", "admin"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-a", "b"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("x-original-url", "/"),
        ("via", "1.1 x"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("audit-id", "mine"),
        ("x-request-id", "mine"),
        ("accept", "application/yaml"),
        ("user-agent", "mine"),
        ("accept-encoding", "gzip"),
        ("traceparent", "00-1-1-01"),
        ("baggage", "key=kv_live_0123456789"),
        ("x-http-method-override", "DELETE"),
    ];
    let request = foreign.iter().fold(request, |request, (name, value)| request.header(name, *value));
    let answer = request.send().await.expect(200);
    assert_ne!(answer.request_id(), "mine");
    let arrived = cluster.seen().pop().unwrap();
    let mut names: Vec<_> = arrived.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let ours = ["accept", "audit-id", "authorization", "content-length", "content-type", "host", "user-agent"];
    assert_eq!(names, ours);
    assert_eq!(arrived.header("authorization"), Some("Bearer the-clusters-own-token"));
    assert_eq!(arrived.header("audit-id"), Some(answer.request_id()));
    assert_eq!(arrived.header("accept"), Some("application/json"));
    assert!(arrived.header("user-agent").unwrap().starts_with("kubevision/"));
    assert!(!format!("{arrived:?}").contains(&key.text));
    // Whoever says otherwise is somebody at 127.0.0.1 all the same.
    assert_eq!(app.entry_of(&answer).await["ip"], "127.0.0.1");
}

async fn attack_149_redirects_are_not_followed(backend: Backend) {
    let (app, cluster, key) = world(backend, &[]).await;
    let elsewhere = Cluster::start();
    for status in [301, 302, 303, 307, 308] {
        for location in [format!("https://{}/", elsewhere.address), "/api/v1/namespaces/kube-system/secrets".into()] {
            cluster.reply("/api/v1/namespaces/team/pods", Reply::json(status, &json!({})).with("location", &location));
            let seen = cluster.seen().len();
            let answer = app.get(POD).key(&key).send().await.expect(502);
            assert_eq!((answer.code().as_str(), answer.header("location")), ("cluster_redirected", ""));
            assert_eq!(cluster.seen().len(), seen + 1, "asked once");
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

async fn attack_150_what_browsers_would_obey_is_not_passed_on(backend: Backend) {
    let (app, cluster, key) = world(backend, &[]).await;
    let reply = Reply::json(200, &json!({"kind": "Pod"})).with("set-cookie", "a=b").with("www-authenticate", "Basic");
    let reply = reply.with("access-control-allow-origin", "*").with("strict-transport-security", "max-age=1");
    cluster.reply("/api/v1/namespaces/team/pods", reply.with("content-security-policy", "default-src *"));
    let answer = app.get(POD).key(&key).send().await.expect(200);
    for name in ["set-cookie", "www-authenticate", "access-control-allow-origin", "strict-transport-security"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(
        (answer.header("x-content-type-options"), answer.header("content-type")),
        ("nosniff", "application/json")
    );
}

async fn attack_49_a_clusters_refusals_are_told_in_our_words(backend: Backend) {
    let (app, cluster, key) = world(backend, &[]).await;
    for (theirs, ours, code) in [
        (401, 502, "cluster_failed"),
        (403, 403, "cluster_forbidden"),
        (404, 404, "not_found"),
        (409, 409, "cluster_conflict"),
        (422, 422, "cluster_refused"),
        (429, 503, "cluster_busy"),
        (500, 502, "cluster_failed"),
        (503, 502, "cluster_failed"),
    ] {
        let secret = "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJlc2lnbmF0dXJl";
        cluster.reply("/api/v1/namespaces/team/pods", Reply::refusal(theirs, &format!("no\n\u{1b}[31m {secret}")));
        let answer = app.patch(POD).key(&key).json(&json!({})).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (ours, code), "{theirs}: {}", answer.text());
        assert!(!answer.text().contains("eyJ") && !answer.text().contains("\\u001b"), "{}", answer.text());
        let by = answer.json()["denied_by"].clone();
        assert_eq!(by == "cluster", ours == 403, "{by}");
        assert_eq!(app.entry_of(&answer).await["status_code"], ours);
    }
    // Not JSON is not Kubernetes.
    let html = Reply::json(200, &json!("<html>")).with("content-type", "text/html");
    cluster.reply("/api/v1/namespaces/team/pods", html);
    let answer = app.get(POD).key(&key).send().await;
    assert!([200, 502].contains(&answer.status) && answer.header("content-type").starts_with("application/"));
}

async fn a_slow_cluster_is_a_gateway_timeout(backend: Backend) {
    let (app, cluster, key) = world(backend, &[("KUBEVISION_CLUSTERS__TIMEOUT_SECONDS", "1")]).await;
    app.get(POD).key(&key).send().await.expect(200);
    cluster.hold();
    for (request, outcome) in [(app.get(POD), "failed"), (app.patch(POD).json(&json!({})), "unknown")] {
        let started = Instant::now();
        let answer = request.key(&key).send().await.expect(504);
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(answer.code(), "cluster_timeout");
        let entry = app.entry_of(&answer).await;
        assert_eq!(entry["outcome"], outcome, "what a cluster was told and did not answer is unknown: {entry}");
    }
    cluster.release();
    app.get(POD).key(&key).send().await.expect(200);
}

async fn a_dead_cluster_is_a_bad_gateway(backend: Backend) {
    let (app, cluster, key) = world(backend, &[]).await;
    for _ in 0..8 {
        app.get(POD).key(&key).send().await.expect(200);
    }
    let address = cluster.address;
    drop(cluster);
    kv_tests::until("the cluster is gone", || std::net::TcpStream::connect(address).is_err()).await;
    let answer = app.patch(POD).key(&key).json(&json!({})).send().await.expect(502);
    assert_eq!(answer.code(), "cluster_unreachable");
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    // Certainly not done, unlike what was cut short.
    assert_eq!(app.entry_of(&answer).await["outcome"], "failed");
}

async fn a_cluster_that_never_answers_slows_no_other(backend: Backend) {
    let (app, cluster, key) = world(backend, &[]).await;
    let dead = Cluster::start();
    app.add_cluster("dead", &dead).await;
    let eve = app.user("eve", "dev").await;
    app.assign(&eve, "dead", &[]).await;
    let waiting_key = app.key(&app.login("eve").await, "ci").await;
    app.get(&POD.replace("prod", "dead")).key(&waiting_key).send().await.expect(200);
    dead.hold();
    let seen = dead.seen().len();
    let waiting: Vec<_> = (0..200).map(|_| app.get(&POD.replace("prod", "dead")).key(&waiting_key).start()).collect();
    dead.has_seen(seen + 100).await;
    for _ in 0..50 {
        app.get(POD).key(&key).send().await.expect(200);
    }
    assert!(waiting.iter().all(|request| !request.is_finished()), "those of the dead one still wait");
    assert_eq!(cluster.seen().last().unwrap().line(), "GET /api/v1/namespaces/team/pods/web");
    dead.release();
    for request in waiting {
        assert!(request.await.unwrap().unwrap().is_success());
    }
}

async fn a_dead_credential_asks_the_cluster_nothing(backend: Backend) {
    let (app, cluster, _) = world(backend, &[]).await;
    let (_, session, key) = app.someone("bob", "dev", Some("prod")).await;
    app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    app.revoke(&session, &key).await.expect(204);
    app.get(POD).key(&key).send().await.expect(401);
    assert_eq!(cluster.connections(), 0, "not even what it serves");
}
