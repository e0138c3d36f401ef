//! The pages of Settings, Users: what each form does, says and refuses, and who sees them.

use crate::administration::role;
use kv_server::{
    clock::Clock,
    routes::{Access, ROUTES},
};
use kv_tests::{Answer, Backend, Cluster, PASSWORD, TestApp, User, Visitor, between, on_both};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use time::{Duration, OffsetDateTime};

on_both!(
    a_user_is_made_given_rights_and_deleted,
    what_is_wrong_with_a_user_stands_beside_its_field,
    keys_and_sessions_of_others_end,
    an_account_is_disabled_enabled_and_given_another_password,
    settings_are_for_those_who_may_see_them,
    nobody_governs_who_holds_more_by_a_page,
    a_code_is_asked_for_before_anything_is_filled_in,
);

const USERS: &str = "/settings/users";
const NEW: &str = "/settings/users/new";
const SCRIPT: &str = "<script>alert(1)</script>";

pub(crate) fn page_of(user: &User) -> String {
    format!("{USERS}/{}", user.id)
}

/// Where an answer leads.
pub(crate) fn leads_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location")
}

/// The addresses in a page that end as told.
pub(crate) fn links(page: &Answer, end: &str) -> Vec<String> {
    between(&page.text(), "href=\"", "\"").into_iter().filter(|link| link.ends_with(end)).collect()
}

/// Whether a page says what is wrong with a field.
fn wrong(page: &Answer, field: &str) -> bool {
    page.text().contains(&format!("id=\"{field}-error\""))
}

pub(crate) async fn administrator(app: &TestApp) -> Visitor<'_> {
    let mut admin = app.browser("admin").await;
    admin.get(USERS).await.expect(200);
    admin
}

async fn a_user_is_made_given_rights_and_deleted(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let mut admin = administrator(&app).await;
    admin.get(NEW).await.expect(200);
    let fields = [("name", SCRIPT), ("role", "readonly"), ("password", PASSWORD)];
    let made = admin.submit(NEW, &fields).await;
    let user = leads_to(&made).to_owned();
    let page = admin.follow(&made).await.expect(200);
    assert!(page.text().contains("The user is made.") && !page.text().contains(SCRIPT));
    let listed = admin.get(USERS).await.expect(200).text();
    assert!(listed.contains("&lt;script&gt;") && !listed.contains(SCRIPT) && listed.contains(&user));
    let found = admin.get("/settings/users?name_prefix=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await.expect(200);
    assert!(found.text().contains(&user) && !found.text().contains(">admin</a>"));

    let given = admin.submit(&format!("{user}/role"), &[("role", "dev")]).await;
    assert!(admin.follow(&given).await.text().contains("The role is saved."));
    let assign = format!("{user}/assignments/new");
    for (cluster, namespaces) in [("prod", "team, default"), ("*", "")] {
        let done = admin.submit(&assign, &[("cluster", cluster), ("namespaces", namespaces)]).await;
        assert_eq!(leads_to(&done), user);
    }
    let page = admin.get(&user).await.expect(200).text();
    assert!(
        page.contains("default, team") && page.contains("every cluster") && page.contains("selected>dev<"),
        "{page}"
    );
    for cluster in ["prod", "%2A"] {
        let remove = format!("{user}/assignments/remove?cluster={cluster}");
        assert!(admin.get(&remove).await.expect(200).text().contains("data-modal"));
        let done = admin.submit(&remove, &[]).await;
        assert!(admin.follow(&done).await.text().contains("The assignment is removed."));
        // There is nothing left to ask about.
        assert_eq!(leads_to(&admin.get(&remove).await), user);
    }
    for action in ["user.create", "user.change", "user.assign", "user.unassign"] {
        let entry = app.audit(&format!("action={action}")).await.remove(0);
        assert_eq!((entry["user"].as_str(), entry["agent"].as_str()), (Some("admin"), Some("web")), "{action}");
        assert!(entry.to_string().contains("alert(1)"), "{action}: {entry}");
    }

    let delete = format!("{user}/delete");
    let dialog = admin.get(&delete).await.expect(200).text();
    assert!(dialog.contains("Delete &lt;script&gt;") && !dialog.contains(SCRIPT));
    let gone = admin.submit(&delete, &[]).await;
    assert_eq!(leads_to(&gone), USERS);
    assert!(admin.follow(&gone).await.text().contains("The user is deleted"));
    admin.get(&user).await.expect(404);
}

async fn what_is_wrong_with_a_user_stands_beside_its_field(backend: Backend) {
    let app = TestApp::start(backend).await;
    let ann = app.user("ann", "dev").await;
    let mut admin = administrator(&app).await;
    for (name, role, password, status, field) in [
        ("", "dev", PASSWORD, 422, "name"),
        ("a\u{202e}b", "dev", PASSWORD, 422, "name"),
        ("ann", "dev", PASSWORD, 409, "name"),
        ("bob", "Admin", PASSWORD, 422, "role"),
        ("bob", "dev", "short", 422, "password"),
    ] {
        let fields = [("name", name), ("role", role), ("password", password)];
        let page = admin.submit(NEW, &fields).await.expect(status);
        assert!(wrong(&page, field), "{field}: {}", page.text());
        assert!(page.text().contains(&format!("value=\"{name}\"")) && !page.text().contains(password), "{field}");
    }
    // Without a password nobody signs in as them.
    leads_to(&admin.submit(NEW, &[("name", "bob"), ("role", "dev"), ("password", "")]).await);
    app.try_login("bob", "").await.expect(401);
    let page = page_of(&ann);
    let refused = admin.submit(&format!("{page}/role"), &[("role", "none")]).await.expect(422);
    assert!(wrong(&refused, "role"));
    for (cluster, namespaces, status, field) in
        [("none", "", 404, "cluster"), ("*", "A b", 422, "namespaces"), ("*", " , ", 422, "namespaces")]
    {
        let fields = [("cluster", cluster), ("namespaces", namespaces)];
        let refused = admin.submit(&format!("{page}/assignments/new"), &fields).await.expect(status);
        assert!(wrong(&refused, field), "{field}: {}", refused.text());
    }
    assert_eq!(app.database.count("assignments", "1 = 1"), 0);
    let reset = format!("{page}/reset-password");
    let refused = admin.submit(&reset, &[("password", "short")]).await.expect(422);
    assert!(wrong(&refused, "password") && !refused.text().contains(" checked"), "the box stays as it was sent");
    assert!(admin.get(&reset).await.text().contains(" checked"));
    // The last administrator stays: said in the dialog.
    let me = app.get("/api/v1/auth/me").session(&app.admin().await).send().await.json()["id"].clone();
    let me = format!("{USERS}/{}", me.as_str().unwrap());
    for act in ["disable", "delete"] {
        let refused = admin.submit(&format!("{me}/{act}"), &[]).await.expect(409).text();
        assert!(refused.contains("role=\"alert\"") && refused.contains("Nobody would be left"), "{act}");
    }
    // A field that the form does not have.
    admin.submit(&format!("{page}/disable"), &[("restore", "yes")]).await.expect(400);
    admin.submit(NEW, &[("name", "x"), ("name", "y"), ("role", "dev")]).await.expect(400);
    admin.get(&format!("{USERS}/none")).await.expect(404);
}

async fn keys_and_sessions_of_others_end(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (ann, session, key) = app.someone("ann", "dev", None).await;
    let others = [app.key(&session, "second").await, app.key(&session, "third").await];
    let mut admin = administrator(&app).await;
    let page = page_of(&ann);
    let revoke = format!("{page}/api-keys/{}/revoke", key.id);
    let shown = admin.get(&page).await.expect(200);
    assert!(links(&shown, "/revoke").contains(&revoke) && shown.text().contains("Revoke all 3"));
    let dialog = admin.get(&revoke).await.expect(200).text();
    assert!(dialog.contains("Revoke ci?") && dialog.contains("It belongs to ann."));
    let done = admin.submit(&revoke, &[]).await;
    assert!(admin.follow(&done).await.text().contains("The key is revoked."));
    app.get("/api/v1/api-keys/current").key(&key).send().await.expect(401);
    assert_eq!(leads_to(&admin.get(&revoke).await), page, "there is nothing left to ask about");
    let revoked = admin.get(&format!("{page}/api-keys?state=revoked&sort=name")).await.expect(200);
    assert!(revoked.text().contains(">ci<") && links(&revoked, "/revoke").is_empty());

    let all = format!("{page}/api-keys/revoke-all");
    let dialog = admin.get(&all).await.expect(200).text();
    assert!(dialog.contains("Revoke all keys of ann?") && dialog.contains("2 live keys stop at once"));
    let done = admin.submit(&all, &[]).await;
    assert!(admin.follow(&done).await.text().contains("2 keys were live."));
    for key in &others {
        app.get("/api/v1/api-keys/current").key(key).send().await.expect(401);
    }
    let again = admin.submit(&all, &[]).await;
    assert!(admin.follow(&again).await.text().contains("No key was live"));
    // Of somebody else there is no such key.
    let bob = app.user("bob", "dev").await;
    admin.submit(&format!("{}/api-keys/{}/revoke", page_of(&bob), key.id), &[]).await.expect(404);

    let mut anns = app.browser("ann").await;
    anns.get("/profile/api-keys").await.expect(200);
    let ends = links(&admin.get(&page).await, "/end");
    assert_eq!(ends.len(), 3, "two of them, and all: {ends:?}");
    let one = ends.iter().find(|link| !link.ends_with("/sessions/end")).unwrap();
    assert!(admin.get(one).await.expect(200).text().contains("End a session of ann?"));
    let done = admin.submit(one, &[]).await;
    assert!(admin.follow(&done).await.text().contains("The session has ended."));
    assert_eq!(leads_to(&admin.submit(one, &[]).await), page, "it is over already");
    let all = format!("{page}/sessions/end");
    admin.get(&all).await.expect(200);
    let done = admin.submit(&all, &[]).await;
    assert!(admin.follow(&done).await.text().contains("One session went on."));
    app.get("/api/v1/auth/me").session(&session).send().await.expect(401);
    assert!(leads_to(&anns.get("/profile/api-keys").await).starts_with("/sign-in"));
}

async fn an_account_is_disabled_enabled_and_given_another_password(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (ann, session, key) = app.someone("ann", "dev", None).await;
    let mut admin = administrator(&app).await;
    let page = page_of(&ann);
    let current = || app.get("/api/v1/api-keys/current").key(&key).send();
    let mut done = async |act: &str, fields: &[(&str, &str)]| {
        let address = format!("{page}/{act}");
        assert!(admin.get(&address).await.expect(200).text().contains("data-modal"), "{act}");
        let done = admin.submit(&address, fields).await;
        admin.follow(&done).await.expect(200).text()
    };
    assert!(done("disable", &[]).await.contains("The user is disabled."));
    current().await.expect(401);
    app.get("/api/v1/auth/me").session(&session).send().await.expect(401);
    assert!(done("enable", &[("restore", "yes")]).await.contains("The user is enabled"));
    current().await.expect(200);
    let late = app.key(&app.login("ann").await, "late").await;
    done("disable", &[]).await;
    done("enable", &[]).await;
    app.get("/api/v1/api-keys/current").key(&late).send().await.expect(401);
    current().await.expect(401);
    let key = app.key(&app.login("ann").await, "last").await;
    let current = || app.get("/api/v1/api-keys/current").key(&key).send();
    // What does not apply is not asked.
    for act in ["enable", "reset-second-factor"] {
        assert_eq!(leads_to(&admin.get(&format!("{page}/{act}")).await), page, "{act}");
    }
    let mut reset = async |fields: &[(&str, &str)]| {
        let done = admin.submit(&format!("{page}/reset-password"), fields).await;
        assert!(admin.follow(&done).await.text().contains("The password is reset."));
    };
    reset(&[("password", "another good password")]).await;
    app.try_login("ann", PASSWORD).await.expect(401);
    app.try_login("ann", "another good password").await.expect(200);
    current().await.expect(200);
    reset(&[("password", PASSWORD), ("revoke", "yes")]).await;
    current().await.expect(401);
    app.enrol("ann").await;
    let factor = format!("{page}/reset-second-factor");
    assert!(admin.get(&factor).await.expect(200).text().contains("Reset the second factor of ann?"));
    let done = admin.submit(&factor, &[]).await;
    assert!(admin.follow(&done).await.text().contains("The second factor is reset."));
    app.login("ann").await;
}

/// The pages of the settings of users and roles, with an example of each part.
fn addresses(user: &User) -> Vec<(&'static str, String)> {
    let ours = ROUTES.iter().filter(|route| {
        route.access == Access::Page && (route.path.starts_with(USERS) || route.path.starts_with("/settings/roles"))
    });
    let id = user.id.to_string();
    let filled = |path: &str| {
        let filled =
            path.replace("{id}", &id).replace("{name}", "lead").replace("{key_id}", &id).replace("{session_id}", &id);
        if filled.ends_with("/assignments/remove") { format!("{filled}?cluster=prod") } else { filled }
    };
    ours.map(|route| (route.method, filled(route.path))).collect()
}

async fn settings_are_for_those_who_may_see_them(backend: Backend) {
    let app = TestApp::start(backend).await;
    let ann = app.user("ann", "ops").await;
    role(&app, &app.admin().await, "lead", &["pods:read"]).await;
    role(&app, &app.admin().await, "looks", &["users:read"]).await;
    app.user("eve", "looks").await;
    let (mut anns, mut eves) = (app.browser("ann").await, app.browser("eve").await);
    let mine = anns.get("/profile/api-keys").await.expect(200).text();
    assert!(!mine.contains("/settings/users") && !mine.contains("/settings/roles"));
    assert!(eves.get("/profile/api-keys").await.expect(200).text().contains("/settings/users"));
    let addresses = addresses(&ann);
    assert!(addresses.len() > 30, "{addresses:?}");
    for (method, address) in &addresses {
        let fields: &[_] = match address.as_str() {
            NEW => &[("name", "x"), ("role", "dev"), ("password", "")],
            "/settings/roles/new" => &[("name", "x"), ("more", "pods:read")],
            "/settings/roles/lead" | "/settings/roles/lead/edit" => &[("name", "lead"), ("more", "*:*")],
            address if address.ends_with("/role") => &[("role", "admin")],
            address if address.ends_with("/assignments/new") => &[("cluster", "*"), ("namespaces", "")],
            address if address.ends_with("/reset-password") => &[("password", PASSWORD)],
            _ => &[],
        };
        for visitor in [&mut anns, &mut eves] {
            let answer = match *method {
                "GET" => visitor.get(address).await,
                _ => visitor.submit(address, fields).await,
            };
            // Who may look, looks; nobody does more.
            let looks = *method == "GET" && !answer.text().contains("data-modal");
            assert!(answer.status == 403 || (answer.status == 200 && looks), "{method} {address}: {}", answer.text());
        }
        // Every form stands at the address it is sent to: those who show a code on the way are led there.
        assert!(addresses.contains(&("GET", address.clone())), "{address}");
    }
    for (_, address) in addresses.iter().filter(|(method, _)| *method == "POST") {
        let token = "x".repeat(43);
        anns.submit_as(address, &[], &token, &format!("http://{}", app.address())).await.expect(403);
    }
    let page = eves.get(&page_of(&ann)).await.expect(200).text();
    for nothing in ["/delete", "/role\"", "Save role", "API Keys</h2>", "/end\"", "/reset-password"] {
        assert!(!page.contains(nothing), "{nothing}");
    }
    assert_eq!(app.database.count("users", "deleted_at IS NULL"), 3);
}

async fn nobody_governs_who_holds_more_by_a_page(backend: Backend) {
    let app = TestApp::start(backend).await;
    role(&app, &app.admin().await, "helpdesk", &["users:*", "rbac:manage"]).await;
    app.user("helper", "helpdesk").await;
    let root = app.user("root", "admin").await;
    let mut helper = app.browser("helper").await;
    let page = page_of(&root);
    let shown = helper.get(&page).await.expect(200).text();
    assert!(!shown.contains("/reset-password") && !shown.contains("/delete") && !shown.contains("Save role"));
    for (act, fields) in [
        ("disable", &[][..]),
        ("delete", &[]),
        ("reset-second-factor", &[]),
        ("reset-password", &[("password", PASSWORD)]),
        ("role", &[("role", "helpdesk")]),
        ("assignments/new", &[("cluster", "*"), ("namespaces", "")]),
    ] {
        let refused = helper.submit(&format!("{page}/{act}"), fields).await.expect(403).text();
        assert!(refused.contains("You do not hold") && refused.contains(">root<"), "{act}: {refused}");
    }
    let dialog = helper.get(NEW).await.expect(200).text();
    assert!(dialog.contains(">helpdesk</option>") && !dialog.contains(">admin</option>"), "{dialog}");
    let fields = [("name", "mole"), ("role", "admin"), ("password", PASSWORD)];
    let refused = helper.submit(NEW, &fields).await.expect(403).text();
    assert!(refused.contains("role=\"alert\"") && refused.contains("You do not hold") && refused.contains("mole"));
    app.try_login("root", PASSWORD).await.expect(200);
}

async fn a_code_is_asked_for_before_anything_is_filled_in(backend: Backend) {
    let shift = Arc::new(AtomicI64::new(0));
    let seconds = shift.clone();
    let clock = Clock::from_fn(move || OffsetDateTime::now_utc() + Duration::seconds(seconds.load(Ordering::Relaxed)));
    let app = TestApp::with_clock(backend, &[], clock).await;
    app.user("root", "admin").await;
    let ann = app.user("ann", "dev").await;
    let (_, factor) = app.enrol("root").await;
    shift.store(60, Ordering::Relaxed);
    let mut root = app.visitor();
    let asked = root.sign_in("root", PASSWORD).await.expect(200);
    let challenge = between(&asked.text(), "name=\"challenge\" value=\"", "\"").remove(0);
    let code = factor.next_code(&app).await;
    leads_to(&root.submit("/sign-in/code", &[("challenge", &challenge), ("code", &code)]).await);
    let page = page_of(&ann);
    // The code was shown a moment ago.
    assert!(root.get(&page).await.expect(200).text().contains("Save role"));
    root.get(NEW).await.expect(200);
    shift.store(60 + 301, Ordering::Relaxed);
    let shown = root.get(&page).await.expect(200).text();
    assert!(!shown.contains("Save role") && shown.contains("Change role") && shown.contains("/assignments/new\""));
    let remove = format!("{page}/assignments/remove?cluster=%2A");
    for address in [NEW, "/settings/roles/new", &format!("{page}/role"), &format!("{page}/delete"), &remove] {
        let led = root.get(address).await;
        let there = leads_to(&led);
        assert!(there.starts_with("/verify?next=%2Fsettings%2F"), "{there}");
    }
    for action in ["user.create", "user.delete", "role.create", "user.unassign"] {
        assert!(app.audit(&format!("action={action}&user=root")).await.is_empty(), "{action}: nothing was tried");
    }
    let act = format!("{page}/disable");
    let led = root.submit(&act, &[]).await;
    let there = leads_to(&led).to_owned();
    root.get(&there).await.expect(200);
    let code = factor.next_code(&app).await;
    let back = root.submit(&there, &[("code", &code)]).await;
    assert_eq!(leads_to(&back), act, "back to where it was asked");
    assert!(root.follow(&back).await.expect(200).text().contains("Disable ann?"));
    assert_eq!(leads_to(&root.submit(&act, &[]).await), page);
}
