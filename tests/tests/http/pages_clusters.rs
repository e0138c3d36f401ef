//! The pages of Settings, Clusters: one is added by its address and a token, what is wrong with it stands beside its field,
//! whom calls name is changed, and how it is has a page.

use kv_tests::{Answer, Backend, Cluster, Reply, TestApp, on_both};
use serde_json::json;

on_both!(
    a_cluster_is_added_by_its_address_and_a_token,
    what_is_wrong_with_a_cluster_stands_beside_its_field,
    whom_calls_name_is_changed,
    how_a_cluster_is_has_a_page,
);

const SETTINGS: &str = "/settings/clusters";
const NEW: &str = "/settings/clusters/new";
const TOKEN: &str = "c2VjcmV0LW9mLXRoZS1jbHVzdGVy";

fn leads_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location")
}

async fn a_cluster_is_added_by_its_address_and_a_token(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    cluster.reply("/version", Reply::json(200, &json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})));
    let mut admin = app.browser("admin").await;
    admin.get(NEW).await.expect(200);
    let server = format!("https://{}", cluster.address);
    // As it is pasted, and with what is left of the other way.
    let (pasted, token) = (format!(" {server}\n"), format!("{TOKEN}\n"));
    let fields = [
        ("name", "prod"),
        ("by", "token"),
        ("kubeconfig", "half a file"),
        ("context", ""),
        ("server", pasted.as_str()),
        ("ca", cluster.certificate()),
        ("token", token.as_str()),
        ("impersonate", "yes"),
    ];
    let made = admin.submit(NEW, &fields).await;
    assert_eq!(leads_to(&made), SETTINGS);
    let page = admin.follow(&made).await.expect(200).text();
    assert!(page.contains("The cluster is added.") && page.contains(&server) && page.contains("the caller"), "{page}");
    assert!(!page.contains(TOKEN) && !page.contains("CERTIFICATE"));
    let session = app.admin().await;
    let seen = app.get("/api/v1/clusters/prod").session(&session).send().await.expect(200).json();
    assert_eq!((&seen["health"], &seen["impersonate"]), (&json!("healthy"), &json!(true)), "{seen}");
    let told = cluster.seen().pop().unwrap();
    assert_eq!(told.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    let entry = &app.audit("action=cluster.add").await[0];
    assert_eq!((entry["user"].as_str(), entry["agent"].as_str()), (Some("admin"), Some("web")));
    assert!(!entry.to_string().contains(TOKEN));

    // By a kubeconfig still, which is the way where none is named.
    let file = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443"}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
    })
    .to_string();
    for (name, by) in [("one", &[("by", "kubeconfig")][..]), ("two", &[])] {
        let fields = [&[("name", name), ("kubeconfig", file.as_str()), ("token", "left over")], by].concat();
        assert_eq!(leads_to(&admin.submit(NEW, &fields).await), SETTINGS, "{name}");
    }
}

async fn what_is_wrong_with_a_cluster_stands_beside_its_field(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut admin = app.browser("admin").await;
    for (name, server, ca, token, status, field) in [
        ("Prod", "https://10.0.0.1", "", TOKEN, 422, "name"),
        ("prod", "http://10.0.0.1", "", TOKEN, 400, "server"),
        ("prod", "", "", TOKEN, 400, "server"),
        ("prod", "https://169.254.169.254", "", TOKEN, 422, "server"),
        ("prod", "https://10.0.0.1", "not a certificate", TOKEN, 400, "ca"),
        ("prod", "https://10.0.0.1", "", "two words", 400, "token"),
        ("prod", "https://10.0.0.1", "", "", 400, "token"),
    ] {
        let fields = [("name", name), ("by", "token"), ("server", server), ("ca", ca), ("token", token)];
        let page = admin.submit(NEW, &fields).await.expect(status).text();
        assert_eq!(page.matches("<p class=\"error\"").count(), 1, "{fields:?}: {page}");
        assert!(page.contains(&format!("id=\"{field}-error\"")), "{fields:?}: {page}");
        // What was typed is still there, but for the secret.
        assert!(page.contains(&format!("value=\"{name}\"")) && page.contains(&format!("value=\"{server}\"")), "{page}");
        assert!(page.contains(&format!(">{ca}</textarea>")) && page.contains("value=\"token\" checked"), "{page}");
        assert!(token.is_empty() || !page.contains(token), "{page}");
    }
    let fields = [("name", "prod"), ("by", "kubeconfig"), ("kubeconfig", "users: [{token: very-secret}]")];
    let page = admin.submit(NEW, &fields).await.expect(400).text();
    assert!(page.contains("id=\"kubeconfig-error\"") && !page.contains("very-secret"), "{page}");
    assert!(page.contains("value=\"kubeconfig\" checked"), "{page}");
    assert_eq!(app.database.count("clusters", "1 = 1"), 0);
    // Who may not add any is told nothing of what is wrong.
    app.user("dana", "dev").await;
    let mut dana = app.browser("dana").await;
    let refused = dana.submit(NEW, &[("name", "Prod"), ("by", "token"), ("server", "http://x")]).await.expect(403);
    assert!(!refused.text().contains("-error"));
}

async fn whom_calls_name_is_changed(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    cluster.reply("/version", Reply::json(200, &json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})));
    app.add_cluster("prod", &cluster).await;
    let session = app.admin().await;
    let change = format!("{SETTINGS}/prod/change");
    let mut admin = app.browser("admin").await;
    let impersonates = async || {
        app.get("/api/v1/clusters/prod").session(&session).send().await.expect(200).json()["impersonate"].clone()
    };
    for (fields, now) in [(&[("impersonate", "yes")][..], true), (&[], false)] {
        let dialog = admin.get(&change).await.expect(200).text();
        let ticked = dialog.contains("name=\"impersonate\" value=\"yes\" checked");
        assert!(dialog.contains("<dialog") && ticked != now, "{dialog}");
        let done = admin.submit(&change, fields).await;
        assert!(admin.follow(&done).await.text().contains("The cluster is saved."));
        assert_eq!(impersonates().await, now);
    }
    let entry = &app.audit("action=cluster.change").await[0];
    assert_eq!(
        (entry["user"].as_str(), entry["agent"].as_str(), entry["resource_name"].as_str()),
        (Some("admin"), Some("web"), Some("prod")),
        "{entry}"
    );
    admin.get(&format!("{SETTINGS}/none/change")).await.expect(404);
    admin.submit(&format!("{SETTINGS}/none/change"), &[]).await.expect(404);
    admin.submit(&change, &[("name", "other")]).await.expect(400);
    app.someone("dana", "dev", Some("prod")).await;
    let mut dana = app.browser("dana").await;
    dana.get(&change).await.expect(403);
    dana.submit(&change, &[("impersonate", "yes")]).await.expect(403);
    assert_eq!(impersonates().await, false);
}

async fn how_a_cluster_is_has_a_page(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    cluster.reply("/version", Reply::json(200, &json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})));
    app.add_cluster("prod", &cluster).await;
    app.someone("dana", "dev", Some("prod")).await;
    let mut dana = app.browser("dana").await;
    let page = dana.get("/clusters/prod/health").await.expect(200).text();
    for part in [
        "<h1>prod</h1>",
        "href=\"/clusters\"",
        "action=\"/sign-out\"",
        "Check again",
        "data-found",
        ">healthy<",
        "v1.33.0",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    dana.get("/clusters/none/health").await.expect(404);
    drop(cluster);
    let page = dana.get("/clusters/prod/health").await.expect(200).text();
    assert!(page.contains(">not healthy<") && page.contains("Check again"), "{page}");
}
