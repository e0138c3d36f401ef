//! Pages of clusters without a screen: what a cluster says is text, who may not is not asked, and what was refused is on
//! record once.

use crate::administration::role;
use kv_tests::{Answer, Backend, Cluster, Reply, TestApp, Visitor, between, on_both};
use serde_json::json;

on_both!(
    nobody_is_led_to_what_their_role_does_not_show,
    a_namespace_that_is_not_there_is_no_page,
    a_lying_cluster_leads_nowhere,
    who_may_not_is_neither_asked_nor_told,
    what_a_page_refuses_is_on_record_once,
    live_keys_are_found_behind_many_expired_ones,
);

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/team/deployments";
const PAGE: &str = "/clusters/prod/namespaces/team";

async fn world(backend: Backend) -> (TestApp, Cluster) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    (app, cluster)
}

/// Every address that a page leads or sends to.
fn addresses(page: &Answer) -> Vec<String> {
    let text = page.text();
    let named = ["href=\"", "action=\""].map(|name| kv_tests::between(&text, name, "\""));
    named.concat().into_iter().filter(|address| address != "#main").collect()
}

async fn a_lying_cluster_leads_nowhere(backend: Backend) {
    let (app, cluster) = world(backend).await;
    let lies = [
        "../../../../other/namespaces/secret/deployments/api/scale#",
        "..",
        "a/b",
        "%2e%2e",
        "x?kind=pods",
        "\"><script>alert(1)</script>",
    ];
    let object = |name: &str| json!({"metadata": {"name": name}, "spec": {"replicas": 0}});
    let items: Vec<_> = lies.iter().chain(&["honest"]).map(|name| object(name)).collect();
    cluster.reply(DEPLOYMENTS, Reply::json(200, &json!({"kind": "DeploymentList", "items": items})));
    let items: Vec<_> = lies.iter().map(|name| json!({"metadata": {"name": name}})).collect();
    cluster.reply("/api/v1/namespaces", Reply::json(200, &json!({"kind": "NamespaceList", "items": items})));
    let mut admin = app.browser("admin").await;
    for path in [PAGE, "/clusters/prod"] {
        let page = admin.get(path).await.expect(200);
        for address in addresses(&page) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/-._?=&".contains(c);
            assert!(address.chars().all(plain) && !address.contains(".."), "{path} leads to {address}");
        }
        assert!(page.text().contains("../../../../other") && !page.text().contains("<script>alert"), "{path}");
    }
    let page = admin.get(PAGE).await;
    assert!(addresses(&page).contains(&format!("{PAGE}/deployments/honest/scale")));
}

/// Follows every link of a page that is about clusters, and those of the pages it leads to.
async fn follow_all(visitor: &mut Visitor<'_>, from: &str) -> Vec<String> {
    let (mut seen, mut next) = (Vec::new(), vec![from.to_owned()]);
    while let Some(path) = next.pop() {
        let page = visitor.get(&path).await.expect(200);
        let known = |address: &String| seen.contains(address) || *address == path;
        let links = between(&page.text(), "href=\"", "\"");
        let links: Vec<_> = links.into_iter().filter(|link| link.starts_with("/clusters/")).collect();
        next.extend(links.into_iter().filter(|link| !known(link)));
        seen.push(path);
    }
    seen.sort();
    seen.dedup();
    seen
}

async fn nobody_is_led_to_what_their_role_does_not_show(backend: Backend) {
    let (app, cluster) = world(backend).await;
    let session = app.admin().await;
    role(&app, &session, "pods-only", &["pods:read", "clusters:write"]).await;
    role(&app, &session, "names-only", &["namespaces:read"]).await;
    for (name, role, namespaces) in
        [("all", "pods-only", &[][..]), ("some", "pods-only", &["team", "tools"]), ("names", "names-only", &[])]
    {
        let user = app.user(name, role).await;
        app.assign(&user, "prod", namespaces).await;
    }
    // Of every namespace, but without a list of them: there is nothing to be led to, only the cluster's health.
    let mut all = app.browser("all").await;
    assert_eq!(follow_all(&mut all, "/clusters").await, ["/clusters", "/clusters/prod/health"]);
    assert_eq!(follow_all(&mut all, "/settings/clusters").await, ["/clusters/prod/health", "/settings/clusters"]);
    let refused = all.get("/clusters/prod").await.expect(403).text();
    assert!(refused.contains("namespaces:read"), "{refused}");
    assert!(all.get(PAGE).await.expect(200).text().contains("of-team"), "by its address it is there");
    // Of some, by name: those are shown, and the cluster is not asked for them. Of the kinds, those that may be seen.
    let asked = cluster.seen().len();
    let mut some = app.browser("some").await;
    assert!(some.get("/clusters/prod").await.expect(200).text().contains("tools"));
    assert_eq!(cluster.seen().len(), asked);
    let seen = follow_all(&mut some, "/clusters").await;
    let spaces = ["team", "tools"].map(|name| format!("/clusters/prod/namespaces/{name}"));
    let kinds = spaces.clone().map(|space| format!("{space}?kind=pods"));
    assert_eq!(
        seen,
        [
            &["/clusters", "/clusters/prod", "/clusters/prod/health"].map(str::to_owned)[..],
            &[spaces[0].clone(), kinds[0].clone(), spaces[1].clone(), kinds[1].clone()]
        ]
        .concat()
    );
    some.get("/clusters/none").await.expect(404);
    // The namespaces and nothing in them.
    let mut names = app.browser("names").await;
    let seen = follow_all(&mut names, "/clusters").await;
    assert_eq!(seen, ["/clusters", "/clusters/prod", "/clusters/prod/health"]);
    names.get(PAGE).await.expect(403);
}

async fn a_namespace_that_is_not_there_is_no_page(backend: Backend) {
    let (app, cluster) = world(backend).await;
    let empty = Reply::json(200, &json!({"kind": "List", "items": []}));
    // What is told last counts first.
    cluster.reply("/api/v1/namespaces/ghost", Reply::refusal(404, "namespaces \"ghost\" not found"));
    cluster.reply("/api/v1/namespaces/shy", Reply::refusal(403, "not for this account"));
    for space in ["ghost", "empty", "shy"] {
        cluster.reply(&format!("/apis/apps/v1/namespaces/{space}/deployments"), empty.clone());
        cluster.reply(&format!("/api/v1/namespaces/{space}/pods"), empty.clone());
    }
    let role_of = &app.admin().await;
    role(&app, role_of, "pods-only", &["pods:read"]).await;
    app.someone("eve", "pods-only", Some("prod")).await;
    let mut admin = app.browser("admin").await;
    let at = |space: &str| format!("/clusters/prod/namespaces/{space}");
    let gone = admin.get(&at("ghost")).await.expect(404).text();
    assert!(gone.contains("There is no such page"), "{gone}");
    admin.get(&format!("{}/deployments/web/scale", at("ghost"))).await.expect(404);
    for space in ["empty", "shy"] {
        let page = admin.get(&at(space)).await.expect(200).text();
        assert!(page.contains("Nothing of this kind runs here."), "{space}: {page}");
    }
    // Where something runs nobody needs to ask, and who may not know of namespaces is told nothing of them.
    let asked = |since: usize| cluster.seen().split_off(since).iter().map(kv_tests::Seen::line).collect::<Vec<_>>();
    let before = cluster.seen().len();
    admin.get(PAGE).await.expect(200);
    assert_eq!(asked(before).len(), 1, "{:?}", asked(before));
    let mut eve = app.browser("eve").await;
    let before = cluster.seen().len();
    assert!(eve.get(&format!("{}?kind=pods", at("ghost"))).await.expect(200).text().contains("Nothing of this kind"));
    assert_eq!(asked(before).len(), 1, "{:?}", asked(before));
}

async fn who_may_not_is_neither_asked_nor_told(backend: Backend) {
    let (app, cluster) = world(backend).await;
    app.someone("reader", "readonly", Some("prod")).await;
    app.someone("ops", "ops", Some("prod")).await;
    let address = cluster.access().server().to_string();
    let mut reader = app.browser("reader").await;
    for path in ["/settings/clusters", "/settings/clusters/new", "/settings/clusters/prod/remove", "/settings/users"] {
        let page = reader.get(path).await.expect(403);
        assert!(!page.text().contains(&address), "{path}");
    }
    assert!(!reader.get("/clusters").await.expect(200).text().contains(&address));
    let asked = reader.get(&format!("{PAGE}/deployments/web/restart")).await;
    assert!(!asked.text().contains("<dialog"), "{}", asked.text());
    reader.submit(&format!("{PAGE}/deployments/web/restart"), &[]).await.expect(403);
    reader.get(&format!("{PAGE}/daemonsets/web/scale")).await.expect(404);
    let mut ops = app.browser("ops").await;
    assert!(ops.get("/settings/clusters").await.expect(200).text().contains(&address));
    ops.get("/settings/clusters/prod/remove").await.expect(403);
}

async fn what_a_page_refuses_is_on_record_once(backend: Backend) {
    let (app, _cluster) = world(backend).await;
    let mut admin = app.browser("admin").await;
    for (path, fields, action) in [
        ("/profile/api-keys/new", &[("name", "a"), ("expiry", "99999"), ("date", "")][..], "api_key.create"),
        ("/settings/roles/new", &[("name", "a"), ("more", "gar bage")], "role.create"),
        ("/clusters/prod/namespaces/team/deployments/web/scale", &[("replicas", "-1")], "kubernetes.patch"),
        ("/settings/users/new", &[("name", "a"), ("role", "dev"), ("password", "short")], "user.create"),
    ] {
        let refused = admin.submit(path, fields).await.expect(422);
        let entries = app.entries_of(&refused).await;
        assert_eq!(entries.len(), 1, "{path}: {entries:?}");
        assert_eq!(
            (entries[0]["action"].as_str(), entries[0]["status_code"].as_u64()),
            (Some(action), Some(422)),
            "{path}"
        );
        assert_eq!((entries[0]["user"].as_str(), entries[0]["agent"].as_str()), (Some("admin"), Some("web")));
    }
}

async fn live_keys_are_found_behind_many_expired_ones(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, session, key) = app.someone("ann", "dev", None).await;
    let soon = app.now() + time::Duration::seconds(2);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    let expiring = app.key_until(&session, "short", &soon.into()).await;
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    let mut ann = app.browser("ann").await;
    let live = ann.get("/profile/api-keys").await.expect(200).text();
    assert!(live.contains(">ci<") && !live.contains(">short<"), "{live}");
    let expired = ann.get("/profile/api-keys?state=expired").await.expect(200).text();
    assert!(expired.contains(">short<") && !expired.contains(">ci<"));
    // Both can be asked about, whichever table is below.
    for id in [&key.id, &expiring.id] {
        let dialog = ann.get(&format!("/profile/api-keys/{id}/revoke")).await.expect(200);
        assert!(dialog.text().contains("<dialog"), "{}", dialog.text());
    }
    let other = app.someone("bob", "dev", None).await.2;
    ann.get(&format!("/profile/api-keys/{}/revoke", other.id)).await.expect(404);
}
