//! Profile, API Keys, as the user's page tells it: made, seen once, used, revoked. By mouse, by keys, without scripts.

use super::world::{open, sign_in};
use kv_tests::{
    Backend, TestApp,
    browser::{Browser, Key, Look},
    run,
};

// The databases take turns: what a page shows is the same on both.
#[test]
fn mouse() {
    run(by_mouse(Backend::Postgres));
}

#[test]
fn keyboard() {
    run(by_keyboard(Backend::Sqlite));
}

#[test]
fn no_scripts() {
    run(without_scripts(Backend::Postgres));
}

#[test]
fn attack_198() {
    run(attack_198_the_key_is_nowhere_afterwards(Backend::Sqlite));
}

/// The key the dialog shows.
async fn shown(browser: &Browser) -> String {
    let key = browser.text("#key").await;
    assert!(key.starts_with("kv_live_") && key.len() == 56, "{key}");
    key
}

async fn status(app: &TestApp, key: &str) -> u16 {
    let me = app.get("/api/v1/api-keys/current").header("authorization", format!("ApiKey {key}"));
    me.send().await.status
}

async fn by_mouse(backend: Backend) {
    let (app, browser) = open(backend, Look::DESK).await;
    app.user("ann", "dev").await;
    sign_in(&browser, "ann").await;
    browser.click_text("API Keys").await;
    browser.await_text("You have no keys yet.").await;
    browser.click_text_in(".head", "New API Key").await;
    browser.await_path("/profile/api-keys/new").await;
    assert_eq!(browser.focused().await, "Name");
    browser.fill("Name", "github-actions-deploy").await;
    browser.click_text("Generate").await;
    browser.await_text("github-actions-deploy is ready").await;
    let key = shown(&browser).await;
    assert_eq!(status(&app, &key).await, 200);
    browser.await_text("If you lose it, revoke it and make a new one.").await;
    browser.inspect("key-once").await;
    browser.click_text("I have stored it").await;
    browser.await_path("/profile/api-keys").await;
    browser.await_text("Active").await;

    // The same name again: what is wrong stands beside it, and what was typed is still there.
    browser.click_text("New API Key").await;
    browser.await_path("/profile/api-keys/new").await;
    browser.fill("Name", "github-actions-deploy").await;
    browser.click_text("Generate").await;
    browser.await_css("#name-error").await;
    assert_eq!(browser.value("Name").await, "github-actions-deploy");
    browser.press(Key::Escape).await;
    browser.await_path("/profile/api-keys").await;

    browser.click("td.do a").await;
    browser.await_text("Revoke github-actions-deploy?").await;
    assert_eq!(status(&app, &key).await, 200, "nothing has happened yet");
    browser.click_text("Revoke key").await;
    browser.await_text("The key is revoked.").await;
    assert_eq!(status(&app, &key).await, 401);
    browser.click_text("Revoked (1)").await;
    browser.await_css("td[data-label=State]").await;
    assert!(browser.shows("github-actions-deploy").await);
    browser.back().await;
    browser.await_path("/profile/api-keys").await;
    let errors = browser.console_errors().await;
    // The name that was taken is the one answer that browsers count among errors.
    assert!(errors.iter().all(|error| error.contains("409")), "{errors:?}");
}

async fn by_keyboard(backend: Backend) {
    let (app, browser) = open(backend, Look::DESK).await;
    app.user("ann", "dev").await;
    browser.goto("/profile/api-keys").await;
    browser.await_text("Sign in").await;
    browser.type_text("ann").await;
    browser.press(Key::Tab).await;
    browser.type_text(kv_tests::PASSWORD).await;
    browser.press(Key::Enter).await;
    browser.await_text("You have no keys yet.").await;
    assert_eq!(browser.path().await, "/profile/api-keys", "the link that was followed before signing in");
    browser.tab_to("New API Key").await;
    browser.press(Key::Enter).await;
    browser.await_path("/profile/api-keys/new").await;
    browser.type_text("nightly").await;
    browser.tab_to("90 days").await;
    // A group of choices is one stop; the arrows choose in it.
    browser.press(Key::Right).await;
    browser.tab_to("Generate").await;
    browser.press(Key::Enter).await;
    browser.await_text("nightly is ready").await;
    let key = shown(&browser).await;
    assert_eq!(browser.focused().await, "Copy");
    browser.press(Key::Escape).await;
    assert_eq!(shown(&browser).await, key, "Escape does not lose it");
    browser.tab_to("I have stored it").await;
    browser.press(Key::Enter).await;
    browser.await_text("The key is in the list.").await;
    browser.tab_to("Revoke nightly").await;
    browser.press(Key::Enter).await;
    browser.await_text("Revoke nightly?").await;
    assert_eq!(browser.focused().await, "Cancel", "Enter does no harm");
    browser.tab_to("Revoke key").await;
    browser.press(Key::Enter).await;
    browser.await_text("The key is revoked.").await;
    assert_eq!(status(&app, &key).await, 401);
}

async fn without_scripts(backend: Backend) {
    let (app, browser) = open(backend, Look::DESK.without_javascript()).await;
    app.user("ann", "dev").await;
    sign_in(&browser, "ann").await;
    browser.goto("/profile/api-keys/new").await;
    browser.fill("Name", "nightly").await;
    browser.click_text("Generate").await;
    browser.await_text("nightly is ready").await;
    let key = shown(&browser).await;
    assert!(!browser.has("button[data-copy]").await, "what only a script can do is not offered");
    browser.click_text("I have stored it").await;
    browser.await_path("/profile/api-keys").await;
    browser.holds_nothing_of(&key).await;
    browser.back().await;
    browser.holds_nothing_of(&key).await;
    browser.goto("/profile/api-keys").await;
    browser.click("td.do a").await;
    browser.await_text("Revoke nightly?").await;
    browser.click_text("Cancel").await;
    browser.await_path("/profile/api-keys").await;
    browser.click("td.do a").await;
    browser.click_text("Revoke key").await;
    browser.await_text("The key is revoked.").await;
    assert_eq!(status(&app, &key).await, 401);
}

async fn attack_198_the_key_is_nowhere_afterwards(backend: Backend) {
    let (app, browser) = open(backend, Look::DESK).await;
    app.user("ann", "dev").await;
    sign_in(&browser, "ann").await;
    browser.goto("/profile/api-keys/new").await;
    browser.fill("Name", "deploy").await;
    browser.click_text("Generate").await;
    let key = shown(&browser).await;
    let made = browser.document(Some("/profile/api-keys/new")).await;
    assert_eq!((made.status, made.header("Cache-Control")), (201, Some("no-store")));
    // Attack 200: neither title nor address nor any name has it.
    assert!(!browser.title().await.contains("kv_") && !browser.path().await.contains("kv_"));
    let named = "return [...document.querySelectorAll('[title], [aria-label]')]
        .some(e => ((e.title || '') + (e.getAttribute('aria-label') || '')).includes('kv_live_'))";
    assert_eq!(browser.run(named, &[]).await, false);

    // Reloaded, it is the list: no second key is made, and the first is not shown.
    browser.reload().await;
    browser.await_path("/profile/api-keys").await;
    browser.holds_nothing_of(&key).await;
    browser.goto("/profile/api-keys/new").await;
    browser.fill("Name", "deploy-2").await;
    browser.click_text("Generate").await;
    let second = shown(&browser).await;
    browser.click_text("I have stored it").await;
    browser.await_path("/profile/api-keys").await;
    for step in ["back", "back", "forward", "forward"] {
        if step == "back" {
            browser.back().await
        } else {
            browser.forward().await
        }
        for key in [&key, &second] {
            browser.holds_nothing_of(key).await;
        }
    }
    assert_eq!(app.database.count("api_keys", "1 = 1"), 2);
}
