//! What an `Authorization` field may look like, to the byte, and what a request around it may.

use kv_tests::{Backend, Key, Session, TestApp, on_both};

on_both!(
    attack_1_2_without_a_credential_nobody_is_let_in,
    attack_4_the_scheme_is_read_in_any_case,
    attack_5_6_8_12_whatever_is_not_exactly_one_credential_is_refused,
    attack_10_two_credentials_are_a_bad_request,
    attack_13_bytes_that_no_header_may_have_do_not_desynchronise,
    attack_14_heads_have_a_largest_size,
    attack_16_intermediaries_do_not_make_anyone_anonymous,
    attack_17_public_routes_do_not_look_at_credentials,
);

const CLUSTERS: &str = "GET /api/v1/clusters";

async fn ann(backend: Backend) -> (TestApp, Session, Key) {
    let app = TestApp::start(backend).await;
    let (_, session, key) = app.someone("ann", "dev", None).await;
    (app, session, key)
}

async fn attack_1_2_without_a_credential_nobody_is_let_in(backend: Backend) {
    let (app, ..) = ann(backend).await;
    assert_eq!(app.raw_status(CLUSTERS, "X-Other: 1").await, 401);
    for value in ["", " ", "   ", "\t"] {
        assert_eq!(app.raw_status(CLUSTERS, format!("Authorization:{value}")).await, 401, "{value:?}");
    }
}

async fn attack_4_the_scheme_is_read_in_any_case(backend: Backend) {
    let (app, session, key) = ann(backend).await;
    for scheme in ["ApiKey", "apikey", "APIKEY", "aPiKeY", "Bearer", "bearer", "BEARER"] {
        let head = format!("authorization: {scheme} {}", key.text);
        assert_eq!(app.raw_status(CLUSTERS, head).await, 200, "{scheme}");
    }
    assert_eq!(app.raw_status(CLUSTERS, format!("AUTHORIZATION: bEARER {}", session.token)).await, 200);
}

async fn attack_5_6_8_12_whatever_is_not_exactly_one_credential_is_refused(backend: Backend) {
    let (app, session, Key { text: key, .. }) = ann(backend).await;
    let other = app.key(&session, "other").await.text;
    let (start, end) = key.split_at(30);
    for value in [
        format!("ApiKey  {key}"),
        format!("ApiKey\t{key}"),
        format!("ApiKey \t{key}"),
        format!("ApiKey{key}"),
        key.clone(),
        format!("ApiKey {start} {end}"),
        format!("ApiKey {start}\t{end}"),
        format!("ApiKey {key}, ApiKey {other}"),
        format!("ApiKey {key},ApiKey {other}"),
        format!("ApiKey {key} {other}"),
        format!("ApiKey {key}="),
        format!("ApiKey \"{key}\""),
        format!("ApiKey key={key}"),
        format!("ApiKey {}", session.token),
        format!("Basic {key}"),
        format!("Token {key}"),
        format!("Api Key {key}"),
        format!("ApiKey: {key}"),
        "ApiKey".into(),
        "Bearer".into(),
        "Bearer ".into(),
    ] {
        assert_eq!(app.raw_status(CLUSTERS, format!("Authorization: {value}")).await, 401, "{value}");
    }
    // HTTP itself does not count what stands around a value.
    for around in [format!("   ApiKey {key}   "), format!("\tApiKey {key}\t"), format!("ApiKey {key} ")] {
        assert_eq!(app.raw_status(CLUSTERS, format!("Authorization:{around}")).await, 200, "{around:?}");
    }
    // Nowhere else.
    for head in
        [format!("Cookie: key={key}"), format!("X-Api-Key: {key}"), format!("Proxy-Authorization: ApiKey {key}")]
    {
        assert_eq!(app.raw_status(CLUSTERS, &head).await, 401, "{head}");
    }
    assert_eq!(app.raw_status(&format!("{CLUSTERS}?api_key={key}"), "X-Other: 1").await, 401);
}

async fn attack_10_two_credentials_are_a_bad_request(backend: Backend) {
    let (app, session, Key { text: key, .. }) = ann(backend).await;
    for (first, second) in [
        (format!("ApiKey {key}"), format!("Bearer {}", session.token)),
        (format!("Bearer {}", session.token), format!("ApiKey {key}")),
        (format!("ApiKey {key}"), format!("ApiKey {key}")),
        (format!("ApiKey {key}"), "Basic eDp5".into()),
        (format!("ApiKey {key}"), String::new()),
    ] {
        let head = format!("Authorization: {first}\r\nAuthorization: {second}");
        assert_eq!(app.raw_status(CLUSTERS, head).await, 400, "{first} and {second}");
    }
}

async fn attack_13_bytes_that_no_header_may_have_do_not_desynchronise(backend: Backend) {
    let (app, _, Key { text: key, .. }) = ann(backend).await;
    for bytes in [&b"\xff"[..], b"\xc3\xa9", b"\0", b"\r", b"\n x", b"\r\n folded", b"\x7f", b"\x1b[31m"] {
        let mut head = format!("Authorization: ApiKey {key}").into_bytes();
        head.extend_from_slice(bytes);
        let status = app.raw_status(CLUSTERS, &head).await;
        assert!([400, 401].contains(&status), "{bytes:?}: {status}");
        // In the middle of one connection: whatever comes after is not read as another's request with a credential.
        let mut two = b"GET /api/v1/clusters HTTP/1.1\r\nHost: kv\r\n".to_vec();
        two.extend_from_slice(&head);
        two.extend_from_slice(b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: kv\r\nConnection: close\r\n\r\n");
        let answers = app.raw(&two).await;
        assert!(!answers.contains("\"items\""), "{bytes:?}: {answers}");
        assert!(answers.matches("HTTP/1.1 ").count() <= 2, "{answers}");
    }
}

async fn attack_14_heads_have_a_largest_size(backend: Backend) {
    let (app, _, key) = ann(backend).await;
    let many = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: 1\r\n")).collect() };
    // With Host, Connection and Authorization.
    let with = |more: String| format!("{more}Authorization: ApiKey {}", key.text);
    assert_eq!(app.raw_status(CLUSTERS, with(many(93))).await, 200);
    let status = app.raw_status(CLUSTERS, with(many(94))).await;
    assert!([400, 431].contains(&status), "97 fields: {status}");
    assert_eq!(app.raw_status(CLUSTERS, with(format!("X-Long: {}\r\n", "x".repeat(100_000)))).await, 200);
    let status = app.raw_status(CLUSTERS, with(format!("X-Long: {}\r\n", "x".repeat(200_000)))).await;
    assert!([0, 400, 431].contains(&status), "200 kB: {status}");
    assert_eq!(app.get("/api/v1/clusters").key(&key).send().await.status, 200, "and life goes on");
}

async fn attack_16_intermediaries_do_not_make_anyone_anonymous(backend: Backend) {
    let (app, session, Key { text: key, .. }) = ann(backend).await;
    for head in ["Connection: Authorization", "Connection: close, Authorization", "Via: 1.1 proxy"] {
        assert_eq!(app.raw_status(CLUSTERS, head).await, 401, "{head}");
        let status = app.raw_status(CLUSTERS, format!("{head}\r\nAuthorization: ApiKey {key}")).await;
        assert!([200, 401].contains(&status), "{head}: {status}");
    }
    let joined = format!("Authorization: ApiKey {key}, Bearer {}", session.token);
    assert_eq!(app.raw_status(CLUSTERS, joined).await, 401);
    let absolute = app.raw_status("GET http://kv/api/v1/clusters", format!("Authorization: ApiKey {key}")).await;
    assert!([200, 400].contains(&absolute), "{absolute}");
    let nobody = app.raw_status("GET http://kv/api/v1/clusters", "X-Other: 1").await;
    assert!([400, 401].contains(&nobody), "{nobody}");
    let old = app.raw("GET /api/v1/clusters HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 401") || old.starts_with("HTTP/1.1 401"), "{old}");
    let old = app.raw(format!("GET /api/v1/clusters HTTP/1.0\r\nAuthorization: ApiKey {key}\r\n\r\n")).await;
    assert!(old.contains(" 200 "), "{old}");
}

async fn attack_17_public_routes_do_not_look_at_credentials(backend: Backend) {
    let (app, ..) = ann(backend).await;
    for garbage in ["ApiKey kv_live_garbage", "Bearer ey.ey.ey", "\u{7f}", "ApiKey"] {
        let head = format!("Authorization: {garbage}");
        let status = app.raw_status("GET /healthz", &head).await;
        assert!([200, 400].contains(&status), "{garbage}: {status}");
    }
    let login = app.post("/api/v1/auth/login").header("authorization", "ApiKey kv_live_garbage");
    let body = serde_json::json!({"username": "ann", "password": kv_tests::PASSWORD});
    let answer = login.json(&body).send().await.expect(200);
    assert!(answer.json()["access_token"].is_string());
}
