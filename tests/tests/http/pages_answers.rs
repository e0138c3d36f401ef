//! What every page has around it: its title, how many there are of what, when to come again; and where those are led who are
//! signed in already.

use kv_tests::{Answer, Backend, PASSWORD, TestApp, Visitor, between, on_both};

on_both!(
    whoever_is_signed_in_is_not_asked_again,
    whoever_comes_too_often_is_told_when_to_come_again,
    a_title_names_the_dialog_or_the_trouble_and_no_key,
    keys_are_counted_by_their_state,
);

const KEYS: &str = "/profile/api-keys";
const NEW: &str = "/profile/api-keys/new";

fn title(page: &Answer) -> String {
    between(&page.text(), "<title>", "</title>").remove(0)
}

async fn whoever_is_signed_in_is_not_asked_again(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let mut ann = app.browser("ann").await;
    let sessions = || app.database.count("sessions", "ended_at IS NULL");
    let before = sessions();
    for (address, there) in [
        ("/sign-in", "/"),
        ("/sign-in?next=%2Fprofile%2Fsecurity", "/profile/security"),
        ("/sign-in?next=https%3A%2F%2Fevil.example%2F", "/"),
    ] {
        let led = ann.get(address).await;
        assert_eq!((led.status, led.header("location")), (303, there), "{address}");
    }
    assert_eq!(sessions(), before);
    // Whoever is not, is shown where to: signed out, ended from elsewhere, over by itself.
    let mut other = app.browser("ann").await;
    other.get(KEYS).await.expect(200);
    other.submit("/sign-out", &[]).await.expect(303);
    other.get("/sign-in").await.expect(200);
    let here = app.login("ann").await;
    app.delete("/api/v1/auth/sessions").session(&here).send().await.expect(200);
    ann.get("/sign-in").await.expect(200);
    ann.sign_in("ann", PASSWORD).await.expect(303);
    assert_eq!(ann.get("/sign-in").await.status, 303);
    app.database.execute("UPDATE sessions SET expires_at = created_at");
    ann.get("/sign-in").await.expect(200);
    // No cookie of ours, and no session of anybody.
    let made_up = app.get("/sign-in").header("cookie", "__Host-kv_session=kvs_x").send().await;
    made_up.expect(200);
}

async fn whoever_comes_too_often_is_told_when_to_come_again(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_RATE_LIMIT", "1/m,burst=40")]).await;
    app.user("ann", "dev").await;
    let mut ann = app.browser("ann").await;
    let refused = loop {
        let page = ann.get(KEYS).await;
        if page.status != 200 {
            break page.expect(429);
        }
    };
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let text = refused.text();
    assert!(text.contains(&format!("Try again in {seconds} s.")), "{text}");
    assert_eq!(title(&refused), "Too many requests · KubeVision");
    // Where to sign in says the same to an address, and keeps the name.
    let mut nobody = app.visitor();
    let refused = loop {
        let refused = nobody.sign_in("bob", "not the password").await;
        if refused.status != 401 {
            break refused.expect(429);
        }
        assert_eq!(title(&refused), "Error: Sign in · KubeVision");
    };
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    let text = refused.text();
    assert!(seconds >= 1 && text.contains(&format!("Try again in {seconds} s.")), "{text}");
    assert!(text.contains("value=\"bob\"") && text.contains("role=\"alert\""));
}

async fn make(ann: &mut Visitor<'_>, name: &str) -> Answer {
    ann.submit(NEW, &[("name", name), ("expiry", "90"), ("date", "")]).await
}

async fn a_title_names_the_dialog_or_the_trouble_and_no_key(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.user("ann", "dev").await;
    let mut ann = app.browser("ann").await;
    assert_eq!(title(&ann.get(KEYS).await), "API Keys · KubeVision");
    let dialog = ann.get(NEW).await;
    assert_eq!(title(&dialog), "New API Key · KubeVision");
    assert!(dialog.text().contains("Last day, until 23:59 UTC"), "what a day of expiry means");
    let made = make(&mut ann, "<b>R&D</b>").await.expect(201);
    assert_eq!(title(&made), "&lt;b&gt;R&amp;D&lt;/b&gt; is ready · KubeVision");
    assert!(made.text().contains("kv_live_") && !title(&made).contains("kv_live_"));
    assert_eq!(title(&make(&mut ann, "<b>R&D</b>").await.expect(409)), "Error: New API Key · KubeVision");
    let table = ann.get(KEYS).await.text();
    let revoke = table.split('"').find(|part| part.ends_with("/revoke")).unwrap().to_owned();
    assert_eq!(title(&ann.get(&revoke).await), "Revoke &lt;b&gt;R&amp;D&lt;/b&gt;? · KubeVision");
    assert_eq!(title(&ann.get("/settings/users").await.expect(403)), "That is not yours to do · KubeVision");
    assert_eq!(
        title(&ann.get(&revoke.replace("/revoke", "0/revoke")).await.expect(404)),
        "There is no such page · KubeVision"
    );
}

async fn keys_are_counted_by_their_state(backend: Backend) {
    let app = TestApp::start(backend).await;
    let user = app.user("ann", "dev").await;
    app.user("bob", "dev").await;
    let mut bob = app.browser("bob").await;
    make(&mut bob, "bobs").await.expect(201);
    let mut ann = app.browser("ann").await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        make(&mut ann, name).await.expect(201);
    }
    app.database.execute("UPDATE api_keys SET expires_at = 1 WHERE name IN ('a', 'b')");
    app.database.execute("UPDATE api_keys SET expired_seen_at = 1 WHERE name = 'c'");
    app.database.execute("UPDATE api_keys SET revoked_at = 1 WHERE name IN ('a', 'd')");
    let mut admin = app.browser("admin").await;
    for page in [ann.get(KEYS).await, admin.get(&format!("/settings/users/{}", user.id)).await] {
        let text = page.expect(200).text();
        for tab in ["Active (2)", "Expired (2)", "Revoked (2)"] {
            assert!(text.contains(&format!(">{tab}</a>")), "{tab}: {text}");
        }
    }
    assert!(admin.get(&format!("/settings/users/{}", user.id)).await.text().contains("Revoke all 2"));
}
