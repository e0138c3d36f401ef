//! Every page, as an administrator sees it: in light, in dark and on a phone, accessible in each, without a sideways scroll,
//! without a word in the console, light enough, and to be gone around by keyboard. The pictures are in `target/screenshots/`.

use super::world::{open, sign_in, with_cluster};
use kv_tests::{
    Backend, Cluster, Reply, TestApp,
    browser::{Browser, Look},
    run,
};
use serde_json::json;

/// Bytes of a page with all that it needs.
const HEAVIEST: u64 = 60 * 1024;
/// How much of a page may move as it comes: a time that takes its reader's zone moves what stands beside it. Where it can be
/// felt is 0.1, by the account of those who make browsers. On a machine that is late with everything, the log's table was seen to
/// move by 0.022, for its times take their zone after it was painted.
const STEADIEST: f64 = 0.05;

async fn see(browser: &Browser, name: &str, path: &str, text: &str) {
    browser.goto(path).await;
    browser.await_text(text).await;
    // Before it is looked at in other widths, for which it has to move.
    let shift = browser.layout_shift().await;
    assert!(shift < STEADIEST, "{path} jumps by {shift}");
    browser.inspect(name).await;
    // Once around by keyboard: every stop has a name, and shows that it has the focus.
    let first = if browser.has("dialog").await { "Cancel" } else { "Skip to the page" };
    browser.tab_to(first).await;
    browser.tab_to(first).await;
    assert!(browser.title().await.ends_with("KubeVision"), "{path}");
}

async fn user(app: &TestApp, name: &str) -> String {
    let found = app.get("/api/v1/users").session(&app.admin().await).send().await.json();
    let user = found["items"].as_array().unwrap().iter().find(|user| user["name"] == name).unwrap();
    user["id"].as_str().unwrap().to_owned()
}

#[test]
fn profile_and_settings() {
    run(async {
        let (app, browser) = open(Backend::Sqlite, Look::DESK).await;
        browser.goto("/sign-in").await;
        browser.inspect("sign-in").await;
        let (_, session, _) = app.someone("dana", "dev", None).await;
        for name in ["gitlab-nightly", "terraform-prod", "<script>alert(1)</script>"] {
            app.key(&session, name).await;
        }
        sign_in(&browser, "admin").await;
        see(&browser, "keys-empty", "/profile/api-keys", "You have no keys yet.").await;
        let admin = app.admin().await;
        let soon =
            (app.now() + time::Duration::days(6)).format(&time::format_description::well_known::Rfc3339).unwrap();
        app.key_until(&admin, "github-actions-deploy", &soon.into()).await;
        app.key(&admin, "gitlab-nightly").await;
        see(&browser, "keys", "/profile/api-keys", "Expiring").await;
        see(&browser, "keys-new", "/profile/api-keys/new", "New API Key").await;
        let revoke = browser.run("return document.querySelector('td.do a').pathname", &[]).await;
        see(&browser, "revoke", revoke.as_str().unwrap(), "This cannot be undone.").await;
        see(&browser, "security", "/profile/security", "Second factor").await;
        see(&browser, "sessions-end", "/profile/security/sessions/end", "Cancel").await;
        see(&browser, "password", "/profile/security/password", "Change password").await;
        see(&browser, "second-factor", "/profile/security/second-factor", "Set up").await;
        see(&browser, "users", "/settings/users", "dana").await;
        see(&browser, "users-new", "/settings/users/new", "New user").await;
        let dana = format!("/settings/users/{}", user(&app, "dana").await);
        see(&browser, "user", &dana, "terraform-prod").await;
        assert_eq!(browser.alerted().await, None, "a name is a name");
        see(&browser, "revoke-all", &format!("{dana}/api-keys/revoke-all"), "Cancel").await;
        see(&browser, "user-delete", &format!("{dana}/delete"), "Cancel").await;
    });
}

#[test]
fn roles_audit_and_clusters() {
    run(async {
        let (app, browser) = open(Backend::Sqlite, Look::DESK).await;
        let namespace = with_cluster(&app, "pages-every").await;
        let (_, _, key) = app.someone("dana", "dev", Some("prod")).await;
        app.get("/api/v1/clusters").key(&key).send().await.expect(200);
        sign_in(&browser, "admin").await;
        see(&browser, "roles", "/settings/roles", "readonly").await;
        see(&browser, "roles-new", "/settings/roles/new", "New role").await;
        see(&browser, "audit", "/settings/audit-logs", "cluster.list").await;
        let entry = browser.run("return document.querySelector('tbody a').pathname", &[]).await;
        see(&browser, "audit-entry", entry.as_str().unwrap(), "Address").await;
        see(&browser, "audit-export", "/settings/audit-logs/export", "Download CSV").await;
        // It is being prepared until the answer has come, which the server says.
        browser.click_text("Download CSV").await;
        browser.await_text("The download has begun.").await;
        see(&browser, "clusters-settings", "/settings/clusters", "healthy").await;
        see(&browser, "clusters-new", "/settings/clusters/new", "Kubeconfig").await;
        see(&browser, "clusters-change", "/settings/clusters/prod/change", "Change prod").await;
        see(&browser, "cluster-health", "/clusters/prod/health", "Check again").await;
        see(&browser, "clusters", "/clusters", "healthy").await;
        see(&browser, "namespaces", "/clusters/prod", &namespace).await;
        let here = format!("/clusters/prod/namespaces/{namespace}");
        see(&browser, "workloads", &here, "api-server").await;
        see(&browser, "restart", &format!("{here}/deployments/api-server/restart"), "Cancel").await;
    });
}

#[test]
fn a_page_weighs_little() {
    run(async {
        let (app, browser) = open(Backend::Sqlite, Look::DESK).await;
        let admin = app.admin().await;
        for number in 0..100 {
            app.key(&admin, &format!("pipeline-{number}")).await;
        }
        browser.goto("/sign-in").await;
        let first = browser.answers().await;
        let assets: u64 =
            first.iter().filter(|answer| answer.url.contains("/assets/")).map(|answer| answer.bytes).sum();
        assert!(assets > 5_000, "{first:?}");
        sign_in(&browser, "admin").await;
        for path in ["/profile/api-keys", "/settings/audit-logs", "/settings/roles"] {
            browser.goto(path).await;
            let bytes = browser.document(Some(path)).await.bytes;
            assert!(bytes + assets < HEAVIEST, "{path} has {bytes} bytes, with its assets {}", bytes + assets);
        }
    });
}

#[test]
fn a_page_that_comes_in_pieces_stays_where_it_is() {
    run(async {
        let (app, browser) = open(Backend::Sqlite, Look::DESK).await;
        let (admin, cluster) = (app.admin().await, Cluster::start());
        cluster.reply("/version", Reply::json(200, &json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})));
        for number in 0..60 {
            let name = "a".repeat(number % 20 + 1);
            app.key(&admin, &format!("{name}-{number}")).await;
            app.add_cluster(&format!("{name}-{number}"), &cluster).await;
        }
        sign_in(&browser, "admin").await;
        browser.slow_down(48 * 1024).await;
        for path in ["/settings/roles", "/settings/audit-logs", "/profile/api-keys", "/settings/clusters", "/clusters"]
        {
            browser.goto(path).await;
            let shift = browser.layout_shift().await;
            assert!(shift < STEADIEST, "{path} jumps by {shift}");
        }
    });
}
