//! Second factors: asked for at signing in, shown once each, throttled, required where the operator says so.

use kv_tests::{Answer, Backend, Cluster, Factor, PASSWORD, Session, TestApp, on_both};
use serde_json::{Value, json};

on_both!(
    signing_in_takes_a_code_once_a_factor_is_in_force,
    attack_173_a_factor_enabled_or_given_up_ends_every_other_session,
    what_comes_after_an_act_takes_nothing_back,
    attack_180_a_code_is_accepted_once_wherever_it_is_shown,
    attack_184_whoever_guesses_codes_waits,
    attack_185_186_a_challenge_is_one_clients_and_used_once,
    attack_188_what_was_shown_is_not_shown_again,
    attack_189_a_recovery_code_is_accepted_once_of_32_at_once,
    attack_190_recovery_codes_are_replaced_together,
    attack_192_an_administrator_takes_a_lost_factor_away,
);

async fn ann(backend: Backend) -> (TestApp, Session, Factor) {
    let app = TestApp::start(backend).await;
    app.user("ann", "admin").await;
    let (session, factor) = app.enrol("ann").await;
    (app, session, factor)
}

async fn challenge(app: &TestApp) -> Value {
    let step = app.try_login("ann", PASSWORD).await.expect(202).json();
    assert_eq!(step["mfa_required"], true);
    step["mfa_token"].clone()
}

async fn answer(app: &TestApp, token: &Value, shown: (&str, &str)) -> Answer {
    app.post("/api/v1/auth/mfa").json(&json!({"mfa_token": token, shown.0: shown.1})).send().await
}

fn session(tokens: &Answer) -> Session {
    Session { token: tokens.json()["access_token"].as_str().unwrap().to_owned() }
}

async fn signing_in_takes_a_code_once_a_factor_is_in_force(backend: Backend) {
    let app = TestApp::start(backend).await;
    let user = app.user("ann", "dev").await;
    let before = app.login("ann").await;
    let me = async |session: &Session| app.get("/api/v1/auth/me").session(session).send().await.expect(200).json();
    assert_eq!(me(&before).await["second_factor"], false);
    let (here, factor) = app.enrol("ann").await;
    assert_eq!(factor.recovery_codes.len(), 10);
    let told = me(&here).await;
    assert_eq!((&told["second_factor"], &told["recovery_codes_left"]), (&json!(true), &json!(10)));

    let token = challenge(&app).await;
    for (shown, code) in [("totp_code", "000000"), ("totp_code", "12345"), ("recovery_code", "aaaa-aaaa-aaaa")] {
        let refused = answer(&app, &token, (shown, code)).await.expect(401);
        assert_eq!(refused.code(), "invalid_code");
        let entry = app.entry_of(&refused).await;
        assert_eq!((&entry["user_id"], &entry["outcome"]), (&json!(user.id.to_string()), &json!("denied")));
    }
    let both = json!({"mfa_token": token, "totp_code": "000000", "recovery_code": "aaaa-aaaa-aaaa"});
    for body in [both, json!({"mfa_token": token})] {
        assert_eq!(app.post("/api/v1/auth/mfa").json(&body).send().await.expect(400).code(), "code_required");
    }
    let tokens = answer(&app, &token, ("totp_code", &factor.next_code(&app).await)).await.expect(200);
    me(&session(&tokens)).await;
    let entry = app.entry_of(&tokens).await;
    assert_eq!(
        (entry["action"].as_str(), entry["detail"]["second_factor"].as_str()),
        (Some("auth.login"), Some("code"))
    );
    // Given up, signing in takes a password alone.
    let disable =
        |code: String| app.post("/api/v1/auth/totp/disable").session(&here).json(&json!({"totp_code": code})).send();
    disable("000000".into()).await.expect(422);
    disable(factor.next_code(&app).await).await.expect(204);
    app.try_login("ann", PASSWORD).await.expect(200);
    let shown = format!("{:?}", app.audit("").await);
    for secret in factor.recovery_codes.iter().map(String::as_str).chain(["otpauth"]) {
        assert!(!shown.contains(secret), "a secret of the second factor is on record");
    }
}

async fn attack_173_a_factor_enabled_or_given_up_ends_every_other_session(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let user = app.user("ann", "dev").await;
    app.assign(&user, "prod", &[]).await;
    let pod = "/api/v1/clusters/prod/namespaces/team/pods/web";
    let text = |tokens: &Answer, field: &str| tokens.json()[field].as_str().unwrap().to_owned();
    let works = async |session: &Session| app.get(pod).session(session).send().await.status;
    let mut factor: Option<Factor> = None;
    for given_up in [false, true] {
        // One that was there before; in it something runs.
        let tokens = match &factor {
            None => app.try_login("ann", PASSWORD).await.expect(200),
            Some(factor) => {
                let token = challenge(&app).await;
                answer(&app, &token, ("totp_code", &factor.next_code(&app).await)).await.expect(200)
            }
        };
        let other = session(&tokens);
        assert_eq!(works(&other).await, 200);
        // Before something runs that waits for less long than the next code may take to come.
        let code = match &factor {
            None => None,
            Some(known) => Some(known.next_code(&app).await),
        };
        let seen = cluster.seen().len();
        cluster.hold();
        let held = app.get(pod).session(&other).start();
        cluster.has_seen(seen + 1).await;
        let here = match factor.as_ref().zip(code) {
            None => {
                let (here, made) = app.enrol("ann").await;
                factor = Some(made);
                here
            }
            Some((known, code)) => {
                let token = challenge(&app).await;
                let here = session(&answer(&app, &token, ("totp_code", &code)).await.expect(200));
                let body = json!({"recovery_code": known.recovery_codes[0]});
                let done = app.post("/api/v1/auth/totp/disable").session(&here).json(&body).send().await.expect(204);
                let entry = app.entry_of(&done).await;
                assert!(entry["detail"]["after"].as_str().unwrap().ends_with("other sessions ended"), "{entry}");
                here
            }
        };
        let held = tokio::time::timeout(std::time::Duration::from_secs(1), held).await.expect("cut at once");
        assert!(!held.unwrap().is_ok_and(|answer| answer.is_success()), "given up: {given_up}");
        cluster.release();
        assert_eq!((works(&other).await, works(&here).await), (401, 200), "given up: {given_up}");
        let refresh = json!({"refresh_token": text(&tokens, "refresh_token")});
        app.post("/api/v1/auth/refresh").json(&refresh).send().await.expect(401);
    }
}

async fn what_comes_after_an_act_takes_nothing_back(backend: Backend) {
    let (app, here, factor) = ann(backend).await;
    // Failures are forgotten after an act was committed. From here on that fails.
    app.database.execute(match backend {
        Backend::Sqlite => {
            "CREATE TRIGGER refuse BEFORE DELETE ON throttles BEGIN SELECT RAISE(ABORT, 'not today'); END"
        }
        Backend::Postgres => {
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$; \
             CREATE TRIGGER refuse BEFORE DELETE ON throttles FOR EACH ROW EXECUTE FUNCTION refuse()"
        }
    });
    let code = |n: usize| json!({"recovery_code": factor.recovery_codes[n]});
    let post = |path: &str, body: &Value| app.post(path).session(&here).json(body).send();
    let token = challenge(&app).await;
    let password = json!({"current_password": PASSWORD, "new_password": "another long password"});
    let mut done = vec![answer(&app, &token, ("recovery_code", &factor.recovery_codes[0])).await.expect(200)];
    done.push(post("/api/v1/auth/reverify", &code(1)).await.expect(204));
    let renewed = post("/api/v1/auth/totp/recovery-codes", &code(2)).await.expect(200);
    let fresh = json!({"recovery_code": renewed.json()["recovery_codes"][0]});
    done.push(renewed);
    done.push(post("/api/v1/auth/totp/disable", &fresh).await.expect(204));
    done.push(app.try_login("ann", PASSWORD).await.expect(200));
    let (again, _) = app.enrol("ann").await;
    done.push(app.post("/api/v1/auth/password").session(&again).json(&password).send().await.expect(204));
    for answer in done {
        assert_eq!(app.entry_of(&answer).await["outcome"], "succeeded");
    }
    assert!(app.database.count("throttles", "1 = 1") > 0, "it did fail");
}

async fn attack_180_a_code_is_accepted_once_wherever_it_is_shown(backend: Backend) {
    let (app, here, factor) = ann(backend).await;
    let code = factor.next_code(&app).await;
    let reverify =
        |code: &str| app.post("/api/v1/auth/reverify").session(&here).json(&json!({"totp_code": code})).send();
    let token = challenge(&app).await;
    answer(&app, &token, ("totp_code", &code)).await.expect(200);
    assert_eq!(reverify(&code).await.expect(422).code(), "invalid_code");
    let token = challenge(&app).await;
    answer(&app, &token, ("totp_code", &code)).await.expect(401);
    // Many at once, with different ways of writing it.
    let code = factor.next_code(&app).await;
    let tries: Vec<_> = (0..32)
        .map(|n| {
            let written = if n % 2 == 0 { code.clone() } else { format!(" {code} ") };
            app.post("/api/v1/auth/reverify").session(&here).json(&json!({"totp_code": written})).start()
        })
        .collect();
    let mut accepted = 0;
    for one in tries {
        let status = one.await.unwrap().unwrap().status;
        accepted += usize::from(status == 204);
        assert!([204, 422, 429, 503].contains(&status), "{status}");
    }
    assert_eq!(accepted, 1);
}

async fn attack_184_whoever_guesses_codes_waits(backend: Backend) {
    let (mut app, here, factor) = ann(backend).await;
    let token = challenge(&app).await;
    let mut looked_at = 0;
    let waits = loop {
        let guess = answer(&app, &token, ("totp_code", &format!("{looked_at:06}"))).await;
        match guess.status {
            401 => looked_at += 1,
            status => {
                assert_eq!(status, 429);
                break guess;
            }
        }
    };
    assert_eq!((looked_at, waits.code().as_str()), (10, "too_many_attempts"));
    assert!(!waits.header("retry-after").is_empty());
    // Neither a restart, nor another challenge, nor another way of showing it makes anyone forget.
    app.restart().await;
    let token = challenge(&app).await;
    answer(&app, &token, ("recovery_code", &factor.recovery_codes[0])).await.expect(429);
    let body = json!({"totp_code": factor.next_code(&app).await});
    app.post("/api/v1/auth/reverify").session(&here).json(&body).send().await.expect(429);
    // Nobody is locked out for good.
    let waited = std::time::Instant::now();
    loop {
        let right = answer(&app, &token, ("recovery_code", &factor.recovery_codes[0])).await;
        if right.status == 200 {
            break;
        }
        assert_eq!(right.status, 429);
        assert!(waited.elapsed() < std::time::Duration::from_secs(10));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let token = challenge(&app).await;
    answer(&app, &token, ("totp_code", "000000")).await.expect(401);
}

async fn attack_185_186_a_challenge_is_one_clients_and_used_once(backend: Backend) {
    let (app, _, factor) = ann(backend).await;
    let token = challenge(&app).await;
    let code = factor.next_code(&app).await;
    let other = json!({"mfa_token": token, "totp_code": code});
    let other = app.post("/api/v1/auth/mfa").header("user-agent", "another/1").json(&other).send().await.expect(401);
    assert_eq!(other.code(), "invalid_mfa_token");
    let text = token.as_str().unwrap();
    for altered in [format!("{text}x"), text[..text.len() - 1].to_owned(), text.to_uppercase(), String::new()] {
        let refused = answer(&app, &json!(altered), ("totp_code", &code)).await.expect(401);
        assert_eq!(refused.code(), "invalid_mfa_token");
    }
    for method in ["GET", "POST"] {
        let anywhere = app.request(method, "/api/v1/api-keys").header("authorization", format!("Bearer {text}"));
        anywhere.json(&json!({"name": "x"})).send().await.expect(401);
    }
    answer(&app, &token, ("totp_code", &code)).await.expect(200);
    assert_eq!(
        answer(&app, &token, ("recovery_code", &factor.recovery_codes[0])).await.expect(401).code(),
        "invalid_mfa_token"
    );
    // Another password, and what was begun with the old one is over.
    let token = challenge(&app).await;
    let admin = app.admin().await;
    let users = app.get("/api/v1/users").session(&admin).send().await.expect(200).json();
    let ann = users["items"].as_array().unwrap().iter().find(|user| user["name"] == "ann").unwrap()["id"].clone();
    let path = format!("/api/v1/users/{}/reset-password", ann.as_str().unwrap());
    app.post(&path).session(&admin).json(&json!({"new_password": "another long password"})).send().await.expect(200);
    let refused = answer(&app, &token, ("recovery_code", &factor.recovery_codes[0])).await.expect(401);
    assert_eq!(refused.code(), "invalid_mfa_token");
    assert_eq!(app.database.count("recovery_codes", "used_at IS NOT NULL"), 0, "no code was used up");
    // Who has no second factor cannot answer for one.
    app.user("bob", "dev").await;
    let bob = app.login("bob").await;
    let body = json!({"totp_code": "123456"});
    let none = app.post("/api/v1/auth/reverify").session(&bob).json(&body).send().await.expect(409);
    assert_eq!(none.code(), "no_second_factor");
}

async fn attack_188_what_was_shown_is_not_shown_again(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let session = app.login("ann").await;
    let set_up = || app.post("/api/v1/auth/totp/setup").session(&session).send();
    let (first, second) = (set_up().await.expect(200), set_up().await.expect(200));
    assert_eq!(first.header("cache-control"), "no-store");
    assert_ne!(first.json()["secret"], second.json()["secret"], "an unused one is replaced");
    assert!(second.json()["qr_svg"].as_str().unwrap().contains("<svg"));
    let secret = kv_server::auth::totp::typed(second.json()["secret"].as_str().unwrap()).unwrap();
    let code = kv_server::auth::totp::code(&secret, app.now()).unwrap();
    let enable = app.post("/api/v1/auth/totp/enable").session(&session).json(&json!({"totp_code": code}));
    let enabled = enable.send().await.expect(200);
    assert_eq!(enabled.header("cache-control"), "no-store");
    assert_eq!(set_up().await.expect(409).code(), "second_factor_enabled");
    let me = app.get("/api/v1/auth/me").session(&session).send().await.expect(200).text();
    assert!(!me.contains("secret"));
    // On no disk in a form that opens.
    let stored = app.database.texts(match backend {
        Backend::Sqlite => "SELECT hex(sealed) AS value FROM second_factors",
        Backend::Postgres => "SELECT upper(encode(sealed, 'hex')) AS value FROM second_factors",
    });
    let hex: String = secret.iter().map(|byte| format!("{byte:02X}")).collect();
    assert!(!format!("{stored:?}").contains(&hex));
    let codes = app.database.texts("SELECT hash AS value FROM recovery_codes");
    assert!(codes.iter().flatten().all(|hash| hash.starts_with("$argon2id$")) && codes.len() == 10);
}

async fn attack_189_a_recovery_code_is_accepted_once_of_32_at_once(backend: Backend) {
    let (app, here, factor) = ann(backend).await;
    // Written as people write it.
    let code = factor.recovery_codes[3].to_uppercase().replace('-', " ");
    let tries: Vec<_> = (0..32)
        .map(|_| app.post("/api/v1/auth/reverify").session(&here).json(&json!({"recovery_code": code})).start())
        .collect();
    let mut accepted = 0;
    for one in tries {
        accepted += usize::from(one.await.unwrap().unwrap().status == 204);
    }
    assert_eq!(accepted, 1);
    assert_eq!(app.database.count("recovery_codes", "used_at IS NOT NULL"), 1);
    let me = app.get("/api/v1/auth/me").session(&here).send().await.expect(200).json();
    assert_eq!(me["recovery_codes_left"], 9);
}

async fn attack_190_recovery_codes_are_replaced_together(backend: Backend) {
    let (app, here, factor) = ann(backend).await;
    let renew = |body: Value| app.post("/api/v1/auth/totp/recovery-codes").session(&here).json(&body).send();
    renew(json!({"totp_code": "000000"})).await.expect(422);
    // On the last code that is good.
    let made = renew(json!({"recovery_code": factor.recovery_codes[9]})).await.expect(200).json();
    let fresh: Vec<String> = serde_json::from_value(made["recovery_codes"].clone()).unwrap();
    assert!(fresh.len() == 10 && fresh.iter().all(|code| !factor.recovery_codes.contains(code)));
    let token = challenge(&app).await;
    answer(&app, &token, ("recovery_code", &factor.recovery_codes[0])).await.expect(401);
    answer(&app, &token, ("recovery_code", &fresh[0])).await.expect(200);
}

async fn attack_192_an_administrator_takes_a_lost_factor_away(backend: Backend) {
    let app = TestApp::start(backend).await;
    let bob = app.user("ann", "dev").await;
    let (session, _) = app.enrol("ann").await;
    let path = format!("/api/v1/users/{}/second-factor", bob.id);
    app.user("ops", "ops").await;
    app.delete(&path).session(&app.login("ops").await).send().await.expect(403);
    let admin = app.admin().await;
    let taken = app.delete(&path).session(&admin).send().await.expect(204);
    let entry = app.entry_of(&taken).await;
    assert_eq!((&entry["action"], &entry["resource_name"]), (&json!("user.reset_second_factor"), &json!("ann")));
    app.get("/api/v1/auth/me").session(&session).send().await.expect(401);
    app.try_login("ann", PASSWORD).await.expect(200);
}
