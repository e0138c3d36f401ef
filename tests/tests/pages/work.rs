//! Work, and what an administrator does to people: a person scales what a key would scale, and takes keys away. By mouse, by
//! keys, without scripts.

use super::world::{open, sign_in, with_cluster};
use kv_tests::{
    Backend,
    browser::{Key, Look},
    on_both, run,
};

on_both!(a_workload_is_scaled_and_restarted, an_administrator_revokes_keys);

async fn a_workload_is_scaled_and_restarted(backend: Backend) {
    scale_and_restart(backend, Look::DESK, "pages-work").await;
}

async fn an_administrator_revokes_keys(backend: Backend) {
    revoke(backend, Look::DESK).await;
}

#[test]
fn work_without_scripts() {
    run(scale_and_restart(Backend::Sqlite, Look::DESK.without_javascript(), "pages-plain"));
}

#[test]
fn revocation_without_scripts() {
    run(revoke(Backend::Sqlite, Look::DESK.without_javascript()));
}

async fn scale_and_restart(backend: Backend, look: Look, namespace: &str) {
    let (app, browser) = open(backend, look).await;
    let namespace = with_cluster(&app, &format!("{namespace}-{backend:?}").to_lowercase()).await;
    sign_in(&browser, "admin").await;
    if look.javascript {
        browser.await_text("healthy").await;
    }
    browser.click_text("prod").await;
    browser.await_text("Active").await;
    browser.click_text(&namespace).await;
    browser.await_text("api-server").await;
    browser.fill("Replicas of api-server", "3").await;
    browser.click_text("Scale api-server").await;
    browser.await_text("The cluster was told.").await;
    let admin = app.admin().await;
    let path = format!("/api/v1/clusters/prod/namespaces/{namespace}/deployments/api-server");
    let seen = app.get(&path).session(&admin).send().await.expect(200).json();
    assert_eq!(seen["spec"]["replicas"], 3);
    browser.click_text("Restart api-server").await;
    browser.await_text("Restart api-server?").await;
    browser.click_text_in("dialog", "Restart").await;
    browser.await_text("The restart has begun.").await;
    let seen = app.get(&path).session(&admin).send().await.expect(200).json();
    assert!(seen["spec"]["template"]["metadata"]["annotations"].is_object(), "{seen}");
    for action in ["kubernetes.patch", "kubernetes.restart"] {
        let entry = &app.audit(&format!("action={action}")).await[0];
        assert_eq!((entry["user"].as_str(), entry["agent"].as_str()), (Some("admin"), Some("web")), "{entry}");
    }
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

async fn revoke(backend: Backend, look: Look) {
    let (app, browser) = open(backend, look).await;
    let (_, session, key) = app.someone("dana", "dev", None).await;
    let other = app.key(&session, "nightly").await;
    sign_in(&browser, "admin").await;
    browser.click_text("Users").await;
    browser.click_text("dana").await;
    browser.await_text("nightly").await;
    browser.click_text("Revoke nightly").await;
    browser.await_css("dialog").await;
    browser.click("dialog .btn.danger").await;
    browser.await_text("The key is revoked.").await;
    app.get("/api/v1/api-keys/current").key(&other).send().await.expect(401);
    app.get("/api/v1/api-keys/current").key(&key).send().await.expect(200);
    browser.goto(&format!("{}/api-keys/revoke-all", browser.path().await)).await;
    browser.click("dialog .btn.danger").await;
    browser.await_text("One key was live.").await;
    app.get("/api/v1/api-keys/current").key(&key).send().await.expect(401);
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[test]
fn all_of_it_by_keyboard() {
    run(async {
        let (app, browser) = open(Backend::Sqlite, Look::DESK).await;
        let namespace = with_cluster(&app, "pages-keys").await;
        let (_, _, key) = app.someone("dana", "dev", None).await;
        sign_in(&browser, "admin").await;
        let follow = async |name: &str| {
            browser.tab_to(name).await;
            browser.press(Key::Enter).await;
        };
        follow("prod").await;
        browser.await_path("/clusters/prod").await;
        follow(&namespace).await;
        browser.await_text("api-server").await;
        browser.tab_to("Replicas of api-server").await;
        browser.press(Key::Up).await;
        browser.press(Key::Enter).await;
        browser.await_text("The cluster was told.").await;
        follow("Users").await;
        browser.await_path("/settings/users").await;
        follow("dana").await;
        browser.await_text("API Keys").await;
        follow("Revoke ci").await;
        browser.await_css("dialog").await;
        assert_eq!(browser.focused().await, "Cancel", "Enter does no harm");
        follow("Revoke key").await;
        browser.await_text("The key is revoked.").await;
        app.get("/api/v1/api-keys/current").key(&key).send().await.expect(401);
        follow("Audit Logs").await;
        browser.await_path("/settings/audit-logs").await;
        browser.tab_to("User").await;
        browser.type_text("nobody").await;
        browser.press(Key::Tab).await;
        assert_eq!(browser.focused().await, "Agent", "typing and going on changes nothing yet");
        browser.press(Key::Enter).await;
        browser.await_text("No entry matches.").await;
    });
}

/// Without a browser it is asked of both databases.
#[test]
fn attack_204_not_confirmed_is_said() {
    run(async {
        let (app, browser) = open(Backend::Postgres, Look::DESK).await;
        let admin = app.admin().await;
        app.key(&admin, "deploy").await;
        sign_in(&browser, "admin").await;
        browser.goto("/profile/api-keys").await;
        browser.click("td.do a").await;
        browser.await_text("Revoke deploy?").await;
        app.database.shut_out();
        browser.click_text("Revoke key").await;
        browser.await_text("Not confirmed").await;
        assert!(!browser.shows("The key is revoked.").await);
        app.database.admit_again();
    });
}
