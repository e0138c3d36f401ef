//! Rate limits: one bucket a user, whatever they call with.

use kv_tests::{Backend, TestApp, on_both};

on_both!(
    a_user_has_one_bucket_for_keys_and_sessions,
    attack_208_many_at_once_are_not_more,
    attack_218_a_request_over_the_limit_is_on_record_as_denied,
    attempts_to_sign_in_are_limited_by_address,
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
