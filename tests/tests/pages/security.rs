//! Profile, Security, in a browser: a second factor set up by the page, its codes and recovery codes, a session ended, another
//! password, and the factor that an operator requires.

use super::{
    person::{Person, Way, three_ways},
    world::{open, sign_in},
};
use kv_server::auth::totp;
use kv_tests::{
    Backend, PASSWORD, TestApp,
    browser::{Browser, Look},
    run,
};

three_ways!(ones_own_account, one_that_is_required_is_set_up_first);

#[test]
fn a_second_factor_is_set_up_and_asked_for() {
    run(set_up_and_asked_for(Backend::Postgres));
}

/// The code of now for the secret that the page shows, to be typed.
async fn code(app: &TestApp, browser: &Browser) -> String {
    let secret = browser.text("#secret").await.replace(' ', "");
    totp::code(&totp::typed(&secret).unwrap(), app.now()).unwrap()
}

async fn set_up_and_asked_for(backend: Backend) {
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

async fn one_that_is_required_is_set_up_first(way: Way) {
    let person = Person::meet(way, &[("KUBEVISION_SECOND_FACTOR__REQUIRED_FOR", "everybody")]).await;
    let (app, browser) = (&person.app, &person.browser);
    app.user("ann", "dev").await;
    browser.goto("/profile/api-keys").await;
    person.fill("Name", "ann").await;
    person.fill("Password", PASSWORD).await;
    person.follow("Sign in").await;
    browser.await_text("Your role requires a second factor.").await;
    browser.goto("/clusters").await;
    browser.await_text("Your role requires a second factor.").await;
    person.follow("Set up").await;
    let now = code(app, browser).await;
    person.fill("Code", &now).await;
    person.follow("Turn on").await;
    browser.await_text("Your recovery codes").await;
    person.follow("I have stored them").await;
    browser.await_path("/clusters").await;
    browser.goto("/profile/api-keys").await;
    browser.await_text("You have no keys yet.").await;
}

async fn ones_own_account(way: Way) {
    let person = Person::meet(way, &[]).await;
    let (app, browser) = (&person.app, &person.browser);
    app.user("ann", "dev").await;
    let (elsewhere, factor) = app.enrol("ann").await;
    let sign_in = async |password: &str, code: &str| {
        person.fill("Name", "ann").await;
        person.fill("Password", password).await;
        person.follow("Sign in").await;
        browser.await_text("Enter the six digits").await;
        person.fill("Code", code).await;
        person.follow("Continue").await;
    };
    browser.goto("/profile/security").await;
    sign_in(PASSWORD, &factor.next_code(app).await).await;
    browser.await_path("/profile/security").await;
    browser.await_text("Left: 10 of 10.").await;

    let other = "return [...document.querySelectorAll('tr')]
        .filter(row => !row.innerText.includes('this one')).map(row => row.querySelector('.do a')?.ariaLabel).find(Boolean)";
    let other = browser.run(other, &[]).await;
    person.follow(other.as_str().unwrap()).await;
    app.get("/api/v1/auth/me").session(&elsewhere).send().await.expect(200);
    person.follow_in("dialog", "End session").await;
    browser.await_text("The session has ended.").await;
    app.get("/api/v1/auth/me").session(&elsewhere).send().await.expect(401);

    person.follow("Make new codes").await;
    browser.await_path("/profile/security/recovery-codes").await;
    person.fill("Code", &factor.recovery_codes[0]).await;
    person.follow_in("dialog", "Make new codes").await;
    browser.await_text("The old ones no longer work.").await;
    let codes = browser.texts("#codes li").await;
    assert_eq!(codes.len(), 10, "{codes:?}");
    person.follow("I have stored them").await;
    browser.await_text("Left: 10 of 10.").await;
    browser.holds_nothing_of(&codes[0]).await;
    person.follow("Sign out").await;
    browser.await_text("You are signed out.").await;

    sign_in(PASSWORD, &codes[0]).await;
    browser.await_path("/clusters").await;
    person.follow("Security").await;
    browser.await_text("Left: 9 of 10.").await;
    person.follow("Change password").await;
    browser.await_path("/profile/security/password").await;
    person.fill("Current password", PASSWORD).await;
    person.fill("New password", "another long password").await;
    person.follow_in("main", "Change password").await;
    browser.await_text("Your password is changed").await;
    sign_in("another long password", &codes[1]).await;
    browser.await_path("/clusters").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}
