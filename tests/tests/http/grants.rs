//! Nobody gives what they do not hold, and nobody governs who holds more.

use crate::administration::{id, made, role};
use kv_tests::{Backend, Cluster, PASSWORD, TestApp, User, on_both};
use serde_json::{Value, json};

on_both!(nobody_gives_what_they_do_not_hold, nobody_governs_who_holds_more, nobody_governs_who_reaches_further,);

async fn nobody_gives_what_they_do_not_hold(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    app.add_cluster("other", &cluster).await;
    let admin = app.admin().await;
    role(&app, &admin, "lead", &["rbac:manage", "users:*", "pods:*", "*:read"]).await;
    role(&app, &admin, "small", &["pods:read"]).await;
    role(&app, &admin, "large", &["secrets:reveal"]).await;
    let lead = app.user("lead", "lead").await;
    app.assign(&lead, "prod", &["team"]).await;
    let lead = app.login("lead").await;
    let bob = made(&app, &lead, "bob", "small").await;
    let user = format!("/api/v1/users/{}", id(&bob));
    let acts = |role: &str| {
        vec![
            app.post("/api/v1/users").json(&json!({"name": format!("of-{role}"), "role": role})),
            app.patch(&user).json(&json!({"role": role})),
        ]
    };
    for role in ["admin", "ops", "dev", "readonly", "large"] {
        for act in acts(role) {
            assert_eq!(act.session(&lead).send().await.expect(403).code(), "exceeds_own_rights", "{role}");
        }
    }
    for grants in [json!(["*:*"]), json!(["secrets:reveal"]), json!(["*:write"]), json!(["audit:*"])] {
        let body = json!({"name": "new", "grants": grants});
        for act in [
            app.post("/api/v1/roles").json(&body),
            app.patch("/api/v1/roles/small").json(&json!({"grants": grants})),
            app.patch("/api/v1/roles/lead").json(&json!({"grants": grants})),
        ] {
            assert_eq!(act.session(&lead).send().await.expect(403).code(), "exceeds_own_rights", "{grants}");
        }
    }
    // Nor takes or narrows what they could not give.
    for act in [app.patch("/api/v1/roles/large").json(&json!({"grants": []})), app.delete("/api/v1/roles/large")] {
        assert_eq!(act.session(&lead).send().await.expect(403).code(), "exceeds_own_rights");
    }
    let assign = |body: Value| app.request("PUT", &format!("{user}/assignments")).session(&lead).json(&body).send();
    for body in
        [json!({"cluster": "prod"}), json!({"cluster": "prod", "namespaces": ["team", "x"]}), json!({"cluster": null})]
    {
        assert_eq!(assign(body.clone()).await.expect(403).code(), "exceeds_own_rights", "{body}");
    }
    assign(json!({"cluster": "other", "namespaces": ["team"]})).await.expect(404);
    // What they hold, they give.
    assign(json!({"cluster": "prod", "namespaces": ["team"]})).await.expect(204);
    app.patch("/api/v1/roles/small").session(&lead).json(&json!({"grants": ["pods:*"]})).send().await.expect(204);
    role(&app, &lead, "new", &["deployments:read", "pods:exec"]).await;
    for act in acts("new") {
        assert!(act.session(&lead).send().await.is_success());
    }
}

async fn nobody_governs_who_holds_more(backend: Backend) {
    let app = TestApp::start(backend).await;
    let admin = app.admin().await;
    role(&app, &admin, "helpdesk", &["users:*", "rbac:manage"]).await;
    app.user("helper", "helpdesk").await;
    let helper = app.login("helper").await;
    let (root, dev) = (app.user("root", "admin").await, app.user("dev", "dev").await);
    let (lost, peer) = (app.user("lost", "helpdesk").await, app.user("empty", "helpdesk").await);
    let acts = |user: &User| {
        let path = format!("/api/v1/users/{}", user.id);
        vec![
            app.post(&format!("{path}/reset-password")).json(&json!({"new_password": "taken over 1234"})),
            app.delete(&format!("{path}/second-factor")),
            app.patch(&path).json(&json!({"disabled": true})),
            app.patch(&path).json(&json!({"role": "helpdesk"})),
            app.request("PUT", &format!("{path}/assignments")).json(&json!({"cluster": null})),
            app.delete(&path),
        ]
    };
    for user in [&root, &dev] {
        for act in acts(user) {
            assert_eq!(act.session(&helper).send().await.expect(403).code(), "exceeds_own_rights", "{}", user.name);
        }
        app.try_login(&user.name, PASSWORD).await.expect(200);
    }
    let path = format!("/api/v1/users/{}", lost.id);
    let reset = app.post(&format!("{path}/reset-password")).json(&json!({"new_password": "a helpful password"}));
    reset.session(&helper).send().await.expect(200);
    app.delete(&format!("/api/v1/users/{}", peer.id)).session(&helper).send().await.expect(204);
}

async fn nobody_governs_who_reaches_further(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("dev", &cluster).await;
    app.add_cluster("prod", &cluster).await;
    let admin = app.admin().await;
    role(&app, &admin, "lead", &["users:*", "rbac:manage", "pods:*"]).await;
    role(&app, &admin, "pods", &["pods:read"]).await;
    let lead = app.user("lead", "lead").await;
    app.assign(&lead, "dev", &[]).await;
    let lead = app.login("lead").await;
    let (near, far) = (app.user("near", "pods").await, app.user("far", "pods").await);
    app.assign(&near, "dev", &["team"]).await;
    app.assign(&far, "dev", &["team"]).await;
    app.assign(&far, "prod", &["team"]).await;
    let acts = |user: &User| {
        let path = format!("/api/v1/users/{}", user.id);
        vec![
            app.patch(&path).json(&json!({"role": "lead"})),
            app.post(&format!("{path}/reset-password")).json(&json!({"new_password": "taken over 1234"})),
            app.delete(&format!("{path}/second-factor")),
            app.delete(&path),
        ]
    };
    // The lesser role, but where the lead is nobody: whoever signs in as them is somebody there.
    for act in acts(&far) {
        assert_eq!(act.session(&lead).send().await.expect(403).code(), "exceeds_own_rights");
    }
    let widen = || app.patch("/api/v1/roles/pods").json(&json!({"grants": ["pods:*"]})).session(&lead).send();
    assert_eq!(widen().await.expect(403).code(), "exceeds_own_rights");
    app.try_login("far", PASSWORD).await.expect(200);
    // More of what the lead has, is the lead's to give: to them as well.
    let line = json!({"cluster": "dev", "namespaces": ["team", "other"]});
    let path = format!("/api/v1/users/{}/assignments", far.id);
    app.request("PUT", &path).session(&lead).json(&line).send().await.expect(204);
    app.delete(&format!("{path}?cluster=prod")).session(&admin).send().await.expect(204);
    widen().await.expect(204);
    for act in acts(&near) {
        let answer = act.session(&lead).send().await;
        assert!(answer.is_success(), "{}", answer.text());
    }
}
