//! Sessions of people: begun, renewed, listed, ended; and passwords. What has ended is refused at once.

use kv_tests::{Answer, Backend, Cluster, PASSWORD, Session, TestApp, User, on_both};
use serde_json::{Value, json};

on_both!(
    a_session_is_renewed_and_its_tokens_go_on,
    attack_174_a_refresh_token_used_twice_ends_the_session,
    two_tabs_renew_at_once,
    renewals_are_limited_by_address_and_by_owner,
    sessions_are_listed_and_ended_by_their_owner,
    all_others_are_ended_at_once,
    attack_170_a_token_of_one_kind_is_none_of_another,
    attack_77_78_84_a_key_changes_nothing_about_proving_who_one_is,
    attack_172_whoever_is_gone_has_no_session,
    what_runs_in_a_session_ends_with_it,
);

pub(crate) async fn ann(backend: Backend) -> (TestApp, User) {
    let app = TestApp::start(backend).await;
    let user = app.user("ann", "dev").await;
    (app, user)
}

pub(crate) async fn tokens(app: &TestApp) -> Value {
    app.try_login("ann", PASSWORD).await.expect(200).json()
}

pub(crate) fn text(tokens: &Value, field: &str) -> String {
    tokens[field].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn session(tokens: &Value) -> Session {
    Session { token: text(tokens, "access_token") }
}

pub(crate) async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.post("/api/v1/auth/refresh").json(&json!({"refresh_token": token})).send().await
}

pub(crate) async fn works(app: &TestApp, session: &Session) -> u16 {
    app.get("/api/v1/auth/me").session(session).send().await.status
}

async fn a_session_is_renewed_and_its_tokens_go_on(backend: Backend) {
    let (app, user) = ann(backend).await;
    let first = tokens(&app).await;
    assert_eq!((first["token_type"].as_str(), first["expires_in"].as_i64()), (Some("Bearer"), Some(1800)));
    let mut token = text(&first, "refresh_token");
    let mut all = vec![session(&first)];
    for _ in 0..3 {
        let answer = refresh(&app, &token).await.expect(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        let next = answer.json();
        assert_ne!(text(&next, "refresh_token"), token);
        token = text(&next, "refresh_token");
        all.push(session(&next));
        let entry = app.entry_of(&answer).await;
        assert_eq!((&entry["action"], &entry["user_id"]), (&json!("auth.refresh"), &json!(user.id.to_string())));
    }
    for session in &all {
        assert_eq!(works(&app, session).await, 200);
    }
    assert_eq!(app.database.count("sessions", "1 = 1"), 2, "the administrator's and one of ann's");
    let stored = app.database.texts(match backend {
        Backend::Sqlite => "SELECT lower(hex(digest)) AS value FROM refresh_tokens",
        Backend::Postgres => "SELECT encode(digest, 'hex') AS value FROM refresh_tokens",
    });
    assert!(!format!("{stored:?}").contains(&token));
}

async fn attack_174_a_refresh_token_used_twice_ends_the_session(backend: Backend) {
    let (app, _) = ann(backend).await;
    let first = tokens(&app).await;
    let next = refresh(&app, &text(&first, "refresh_token")).await.expect(200).json();
    // More than ten seconds ago.
    app.database.execute("UPDATE refresh_tokens SET used_at = used_at - 11000000 WHERE used_at IS NOT NULL");
    let reused = refresh(&app, &text(&first, "refresh_token")).await.expect(401);
    assert_eq!(reused.code(), "invalid_refresh_token");
    let entry = app.entry_of(&reused).await;
    assert_eq!((entry["outcome"].as_str(), entry["user"].as_str()), (Some("denied"), Some("ann")));
    // Both are out, thief and owner.
    for session in [session(&first), session(&next)] {
        assert_eq!(works(&app, &session).await, 401);
    }
    refresh(&app, &text(&next, "refresh_token")).await.expect(401);
}

async fn two_tabs_renew_at_once(backend: Backend) {
    let (app, _) = ann(backend).await;
    let first = tokens(&app).await;
    let body = json!({"refresh_token": text(&first, "refresh_token")});
    let tabs: Vec<_> = (0..6).map(|_| app.post("/api/v1/auth/refresh").json(&body).start()).collect();
    for tab in tabs {
        let renewed = tab.await.unwrap().unwrap().expect(200).json();
        assert_eq!(works(&app, &session(&renewed)).await, 200);
        refresh(&app, &text(&renewed, "refresh_token")).await.expect(200);
    }
}

async fn renewals_are_limited_by_address_and_by_owner(backend: Backend) {
    let settings = [("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1"), ("KUBEVISION_RATE_LIMIT", "1/m,burst=40")];
    let app = TestApp::with(backend, &settings).await;
    app.user("ann", "dev").await;
    let from = async |address: &str, token: &str| {
        let body = json!({"refresh_token": token});
        app.post("/api/v1/auth/refresh").header("x-forwarded-for", address).json(&body).send().await
    };
    let first = text(&tokens(&app).await, "refresh_token");
    // Of one that nobody has, hardly more than an address' attempts get as far as the database.
    let unknown = format!("{}{}", &first[..first.len() - 1], if first.ends_with('A') { 'B' } else { 'A' });
    let mut read = 0;
    while from("192.0.2.1", &unknown).await.status == 401 {
        read += 1;
        assert!(read <= 35, "no limit for the address");
    }
    assert!(read >= 25, "{read}");
    // The right one comes too often from there as well, and goes on from elsewhere.
    assert_eq!(from("192.0.2.1", &first).await.expect(429).code(), "rate_limited");
    let mut token = first;
    let mut renewed = 0;
    let refused = loop {
        // From as many addresses as one likes: it is one owner.
        let answer = from(&format!("198.51.100.{renewed}"), &token).await;
        if answer.status != 200 {
            break answer;
        }
        renewed += 1;
        assert!(renewed <= 45, "no limit for the owner");
        token = text(&answer.json(), "refresh_token");
    };
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    assert!(renewed >= 38 && !refused.header("retry-after").is_empty(), "{renewed}");
    let recorded = app.entry_of(&refused).await;
    assert_eq!((&recorded["action"], &recorded["status_code"]), (&json!("request.limit"), &json!(429)));
}

async fn sessions_are_listed_and_ended_by_their_owner(backend: Backend) {
    let (app, _) = ann(backend).await;
    let (laptop, phone) = (session(&tokens(&app).await), session(&tokens(&app).await));
    app.user("bob", "admin").await;
    let bob = app.login("bob").await;
    let list = async |session: &Session| {
        let answer = app.get("/api/v1/auth/sessions").session(session).send().await.expect(200).json();
        answer["items"].as_array().unwrap().clone()
    };
    let listed = list(&laptop).await;
    assert_eq!(listed.len(), 2);
    let current: Vec<bool> = listed.iter().map(|session| session["current"].as_bool().unwrap()).collect();
    assert_eq!(current.iter().filter(|&&current| current).count(), 1);
    let other = listed.iter().find(|session| session["current"] == false).unwrap()["id"].as_str().unwrap();
    let path = format!("/api/v1/auth/sessions/{other}");
    // Not even an administrator ends another's here.
    app.delete(&path).session(&bob).send().await.expect(404);
    assert_eq!(works(&app, &phone).await, 200);
    app.delete(&path).session(&laptop).send().await.expect(204);
    assert_eq!((works(&app, &phone).await, works(&app, &laptop).await), (401, 200));
    assert_eq!(list(&laptop).await.len(), 1);
    // Once more is fine, and the first time stands.
    app.delete(&path).session(&laptop).send().await.expect(204);
    app.post("/api/v1/auth/logout").session(&laptop).send().await.expect(204);
    assert_eq!(works(&app, &laptop).await, 401);
}

async fn all_others_are_ended_at_once(backend: Backend) {
    let (app, user) = ann(backend).await;
    app.user("bob", "dev").await;
    let bob = app.login("bob").await;
    let (here, phone, lost) = (tokens(&app).await, tokens(&app).await, tokens(&app).await);
    let done = app.delete("/api/v1/auth/sessions").session(&session(&here)).send().await.expect(200);
    assert_eq!(done.json(), json!({"sessions_ended": 2}));
    for other in [&phone, &lost] {
        assert_eq!(works(&app, &session(other)).await, 401);
        refresh(&app, &text(other, "refresh_token")).await.expect(401);
    }
    assert_eq!((works(&app, &session(&here)).await, works(&app, &bob).await), (200, 200));
    refresh(&app, &text(&here, "refresh_token")).await.expect(200);
    let entry = app.entry_of(&done).await;
    assert_eq!((&entry["action"], &entry["status_code"]), (&json!("session.end"), &json!(200)));
    assert_eq!(entry["detail"]["owner"], json!(user.id.to_string()));
    assert_eq!(entry["detail"]["after"], json!("2 sessions ended"));
    let again = app.delete("/api/v1/auth/sessions").session(&session(&here)).send().await.expect(200);
    assert_eq!(again.json(), json!({"sessions_ended": 0}));
    app.delete("/api/v1/auth/sessions?all=true").session(&session(&here)).send().await.expect(400);
}

async fn attack_170_a_token_of_one_kind_is_none_of_another(backend: Backend) {
    let (app, _) = ann(backend).await;
    let (_, factor) = app.enrol("ann").await;
    let step = app.try_login("ann", PASSWORD).await.expect(202).json();
    let code = factor.next_code(&app).await;
    let body = json!({"mfa_token": step["mfa_token"], "totp_code": code});
    let tokens = app.post("/api/v1/auth/mfa").json(&body).send().await.expect(200).json();
    let (access, renew, mfa) =
        (text(&tokens, "access_token"), text(&tokens, "refresh_token"), text(&step, "mfa_token"));
    for token in [&renew, &mfa] {
        for scheme in ["Bearer", "ApiKey"] {
            let request = app.get("/api/v1/auth/me").header("authorization", format!("{scheme} {token}"));
            request.send().await.expect(401);
        }
    }
    for token in [&access, &mfa, &String::new(), &format!("{renew}x"), &renew.to_uppercase()] {
        refresh(&app, token).await.expect(401);
    }
    for token in [&access, &renew] {
        let body = json!({"mfa_token": token, "totp_code": "000000"});
        app.post("/api/v1/auth/mfa").json(&body).send().await.expect(401);
    }
    app.get("/api/v1/auth/me").header("authorization", format!("Bearer {access}")).send().await.expect(200);
}

async fn attack_77_78_84_a_key_changes_nothing_about_proving_who_one_is(backend: Backend) {
    for allowed in ["false", "true"] {
        let app = TestApp::with(backend, &[("KUBEVISION_API_KEYS__ALLOW_ADMINISTRATION", allowed)]).await;
        let (_, _, key) = app.someone("ann", "admin", None).await;
        let code = json!({"totp_code": "123456"});
        for (method, path, body) in [
            (
                "POST",
                "/api/v1/auth/password",
                json!({"current_password": PASSWORD, "new_password": "another long one"}),
            ),
            ("POST", "/api/v1/auth/totp/setup", Value::Null),
            ("POST", "/api/v1/auth/totp/enable", code.clone()),
            ("POST", "/api/v1/auth/totp/disable", code.clone()),
            ("POST", "/api/v1/auth/totp/recovery-codes", code.clone()),
            ("POST", "/api/v1/auth/reverify", code.clone()),
            ("GET", "/api/v1/auth/sessions", Value::Null),
            ("DELETE", "/api/v1/auth/sessions", Value::Null),
            ("DELETE", "/api/v1/auth/sessions/0190a000-0000-7000-8000-000000000000", Value::Null),
        ] {
            let request = app.request(method, path).key(&key);
            let request = if body.is_null() { request } else { request.json(&body) };
            let answer = request.send().await.expect(403);
            assert_eq!(answer.code(), "interactive_session_required", "{method} {path}");
        }
        refresh(&app, &key.text).await.expect(401);
        let body = json!({"mfa_token": key.text, "totp_code": "123456"});
        app.post("/api/v1/auth/mfa").json(&body).send().await.expect(401);
        app.try_login("ann", &key.text).await.expect(401);
        assert_eq!(app.database.count("second_factors", "1 = 1"), 0);
    }
}

async fn attack_172_whoever_is_gone_has_no_session(backend: Backend) {
    let (app, user) = ann(backend).await;
    let tokens = tokens(&app).await;
    assert_eq!(works(&app, &session(&tokens)).await, 200);
    app.change(&user, &json!({"disabled": true})).await;
    assert_eq!(works(&app, &session(&tokens)).await, 401);
    refresh(&app, &text(&tokens, "refresh_token")).await.expect(401);
    app.change(&user, &json!({"disabled": false})).await;
    assert_eq!(works(&app, &session(&tokens)).await, 401, "what has ended stays so");
    let again = self::tokens(&app).await;
    let admin = app.admin().await;
    app.delete(&format!("/api/v1/users/{}", user.id)).session(&admin).send().await.expect(204);
    assert_eq!(works(&app, &session(&again)).await, 401);
    app.try_login("ann", PASSWORD).await.expect(401);
}

async fn what_runs_in_a_session_ends_with_it(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let user = app.user("ann", "dev").await;
    app.assign(&user, "prod", &[]).await;
    let pod = "/api/v1/clusters/prod/namespaces/team/pods/web";
    for how in ["logout", "password", "administrator", "another of theirs"] {
        let here = session(&tokens(&app).await);
        app.get(pod).session(&here).send().await.expect(200);
        let seen = cluster.seen().len();
        cluster.hold();
        let held = app.get(pod).session(&here).start();
        cluster.has_seen(seen + 1).await;
        match how {
            "logout" => app.post("/api/v1/auth/logout").session(&here).send().await.expect(204),
            "password" => {
                let body = json!({"current_password": PASSWORD, "new_password": "another long password"});
                app.post("/api/v1/auth/password").session(&here).json(&body).send().await.expect(204);
                let admin = app.admin().await;
                let path = format!("/api/v1/users/{}/reset-password", user.id);
                app.post(&path).session(&admin).json(&json!({"new_password": PASSWORD})).send().await.expect(200)
            }
            "another of theirs" => {
                let another = session(&tokens(&app).await);
                app.delete("/api/v1/auth/sessions").session(&another).send().await.expect(200)
            }
            _ => {
                let admin = app.admin().await;
                let path = format!("/api/v1/users/{}/sessions", user.id);
                app.delete(&path).session(&admin).send().await.expect(200)
            }
        };
        let held = tokio::time::timeout(std::time::Duration::from_secs(1), held).await.expect("cut at once");
        assert!(!held.unwrap().is_ok_and(|answer| answer.is_success()), "{how}");
        cluster.release();
    }
}
