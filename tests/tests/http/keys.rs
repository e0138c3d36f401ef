//! Making, listing and revoking keys.

use kv_tests::{Backend, Key, Session, TestApp, User, on_both};
use serde_json::{Value, json};

on_both!(
    attack_56_57_58_a_key_is_made_by_its_owner_with_name_and_expiry_alone,
    attack_60_61_62_only_the_owner_and_administrators_revoke,
    attack_64_ids_that_are_none_name_nothing,
    attack_68_69_names_are_visible_and_unique_among_live_keys,
    attack_72_bodies_are_read_strictly,
    attack_73_a_lost_answer_leaves_a_revocable_key,
    attack_74_a_new_key_works_at_once,
    attack_76_a_key_manages_no_credentials,
    a_key_looks_at_itself_and_ends_itself,
    lists_show_states_and_pages_and_no_digest,
    the_limit_is_exact_under_concurrency,
    revoking_again_changes_nothing,
    expiries_are_times_with_an_offset_in_the_next_ten_years,
);

async fn ann(backend: Backend) -> (TestApp, User, Session, Key) {
    let app = TestApp::start(backend).await;
    let (user, session, key) = app.someone("ann", "dev", None).await;
    (app, user, session, key)
}

async fn works(app: &TestApp, key: &Key) -> u16 {
    app.get("/api/v1/clusters").key(key).send().await.status
}

async fn list(app: &TestApp, session: &Session, query: &str) -> Value {
    app.get(&format!("/api/v1/api-keys{query}")).session(session).send().await.expect(200).json()
}

async fn attack_56_57_58_a_key_is_made_by_its_owner_with_name_and_expiry_alone(backend: Backend) {
    let (app, user, session, _) = ann(backend).await;
    let before = app.database.count("api_keys", "1 = 1");
    for field in ["userId", "user_id", "owner", "role", "clusters", "keyHash", "keyPrefix", "createdAt", "id", "Name"] {
        let body = json!({"name": "x", field: "1"});
        let answer = app.post("/api/v1/api-keys").session(&session).json(&body).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_body"), "{field}");
    }
    app.post("/api/v1/api-keys").json(&json!({"name": "x"})).send().await.expect(401);
    let for_another = format!("/api/v1/users/{}/api-keys", user.id);
    let admin = app.admin().await;
    app.post(&for_another).session(&admin).json(&json!({"name": "x"})).send().await.expect(403);
    assert_eq!(app.database.count("api_keys", "1 = 1"), before);

    let answer = app.post("/api/v1/api-keys").session(&session).json(&json!({"name": " deploy "})).send().await;
    let made = answer.clone().expect(201).json();
    assert_eq!(answer.header("cache-control"), "no-store");
    let key = made["key"].as_str().unwrap();
    let (start, rest) = key.split_at(8);
    assert_eq!(start, "kv_live_");
    assert!(rest.len() == 48 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!((made["name"].as_str(), made["prefix"].as_str()), (Some("deploy"), Some(&key[..12])));
    assert_eq!((&made["expires_at"], made["state"].as_str()), (&Value::Null, Some("active")));
    let entry = app.entry_of(&answer).await;
    assert_eq!((entry["action"].as_str(), entry["user"].as_str()), (Some("api_key.create"), Some("ann")));
    assert!(!entry.to_string().contains(rest));
}

async fn attack_60_61_62_only_the_owner_and_administrators_revoke(backend: Backend) {
    let (app, user, _, key) = ann(backend).await;
    for (name, role) in [("bob", "dev"), ("olga", "ops")] {
        let (_, session, _) = app.someone(name, role, None).await;
        app.revoke(&session, &key).await.expect(404);
        let path = format!("/api/v1/users/{}/api-keys/{}", user.id, key.id);
        app.delete(&path).session(&session).send().await.expect(403);
        app.delete(&format!("/api/v1/users/{}/api-keys", user.id)).session(&session).send().await.expect(403);
    }
    assert_eq!(works(&app, &key).await, 200);
    let admin = app.admin().await;
    let path = format!("/api/v1/users/{}/api-keys/{}", user.id, key.id);
    let answer = app.delete(&path).session(&admin).send().await.expect(204);
    assert_eq!(works(&app, &key).await, 401);
    let entry = app.entry_of(&answer).await;
    assert_eq!((entry["user"].as_str(), entry["action"].as_str()), (Some("admin"), Some("api_key.revoke")));
    assert_eq!(entry["detail"]["owner"], user.id.to_string(), "the owner is named");
}

async fn attack_64_ids_that_are_none_name_nothing(backend: Backend) {
    let (app, user, session, key) = ann(backend).await;
    let of_a_user = user.id.to_string();
    for id in ["0", "-1", "9223372036854775808", "1e3", &of_a_user, "00000000-0000-0000-0000-000000000000"] {
        let answer = app.delete(&format!("/api/v1/api-keys/{id}")).session(&session).send().await;
        assert_eq!(answer.status, 404, "{id}");
    }
    for id in ["1;drop", "1%20or%201", "'", "%27"] {
        let answer = app.delete(&format!("/api/v1/api-keys/{id}")).session(&session).send().await;
        assert!([400, 404].contains(&answer.status), "{id}: {}", answer.status);
    }
    assert_eq!(works(&app, &key).await, 200);
}

async fn attack_68_69_names_are_visible_and_unique_among_live_keys(backend: Backend) {
    let (app, _, session, _) = ann(backend).await;
    let make =
        async |name: &str| app.post("/api/v1/api-keys").session(&session).json(&json!({"name": name})).send().await;
    for name in ["", "   ", "a\nb", "a\0b", "\u{202e}gpj", "\u{1b}[31m", &"x".repeat(101)] {
        let answer = make(name).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_name"), "{name:?}");
    }
    for name in ["émile 🦀", "<img onerror>", "=cmd|x", "../../", &"x".repeat(100), "\"},{\""] {
        let answer = make(name).await;
        assert_eq!(answer.json()["name"], name, "{}", answer.text());
        let entry = app.entry_of(&answer).await;
        assert_eq!(entry["resource_name"], name);
    }
    let taken = make(" ci ").await;
    assert_eq!((taken.status, taken.code().as_str()), (409, "name_taken"));
    let invalid = app.post("/api/v1/api-keys").session(&session).body("application/json", b"{\"name\":\"\xff\"}");
    invalid.send().await.expect(400);
    // A dead key's name is free again.
    let deploy = app.key(&session, "deploy").await;
    app.revoke(&session, &deploy).await.expect(204);
    make("deploy").await.expect(201);
}

async fn attack_72_bodies_are_read_strictly(backend: Backend) {
    let (app, _, session, _) = ann(backend).await;
    let before = app.database.count("api_keys", "1 = 1");
    let send = async |media: &str, body: Vec<u8>| {
        app.post("/api/v1/api-keys").session(&session).body(media, body).send().await.status
    };
    assert_eq!(send("text/plain", b"{\"name\":\"x\"}".to_vec()).await, 415);
    assert_eq!(send("application/x-www-form-urlencoded", b"name=x".to_vec()).await, 415);
    for body in [
        &b"{\"name\":\"x\",\"name\":\"y\"}"[..],
        b"{\"name\":\"x\"}{}",
        b"{\"name\":\"x\"} y",
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{\"name\":7}",
        b"{\"name\":\"x\",\"expires_at\":1}",
    ] {
        assert_eq!(send("application/json", body.to_vec()).await, 400, "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(send("application/json", b"[".repeat(10_000)).await, 400);
    assert_eq!(send("application/json", vec![b' '; 3 * 1024 * 1024 + 1]).await, 413);
    let zipped = app.post("/api/v1/api-keys").session(&session).header("content-encoding", "gzip");
    zipped.json(&json!({"name": "x"})).send().await.expect(415);
    assert_eq!(app.database.count("api_keys", "1 = 1"), before);
}

async fn attack_73_a_lost_answer_leaves_a_revocable_key(backend: Backend) {
    let (app, _, session, _) = ann(backend).await;
    let request = app.post("/api/v1/api-keys").session(&session).json(&json!({"name": "lost"}));
    // The client is gone before it reads.
    let sending = request.start();
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    sending.abort();
    // Made or not made, nothing in between: if made, it is listed, and no answer shows it again.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let listed = list(&app, &session, "").await;
    let lost = listed["items"].as_array().unwrap().iter().find(|key| key["name"] == "lost").cloned();
    if let Some(lost) = lost {
        assert!(lost.get("key").is_none());
        let key = Key { id: lost["id"].as_str().unwrap().into(), text: String::new() };
        app.revoke(&session, &key).await.expect(204);
    }
    let again = app.post("/api/v1/api-keys").session(&session).header("idempotency-key", "1");
    again.json(&json!({"name": "lost"})).send().await.expect(201);
}

async fn attack_74_a_new_key_works_at_once(backend: Backend) {
    let (app, _, session, _) = ann(backend).await;
    for number in 0..20 {
        let key = app.key(&session, &format!("key {number}")).await;
        assert_eq!(works(&app, &key).await, 200);
    }
}

async fn attack_76_a_key_manages_no_credentials(backend: Backend) {
    let (app, user, session, key) = ann(backend).await;
    let (_, _, admins) = {
        let session = app.admin().await;
        let key = app.key(&session, "admin's").await;
        ((), session, key)
    };
    let sibling = app.key(&session, "sibling").await;
    let one = format!("/api/v1/api-keys/{}", sibling.id);
    let of_user = format!("/api/v1/users/{}/api-keys", user.id);
    let of_user_one = format!("{of_user}/{}", sibling.id);
    for key in [&key, &admins] {
        for (method, path) in [
            ("GET", "/api/v1/api-keys"),
            ("POST", "/api/v1/api-keys"),
            ("DELETE", &one),
            ("GET", &of_user),
            ("DELETE", &of_user),
            ("DELETE", &of_user_one),
            ("GET", "/api/v1/users"),
            ("POST", "/api/v1/auth/logout"),
        ] {
            let request = app.request(method, path).key(key);
            let request = if method == "POST" { request.json(&json!({"name": "x"})) } else { request };
            let answer = request.send().await;
            let wanted =
                if path == "/api/v1/auth/logout" { answer.code() } else { "interactive_session_required".into() };
            assert_eq!((answer.status, answer.code()), (403, wanted), "{method} {path}");
        }
    }
    assert_eq!(works(&app, &sibling).await, 200);
}

async fn a_key_looks_at_itself_and_ends_itself(backend: Backend) {
    let (app, _, session, key) = ann(backend).await;
    let current = app.get("/api/v1/api-keys/current").key(&key).send().await.expect(200).json();
    assert_eq!((current["id"].as_str(), current["name"].as_str()), (Some(key.id.as_str()), Some("ci")));
    assert_eq!((&current["owner"]["name"], &current["permissions"]["role"]), (&json!("ann"), &json!("dev")));
    assert!(!current.to_string().contains(&key.text[12..]));
    app.delete("/api/v1/api-keys/current").key(&key).send().await.expect(204);
    assert_eq!(works(&app, &key).await, 401);
    app.delete("/api/v1/api-keys/current").key(&key).send().await.expect(401);
    app.get("/api/v1/api-keys/current").session(&session).send().await.expect(404);
}

async fn lists_show_states_and_pages_and_no_digest(backend: Backend) {
    let (app, _, session, active) = ann(backend).await;
    let soon = time::OffsetDateTime::now_utc() + time::Duration::days(3);
    let far = time::OffsetDateTime::now_utc() + time::Duration::days(30);
    let written = |at: time::OffsetDateTime| json!(at.format(&time::format_description::well_known::Rfc3339).unwrap());
    let short = time::OffsetDateTime::now_utc() + time::Duration::seconds(1);
    let expired = app.key_until(&session, "expired", &written(short)).await;
    app.key_until(&session, "expiring", &written(soon)).await;
    app.key_until(&session, "later", &written(far)).await;
    let revoked = app.key(&session, "revoked").await;
    app.revoke(&session, &revoked).await.expect(204);
    app.get("/api/v1/clusters").key(&active).send().await.expect(200);
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;

    let states = |list: &Value| -> Vec<(String, String)> {
        let mut all: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| (key["name"].as_str().unwrap().to_owned(), key["state"].as_str().unwrap().to_owned()))
            .collect();
        all.sort();
        all
    };
    let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|&(name, state)| (name.to_owned(), state.to_owned())).collect()
    };
    let live = [("ci", "active"), ("expired", "expired"), ("expiring", "expiring"), ("later", "active")];
    let shown = list(&app, &session, "").await;
    assert_eq!(states(&shown), pairs(&live));
    assert_eq!(states(&list(&app, &session, "?state=revoked").await), pairs(&[("revoked", "revoked")]));
    assert_eq!(list(&app, &session, "?state=all").await["items"].as_array().unwrap().len(), 5);
    let fields: Vec<&str> = shown["items"][0].as_object().unwrap().keys().map(String::as_str).collect();
    let mut allowed = ["id", "name", "prefix", "created_at", "expires_at", "last_used_at", "last_used_ip", "state"];
    allowed.sort_unstable();
    assert_eq!(fields, allowed);
    assert_eq!(app.get("/api/v1/clusters").key(&expired).send().await.status, 401);

    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(&app, &session, &format!("?limit=2{cursor}")).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|key| key["name"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    names.sort();
    assert_eq!(names, ["ci", "expired", "expiring", "later"]);
    for query in ["?state=dead", "?q=1", "?sort=key_hash", "?limit=0", "?limit=201", "?cursor=x", "?limit=1&limit=2"] {
        let answer = app.get(&format!("/api/v1/api-keys{query}")).session(&session).send().await;
        assert_eq!(answer.status, 400, "attack 40: {query}");
    }
}

async fn the_limit_is_exact_under_concurrency(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_API_KEYS__MAX_PER_USER", "10")]).await;
    let (_, session, _) = app.someone("ann", "dev", None).await;
    let sending: Vec<_> = (0..32)
        .map(|n| app.post("/api/v1/api-keys").session(&session).json(&json!({"name": format!("key {n}")})).start())
        .collect();
    let mut made = 0;
    for task in sending {
        let answer = task.await.unwrap().unwrap();
        match answer.status {
            201 => made += 1,
            409 => assert_eq!(answer.code(), "too_many_keys"),
            status => assert_eq!(status, 503, "{}", answer.text()),
        }
    }
    assert!(made <= 9, "{made} beside the one before");
    while app.database.count("api_keys", "revoked_at IS NULL") < 10 {
        app.key(&session, &format!("more {made}")).await;
        made += 1;
    }
    let over = app.post("/api/v1/api-keys").session(&session).json(&json!({"name": "over"})).send().await;
    assert_eq!((over.status, over.code().as_str()), (409, "too_many_keys"));
    assert_eq!(app.database.count("api_keys", "1 = 1"), 10);
}

async fn revoking_again_changes_nothing(backend: Backend) {
    let (app, _, session, key) = ann(backend).await;
    app.revoke(&session, &key).await.expect(204);
    let first = list(&app, &session, "?state=revoked").await["items"][0]["revoked_at"].clone();
    assert!(first.is_string());
    app.revoke(&session, &key).await.expect(204);
    assert_eq!(list(&app, &session, "?state=revoked").await["items"][0]["revoked_at"], first);
    assert_eq!(works(&app, &key).await, 401);
}

async fn expiries_are_times_with_an_offset_in_the_next_ten_years(backend: Backend) {
    let (app, _, session, _) = ann(backend).await;
    let make = async |name: &str, at: &str| {
        app.post("/api/v1/api-keys")
            .session(&session)
            .json(&json!({"name": name, "expires_at": at}))
            .send()
            .await
            .status
    };
    for at in ["tomorrow", "2030-01-01", "2030-01-01T00:00:00", "1e9", "", "2030-13-01T00:00:00Z"] {
        assert_eq!(make("x", at).await, 400, "{at}");
    }
    for at in ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        assert_eq!(make("x", at).await, 422, "{at}");
    }
    assert_eq!(make("with an offset", "2030-06-01T12:00:00.5+05:30").await, 201);
    let listed = list(&app, &session, "").await;
    let key = listed["items"].as_array().unwrap().iter().find(|key| key["name"] == "with an offset").cloned().unwrap();
    assert_eq!(key["expires_at"], "2030-06-01T06:30:00.5Z");
}
