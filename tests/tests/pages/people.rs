//! Settings, Users and Roles, in a browser: somebody is made, given a role and clusters, loses keys, is disabled, enabled, given
//! another password and deleted; a role is made in the matrix, changed and deleted.

use super::person::{Person, Way, three_ways};
use kv_tests::{Cluster, PASSWORD};
use serde_json::json;

three_ways!(a_user_comes_and_goes, a_role_is_ticked_together);

async fn a_user_comes_and_goes(way: Way) {
    let person = Person::meet_admin(way).await;
    let (app, browser) = (&person.app, &person.browser);
    let cluster = Cluster::start();
    app.add_cluster("prod", &cluster).await;
    person.follow("Users").await;
    person.follow_in(".head", "New user").await;
    browser.await_path("/settings/users/new").await;
    person.fill("Name", "dana").await;
    person.choose("Role", "dev").await;
    person.fill("Password", PASSWORD).await;
    person.follow("Make user").await;
    browser.await_text("The user is made.").await;
    let here = browser.path().await;

    person.choose("Cluster", "prod").await;
    person.fill("Namespaces", "team, tools").await;
    person.follow("Add").await;
    browser.await_text("The assignment is saved.").await;
    assert!(browser.shows("team, tools").await);
    person.choose("Role", "readonly").await;
    person.follow("Save role").await;
    browser.await_text("The role is saved.").await;
    let dana = app.login("dana").await;
    let me = app.get("/api/v1/auth/me").session(&dana).send().await.expect(200).text();
    assert!(me.contains("readonly") && me.contains("tools"), "{me}");
    person.follow("Remove prod").await;
    person.follow_in("dialog", "Remove").await;
    browser.await_text("The assignment is removed.").await;

    let keys = [app.key(&dana, "ci").await, app.key(&dana, "nightly").await, app.key(&dana, "deploy").await];
    let status = async |key: usize| app.get("/api/v1/api-keys/current").key(&keys[key]).send().await.status;
    browser.goto(&here).await;
    person.follow("Revoke nightly").await;
    browser.await_text("Revoke nightly?").await;
    assert_eq!(status(1).await, 200, "nothing has happened yet");
    person.follow_in("dialog", "Revoke key").await;
    browser.await_text("The key is revoked.").await;
    assert_eq!((status(0).await, status(1).await), (200, 401));
    person.follow("Revoke all 2").await;
    person.follow_in("dialog", "Revoke all keys").await;
    browser.await_text("2 keys were live. They are revoked").await;
    assert_eq!((status(0).await, status(2).await), (401, 401));

    person.follow("Disable").await;
    person.follow_in("dialog", "Disable").await;
    browser.await_text("The user is disabled.").await;
    app.try_login("dana", PASSWORD).await.expect(401);
    person.follow("Enable").await;
    person.tick("Give the keys back that disabling them revoked").await;
    person.follow_in("dialog", "Enable").await;
    browser.await_text("The user is enabled").await;
    person.follow("Reset password").await;
    person.fill("New password", "another long password").await;
    person.follow_in("dialog", "Reset password").await;
    browser.await_text("The password is reset.").await;
    app.try_login("dana", "another long password").await.expect(200);

    person.follow("Delete").await;
    browser.await_text("Delete dana?").await;
    person.leave().await;
    browser.await_path(&here).await;
    assert!(!browser.has("dialog").await);
    person.follow("Delete").await;
    person.follow_in("dialog", "Delete user").await;
    browser.await_text("The user is deleted").await;
    app.try_login("dana", "another long password").await.expect(401);
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

async fn a_role_is_ticked_together(way: Way) {
    let person = Person::meet_admin(way).await;
    let (app, browser) = (&person.app, &person.browser);
    let session = app.admin().await;
    let grants =
        async || app.get("/api/v1/roles/lead").session(&session).send().await.expect(200).json()["grants"].clone();
    person.follow("Roles").await;
    person.follow("New role").await;
    browser.await_path("/settings/roles/new").await;
    person.fill("Name", "lead").await;
    person.tick("pods: read").await;
    person.tick("deployments: write").await;
    person.tick("Read pod logs pods:logs").await;
    person.paste("Other permissions", "widgets.example.com:read").await;
    person.follow("Make role").await;
    browser.await_text("The role is made.").await;
    assert_eq!(grants().await, json!(["deployments:write", "pods:read", "pods:logs", "widgets.example.com:read"]));

    person.follow("lead").await;
    browser.await_path("/settings/roles/lead").await;
    browser.await_text("Nobody holds it.").await;
    person.tick("deployments: write").await;
    person.tick("services: read").await;
    person.follow("Save role").await;
    browser.await_text("The role is saved.").await;
    assert_eq!(grants().await, json!(["pods:read", "pods:logs", "services:read", "widgets.example.com:read"]));
    person.follow("Delete role").await;
    person.follow_in("dialog", "Delete role").await;
    browser.await_text("The role is deleted.").await;
    app.get("/api/v1/roles/lead").session(&session).send().await.expect(404);
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}
