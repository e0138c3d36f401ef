//! Keys that end by themselves.

use kv_server::clock::Clock;
use kv_tests::{Backend, Cluster, Key, Session, TestApp, on_both};
use serde_json::json;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

on_both!(
    attack_88_94_an_expired_key_is_dead_and_stays_dead,
    attack_89_a_body_that_outlives_its_key_is_not_forwarded,
    attack_90_a_request_that_outlives_its_key_is_no_success,
    attack_92_a_clock_that_jumps_does_no_lasting_damage,
);

const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";

async fn key_for(app: &TestApp, session: &Session, name: &str, millis: i64) -> Key {
    let end = (OffsetDateTime::now_utc() + Duration::milliseconds(millis)).format(&Rfc3339).unwrap();
    app.key_until(session, name, &json!(end)).await
}

async fn sleep(millis: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
}

async fn attack_88_94_an_expired_key_is_dead_and_stays_dead(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let session = app.login("ann").await;
    let key = key_for(&app, &session, "short", 1_500).await;
    app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    sleep(1_600).await;
    for _ in 0..3 {
        let refused = app.get("/api/v1/clusters").key(&key).send().await.expect(401);
        let entry = app.entry_of(&refused).await;
        assert_eq!((entry["outcome"].as_str(), entry["key_id"].as_str()), (Some("denied"), Some(key.id.as_str())));
    }
    app.restart().await;
    app.get("/api/v1/clusters").key(&key).send().await.expect(401);
    // Its name is free again, and it can still be revoked.
    app.key(&session, "short").await;
    app.revoke(&session, &key).await.expect(204);
}

async fn attack_89_a_body_that_outlives_its_key_is_not_forwarded(backend: Backend) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, session, _) = app.someone("ann", "dev", Some("prod")).await;
    let key = key_for(&app, &session, "short", 1_500).await;
    app.get(POD).key(&key).send().await.expect(200);
    let seen = cluster.seen().len();
    let mut stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
    let head = format!(
        "PATCH {POD} HTTP/1.1\r\nHost: kv\r\nConnection: close\r\nAuthorization: ApiKey {}\r\n\
         Content-Type: application/json\r\nContent-Length: 11\r\n\r\n{{\"spec\"",
        key.text
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    sleep(1_700).await;
    stream.write_all(b":{}}").await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 401"), "{heard}");
    assert_eq!(cluster.seen().len(), seen);
}

async fn attack_90_a_request_that_outlives_its_key_is_no_success(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, session, _) = app.someone("ann", "dev", Some("prod")).await;
    let key = key_for(&app, &session, "short", 1_500).await;
    app.get(POD).key(&key).send().await.expect(200);
    cluster.hold();
    let held = app.get(POD).key(&key).start();
    cluster.has_seen(2).await;
    sleep(1_800).await;
    cluster.release();
    let answer = held.await.unwrap();
    let entry = app.audit("action=kubernetes.get").await.remove(0);
    assert_eq!((&entry["outcome"], &entry["detail"]["reason"]), (&"denied".into(), &"expired".into()), "{entry}");
    assert!(!answer.as_ref().is_ok_and(kv_tests::Answer::is_success), "{answer:?}");
}

async fn attack_92_a_clock_that_jumps_does_no_lasting_damage(backend: Backend) {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };
    let shift = Arc::new(AtomicI64::new(0));
    let clock = Clock::from_fn({
        let shift = shift.clone();
        move || OffsetDateTime::now_utc() + Duration::days(shift.load(Ordering::Relaxed))
    });
    let app = TestApp::with_clock(backend, &[], clock).await;
    app.user("ann", "dev").await;
    let session = app.login("ann").await;
    let forever = app.key(&session, "forever").await;
    let month = key_for(&app, &session, "month", 30 * 86_400_000).await;
    let other = key_for(&app, &session, "other", 30 * 86_400_000).await;
    let works = async |key: &Key| app.get("/api/v1/clusters").key(key).send().await.status;
    assert_eq!((works(&forever).await, works(&month).await), (200, 200));
    shift.store(366, Ordering::Relaxed);
    assert_eq!(works(&forever).await, 200);
    // The database's clock counts where it has one.
    let wanted = if backend == Backend::Postgres { 200 } else { 401 };
    assert_eq!(works(&month).await, wanted);
    shift.store(0, Ordering::Relaxed);
    assert_eq!((works(&forever).await, works(&other).await), (200, 200));
    // A key that was once refused as expired stays so, whatever the clock says later.
    assert_eq!(works(&month).await, wanted);
    app.get("/api/v1/api-keys").session(&session).send().await.expect(200);
}
