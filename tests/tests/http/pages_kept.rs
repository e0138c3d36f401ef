//! What was typed before a code was asked for: it is there again afterwards, once, for whoever typed it. Secrets are not.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kv_server::clock::Clock;
use kv_tests::{Answer, Backend, Factor, PASSWORD, TestApp, Visitor, between, on_both};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use time::{Duration, OffsetDateTime};

on_both!(what_was_typed_survives_a_code, what_is_kept_is_for_one_session_and_one_page);

const KEPT: &str = "__Host-kv_kept";
const NEW: &str = "/settings/users/new";
const AGAIN: &str = "What you had typed is here again.";

/// A server whose clock is moved by hand.
async fn with_clock(backend: Backend) -> (TestApp, Arc<AtomicI64>) {
    let shift = Arc::new(AtomicI64::new(0));
    let seconds = shift.clone();
    let clock = Clock::from_fn(move || OffsetDateTime::now_utc() + Duration::seconds(seconds.load(Ordering::Relaxed)));
    (TestApp::with_clock(backend, &[], clock).await, shift)
}

/// An administrator with a second factor, signed in.
async fn root(app: &TestApp) -> (Visitor<'_>, Factor) {
    app.user("root", "admin").await;
    let (_, factor) = app.enrol("root").await;
    let mut root = app.visitor();
    let asked = root.sign_in("root", PASSWORD).await.expect(200);
    let challenge = between(&asked.text(), "name=\"challenge\" value=\"", "\"").remove(0);
    let code = factor.next_code(app).await;
    root.submit("/sign-in/code", &[("challenge", &challenge), ("code", &code)]).await.expect(303);
    (root, factor)
}

/// Where an answer leads.
fn leads_to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").to_owned()
}

/// A form, what is typed into it, and what its page shows of that afterwards.
type Case<'a> = (String, &'a [(&'a str, &'a str)], &'a [&'a str]);

async fn what_was_typed_survives_a_code(backend: Backend) {
    let (app, shift) = with_clock(backend).await;
    let ann = app.user("ann", "dev").await;
    let (mut root, factor) = root(&app).await;
    let page = format!("/settings/users/{}", ann.id);
    let secret = "not-to-be-kept-anywhere";
    let cases: [Case<'_>; 6] = [
        (
            NEW.into(),
            &[("name", "bob & co"), ("role", "ops"), ("password", secret)],
            &["value=\"bob &amp; co\"", "selected>ops<"],
        ),
        (format!("{page}/role"), &[("role", "readonly")], &["selected>readonly<"]),
        (
            format!("{page}/assignments/new"),
            &[("cluster", "*"), ("namespaces", "shop, cart")],
            &["value=\"shop, cart\"", "value=\"*\" selected"],
        ),
        // The box was not ticked, which it is at first.
        (format!("{page}/reset-password"), &[("password", secret)], &["name=\"revoke\" value=\"yes\">"]),
        (
            "/settings/roles/new".into(),
            &[
                ("name", "deployer"),
                ("grant", "pods:read"),
                ("grant", "pods:logs"),
                ("more", "widgets.example.com:read"),
            ],
            &[
                "value=\"deployer\"",
                "value=\"pods:read\" checked",
                "value=\"pods:logs\" checked",
                "widgets.example.com:read",
            ],
        ),
        (
            "/settings/clusters/new".into(),
            &[("name", "prod"), ("kubeconfig", secret), ("context", "blue"), ("impersonate", "yes")],
            &["value=\"prod\"", "value=\"blue\"", "value=\"yes\" checked"],
        ),
    ];
    for (address, fields, shown) in cases {
        let first = root.get(&address).await.expect(200).text();
        assert!(!first.contains(AGAIN) && !shown.iter().all(|shown| first.contains(shown)), "{address}");
        shift.fetch_add(301, Ordering::Relaxed);
        let led = root.submit(&address, fields).await;
        let there = leads_to(&led);
        assert!(there.starts_with("/verify?next=%2Fsettings%2F") && !there.contains("bob"), "{there}");
        let kept =
            led.headers.get_all("set-cookie").iter().map(|set| set.to_str().unwrap()).collect::<Vec<_>>().join("");
        for attribute in [KEPT, "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=600"] {
            assert!(kept.contains(attribute), "{kept}");
        }
        let kept = URL_SAFE_NO_PAD.decode(root.cookie(KEPT).unwrap()).unwrap();
        assert!(!String::from_utf8(kept).unwrap().contains(secret), "{address}");
        // A wrong code loses nothing.
        root.get(&there).await.expect(200);
        root.submit(&there, &[("code", "000000")]).await.expect(422);
        let code = factor.next_code(&app).await;
        let back = root.submit(&there, &[("code", &code)]).await;
        assert_eq!(leads_to(&back), address);
        let again = root.follow(&back).await.expect(200).text();
        assert!(again.contains(AGAIN) && !again.contains(secret), "{address}: {again}");
        for shown in shown {
            assert!(again.contains(shown), "{address} lacks {shown}: {again}");
        }
        assert!(!root.has_cookie(KEPT), "{address}: it is taken up once");
        assert!(!root.get(&address).await.expect(200).text().contains(AGAIN), "{address}");
    }
    assert_eq!(app.database.count("users", "name LIKE 'bob%'"), 0, "nothing was done meanwhile");
    // And then it is done.
    root.submit(NEW, &[("name", "bob"), ("role", "ops"), ("password", PASSWORD)]).await.expect(303);
    app.try_login("bob", PASSWORD).await.expect(200);
}

async fn what_is_kept_is_for_one_session_and_one_page(backend: Backend) {
    let (app, shift) = with_clock(backend).await;
    let (mut root, factor) = root(&app).await;
    root.get(NEW).await.expect(200);
    shift.fetch_add(301, Ordering::Relaxed);
    let there = leads_to(&root.submit(NEW, &[("name", "bob"), ("role", "ops"), ("password", "")]).await);
    let kept = root.cookie(KEPT).unwrap().to_owned();
    root.get(&there).await.expect(200);
    let code = factor.next_code(&app).await;
    root.submit(&there, &[("code", &code)]).await.expect(303);
    // Another page of the same session, and the same page of another session.
    assert!(!root.get("/settings/roles/new").await.expect(200).text().contains(AGAIN));
    assert!(root.has_cookie(KEPT), "it waits for its own page");
    app.user("eve", "admin").await;
    let eve = app.browser("eve").await;
    let cookies = format!("__Host-kv_session={}; {KEPT}={kept}", eve.cookie("__Host-kv_session").unwrap());
    let hers = app.get(NEW).header("cookie", cookies).send().await.expect(200).text();
    assert!(!hers.contains("bob") && !hers.contains(AGAIN), "{hers}");
    for broken in ["x", "%", "QHBsYWNl"] {
        let cookies = format!("__Host-kv_session={}; {KEPT}={broken}", eve.cookie("__Host-kv_session").unwrap());
        assert!(!app.get(NEW).header("cookie", cookies).send().await.expect(200).text().contains(AGAIN));
    }
    assert!(root.get(NEW).await.expect(200).text().contains("value=\"bob\""));
    // What is too long for a cookie is not kept; the code is asked for all the same.
    root.get("/settings/roles/new").await.expect(200);
    shift.fetch_add(301, Ordering::Relaxed);
    let long = "x".repeat(4_000);
    let led = root.submit("/settings/roles/new", &[("name", "r"), ("more", &long)]).await;
    assert!(led.status == 422 || (led.status == 303 && !root.has_cookie(KEPT)), "{}", led.status);
    // Nothing is kept of what was refused for another reason, or of whoever signs out.
    root.get("/profile/api-keys").await.expect(200);
    let led = root.submit(NEW, &[("name", "bob"), ("role", "ops"), ("password", "")]).await;
    assert!(leads_to(&led).starts_with("/verify") && root.has_cookie(KEPT));
    root.submit("/sign-out", &[]).await.expect(303);
    assert!(!root.has_cookie(KEPT));
}
