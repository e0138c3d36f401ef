//! Passwords: checked, changed, guessed at.

use crate::sessions::{ann, refresh, session, text, tokens, works};
use kv_tests::{Backend, PASSWORD, TestApp, on_both};
use serde_json::json;

on_both!(
    attack_106_173_another_password_ends_every_session,
    a_user_who_changes_while_their_password_is_checked_is_decided_on_again,
    strangers_keep_no_one_from_changing_their_password,
    attack_184_whoever_guesses_waits_and_the_owner_comes_in_from_where_they_are_known,
);

async fn attack_106_173_another_password_ends_every_session(backend: Backend) {
    let (app, user) = ann(backend).await;
    let (one, two) = (tokens(&app).await, tokens(&app).await);
    let key = app.key(&session(&one), "ci").await;
    let change = |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        app.post("/api/v1/auth/password").session(&session(&one)).json(&body).send()
    };
    for (current, new, code) in [
        ("wrong", "a new long password", "wrong_password"),
        (PASSWORD, "short", "weak_password"),
        (PASSWORD, PASSWORD, "same_password"),
    ] {
        let refused = change(current, new).await.expect(422);
        assert_eq!(refused.code(), code);
        assert!(!refused.text().contains(new) && !refused.text().contains(PASSWORD));
    }
    assert_eq!(works(&app, &session(&two)).await, 200);
    change(PASSWORD, "a new long password").await.expect(204);
    for tokens in [&one, &two] {
        assert_eq!(works(&app, &session(tokens)).await, 401);
        refresh(&app, &text(tokens, "refresh_token")).await.expect(401);
    }
    // Keys stay as they are; the old password does not.
    app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    app.try_login("ann", PASSWORD).await.expect(401);
    app.try_login("ann", "a new long password").await.expect(200);

    // An administrator's reset takes the keys along, unless they say otherwise.
    let admin = app.admin().await;
    let path = format!("/api/v1/users/{}/reset-password", user.id);
    let kept = json!({"new_password": "set by the admin 1", "revoke_api_keys": false});
    let done = app.post(&path).session(&admin).json(&kept).send().await.expect(200).json();
    assert_eq!((&done["api_keys_revoked"], &done["sessions_ended"]), (&json!(0), &json!(1)));
    app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    let reset = json!({"new_password": "set by the admin 2"});
    let done = app.post(&path).session(&admin).json(&reset).send().await.expect(200).json();
    assert_eq!(done["api_keys_revoked"], 1);
    app.get("/api/v1/clusters").key(&key).send().await.expect(401);
    app.try_login("ann", "set by the admin 2").await.expect(200);
}

async fn a_user_who_changes_while_their_password_is_checked_is_decided_on_again(backend: Backend) {
    let (app, user) = ann(backend).await;
    app.admin().await;
    for (change, status, reason) in [
        ("version = version + 1", 200, None),
        ("version = version + 1, disabled_at = 1", 401, Some("user disabled")),
        ("version = version + 1, deleted_at = 1", 401, Some("unknown user")),
    ] {
        // Passwords are checked one at a time: behind so many hashes the one of ann's waits, read and not checked yet.
        let passwords = app.inside().passwords.clone();
        let many = vec![secrecy::SecretString::from("x"); 60];
        let busy = tokio::spawn(async move { passwords.hash_all(many, [0; 16]).await });
        let body = json!({"username": "ann", "password": PASSWORD});
        let login = app.post("/api/v1/auth/login").json(&body).start();
        kv_tests::until("the attempt is counted", || app.database.count("throttles", "failures > 0") > 0).await;
        let id = match backend {
            Backend::Sqlite => format!("x'{}'", user.id.to_string().replace('-', "")),
            Backend::Postgres => format!("'\\x{}'", user.id.to_string().replace('-', "")),
        };
        app.database.execute(&format!("UPDATE users SET {change} WHERE id = {id}"));
        assert!(!busy.is_finished(), "the password was not checked yet");
        busy.await.unwrap().unwrap();
        let answer = login.await.unwrap().unwrap().expect(status);
        let entry = app.entry_of(&answer).await;
        assert_eq!(entry["status_code"], status);
        assert_eq!(entry["detail"]["reason"].as_str(), reason, "{entry}");
        app.database.execute("DELETE FROM throttles; UPDATE users SET disabled_at = NULL");
    }
}

async fn strangers_keep_no_one_from_changing_their_password(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1")]).await;
    app.user("ann", "dev").await;
    let here = session(&tokens(&app).await);
    // From where ann never was, until the name has to wait.
    let stranger = || {
        let guess = json!({"username": "ann", "password": "a guess"});
        app.post("/api/v1/auth/login").header("x-forwarded-for", "198.51.100.1").json(&guess).send()
    };
    for _ in 0..10 {
        stranger().await.expect(401);
    }
    stranger().await.expect(429);
    let change = |current: &str| {
        let body = json!({"current_password": current, "new_password": "a new long password"});
        app.post("/api/v1/auth/password").session(&here).json(&body).send()
    };
    // In a session the password is not to be guessed all the same.
    for _ in 0..10 {
        assert_eq!(change("a guess").await.expect(422).code(), "wrong_password");
    }
    assert_eq!(change("a guess").await.expect(429).code(), "too_many_attempts");
    assert_eq!(change(PASSWORD).await.expect(429).code(), "too_many_attempts");
    // Those failures keep nobody from signing in, and are forgotten with the right one.
    let there = session(&tokens(&app).await);
    app.database.execute("UPDATE throttles SET free_at = 0");
    let body = json!({"current_password": PASSWORD, "new_password": "a new long password"});
    app.post("/api/v1/auth/password").session(&there).json(&body).send().await.expect(204);
}

async fn attack_184_whoever_guesses_waits_and_the_owner_comes_in_from_where_they_are_known(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1")]).await;
    app.user("ann", "dev").await;
    let login = async |from: &str, name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        app.post("/api/v1/auth/login").header("x-forwarded-for", from).json(&body).send().await
    };
    login("192.0.2.1", "ann", PASSWORD).await.expect(200);
    for name in ["ann", "nobody"] {
        // From many addresses, and at once: it is one count.
        let guesses: Vec<_> = (0..40)
            .map(|n| {
                let body = json!({"username": name, "password": format!("guess {n}")});
                let request = app.post("/api/v1/auth/login").header("x-forwarded-for", format!("198.51.100.{n}"));
                request.json(&body).start()
            })
            .collect();
        let (mut looked_at, mut waits) = (0, 0);
        for guess in guesses {
            let answer = guess.await.unwrap().unwrap();
            match answer.status {
                401 => looked_at += 1,
                429 => {
                    assert_eq!(answer.code(), "too_many_attempts");
                    assert!(!answer.header("retry-after").is_empty());
                    waits += 1;
                }
                status => assert_eq!(status, 503, "{}", answer.text()),
            }
        }
        assert!(looked_at <= 12 && waits > 0, "{name}: {looked_at} guesses were looked at, {waits} were to wait");
    }
    // The owner, where they are known, does not wait at all.
    login("192.0.2.1", "ann", PASSWORD).await.expect(200);
    let entry = app.audit("action=auth.login&outcome=succeeded&user=ann").await.remove(0);
    assert_eq!(entry["ip"], "192.0.2.1");
}
