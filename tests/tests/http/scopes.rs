//! How far rights reach: namespaces, roles, the values of Secrets.

use kv_tests::{Backend, Cluster, TestApp, on_both};
use serde_json::{Value, json};

on_both!(
    attack_116_a_list_across_namespaces_is_the_union_of_ones_own,
    a_missing_atom_is_named_and_a_foreign_namespace_is_not_known,
    attack_80_81_secrets_are_masked_or_revealed_by_role_and_a_key_leaves_its_mark,
    a_write_that_would_store_the_mask_is_refused,
    who_may_not_manage_rbac_writes_none,
    changes_of_assignment_count_on_the_next_request,
    custom_resources_go_by_plural_and_group,
);

const SECRETS: &str = "/api/v1/clusters/prod/namespaces/a/secrets";
const SECRET: &str = "/api/v1/clusters/prod/namespaces/a/secrets/db";
const VALUE: &str = "aHVudGVyMg==";
const MASK: &str = "KioqKioqKio=";

async fn world(backend: Backend) -> (TestApp, Cluster) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    (app, cluster)
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

async fn attack_116_a_list_across_namespaces_is_the_union_of_ones_own(backend: Backend) {
    let (app, cluster) = world(backend).await;
    let (bob, _, key) = app.someone("bob", "dev", None).await;
    app.assign(&bob, "prod", &["a", "b"]).await;
    let list = app.get("/api/v1/clusters/prod/pods").key(&key).send().await.expect(200).json();
    assert_eq!((names(&list), &list["metadata"]), (vec!["of-a", "of-b"], &json!({})));
    let asked: Vec<_> = cluster.seen().iter().map(kv_tests::Seen::line).collect();
    assert_eq!(asked, ["GET /api/v1/namespaces/a/pods", "GET /api/v1/namespaces/b/pods"], "never for all of them");
    let list = app.get("/api/v1/clusters/prod/namespaces").key(&key).send().await.expect(200).json();
    assert_eq!(names(&list), ["a", "b"]);
    // Whoever has all of them gets what the cluster says.
    let (_, _, key) = app.someone("ann", "dev", Some("prod")).await;
    let list = app.get("/api/v1/clusters/prod/pods").key(&key).send().await.expect(200).json();
    assert_eq!((names(&list), &list["metadata"]["resourceVersion"]), (vec!["of-a", "of-b", "of-c"], &json!("7")));
}

async fn a_missing_atom_is_named_and_a_foreign_namespace_is_not_known(backend: Backend) {
    let (app, cluster) = world(backend).await;
    let (bob, _, key) = app.someone("bob", "readonly", None).await;
    app.assign(&bob, "prod", &["a"]).await;
    app.get(SECRETS).key(&key).send().await.expect(200);
    let seen = cluster.seen().len();
    for path in [
        "/api/v1/clusters/prod/namespaces/c/pods",
        "/api/v1/clusters/none/namespaces/a/pods",
        "/api/v1/clusters/prod/namespaces/c",
        "/api/v1/clusters/none",
    ] {
        let answer = app.get(path).key(&key).send().await.expect(404);
        assert!(answer.json().get("missing").is_none(), "{path}");
    }
    let pod = json!({"kind": "Pod", "apiVersion": "v1"});
    let pods = "/api/v1/clusters/prod/namespaces/a/pods";
    for (request, missing) in [
        (app.post(pods).json(&pod), "pods:write"),
        (app.delete(&format!("{pods}/web")), "pods:delete"),
        (app.patch("/api/v1/clusters/prod/namespaces/a/deployments/web").json(&json!({})), "deployments:write"),
        (app.get("/api/v1/clusters/prod/nodes"), "nodes:read"),
        (app.get("/api/v1/audit-logs"), "audit:read"),
    ] {
        let problem = request.key(&key).send().await.expect(403).json();
        assert_eq!((&problem["missing"], &problem["denied_by"]), (&json!(missing), &json!("kubevision")), "{problem}");
    }
    assert_eq!(cluster.seen().len(), seen, "the cluster was asked for nothing of it");
}

async fn attack_80_81_secrets_are_masked_or_revealed_by_role_and_a_key_leaves_its_mark(backend: Backend) {
    let (app, cluster) = world(backend).await;
    let copy = json!({"kind": "Secret", "data": {"password": VALUE}}).to_string();
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": copy});
    cluster.reply(
        "/api/v1/namespaces/a/secrets/db",
        kv_tests::Reply::json(200, &json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "db",
            "namespace": "a", "annotations": annotations}, "data": {"password": VALUE}, "stringData": {"p": "hunter2"}})),
    );
    for role in ["dev", "readonly"] {
        let (_, session, key) = app.someone(role, role, Some("prod")).await;
        for path in [SECRET, SECRETS, "/api/v1/clusters/prod/secrets"] {
            for request in [app.get(path).key(&key), app.get(path).session(&session)] {
                let text = request.send().await.expect(200).text();
                assert!(
                    !text.contains(VALUE) && !text.contains("hunter2") && text.contains(MASK),
                    "{role} {path}: {text}"
                );
            }
        }
        let patched = app.patch(SECRET).key(&key).json(&json!({"metadata": {}})).send().await;
        assert!(!patched.text().contains(VALUE), "{role}: {}", patched.text());
    }
    let (_, session, key) = app.someone("ops", "ops", Some("prod")).await;
    let revealed = app.get(SECRET).key(&key).send().await.expect(200);
    assert!(revealed.text().contains(VALUE));
    assert!(app.entry_of(&revealed).await["detail"].to_string().contains("bypassed by key"));
    assert!(app.get(SECRET).session(&session).send().await.expect(200).text().contains(VALUE));
    let pods = app.get("/api/v1/clusters/prod/namespaces/a/pods").key(&key).send().await.expect(200);
    assert!(!app.entry_of(&pods).await["detail"].to_string().contains("bypassed"));
}

async fn a_write_that_would_store_the_mask_is_refused(backend: Backend) {
    let (app, cluster) = world(backend).await;
    let (_, _, key) = app.someone("ann", "dev", Some("prod")).await;
    let secret = app.get(SECRET).key(&key).send().await.expect(200).json();
    let seen = cluster.seen().len();
    let answer = app.request("PUT", SECRET).key(&key).json(&secret).send().await.expect(422);
    assert_eq!(answer.code(), "masked_value");
    app.patch(SECRET).key(&key).json(&json!({"data": {"password": MASK}})).send().await.expect(422);
    let carried = json!([{"op": "copy", "from": "/data/password", "path": "/metadata/annotations/x"}]);
    let carried = app.patch(SECRET).key(&key).body("application/json-patch+json", carried.to_string());
    carried.send().await.expect(422);
    assert_eq!(cluster.seen().len(), seen);
    app.patch(SECRET).key(&key).json(&json!({"data": {"password": VALUE}})).send().await.expect(200);
}

async fn who_may_not_manage_rbac_writes_none(backend: Backend) {
    let (app, cluster) = world(backend).await;
    let (_, _, key) = app.someone("ops", "ops", Some("prod")).await;
    let bindings = "/api/v1/clusters/prod/namespaces/a/rolebindings";
    app.get(bindings).key(&key).send().await.expect(200);
    let seen = cluster.seen().len();
    let body = json!({"kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1"});
    for request in
        [app.post(bindings), app.request("PUT", &format!("{bindings}/x")), app.patch(&format!("{bindings}/x"))]
    {
        let problem = request.key(&key).json(&body).send().await.expect(403).json();
        assert_eq!(problem["missing"], "rbac:manage", "{problem}");
    }
    let problem = app.delete(&format!("{bindings}/x")).key(&key).send().await.expect(403).json();
    assert_eq!(problem["missing"], "rbac:manage");
    assert_eq!(cluster.seen().len(), seen);
    let admin = app.admin().await;
    app.post(bindings).session(&admin).json(&body).send().await.expect(201);
}

async fn changes_of_assignment_count_on_the_next_request(backend: Backend) {
    let (app, _cluster) = world(backend).await;
    let (bob, session, key) = app.someone("bob", "dev", None).await;
    let pods = "/api/v1/clusters/prod/namespaces/a/pods";
    app.get(pods).key(&key).send().await.expect(404);
    app.assign(&bob, "prod", &["a"]).await;
    app.get(pods).key(&key).send().await.expect(200);
    app.get(pods).session(&session).send().await.expect(200);
    app.assign(&bob, "prod", &["b"]).await;
    app.get(pods).key(&key).send().await.expect(404);
    app.get(pods).session(&session).send().await.expect(404);
}

async fn custom_resources_go_by_plural_and_group(backend: Backend) {
    let (app, cluster) = world(backend).await;
    let (_, _, key) = app.someone("ann", "dev", Some("prod")).await;
    let widgets = "/api/v1/clusters/prod/namespaces/a/widgets.example.com";
    app.get(widgets).key(&key).send().await.expect(200);
    assert_eq!(cluster.seen().pop().unwrap().line(), "GET /apis/example.com/v1/namespaces/a/widgets");
    app.get("/api/v1/clusters/prod/namespaces/a/widgets").key(&key).send().await.expect(404);
}
