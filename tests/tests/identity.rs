//! Against a real Kubernetes API server: a cluster that is called in the caller's name decides by its own rules, and its own
//! audit log names user and key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot have its world has failed"
)]

use kv_server::{
    cluster::{ClusterAccess, KubeconfigSource},
    operations::{Acting, add_cluster::add_cluster},
};
use kv_tests::{Backend, TestApp};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

kv_tests::on_both!(the_cluster_decides_by_name_and_puts_the_key_on_record);

fn from_environment(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    value.unwrap_or_else(|| panic!("{name} names no Kubernetes; run the tests with `cargo xtask test`")).into()
}

/// What the cluster's own audit log says of our entry.
async fn theirs(entry: &str) -> Value {
    let path = from_environment("KUBEVISION_TEST_KUBE_AUDIT");
    for _ in 0..100 {
        let log = std::fs::read_to_string(&path).unwrap();
        let mut found = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(found) = found.rfind(|line| line["auditID"] == entry) {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the cluster's audit log does not know {entry}");
}

async fn the_cluster_decides_by_name_and_puts_the_key_on_record(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = from_environment("KUBEVISION_TEST_KUBECONFIG");
    let source = KubeconfigSource::Operator { folder: path.parent().unwrap_or(Path::new(".")).to_owned() };
    let access = ClusterAccess::from_kubeconfig(&std::fs::read(&path).unwrap(), None, &source).unwrap();
    // The same cluster twice: as its account, which may do everything, and in the caller's name.
    let operator = || Acting::operator(app.inside()).unwrap();
    add_cluster(&operator(), "direct", &access, false).await.unwrap();
    add_cluster(&operator(), "named", &access, true).await.unwrap();
    let admin = app.admin().await;
    let space = format!("identity-{backend:?}-{}", std::process::id()).to_lowercase();
    let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}});
    app.post("/api/v1/clusters/direct/namespaces").session(&admin).json(&wanted).send().await.expect(201);

    let ann = app.user("ann", "dev").await;
    app.assign(&ann, "direct", &[]).await;
    app.assign(&ann, "named", &[]).await;
    let session = app.login("ann").await;
    let key = app.key(&session, "50% déploiement").await;
    let maps = |cluster: &str| format!("/api/v1/clusters/{cluster}/namespaces/{space}/configmaps");

    // The account may; she may not. What the cluster serves is known all the same.
    app.get(&maps("direct")).key(&key).send().await.expect(200);
    let refused = app.get(&maps("named")).key(&key).send().await.expect(403);
    assert_eq!((refused.code().as_str(), &refused.json()["denied_by"]), ("cluster_forbidden", &json!("cluster")));
    assert!(refused.text().contains("kubevision:ann"), "{}", refused.text());
    assert_eq!(app.entry_of(&refused).await["outcome"], "denied");

    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "kubevision-dev"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubevision:dev"}],
    });
    let bindings = format!("/api/v1/clusters/direct/namespaces/{space}/rolebindings");
    app.post(&bindings).session(&admin).json(&binding).send().await.expect(201);
    // The API server learns of it a moment later.
    let mut allowed = app.get(&maps("named")).key(&key).send().await;
    for _ in 0..50 {
        if allowed.status == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        allowed = app.get(&maps("named")).key(&key).send().await;
    }
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let made = app.post(&maps("named")).key(&key).json(&map).send().await.expect(201);
    // Elsewhere the group has nothing.
    let elsewhere = "/api/v1/clusters/named/namespaces/kube-system/configmaps";
    app.get(elsewhere).key(&key).send().await.expect(403);

    let line = theirs(made.request_id()).await;
    let named = &line["impersonatedUser"];
    assert_eq!(named["username"], "kubevision:ann", "{line}");
    let groups = named["groups"].as_array().unwrap();
    for group in ["kubevision:dev", "kubevision:users", "system:authenticated"] {
        assert!(groups.contains(&json!(group)), "{group}: {line}");
    }
    assert!(!groups.contains(&json!("system:masters")), "{line}");
    assert_eq!(named["extra"]["kubevision.io/key-id"], json!([key.id]), "{line}");
    assert_eq!(named["extra"]["kubevision.io/key-name"], json!(["50%25%20d%C3%A9ploiement"]), "{line}");
    assert_ne!(line["user"]["username"], "kubevision:ann", "the account is on record too");

    // A person has no key.
    let read = app.post(&maps("named")).session(&session).json(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"},
    }));
    let line = theirs(read.send().await.expect(201).request_id()).await;
    assert_eq!(line["impersonatedUser"]["username"], "kubevision:ann", "{line}");
    assert!(line["impersonatedUser"]["extra"].is_null(), "{line}");
}
