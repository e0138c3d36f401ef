//! Profile, Security, in a browser: a second factor set up by the page, its codes and recovery codes, a session ended, and
//! the factor that an operator requires.

use super::world::{open, sign_in};
use kv_server::auth::totp;
use kv_tests::{
    Backend, PASSWORD, TestApp,
    browser::{Browser, Look},
    on_both,
};

on_both!(a_second_factor_is_set_up_and_asked_for, one_that_is_required_is_set_up_first);

/// The code of now for the secret that the page shows, to be typed.
async fn code(app: &TestApp, browser: &Browser) -> String {
    let secret = browser.text("#secret").await.replace(' ', "");
    totp::code(&totp::typed(&secret).unwrap(), app.now()).unwrap()
}

async fn a_second_factor_is_set_up_and_asked_for(backend: Backend) {
    let (app, browser) = open(backend, Look::DESK).await;
    app.user("ann", "dev").await;
    let elsewhere = app.login("ann").await;
    sign_in(&browser, "ann").await;
    browser.click_text("Security").await;
    browser.await_text("How you prove who you are").await;
    browser.click_text("Set up").await;
    browser.await_path("/profile/security/second-factor").await;
    browser.click_text("Set up").await;
    browser.await_css(".qr svg").await;
    browser.inspect("second-factor-qr").await;
    let secret = browser.text("#secret").await;
    browser.fill("Code", "000000").await;
    browser.click_text("Turn on").await;
    browser.await_css("#code-error").await;
    browser.holds_nothing_of(&secret).await;
    // What was scanned still counts, but here nobody has scanned it.
    browser.click_text("Start again with a new one").await;
    browser.click_text("Set up").await;
    let now = code(&app, &browser).await;
    browser.fill("Code", &now).await;
    browser.click_text("Turn on").await;
    browser.await_text("Your recovery codes").await;
    let codes = browser.texts("#codes li").await;
    assert_eq!(codes.len(), 10, "{codes:?}");
    app.get("/api/v1/auth/me").session(&elsewhere).send().await.expect(401);
    browser.click_text("I have stored them").await;
    browser.await_text("Left: 10 of 10.").await;
    browser.holds_nothing_of(&codes[0]).await;
    browser.back().await;
    browser.holds_nothing_of(&codes[0]).await;
    browser.goto("/profile/security").await;
    browser.click_text("Sign out").await;
    browser.await_text("You are signed out.").await;

    browser.fill("Name", "ann").await;
    browser.fill("Password", PASSWORD).await;
    browser.click_text("Sign in").await;
    browser.await_text("Enter the six digits").await;
    browser.inspect("sign-in-code").await;
    browser.fill("Code", &codes[0]).await;
    browser.click_text("Continue").await;
    browser.await_path("/clusters").await;
    browser.goto("/profile/security").await;
    browser.await_text("Left: 9 of 10.").await;
}

async fn one_that_is_required_is_set_up_first(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_SECOND_FACTOR__REQUIRED_FOR", "everybody")]).await;
    let browser = Browser::open(Look::DESK.without_javascript()).await.at(app.address());
    app.user("ann", "dev").await;
    browser.goto("/profile/api-keys").await;
    browser.fill("Name", "ann").await;
    browser.fill("Password", PASSWORD).await;
    browser.click_text("Sign in").await;
    browser.await_text("Your role requires a second factor.").await;
    browser.goto("/clusters").await;
    browser.await_text("Your role requires a second factor.").await;
    browser.click_text("Set up").await;
    let now = code(&app, &browser).await;
    browser.fill("Code", &now).await;
    browser.click_text("Turn on").await;
    browser.await_text("Your recovery codes").await;
    browser.click_text("I have stored them").await;
    browser.await_path("/clusters").await;
    browser.goto("/profile/api-keys").await;
    browser.await_text("You have no keys yet.").await;
}
