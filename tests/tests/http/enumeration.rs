//! Refusals that tell nothing: the form of keys, and answers that are the same byte for byte.

use kv_keys::{ApiKey, Environment};
use kv_server::clock::Random;
use kv_tests::{Answer, Backend, Key, TestApp, on_both};
use serde_json::json;
use std::collections::BTreeSet;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

on_both!(
    attack_18_20_21_22_24_what_is_no_key_is_refused,
    attack_30_every_refused_credential_gets_the_same_answer,
    attack_32_every_failed_login_gets_the_same_answer,
    attack_33_another_users_key_is_no_key,
    attack_34_ids_tell_no_number,
);

/// A well-formed key that nobody was given.
pub(crate) fn stranger() -> String {
    ApiKey::generate(Environment::Live, &mut Random::system()).unwrap().expose().to_owned()
}

/// The answer without what is different in every one.
fn faceless(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.request_id().to_owned();
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date" && *name != "x-request-id")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (answer.status, headers, answer.text().replace(&id, "ID"))
}

async fn attack_18_20_21_22_24_what_is_no_key_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, _, key) = app.someone("ann", "dev", None).await;
    let secret = &key.text[8..];
    // That none of these is looked up cannot be told from here: the refusal itself is put on record by the statement
    // that would look. `kv_keys` ends them before.
    for text in [
        format!("kv_test_{secret}"),
        format!("kv_{secret}"),
        format!("KV_LIVE_{secret}"),
        format!("kv_live{secret}"),
        format!("kv_live-{secret}"),
        secret.to_owned(),
        key.text[..12].to_owned(),
        key.text[..55].to_owned(),
        format!("{}x", key.text),
        format!("{}-", &key.text[..55]),
        format!("{}=", &key.text[..55]),
        format!("{}/", &key.text[..55]),
        format!("{}+", &key.text[..55]),
        format!("{}%41", &key.text[..53]),
        format!("{}\u{ff11}", &key.text[..53]),
        format!("{}\u{430}", &key.text[..54]),
        format!("{}\u{200d}", key.text),
        format!("{}\u{301}", key.text),
        format!("{}\\u0000", key.text),
        format!("{}\0", key.text),
        "x".repeat(100_000),
        format!("kv_live_{}", "a".repeat(48)),
        format!("kv_live_{}", "A".repeat(90_000)),
        key.text.to_uppercase(),
        // One letter of another: the checksum knows.
        format!("kv_live_{}{}", if secret.starts_with('a') { 'b' } else { 'a' }, &secret[1..]),
    ] {
        for scheme in ["ApiKey", "Bearer"] {
            let head = format!("Authorization: {scheme} {text}");
            let status = app.raw_status("GET /api/v1/clusters", &head).await;
            // What is no header at all is the 400 of HTTP.
            let wanted: &[u16] = if text.contains('\0') { &[400] } else { &[401] };
            assert!(wanted.contains(&status), "{scheme} {text:.70}: {status}");
        }
    }
}

async fn attack_30_every_refused_credential_gets_the_same_answer(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, session, revoked) = app.someone("ann", "dev", None).await;
    let soon = (OffsetDateTime::now_utc() + Duration::seconds(1)).format(&Rfc3339).unwrap();
    let expired = app.key_until(&session, "expired", &json!(soon)).await;
    app.revoke(&session, &revoked).await.expect(204);
    let (bob, bobs, disabled) = app.someone("bob", "dev", None).await;
    app.change(&bob, &json!({"disabled": true})).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    let credentials = [
        format!("ApiKey {}", revoked.text),
        format!("ApiKey {}", expired.text),
        format!("ApiKey {}", disabled.text),
        format!("ApiKey {}", stranger()),
        "ApiKey kv_live_malformed".into(),
        "ApiKey kv_test_malformed".into(),
        format!("Bearer {}", revoked.text),
        format!("Bearer {}", bobs.token),
        "Bearer ey.ey.ey".into(),
        "Basic eDp5".into(),
    ];
    for path in
        ["/api/v1/clusters", "/api/v1/clusters/none/pods", "/api/v1/api-keys/current", "/api/v1/users", "/nowhere"]
    {
        let wanted = faceless(&app.get(path).send().await);
        assert_eq!(wanted.0, 401);
        // Twice: known to the caches or not.
        for credential in credentials.iter().chain(&credentials) {
            let answer = app.get(path).header("authorization", credential.as_str()).send().await;
            assert_eq!(faceless(&answer), wanted, "{credential} at {path}");
        }
    }
}

async fn attack_32_every_failed_login_gets_the_same_answer(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let bob = app.user("bob", "dev").await;
    app.change(&bob, &json!({"disabled": true})).await;
    let wanted = faceless(&app.try_login("ann", "wrong").await);
    assert_eq!(wanted.0, 401);
    for (name, password) in [
        ("nobody", "wrong"),
        ("bob", kv_tests::PASSWORD),
        ("bob", "wrong"),
        ("Ann", kv_tests::PASSWORD),
        ("ann ", kv_tests::PASSWORD),
        ("admin", "admin"),
        ("admin", "admin123"),
        ("ann", ""),
        ("", ""),
    ] {
        assert_eq!(faceless(&app.try_login(name, password).await), wanted, "{name:?}");
    }
}

async fn attack_33_another_users_key_is_no_key(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, _, anns) = app.someone("ann", "dev", None).await;
    let bob = app.user("bob", "dev").await;
    let session = app.login("bob").await;
    let nobodys = Key { id: bob.id.to_string(), text: String::new() };
    let (theirs, none) = (app.revoke(&session, &anns).await, app.revoke(&session, &nobodys).await);
    assert_eq!(theirs.status, 404);
    assert_eq!(faceless(&theirs), faceless(&none));
}

async fn attack_34_ids_tell_no_number(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let session = app.login("ann").await;
    let mut ends = BTreeSet::new();
    for number in 0..20 {
        let key = app.key(&session, &format!("key {number}")).await;
        assert!(key.id.len() == 36 && key.id.as_bytes()[14] == b'7', "a UUIDv7: {}", key.id);
        ends.insert(key.id[24..].to_owned());
    }
    assert_eq!(ends.len(), 20);
}
