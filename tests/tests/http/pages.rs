//! Pages without a screen: who sees them, which forms are taken, and what stands in their answers. The same in a real
//! browser is in the tests of pages.

use super::audit::Outage;
use kv_server::routes::{Access, ROUTES};
use kv_tests::{Backend, PASSWORD, PATIENCE, TestApp, Visitor, between, on_both};
use serde_json::Value;
use std::time::{Duration, Instant};

on_both!(
    a_key_is_made_seen_once_and_revoked,
    what_is_wrong_stands_beside_its_field,
    nobody_is_led_to_sign_in_and_back,
    a_session_that_is_over_sees_nothing_more,
    a_second_factor_is_asked_for,
    attack_196_a_cookie_is_for_pages_alone,
    attack_197_names_are_text,
    attack_200_forms_of_others_do_nothing,
    attack_201_no_answer_is_framed,
    attack_204_what_is_not_confirmed_is_not_said_to_be_done,
);

const KEYS: &str = "/profile/api-keys";
const NEW: &str = "/profile/api-keys/new";
const EXPIRY: [(&str, &str); 2] = [("expiry", "90"), ("date", "")];

/// The key a page shows, if it shows one.
fn key_in(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("data-forget-url")?;
    let (_, rest) = rest.split_once('>')?;
    rest.split('<').next().filter(|text| text.starts_with("kv_live_")).map(str::to_owned)
}

/// The value of a hidden field.
fn hidden(page: &kv_tests::Answer, name: &str) -> String {
    between(&page.text(), &format!("name=\"{name}\" value=\""), "\"").remove(0)
}

async fn make(visitor: &mut Visitor<'_>, name: &str) -> kv_tests::Answer {
    visitor.submit(NEW, &[&[("name", name)][..], &EXPIRY].concat()).await
}

async fn a_key_is_made_seen_once_and_revoked(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let mut ann = app.browser("ann").await;
    assert!(ann.get(KEYS).await.expect(200).text().contains("You have no keys yet."));

    let made = make(&mut ann, "deploy").await.expect(201);
    let key = key_in(&made.text()).expect("the key");
    assert_eq!((key.len(), made.header("cache-control")), (56, "no-store"));
    app.get("/api/v1/api-keys/current").header("authorization", format!("ApiKey {key}")).send().await.expect(200);

    // Attack 198: from now on it is nowhere.
    for path in [KEYS, NEW, "/profile/api-keys?state=revoked&sort=name"] {
        let page = ann.get(path).await.expect(200);
        assert!(!page.text().contains(&key) && page.header("cache-control") == "no-store", "{path}");
    }

    let table = ann.get(KEYS).await.text();
    let revoke = table.split('"').find(|part| part.ends_with("/revoke")).expect("a way to revoke").to_owned();
    let dialog = ann.get(&revoke).await.expect(200).text();
    assert!(dialog.contains("Revoke deploy?") && dialog.contains("Last used"), "{dialog}");
    let done = ann.submit(&revoke, &[]).await;
    app.get("/api/v1/api-keys/current").header("authorization", format!("ApiKey {key}")).send().await.expect(401);
    assert!(ann.follow(&done).await.text().contains("The key is revoked."));
    assert!(!ann.get(KEYS).await.text().contains("The key is revoked."), "it is said once");
    assert!(ann.get("/profile/api-keys?state=revoked").await.text().contains("deploy"));

    let made = &app.audit("action=api_key.create").await[0];
    assert_eq!((made["user"].as_str(), made["agent"].as_str()), (Some("ann"), Some("web")));
    let revoked = &app.audit("action=api_key.revoke&user=ann").await[0];
    assert_eq!((revoked["resource_name"].as_str(), revoked["status_code"].as_u64()), (Some("deploy"), Some(204)));
}

async fn what_is_wrong_stands_beside_its_field(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let mut ann = app.browser("ann").await;
    make(&mut ann, "deploy").await.expect(201);
    let wrong = |page: &str, name: &str| page.contains(&format!("id=\"{name}-error\""));

    let taken = make(&mut ann, "deploy").await.expect(409).text();
    assert!(wrong(&taken, "name") && taken.contains("value=\"deploy\""), "what was typed is still there");
    assert!(wrong(&make(&mut ann, "  ").await.expect(422).text(), "name"));
    for (expiry, date) in
        [("date", ""), ("date", "2020-01-01"), ("date", "2999-01-01"), ("date", "x"), ("0", ""), ("", "")]
    {
        let fields = [("name", "other"), ("expiry", expiry), ("date", date)];
        let page = ann.submit(NEW, &fields).await.expect(422).text();
        assert!(wrong(&page, "expiry") && page.contains("value=\"other\""), "{expiry} {date}");
    }
    assert_eq!(app.database.count("api_keys", "1 = 1"), 1);
    for (expiry, date) in [("7", ""), ("never", ""), ("date", "2030-01-31")] {
        let fields = [("name", expiry), ("expiry", expiry), ("date", date)];
        ann.submit(NEW, &fields).await.expect(201);
    }
    let session = app.login("ann").await;
    let listed = app.get("/api/v1/api-keys").session(&session).send().await.expect(200).json();
    let ends = |name: &str| {
        let found = listed["items"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap();
        found["expires_at"].clone()
    };
    assert_eq!((ends("date"), ends("never")), ("2030-01-31T23:59:59Z".into(), Value::Null));
}

async fn nobody_is_led_to_sign_in_and_back(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let mut nobody = app.visitor();
    let led = nobody.get("/profile/api-keys?state=revoked").await;
    assert_eq!((led.status, led.header("location")), (303, "/sign-in?next=%2Fprofile%2Fapi%2Dkeys%3Fstate%3Drevoked"));
    let entries = app.database.count("audit_entries", "action = 'auth.refuse'");
    assert_eq!(entries, 0, "to come to a page is no attempt");

    let there = led.header("location").to_owned();
    nobody.get(&there).await.expect(200);
    let refused = nobody.submit(&there, &[("username", "ann"), ("password", "not the one")]).await.expect(401);
    assert!(refused.text().contains("The name or the password is wrong") && refused.text().contains("value=\"ann\""));
    let back = nobody.submit(&there, &[("username", "ann"), ("password", PASSWORD)]).await;
    assert_eq!((back.status, back.header("location")), (303, "/profile/api-keys?state=revoked"));
    let cookie = back.headers.get_all("set-cookie").iter().map(|set| set.to_str().unwrap()).next().unwrap();
    for attribute in ["__Host-kv_session=kvs_", "HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    nobody.get("/profile/api-keys").await.expect(200);

    for route in ROUTES.iter().filter(|route| route.access == Access::Page && route.method == "GET") {
        let led = app.visitor().get(&concrete(route.path)).await;
        assert!(led.status == 303 && led.header("location").starts_with("/sign-in"), "{}", route.path);
    }
}

/// A path with something in each of its places.
fn concrete(path: &str) -> String {
    let place = |part: &str| match part {
        "{kind}" => "deployments".to_owned(),
        "{name}" | "{cluster}" | "{namespace}" => "x".to_owned(),
        _ if part.starts_with('{') => "01a21d16-c382-7427-8039-1f2d503e4bd1".to_owned(),
        _ => part.to_owned(),
    };
    path.split('/').map(place).collect::<Vec<_>>().join("/")
}

async fn a_session_that_is_over_sees_nothing_more(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let mut ann = app.browser("ann").await;
    let mut other = app.browser("ann").await;
    ann.get(KEYS).await.expect(200);
    let left = ann.submit("/sign-out", &[]).await;
    assert_eq!(left.header("location"), "/sign-in");
    assert!(ann.follow(&left).await.text().contains("You are signed out."));
    assert!(ann.get(KEYS).await.header("location").starts_with("/sign-in"));

    // Ended from elsewhere: nothing is shown, and what is sent is not done.
    other.get(NEW).await.expect(200);
    let admin = app.admin().await;
    let user = app.get("/api/v1/users").session(&admin).send().await.json();
    let id = user["items"].as_array().unwrap().iter().find(|user| user["name"] == "ann").unwrap()["id"].clone();
    app.delete(&format!("/api/v1/users/{}/sessions", id.as_str().unwrap())).session(&admin).send().await.expect(200);
    let led = make(&mut other, "late").await;
    assert!(led.status == 303 && led.header("location").starts_with("/sign-in?next="), "{}", led.status);
    assert_eq!(app.database.count("api_keys", "1 = 1"), 0);
    let refused = app.audit("user=ann&outcome=denied").await;
    assert!(refused.iter().any(|entry| entry["status_code"] == 401), "a dead session is on record: {refused:?}");
}

async fn a_second_factor_is_asked_for(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let (_, factor) = app.enrol("ann").await;
    let mut ann = app.visitor();
    ann.get("/sign-in").await;
    let asked = ann.submit("/sign-in", &[("username", "ann"), ("password", PASSWORD)]).await.expect(200);
    let challenge = hidden(&asked, "challenge");
    assert!(ann.get(KEYS).await.header("location").starts_with("/sign-in"), "half signed in is not signed in");
    let wrong = ann.submit("/sign-in/code", &[("challenge", &challenge), ("code", "000000")]).await.expect(401);
    assert!(wrong.text().contains("id=\"code-error\""));
    let code = factor.next_code(&app).await;
    ann.submit("/sign-in/code", &[("challenge", &challenge), ("code", &code)]).await.expect(303);
    ann.get(KEYS).await.expect(200);
    assert_eq!(ann.get("/sign-in/code").await.header("location"), "/sign-in?next=%2F");
}

async fn attack_196_a_cookie_is_for_pages_alone(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, session, key) = app.someone("ann", "dev", None).await;
    let ann = app.browser("ann").await;
    let cookie = format!("__Host-kv_session={}", ann.cookie("__Host-kv_session").unwrap());
    for (method, path) in [("GET", "/api/v1/api-keys"), ("POST", "/api/v1/api-keys"), ("GET", "/api/v1/clusters")] {
        let answer = app.request(method, path).header("cookie", cookie.as_str()).send().await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    let with_both = app.get("/api/v1/api-keys/current").key(&key).header("cookie", cookie.as_str()).send().await;
    assert_eq!(with_both.expect(200).json()["name"], "ci", "the key counts, and the cookie is not looked at");
    let crossed =
        app.get("/api/v1/clusters").key(&key).header("origin", "https://evil.example").send().await.expect(200);
    assert!(crossed.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
    // A page takes one credential as well, and an access token or a key is none for it.
    app.get(KEYS).key(&key).header("cookie", cookie.as_str()).send().await.expect(400);
    assert_eq!(app.get(KEYS).key(&key).send().await.status, 303);
    assert_eq!(app.get(KEYS).session(&session).send().await.status, 303);
    // Neither a refresh token nor any other text is a cookie of ours.
    for text in ["", "kvs_", &format!("kvr_{}", "a".repeat(43)), &format!("kvs_{}", "a".repeat(43))] {
        let answer = app.get(KEYS).header("cookie", format!("__Host-kv_session={text}")).send().await;
        assert_eq!(answer.status, 303, "{text}");
    }
    // Attack 202: a browser is not let into a tunnel by its cookie, wherever its page is from.
    let upgrade = app.get("/api/v1/clusters/x/k8s/api/v1/namespaces/a/pods/b/exec").header("cookie", cookie.as_str());
    let upgrade = upgrade.header("connection", "upgrade").header("upgrade", "websocket");
    let upgrade = upgrade.header("origin", "https://evil.example").header("sec-websocket-version", "13");
    assert_eq!(upgrade.header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==").send().await.status, 401);
}

async fn attack_197_names_are_text(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut admin = app.browser("admin").await;
    for name in ["<script>alert(1)</script>", "\"><svg onload=alert(1)>", "javascript:alert(1)", "{{7*7}}${7*7}#{7*7}"]
    {
        make(&mut admin, name).await.expect(201);
    }
    let table = admin.get(KEYS).await.text();
    let dialogs: Vec<String> = table.split('"').filter(|part| part.ends_with("/revoke")).map(str::to_owned).collect();
    assert!(dialogs.len() == 4 && table.contains("{{7*7}}${7*7}#{7*7}"));
    let mut pages = vec![table, admin.get("/settings/audit-logs").await.text()];
    for dialog in dialogs {
        pages.push(admin.get(&dialog).await.text());
    }
    for page in pages {
        for (at, _) in page.match_indices("alert(1)") {
            let before = &page[..at];
            assert!(
                before.ends_with("&lt;script&gt;") || before.ends_with("onload=") || before.ends_with("javascript:")
            );
        }
        assert!(
            !page.contains("<svg onload") && !page.contains("<script>") && !page.contains("=\"javascript:"),
            "{page}"
        );
        let runs = page.contains("{{7") && !page.contains("{{7*7}}${7*7}#{7*7}");
        assert!(!runs, "no template runs in a name: {page}");
    }
}

async fn attack_200_forms_of_others_do_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    for name in ["ann", "bob"] {
        app.user(name, "dev").await;
    }
    let (mut ann, mut bob) = (app.browser("ann").await, app.browser("bob").await);
    let token = |page: kv_tests::Answer| hidden(&page, "csrf");
    let (of_ann, of_bob) = (token(ann.get(NEW).await), token(bob.get(NEW).await));
    let of_visitor = token(app.visitor().get("/sign-in").await);
    let here = format!("http://{}", app.address());
    let fields = [&[("name", "evil")][..], &EXPIRY].concat();
    for (token, origin) in [
        (of_bob.as_str(), here.as_str()),
        (&of_visitor, &here),
        ("", &here),
        (&of_ann, "https://evil.example"),
        (&of_ann, "null"),
        (&of_ann, ""),
        (&of_ann, "http://127.0.0.1"),
    ] {
        ann.submit_as(NEW, &fields, token, origin).await.expect(403);
    }
    assert_eq!(app.database.count("api_keys", "1 = 1"), 0);
    // No page's POST is taken without the token, whatever it is for.
    for route in ROUTES.iter().filter(|route| route.access == Access::Page && route.method == "POST") {
        // Whoever has to sign in or to show a code on the way is led back by GET.
        let stands = ROUTES.iter().any(|page| page.path == route.path && page.method == "GET");
        assert!(stands, "{} has no page to come back to", route.path);
        let answer = ann.submit_as(&concrete(route.path), &[], "", &here).await;
        assert_eq!(answer.status, 403, "{}", route.path);
    }
    let mut stranger = app.visitor();
    let stranger = stranger.submit_as("/sign-in", &[("username", "ann"), ("password", PASSWORD)], "", &here);
    assert!(stranger.await.expect(403).text().contains("did not keep this server's cookie"));
    ann.submit_as(NEW, &[&fields[..], &[("admin", "1")]].concat(), &of_ann, &here).await.expect(400);
    ann.submit_as(NEW, &[&fields[..], &[("name", "twice")]].concat(), &of_ann, &here).await.expect(400);
    let json =
        app.post(NEW).header("cookie", format!("__Host-kv_session={}", ann.cookie("__Host-kv_session").unwrap()));
    json.header("origin", here.as_str()).body("application/json", "{}").send().await.expect(415);
    ann.submit_as(NEW, &fields, &of_ann, &here).await.expect(201);
}

async fn attack_201_no_answer_is_framed(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut admin = app.browser("admin").await;
    let page = admin.get(KEYS).await.expect(200);
    let style = page.text().split('"').find(|part| part.ends_with("/app.css")).unwrap().to_owned();
    let served = app.get(&style).send().await.expect(200);
    assert_eq!(served.header("cache-control"), "public, max-age=31536000, immutable");
    for path in ["/sign-in", KEYS, "/nowhere", "/api/v1/clusters", "/healthz", &style, "/assets/0/app.css"] {
        let answer = admin.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    let text = page.text();
    let handlers =
        text.split(" on").skip(1).filter_map(|rest| rest.split([' ', '>']).next()).filter(|name| name.contains('='));
    assert!(!text.contains("style=") && handlers.count() == 0, "nothing inline");
    app.get("/assets/0/app.css").send().await.expect(404);
    // A browser that is lost is told so by a page, and a client by a problem.
    let cookie = format!("__Host-kv_session={}", admin.cookie("__Host-kv_session").unwrap());
    let lost = app.get("/nowhere").header("accept", "text/html,*/*").header("cookie", cookie).send().await.expect(404);
    assert!(lost.text().contains("There is no such page"), "{}", lost.text());
    assert_eq!(app.get("/nowhere").header("accept", "text/html").send().await.status, 303);
    assert_eq!(app.get("/nowhere").send().await.expect(401).code(), "unauthorized");
}

async fn attack_204_what_is_not_confirmed_is_not_said_to_be_done(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let mut ann = app.browser("ann").await;
    make(&mut ann, "deploy").await.expect(201);
    let table = ann.get(KEYS).await.text();
    let revoke = table.split('"').find(|part| part.ends_with("/revoke")).unwrap().to_owned();
    ann.get(&revoke).await.expect(200);
    let outage = Outage::of(&app);
    let answer = ann.submit(&revoke, &[]).await;
    drop(outage);
    let page = answer.expect(503).text();
    assert!(page.contains("Not confirmed") && !page.contains("is revoked"), "{page}");
    let deadline = Instant::now() + PATIENCE;
    let table = loop {
        let page = ann.get(KEYS).await;
        if page.status == 200 || Instant::now() > deadline {
            break page.expect(200).text();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(table.contains("deploy") && !table.contains("is revoked"), "{table}");
}
