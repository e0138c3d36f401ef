//! The pages of Settings, Roles: what each role holds, and the forms that make, change and delete one.

use crate::administration::role;
use kv_authz::{Permission, Resource, Role, Verb, role::Scope};
use kv_tests::{Answer, Backend, Session, TestApp, Visitor, between, on_both};
use serde_json::json;
use std::borrow::Cow;

on_both!(
    what_each_role_holds_is_shown,
    a_role_is_made_changed_and_deleted,
    what_is_wrong_with_a_role_stands_beside_its_field,
    nobody_gives_by_a_page_what_they_do_not_hold,
);

const ROLES: &str = "/settings/roles";
const NEW: &str = "/settings/roles/new";

async fn visitor<'a>(app: &'a TestApp, name: &str) -> Visitor<'a> {
    let mut visitor = app.browser(name).await;
    visitor.get("/profile/api-keys").await.expect(200);
    visitor
}

fn leads_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location")
}

/// What a role holds, by the API.
async fn grants(app: &TestApp, session: &Session, name: &str) -> serde_json::Value {
    let found = app.get(&format!("/api/v1/roles/{name}")).session(session).send().await.expect(200).json();
    found["grants"].clone()
}

async fn what_each_role_holds_is_shown(backend: Backend) {
    let app = TestApp::start(backend).await;
    role(&app, &app.admin().await, "lead", &["pods:*", "*:read"]).await;
    let mut admin = visitor(&app, "admin").await;
    let page = admin.get(ROLES).await.expect(200).text();
    // Every row says in words what kv-authz says of each role.
    let grants = ["pods:*", "*:read"].map(|text| text.parse().unwrap()).to_vec();
    let id = kv_authz::RoleId::from_parts(1, [1; 10]);
    let lead = Role::Custom { id, name: "lead".into(), grants };
    let roles: Vec<_> = Role::BUILT_IN.into_iter().chain([lead]).collect();
    for (kind, scope) in [("pods", Scope::Namespace), ("secrets", Scope::Namespace), ("nodes", Scope::Cluster)] {
        let row = between(&page, &format!("<code>{kind}</code>"), "</tr>").remove(0);
        let said = between(&row, "<span class=\"sr\">", "</span>");
        let held = |role: &Role| {
            let resource = || Resource::Kubernetes(Cow::Borrowed(kind));
            let verbs = [Verb::Read, Verb::Write, Verb::Delete];
            let held = verbs.into_iter().filter(|verb| role.holds(&Permission::new(resource(), *verb), scope));
            let words: Vec<_> = held.map(Verb::as_str).collect();
            if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
        };
        assert_eq!(said, roles.iter().map(held).collect::<Vec<_>>(), "{kind}");
    }
    let atom = between(&page, "Run commands in pods", "</tr>").remove(0);
    assert_eq!(between(&atom, "<td><span class=\"", "</span>").len(), roles.len());
    assert_eq!(atom.matches(">yes<").count(), 4, "all but those who only read");
}

async fn a_role_is_made_changed_and_deleted(backend: Backend) {
    let app = TestApp::start(backend).await;
    let session = app.admin().await;
    let mut admin = visitor(&app, "admin").await;
    admin.get(NEW).await.expect(200);
    let fields =
        [("name", "lead"), ("grant", "pods:read"), ("grant", "pods:logs"), ("more", "x.example.com:*\r\n\r\n")];
    let made = admin.submit(NEW, &fields).await;
    assert!(admin.follow(&made).await.text().contains("The role is made."));
    assert_eq!(grants(&app, &session, "lead").await, json!(["pods:read", "pods:logs", "x.example.com:*"]));
    // The form shows what is held, and sent as it is it changes nothing.
    let page = admin.get("/settings/roles/lead").await.expect(200).text();
    let ticked = between(&page, "<input type=\"checkbox\" name=\"grant\" value=\"", ">");
    let ticked: Vec<_> = ticked.iter().filter_map(|text| text.strip_suffix("\" checked")).collect();
    assert_eq!(ticked, ["pods:read", "pods:logs"]);
    assert!(page.contains(">x.example.com:*</textarea>"), "{page}");

    let user = app.user("ann", "lead").await;
    let fields = [("name", "first"), ("grant", "pods:read"), ("more", "")];
    let changed = admin.submit("/settings/roles/lead", &fields).await;
    assert_eq!(leads_to(&changed), "/settings/roles/first");
    let page = admin.follow(&changed).await.expect(200).text();
    assert!(page.contains("The role is saved.") && page.contains("One person holds it."));
    assert_eq!(grants(&app, &session, "first").await, json!(["pods:read"]));
    admin.get("/settings/roles/lead").await.expect(404);
    admin.get("/settings/roles/admin").await.expect(404);

    let dialog = admin.get("/settings/roles/first/delete").await.expect(200).text();
    assert!(dialog.contains("Delete first?") && dialog.contains("One person holds it, and may do nothing"));
    let deleted = admin.submit("/settings/roles/first/delete", &[]).await;
    assert!(admin.follow(&deleted).await.text().contains("The role is deleted."));
    admin.submit("/settings/roles/first/delete", &[]).await.expect(404);
    admin.get(&format!("/settings/users/{}", user.id)).await.expect(200);
    for action in ["role.create", "role.change", "role.delete"] {
        let entry = app.audit(&format!("action={action}")).await.remove(0);
        assert_eq!((entry["user"].as_str(), entry["agent"].as_str()), (Some("admin"), Some("web")), "{action}");
    }

    // One that is called as the page beside it can be opened as well.
    leads_to(&admin.submit(NEW, &[("name", "new"), ("more", "")]).await);
    assert!(admin.get(ROLES).await.text().contains("\"/settings/roles/new/edit\""));
    assert!(admin.get("/settings/roles/new/edit").await.expect(200).text().contains("value=\"new\""));
    let changed = admin.submit("/settings/roles/new/edit", &[("name", "new"), ("more", "pods:read")]).await;
    assert_eq!(leads_to(&changed), "/settings/roles/new/edit");
    assert_eq!(grants(&app, &session, "new").await, json!(["pods:read"]));
}

async fn what_is_wrong_with_a_role_stands_beside_its_field(backend: Backend) {
    let app = TestApp::start(backend).await;
    let session = app.admin().await;
    role(&app, &session, "lead", &["pods:read"]).await;
    role(&app, &session, "other", &["pods:read"]).await;
    let mut admin = visitor(&app, "admin").await;
    for address in [NEW, "/settings/roles/lead"] {
        for (name, more, status, field) in [
            ("a b", "", 422, "name"),
            ("<script>alert(1)</script>", "", 422, "name"),
            ("Admin", "", 422, "name"),
            ("other", "", 409, "name"),
            ("fresh", "pods:read\npods", 422, "more"),
            ("fresh", "<script>alert(1)</script>", 422, "more"),
        ] {
            let fields = [("name", name), ("grant", "secrets:read"), ("more", more)];
            let page = admin.submit(address, &fields).await.expect(status).text();
            assert!(page.contains(&format!("id=\"{field}-error\"")), "{address} {name} {more}: {page}");
            assert!(page.contains("value=\"secrets:read\" checked") && !page.contains("<script>alert"), "{address}");
        }
    }
    assert_eq!(grants(&app, &session, "lead").await, json!(["pods:read"]));
    let many: String = (0..501).map(|n| format!("kind{n}:read\n")).collect();
    let page = admin.submit(NEW, &[("name", "large"), ("more", &many)]).await.expect(422).text();
    assert!(page.contains("id=\"more-error\"") && page.contains("at most 500"));
    assert_eq!(app.database.count("roles", "1 = 1"), 2);
}

async fn nobody_gives_by_a_page_what_they_do_not_hold(backend: Backend) {
    let app = TestApp::start(backend).await;
    let session = app.admin().await;
    role(&app, &session, "lead", &["rbac:manage", "users:read", "pods:*"]).await;
    role(&app, &session, "small", &["pods:read"]).await;
    role(&app, &session, "large", &["secrets:reveal"]).await;
    app.user("ann", "lead").await;
    let mut ann = visitor(&app, "ann").await;
    let refused = "You do not hold secrets:reveal yourself";
    for (address, fields) in [
        (NEW, &[("name", "fresh"), ("grant", "secrets:reveal"), ("more", "")][..]),
        ("/settings/roles/small", &[("name", "small"), ("grant", "secrets:reveal"), ("more", "")]),
        ("/settings/roles/large", &[("name", "large"), ("more", "")]),
        ("/settings/roles/large/delete", &[]),
    ] {
        let page = ann.submit(address, fields).await.expect(403).text();
        assert!(page.contains("role=\"alert\"") && page.contains(refused), "{address}: {page}");
    }
    assert_eq!(leads_to(&ann.submit(NEW, &[("name", "fresh"), ("more", "pods:exec")]).await), ROLES);
    // Who may only look, looks.
    role(&app, &session, "looks", &["users:read"]).await;
    app.user("eve", "looks").await;
    let mut eve = visitor(&app, "eve").await;
    assert!(!eve.get(ROLES).await.expect(200).text().contains(NEW));
    let page = eve.get("/settings/roles/small").await.expect(200).text();
    assert!(page.contains("disabled") && !page.contains("Save role") && !page.contains("/delete"));
    eve.get(NEW).await.expect(403);
    eve.submit("/settings/roles/small", &[("name", "small"), ("more", "")]).await.expect(403);
}
