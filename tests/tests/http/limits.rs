//! Rate limits: one bucket a user, whatever they call with; and one an address, for what nobody has.

use crate::enumeration::stranger;
use kv_tests::{Backend, TestApp, on_both};

on_both!(
    a_user_has_one_bucket_for_keys_and_sessions,
    attack_208_many_at_once_are_not_more,
    attack_218_a_request_over_the_limit_is_on_record_as_denied,
    attempts_to_sign_in_are_limited_by_address,
    credentials_from_an_address_that_shows_many_nobody_has_are_no_longer_looked_up,
    roles_and_users_have_limits_of_their_own,
    attack_208_servers_on_one_postgresql_share_the_bucket,
    attack_194_only_a_named_proxy_says_who_comes,
);

const SLOW: &[(&str, &str)] = &[("KUBEVISION_RATE_LIMIT", "6/m,burst=8")];

async fn a_user_has_one_bucket_for_keys_and_sessions(backend: Backend) {
    let app = TestApp::with(backend, SLOW).await;
    // Making the keys takes two.
    let (_, session, one) = app.someone("ann", "dev", None).await;
    let two = app.key(&session, "two").await;
    let clusters = || app.get("/api/v1/clusters");
    for left in [5, 4, 3, 2, 1, 0] {
        let request = [clusters().key(&one), clusters().key(&two), clusters().session(&session)];
        let [first, second, third] = request;
        let request = match left % 3 {
            0 => first,
            1 => second,
            _ => third,
        };
        let answer = request.send().await.expect(200);
        assert_eq!(answer.header("ratelimit"), format!("\"user\";r={left}"));
        assert_eq!(answer.header("ratelimit-policy"), "\"user\";q=6;w=60;burst=8");
    }
    for request in [clusters().key(&one), clusters().key(&two), clusters().session(&session)] {
        let answer = request.send().await.expect(429);
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=10).contains(&wait), "{wait}");
        assert_eq!(answer.header("ratelimit"), format!("\"user\";r=0;t={wait}"));
        assert_eq!(answer.header("ratelimit-policy"), "\"user\";q=6;w=60;burst=8");
    }
    // Others have their own, and so has nobody.
    app.someone("bob", "dev", None).await;
    clusters().send().await.expect(401);
}

async fn attack_208_many_at_once_are_not_more(backend: Backend) {
    let app = TestApp::with(backend, SLOW).await;
    let (_, session, key) = app.someone("ann", "dev", None).await;
    let sending: Vec<_> = (0..40)
        .map(|n| {
            let request = app.get("/api/v1/clusters");
            if n % 2 == 0 { request.key(&key) } else { request.session(&session) }.start()
        })
        .collect();
    let mut passed = 0;
    for task in sending {
        match task.await.unwrap().unwrap().status {
            200 => passed += 1,
            status => assert_eq!(status, 429),
        }
    }
    // The key took one of eight; a slow machine gives one back every ten seconds.
    assert!((7..=8).contains(&passed), "{passed}");
}

async fn attack_218_a_request_over_the_limit_is_on_record_as_denied(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_RATE_LIMIT", "1/m,burst=2")]).await;
    let (_, _, key) = app.someone("ann", "dev", None).await;
    app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    app.get("/api/v1/clusters").key(&key).send().await.expect(429);
    let entries = app.audit("status=429").await;
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0]["outcome"], &entries[0]["key_id"]), (&"denied".into(), &key.id.into()));
}

async fn attempts_to_sign_in_are_limited_by_address(backend: Backend) {
    let app = TestApp::start(backend).await;
    // Whatever a header says, it is one address; and at once, for one that is slow may go on and on.
    let sending: Vec<_> = (0..60)
        .map(|n| {
            let body = serde_json::json!({"username": "nobody", "password": "x"});
            let request = app.post("/api/v1/auth/login").header("x-forwarded-for", format!("10.0.0.{n}"));
            request.json(&body).start()
        })
        .collect();
    let mut refused = 0;
    for task in sending {
        let answer = task.await.unwrap().unwrap();
        if answer.status == 429 {
            assert!(!answer.header("retry-after").is_empty());
            refused += 1;
        } else {
            assert_eq!(answer.status, 401);
        }
    }
    assert!(refused >= 20, "{refused} of sixty were told to wait");
}

async fn credentials_from_an_address_that_shows_many_nobody_has_are_no_longer_looked_up(backend: Backend) {
    const HERE: &str = "192.0.2.1";
    let settings = [("KUBEVISION_UNKNOWN_RATE_LIMIT", "1/m,burst=5"), ("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1")];
    let app = TestApp::with(backend, &settings).await;
    let (_, session, known) = app.someone("ann", "dev", None).await;
    let [fresh, revoked, later] =
        [app.key(&session, "fresh").await, app.key(&session, "revoked").await, app.key(&session, "later").await];
    app.revoke(&session, &revoked).await.expect(204);
    let show = async |key: &str, from: &str| {
        let request = app.get("/api/v1/clusters").header("authorization", format!("ApiKey {key}"));
        request.header("x-forwarded-for", from).send().await
    };
    show(&known.text, HERE).await.expect(200);
    // What was revoked counts like what nobody ever had: nothing is learnt from when it is no longer looked at.
    for n in 0..6 {
        let key = if n % 2 == 0 { stranger() } else { revoked.text.clone() };
        show(&key, HERE).await.expect(401);
    }
    for key in [stranger(), revoked.text.clone(), fresh.text.clone()] {
        let refused = show(&key, HERE).await.expect(429);
        assert_eq!(refused.code(), "too_many_attempts");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(refused.header("ratelimit"), "", "it says nothing of anybody's limit");
    }
    // Whoever was here before goes on, what is no key is refused as ever, and elsewhere nobody notices.
    show(&known.text, HERE).await.expect(200);
    show("kv_live_x", HERE).await.expect(401);
    show(&fresh.text, "192.0.2.2").await.expect(200);
    show(&fresh.text, HERE).await.expect(200);
    // Each is on record before its answer, whether it was looked up or not.
    let denied = app.audit("action=auth.refuse").await;
    let counted = |status: u64| -> u64 {
        let those = denied.iter().filter(|entry| entry["status_code"].as_u64() == Some(status) && entry["ip"] == HERE);
        those.map(|entry| entry["count"].as_u64().unwrap()).sum()
    };
    assert_eq!((counted(401), counted(429)), (4, 3));
    // Three seconds after the last of these the address is not suspected any more.
    tokio::time::sleep(std::time::Duration::from_millis(3_100)).await;
    show(&later.text, HERE).await.expect(200);
}

async fn roles_and_users_have_limits_of_their_own(backend: Backend) {
    let settings = [
        ("KUBEVISION_RATE_LIMIT", "6/m,burst=20"),
        ("KUBEVISION_RATE_LIMITS__ROLES__OPS", "6/m,burst=10"),
        ("KUBEVISION_RATE_LIMITS__USERS__BOB", "off"),
    ];
    let app = TestApp::with(backend, &settings).await;
    for (name, role, burst) in [("ann", "dev", "20"), ("carl", "ops", "10"), ("bob", "ops", "")] {
        let (_, _, key) = app.someone(name, role, None).await;
        let answer = app.get("/api/v1/clusters").key(&key).send().await.expect(200);
        let policy = answer.header("ratelimit-policy").to_owned();
        let wanted = if burst.is_empty() { String::new() } else { format!("\"user\";q=6;w=60;burst={burst}") };
        assert_eq!(policy, wanted, "{name}");
    }
}

async fn attack_208_servers_on_one_postgresql_share_the_bucket(backend: Backend) {
    use kv_server::{
        clock::{Clock, Random},
        server,
    };
    const BURST: usize = 60;
    if backend == Backend::Sqlite {
        // One server there: nobody to share with.
        return;
    }
    let app = TestApp::with(backend, &[("KUBEVISION_RATE_LIMIT", "6/m,burst=60")]).await;
    let (_, session, key) = app.someone("ann", "dev", None).await;
    let second = server::start(app.config(), Clock::system(), Random::system()).await.unwrap();
    let sending: Vec<_> = (0..160)
        .map(|n| {
            let address = if n % 2 == 0 { app.address() } else { second.address };
            let request = kv_tests::Request::new(address, "GET", "/api/v1/clusters");
            if n % 3 == 0 { request.session(&session) } else { request.key(&key) }.start()
        })
        .collect();
    let mut passed = 0;
    for one in sending {
        let answer = one.await.unwrap().unwrap();
        passed += usize::from(answer.status == 200);
        assert!([200, 429, 503].contains(&answer.status), "{}", answer.text());
        if answer.status == 429 {
            assert!(!answer.header("retry-after").is_empty());
        }
    }
    // Making the key took one; some seconds give one back; a twentieth of the burst is out with each server.
    assert!((BURST - 1 - BURST / 10..=BURST + 3).contains(&passed), "{passed}");
    second.stop().await;
}

async fn attack_194_only_a_named_proxy_says_who_comes(backend: Backend) {
    for (proxies, ip) in [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")] {
        let app = TestApp::with(backend, &[("KUBEVISION_TRUSTED_PROXIES", proxies)]).await;
        let (_, _, key) = app.someone("ann", "dev", None).await;
        let request = app.get("/api/v1/clusters").key(&key).header("x-forwarded-for", "198.51.100.1, 203.0.113.9");
        let answer = request.header("forwarded", "for=198.51.100.1").send().await.expect(200);
        assert_eq!(app.entry_of(&answer).await["ip"], ip);
    }
}
