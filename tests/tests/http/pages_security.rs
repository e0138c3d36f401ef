//! The pages of Profile, Security: every form they have, what it shows once, and where it leads.

use kv_server::auth::totp;
use kv_tests::{Answer, Backend, PASSWORD, TestApp, Visitor, between, on_both};

on_both!(
    a_second_factor_is_set_up_shown_once_and_given_up,
    whoever_must_have_a_second_factor_sees_nothing_else_before,
    sessions_are_named_and_ended,
    all_other_sessions_end_and_this_one_goes_on,
    another_password_ends_every_session_and_leads_to_sign_in,
    whoever_guesses_in_a_form_is_told_to_wait,
);

const SECURITY: &str = "/profile/security";
const FACTOR: &str = "/profile/security/second-factor";
const ENABLE: &str = "/profile/security/second-factor/enable";
const OFF: &str = "/profile/security/second-factor/off";
const CODES: &str = "/profile/security/recovery-codes";
const CHANGE_PASSWORD: &str = "/profile/security/password";
const SESSION: &str = "__Host-kv_session";

async fn ann(backend: Backend, settings: &[(&str, &str)]) -> TestApp {
    let app = TestApp::with(backend, settings).await;
    app.user("ann", "dev").await;
    app
}

/// Where an answer leads.
fn leads_to(answer: Answer) -> String {
    answer.expect(303).header("location").to_owned()
}

/// The secret of a page, as an authenticator app takes it up.
fn secret(page: &Answer) -> Vec<u8> {
    let shown = between(&page.text(), "<code id=\"secret\" data-secret>", "</code>");
    totp::typed(&shown[0].replace(' ', "")).unwrap()
}

fn recovery_codes(page: &Answer) -> Vec<String> {
    between(&page.text(), "<li><code>", "</code>")
}

/// Sets a second factor up, and gives the answer to its first code.
async fn enable(app: &TestApp, ann: &mut Visitor<'_>) -> (Vec<u8>, Answer) {
    let drawn = secret(&ann.submit(FACTOR, &[]).await.expect(200));
    let code = totp::code(&drawn, app.now()).unwrap();
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    (drawn, ann.submit(ENABLE, &[("code", &spaced)]).await.expect(200))
}

async fn a_second_factor_is_set_up_shown_once_and_given_up(backend: Backend) {
    let app = ann(backend, &[]).await;
    let (mut ann, mut other) = (app.browser("ann").await, app.browser("ann").await);
    assert!(ann.get(SECURITY).await.expect(200).text().contains(FACTOR));
    for nothing_yet in [OFF, CODES] {
        assert_eq!(leads_to(ann.get(nothing_yet).await), SECURITY);
    }
    assert_eq!(leads_to(ann.get(ENABLE).await), FACTOR);
    ann.get(FACTOR).await.expect(200);
    // A code before there is anything to be a code of.
    ann.submit(ENABLE, &[("code", "000000")]).await.expect(409);

    let shown = ann.submit(FACTOR, &[]).await.expect(200);
    assert_eq!(shown.header("cache-control"), "no-store");
    assert!(shown.text().contains("<svg") && shown.text().contains("data-forget-url"));
    let drawn = secret(&shown);
    let refused = ann.submit(ENABLE, &[("code", "12345")]).await.expect(422);
    assert!(refused.text().contains("aria-describedby=\"code-error\"") && !refused.text().contains("<svg"));
    // The secret is the one that was scanned.
    let code = totp::code(&drawn, app.now()).unwrap();
    let enabled = ann.submit(ENABLE, &[("code", &code)]).await.expect(200);
    assert_eq!(enabled.header("cache-control"), "no-store");
    let first = recovery_codes(&enabled);
    assert_eq!(first.len(), 10);
    assert_eq!(app.entry_of(&enabled).await["action"], "totp.enable");

    // Sent once more, it shows nothing and changes nothing.
    assert_eq!(leads_to(ann.submit(ENABLE, &[("code", &code)]).await), SECURITY);
    assert_eq!(leads_to(ann.submit(FACTOR, &[]).await), SECURITY);
    assert_eq!(leads_to(ann.get(FACTOR).await), SECURITY);
    assert!(leads_to(other.get(SECURITY).await).starts_with("/sign-in"), "other sessions end");
    let page = ann.get(SECURITY).await.expect(200).text();
    assert!(page.contains("Left: 10 of 10.") && !page.contains(&first[0]));

    assert!(ann.get(CODES).await.expect(200).text().contains("<dialog"));
    let refused = ann.submit(CODES, &[("code", "aaaa-aaaa-aaaa")]).await.expect(422);
    assert!(refused.text().contains("id=\"code-error\""));
    let renewed = recovery_codes(&ann.submit(CODES, &[("code", &first[0])]).await.expect(200));
    assert!(renewed.len() == 10 && !renewed.contains(&first[0]));

    // Eight are used: two are few.
    for code in &renewed[..8] {
        assert_eq!(leads_to(ann.submit("/verify", &[("code", code)]).await), "/");
    }
    assert!(ann.get(SECURITY).await.expect(200).text().contains("Few recovery codes are left: 2."));

    ann.get(OFF).await.expect(200);
    ann.submit(OFF, &[("code", &renewed[0])]).await.expect(422);
    let off = ann.submit(OFF, &[("code", &renewed[8])]).await;
    assert_eq!(app.entry_of(&off).await["action"], "totp.disable");
    assert_eq!(leads_to(off), SECURITY);
    assert!(ann.get(SECURITY).await.expect(200).text().contains("Your second factor is off"));
    assert!(!ann.get(SECURITY).await.expect(200).text().contains("Your second factor is off"), "said once");
}

async fn whoever_must_have_a_second_factor_sees_nothing_else_before(backend: Backend) {
    let app = ann(backend, &[("KUBEVISION_SECOND_FACTOR__REQUIRED_FOR", "dev")]).await;
    let mut ann = app.browser("ann").await;
    for path in [SECURITY, OFF, CODES, "/profile/api-keys"] {
        assert_eq!(leads_to(ann.get(path).await), FACTOR, "{path}");
    }
    let page = ann.get(FACTOR).await.expect(200).text();
    assert!(page.contains("Your role requires a second factor") && page.contains("/sign-out"));
    assert!(!page.contains("/profile/api-keys"), "no way that leads back here");
    assert_eq!(leads_to(ann.submit(OFF, &[("code", "000000")]).await), FACTOR);
    // Out, and in again.
    assert_eq!(leads_to(ann.submit("/sign-out", &[]).await), "/sign-in");
    ann.sign_in("ann", PASSWORD).await.expect(303);
    ann.get(FACTOR).await.expect(200);
    let (_, enabled) = enable(&app, &mut ann).await;
    let codes = recovery_codes(&enabled);
    assert_eq!(codes.len(), 10);
    assert!(ann.get(SECURITY).await.expect(200).text().contains("Left: 10 of 10."));
    // Given up, it must be set up again.
    assert!(ann.get(OFF).await.expect(200).text().contains("you will set up another one"));
    assert_eq!(leads_to(ann.submit(OFF, &[("code", &codes[0])]).await), SECURITY);
    assert_eq!(leads_to(ann.get(SECURITY).await), FACTOR);
}

/// Where the sessions of a page are ended, each by itself.
fn one_by_one(page: &str) -> Vec<String> {
    let ends = between(page, "href=\"/profile/security/sessions/", "\"");
    ends.into_iter().filter(|end| end != "end").collect()
}

async fn sessions_are_named_and_ended(backend: Backend) {
    let app = ann(backend, &[("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1")]).await;
    app.user("bob", "dev").await;
    let mut ann = app.browser("ann").await;
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    let mut other = app.visitor().named(firefox);
    other.sign_in("ann", PASSWORD).await.expect(303);
    let mut evil = app.visitor().named("<script>alert(1)</script>");
    evil.sign_in("ann", PASSWORD).await.expect(303);

    let page = ann.get(SECURITY).await.expect(200).text();
    assert!(page.contains("Firefox on Linux") && page.contains("127.0.0.1") && page.contains("this one"));
    assert!(!page.contains("<script>alert"), "what a client calls itself is no markup");
    let ends = one_by_one(&page);
    let address = |n: usize| format!("{SECURITY}/sessions/{}", ends[n]);
    assert_eq!(ends.len(), 3, "the newest first");

    assert!(ann.get(&address(1)).await.expect(200).text().contains("End Firefox on Linux?"));
    other.get(SECURITY).await.expect(200);
    let ended = ann.submit(&address(1), &[]).await;
    assert_eq!(app.entry_of(&ended).await["action"], "session.end");
    assert_eq!(leads_to(ended), SECURITY);
    assert!(ann.get(SECURITY).await.expect(200).text().contains("The session has ended."));
    assert!(leads_to(other.get(SECURITY).await).starts_with("/sign-in"));
    // Its dialog has nothing to ask any more.
    assert_eq!(leads_to(ann.get(&address(1)).await), SECURITY);
    // Nobody sees or ends another's.
    let mut bob = app.browser("bob").await;
    assert_eq!(leads_to(bob.get(&address(0)).await), SECURITY);
    bob.get(SECURITY).await.expect(200);
    bob.submit(&address(0), &[]).await.expect(404);
    evil.get(SECURITY).await.expect(200);

    // The one that is calling.
    assert!(ann.get(&address(2)).await.expect(200).text().contains("you will be signed out"));
    assert_eq!(leads_to(ann.submit(&address(2), &[]).await), "/sign-in");
    assert!(!ann.has_cookie(SESSION));
    assert!(ann.get("/sign-in").await.expect(200).text().contains("You are signed out."));

    // One that is on a later page of them is found all the same.
    let mut ann = app.browser("ann").await;
    let here = one_by_one(&ann.get(SECURITY).await.expect(200).text());
    let body = serde_json::json!({"username": "ann", "password": PASSWORD});
    for n in 0..51 {
        // One address may not sign in that often.
        let login = app.post("/api/v1/auth/login").header("x-forwarded-for", format!("10.0.0.{n}"));
        login.json(&body).send().await.expect(200);
    }
    let first = ann.get(SECURITY).await.expect(200).text();
    assert!(!first.contains(&here[0]));
    let next = between(&first, "href=\"/profile/security?cursor=", "\"");
    let second = ann.get(&format!("{SECURITY}?cursor={}", next[0])).await.expect(200).text();
    assert!(second.contains(&here[0]) && second.contains("this one"));
    assert!(ann.get(&format!("{SECURITY}/sessions/{}", here[0])).await.expect(200).text().contains("<dialog"));
}

async fn all_other_sessions_end_and_this_one_goes_on(backend: Backend) {
    let app = ann(backend, &[]).await;
    let mut ann = app.browser("ann").await;
    let others = format!("{SECURITY}/sessions/end");
    assert!(!ann.get(SECURITY).await.expect(200).text().contains("End all other sessions"), "there is no other");
    assert_eq!(leads_to(ann.get(&others).await), SECURITY);
    let (mut phone, mut lost) = (app.browser("ann").await, app.browser("ann").await);
    assert!(ann.get(SECURITY).await.expect(200).text().contains(&format!("href=\"{others}\"")));
    let dialog = ann.get(&others).await.expect(200).text();
    assert!(dialog.contains("End all other sessions?") && dialog.contains(&format!("action=\"{others}\"")));
    let foreign = ann.submit_as(&others, &[], "another token", &format!("http://{}", app.address())).await;
    foreign.expect(403);
    phone.get(SECURITY).await.expect(200);
    let ended = ann.submit(&others, &[]).await;
    assert_eq!(app.entry_of(&ended).await["detail"]["after"], "2 sessions ended");
    assert_eq!(leads_to(ended), SECURITY);
    let page = ann.get(SECURITY).await.expect(200).text();
    assert!(page.contains("2 other sessions went on. They are over.") && page.contains("this one"));
    for other in [&mut phone, &mut lost] {
        assert!(leads_to(other.get(SECURITY).await).starts_with("/sign-in"));
    }
}

async fn another_password_ends_every_session_and_leads_to_sign_in(backend: Backend) {
    let app = ann(backend, &[]).await;
    let (mut ann, mut other) = (app.browser("ann").await, app.browser("ann").await);
    ann.get(CHANGE_PASSWORD).await.expect(200);
    for (current, new, field, words) in [
        ("not the password", "a new long password", "current", "This is not your password."),
        (PASSWORD, "too short", "new", "A password has at least 12 characters"),
        (PASSWORD, PASSWORD, "new", "This is the password you have."),
    ] {
        let refused = ann.submit(CHANGE_PASSWORD, &[("current", current), ("new", new)]).await.expect(422).text();
        assert!(refused.contains(&format!("id=\"{field}-error\">{words}")), "{refused}");
        assert!(!refused.contains(current) && !refused.contains(new), "nothing that was typed is in the page");
    }
    // Fields the page does not have are refused.
    ann.submit(CHANGE_PASSWORD, &[("current", PASSWORD), ("new", "a new long password"), ("user", "bob")])
        .await
        .expect(400);
    other.get(SECURITY).await.expect(200);
    let changed = ann.submit(CHANGE_PASSWORD, &[("current", PASSWORD), ("new", "a new long password")]).await;
    assert_eq!(leads_to(changed), "/sign-in");
    assert!(!ann.has_cookie(SESSION));
    assert!(ann.get("/sign-in").await.expect(200).text().contains("Your password is changed"));
    assert!(leads_to(other.get(SECURITY).await).starts_with("/sign-in"));
    ann.sign_in("ann", PASSWORD).await.expect(401);
    ann.sign_in("ann", "a new long password").await.expect(303);
    ann.get(SECURITY).await.expect(200);
}

async fn whoever_guesses_in_a_form_is_told_to_wait(backend: Backend) {
    let app = ann(backend, &[]).await;
    let mut ann = app.browser("ann").await;
    ann.get(FACTOR).await.expect(200);
    ann.submit(FACTOR, &[]).await.expect(200);
    for (path, fields) in [
        (ENABLE, vec![("code", "12345")]),
        (CHANGE_PASSWORD, vec![("current", "not the password"), ("new", "a new long password")]),
    ] {
        let waits = async {
            loop {
                let guess = ann.submit(path, &fields).await;
                if guess.status != 422 {
                    break guess.expect(429);
                }
            }
        };
        let told = waits.await;
        let seconds: u64 = told.header("retry-after").parse().unwrap();
        let page = told.text();
        assert!(seconds >= 1 && page.contains("There were too many failed attempts. Try again in "), "{page}");
        assert!(page.contains("<title>Error: "), "{page}");
        assert!(page.contains("role=\"alert\"") && page.contains(&format!("action=\"{path}\"")), "{page}");
    }
}
