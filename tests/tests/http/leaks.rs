//! What must not get out: through errors, panics, parameters, and the record itself.

use kv_server::clock::{Random, RandomError};
use kv_tests::{Backend, Cluster, TestApp, on_both};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

on_both!(
    attack_26_a_failing_generator_makes_no_key,
    attack_40_41_no_parameter_and_no_answer_reaches_a_digest,
    attack_46_a_panic_that_holds_a_key_tells_nothing,
    attack_50_refusals_repeat_nothing,
    attack_226_bodies_are_not_on_record,
);

/// How much a new key draws.
const KEY_BYTES: usize = 32;

const SOUND: u8 = 0;
const FAILING: u8 = 1;
const PANICKING: u8 = 2;

/// The system's generator, until it is told to fail at a key, or to panic at what is drawn while a key is held.
fn moody() -> (Random, Arc<AtomicU8>) {
    let (mood, system) = (Arc::new(AtomicU8::new(SOUND)), Random::system());
    let (told, drawn) = (mood.clone(), AtomicU8::new(0));
    let random = Random::from_fn(move |bytes| {
        match told.load(Ordering::Relaxed) {
            FAILING if bytes.len() == KEY_BYTES => return Err(RandomError),
            PANICKING if bytes.len() == KEY_BYTES => drawn.store(1, Ordering::Relaxed),
            PANICKING if drawn.swap(0, Ordering::Relaxed) == 1 => panic!("told to"),
            _ => {}
        }
        let mut filled = 0;
        while filled < bytes.len() {
            let some = system.bytes::<10>()?;
            let size = some.len().min(bytes.len() - filled);
            bytes[filled..filled + size].copy_from_slice(&some[..size]);
            filled += size;
        }
        Ok(())
    });
    (random, mood)
}

async fn no_key_is_made(backend: Backend, mood_then: u8) {
    let (random, mood) = moody();
    let app = TestApp::with_random(backend, random).await;
    app.user("ann", "dev").await;
    let session = app.login("ann").await;
    app.key(&session, "before").await;
    let mut connection = app.connect().await;
    mood.store(mood_then, Ordering::Relaxed);
    let make = |name: &str| app.post("/api/v1/api-keys").session(&session).json(&json!({"name": name}));
    let failed = connection.send(make("ci")).await.expect("an answer on a connection that goes on");
    mood.store(SOUND, Ordering::Relaxed);
    assert_eq!((failed.status, failed.code().as_str()), (500, "internal"), "{}", failed.text());
    assert!(!failed.text().contains("kv_live_") && !failed.text().contains("told to"), "{}", failed.text());
    assert_eq!(app.database.count("api_keys", "1 = 1"), 1, "no row");
    let entry = app.entry_of(&failed).await;
    assert_eq!((entry["action"].as_str(), entry["outcome"].as_str()), (Some("api_key.create"), Some("failed")));
    assert!(!entry.to_string().contains("kv_live_"));
    connection.send(make("ci")).await.expect("the next answer").expect(201);
}

async fn attack_26_a_failing_generator_makes_no_key(backend: Backend) {
    no_key_is_made(backend, FAILING).await;
}

async fn attack_46_a_panic_that_holds_a_key_tells_nothing(backend: Backend) {
    no_key_is_made(backend, PANICKING).await;
}

async fn attack_40_41_no_parameter_and_no_answer_reaches_a_digest(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (ann, session, key) = app.someone("ann", "admin", None).await;
    let of_user = format!("/api/v1/users/{}/api-keys", ann.id);
    for path in ["/api/v1/api-keys", "/api/v1/audit-logs", "/api/v1/users", "/api/v1/clusters", of_user.as_str()] {
        for query in
            ["q=digest=~a", "sort=digest", "filter=digest", "digest=00", "fields=digest", "key_hash=a", "search=a"]
        {
            let answer = app.get(&format!("{path}?{query}")).session(&session).send().await;
            assert_eq!(answer.status, 400, "{path}?{query}: {}", answer.text());
        }
        let shown = app.get(path).session(&session).send().await.expect(200).text();
        let digest = app.database.texts(match backend {
            Backend::Sqlite => "SELECT lower(hex(digest)) AS value FROM api_keys",
            Backend::Postgres => "SELECT encode(digest, 'hex') AS value FROM api_keys",
        });
        for digest in digest.into_iter().flatten() {
            // Behind the tag of its algorithm.
            assert!(!shown.contains(&digest[2..18]), "{path}");
        }
        assert!(!shown.contains(&key.text[12..]), "{path}");
    }
    let document = app.get("/api/v1/openapi.json").send().await.expect(200).text().to_lowercase();
    for word in ["\"digest\"", "\"key_hash\"", "\"password_hash\"", "\"sealed\""] {
        assert!(!document.contains(word), "{word}");
    }
}

async fn attack_50_refusals_repeat_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, _, key) = app.someone("ann", "dev", None).await;
    let canary = "c4n4ry-<script>";
    let asked = |line: &str, more: &str| {
        let head = format!("Authorization: ApiKey {}\r\nX-Canary: {canary}\r\n{more}", key.text);
        format!("{line} HTTP/1.1\r\nHost: kv\r\nConnection: close\r\n{head}\r\n\r\n")
    };
    let long = format!("X-Long: {}", "a".repeat(200_000));
    for (line, more, status) in [
        ("GET /c4n4ry-nowhere", "", 404),
        ("GET /api/v1/c4n4ry", "", 404),
        ("PUT /api/v1/clusters", "", 405),
        ("GET /api/v1/clusters/%3Cscript%3Ec4n4ry", "", 400),
        ("GET /api/v1/clusters?c4n4ry=%3Cscript%3E", "", 400),
        ("POST /api/v1/api-keys", "Content-Type: application/json\r\nContent-Length: 99999999", 413),
        ("GET /api/v1/clusters", long.as_str(), 431),
    ] {
        let answer = app.raw(asked(line, more)).await;
        // Too large a head is refused before there is a request: with the status, or by closing.
        let told = answer.starts_with(&format!("HTTP/1.1 {status}"));
        assert!(told || (status == 431 && (answer.is_empty() || answer.starts_with("HTTP/1.1 4"))), "{line}: {answer}");
        for piece in ["c4n4ry", "<script>", &key.text[12..], "aaaaaaaa"] {
            assert!(!answer.contains(piece), "{line}: {answer}");
        }
    }
}

async fn attack_226_bodies_are_not_on_record(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, session, key) = app.someone("ann", "ops", Some("prod")).await;
    let canary = "Y2FuYXJ5LW9mLXRoZS1ib2R5";
    let secrets = "/api/v1/clusters/prod/namespaces/team/secrets";
    let secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"password": canary}});
    app.post(secrets).key(&key).json(&secret).send().await.expect(201);
    app.patch(&format!("{secrets}/s")).key(&key).json(&json!({"data": {"password": canary}})).send().await.expect(200);
    let env = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "T", "value": canary}]}]}}}});
    let deployment = "/api/v1/clusters/prod/namespaces/team/deployments/web";
    app.patch(deployment).key(&key).json(&env).send().await.expect(200);
    app.post(secrets).key(&key).body("application/json", format!("{{\"{canary}\"")).send().await.expect(400);
    app.post("/api/v1/api-keys").session(&session).json(&json!({"name": "x", canary: canary})).send().await.expect(400);
    app.try_login("ann", canary).await.expect(401);
    app.try_login(canary, "x").await.expect(401);
    app.outcomes_written().await;
    let entries = app.audit("").await;
    assert!(entries.len() > 8);
    assert!(!json!(entries).to_string().contains(canary), "{entries:?}");
    let facts = ["audit_entries", "audit_outcomes"]
        .map(|table| app.database.texts(&format!("SELECT detail AS value FROM {table}")));
    assert!(!format!("{facts:?}").contains(canary));
}
