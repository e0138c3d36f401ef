//! From the moment a revocation has answered: nothing accepted, nothing sent, no late success (S1 to S5).

use kv_tests::{Backend, Cluster, Key, Session, TestApp, on_both};
use serde_json::json;
use std::time::{Duration, Instant};

on_both!(
    s1_no_request_succeeds_after_the_revocation_returned,
    s2_a_write_still_connecting_at_the_revocation_never_arrives,
    s3_a_held_read_is_refused_at_once_and_never_answered_late,
    s3_a_held_list_released_after_the_revocation_is_no_success,
    s5_a_restart_brings_no_key_back,
    attack_141_an_upload_running_at_the_revocation_is_not_forwarded,
    attack_96_a_disabled_owner_ends_all_their_credentials,
);

const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";
const PODS: &str = "/api/v1/clusters/prod/namespaces/team/pods";

async fn world(backend: Backend) -> (TestApp, Cluster, Session, Key) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, session, key) = app.someone("ann", "dev", Some("prod")).await;
    // Every worker has asked the cluster what it serves.
    for _ in 0..8 {
        app.get(POD).key(&key).send().await.expect(200);
    }
    (app, cluster, session, key)
}

async fn s1_no_request_succeeds_after_the_revocation_returned(backend: Backend) {
    let (app, cluster, session, _) = world(backend).await;
    for round in 0..200 {
        let key = app.key(&session, "round").await;
        let mut connection = app.connect().await;
        // The key is in every cache there may be.
        assert_eq!(connection.send(app.get(POD).key(&key)).await.unwrap().status, 200);
        let racing = app.get(POD).key(&key).start();
        app.revoke(&session, &key).await.expect(204);
        // What was written before the revocation may still be on its way through loopback and TLS.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let before = cluster.seen().len();
        for request in [app.get("/api/v1/clusters"), app.get(POD), app.patch(POD).json(&json!({"spec": {}}))] {
            let status = connection.send(request.key(&key)).await.map(|answer| answer.status);
            assert_eq!(status, Ok(401), "round {round}");
        }
        assert_eq!(cluster.seen().len(), before, "round {round}: the cluster has seen nothing since");
        // The one that was on its way had its success before, or none.
        drop(racing.await.unwrap());
    }
}

async fn s2_a_write_still_connecting_at_the_revocation_never_arrives(backend: Backend) {
    let (app, cluster, session, key) = world(backend).await;
    let (seen, connections) = (cluster.seen().len(), cluster.connections());
    cluster.stall();
    let patch = app.patch(POD).key(&key).json(&json!({"spec": {"replicas": 5}})).start();
    cluster.has_connections(connections + 1).await;
    let started = Instant::now();
    app.revoke(&session, &key).await.expect(204);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "the revocation took {took:?}");
    cluster.resume();
    let answer = patch.await.unwrap();
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 401), "{answer:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cluster.seen().len(), seen, "the cluster never sees the write");
    let entry = app.audit("action=kubernetes.patch").await.remove(0);
    assert_ne!(entry["outcome"], "succeeded", "{entry}");
}

async fn s3_a_held_read_is_refused_at_once_and_never_answered_late(backend: Backend) {
    let (app, cluster, session, key) = world(backend).await;
    let seen = cluster.seen().len();
    cluster.hold();
    let mut held = app.get(POD).key(&key).start();
    cluster.has_seen(seen + 1).await;
    let started = Instant::now();
    app.revoke(&session, &key).await.expect(204);
    let revoked = started.elapsed();
    let answer = tokio::time::timeout(Duration::from_millis(100), &mut held).await.expect("refused within 100 ms");
    assert!(answer.unwrap().map_or(true, |answer| answer.status == 401));
    assert!(revoked < Duration::from_secs(1), "the revocation took {revoked:?}");
    cluster.release();
    app.outcomes_written().await;
    let entry = app.audit("action=kubernetes.get").await.remove(0);
    assert_eq!((entry["status_code"].as_u64(), entry["outcome"].as_str()), (Some(401), Some("denied")), "{entry}");
}

async fn s3_a_held_list_released_after_the_revocation_is_no_success(backend: Backend) {
    let (app, cluster, session, key) = world(backend).await;
    for round in 0..20 {
        let key = if round == 0 { key.clone() } else { app.key(&session, "round").await };
        let seen = cluster.seen().len();
        cluster.hold();
        let held: Vec<_> = (0..4).map(|_| app.get(PODS).key(&key).start()).collect();
        cluster.has_seen(seen + 4).await;
        // Both at once: whichever comes first, what is answered after the revocation is no success.
        let (revoked, ()) = tokio::join!(app.revoke(&session, &key), async { cluster.release() });
        let returned = Instant::now();
        assert_eq!(revoked.status, 204);
        for task in held {
            let answer = task.await.unwrap();
            let late = returned.elapsed() > Duration::from_millis(50);
            assert!(!(late && answer.is_ok_and(|answer| answer.is_success())), "round {round}");
        }
        // Held beyond the revocation for certain.
        let key = app.key(&session, "other").await;
        let seen = cluster.seen().len();
        cluster.hold();
        let held = app.get(PODS).key(&key).start();
        cluster.has_seen(seen + 1).await;
        app.revoke(&session, &key).await.expect(204);
        cluster.release();
        assert!(!held.await.unwrap().is_ok_and(|answer| answer.is_success()), "round {round}");
    }
}

async fn s5_a_restart_brings_no_key_back(backend: Backend) {
    let (mut app, cluster, session, key) = world(backend).await;
    let alive = app.key(&session, "alive").await;
    app.revoke(&session, &key).await.expect(204);
    app.restart().await;
    let seen = cluster.seen().len();
    app.get(POD).key(&key).send().await.expect(401);
    assert_eq!(cluster.seen().len(), seen);
    app.get(POD).key(&alive).send().await.expect(200);
    app.get("/api/v1/api-keys").session(&session).send().await.expect(200);
}

async fn attack_141_an_upload_running_at_the_revocation_is_not_forwarded(backend: Backend) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (app, cluster, session, key) = world(backend).await;
    let seen = cluster.seen().len();
    let mut stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
    let head = format!(
        "PATCH {POD} HTTP/1.1\r\nHost: kv\r\nAuthorization: ApiKey {}\r\nContent-Type: application/json\r\n\
         Content-Length: 11\r\n\r\n{{\"spec\"",
        key.text
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    app.revoke(&session, &key).await.expect(204);
    let _ = stream.write_all(b":{}}").await;
    let mut heard = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut heard)).await;
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 401"), "{heard}");
    assert_eq!(cluster.seen().len(), seen);
    let filter = format!("key_id={}&status=401", key.id);
    let recorded = app.audit(&filter).await;
    assert_eq!(recorded.len(), 1, "the refusal is on record: {recorded:?}");
}

async fn attack_96_a_disabled_owner_ends_all_their_credentials(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (user, session, key) = app.someone("ann", "dev", Some("prod")).await;
    app.get(POD).key(&key).send().await.expect(200);
    cluster.hold();
    let held = app.get(POD).key(&key).start();
    cluster.has_seen(2).await;
    app.change(&user, &json!({"disabled": true})).await;
    assert!(!held.await.unwrap().is_ok_and(|answer| answer.is_success()));
    cluster.release();
    app.get("/api/v1/clusters").key(&key).send().await.expect(401);
    app.get("/api/v1/clusters").session(&session).send().await.expect(401);
    app.try_login("ann", kv_tests::PASSWORD).await.expect(401);
}
