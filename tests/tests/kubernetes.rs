//! Against a real Kubernetes API server with its controller manager: what a pipeline does with a key, seen in the cluster
//! and in both audit logs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot have its world has failed"
)]

#[path = "kubernetes/workloads.rs"]
mod workloads;

use kv_server::{
    cluster::{ClusterAccess, KubeconfigSource},
    operations::{Acting, add_cluster::add_cluster},
};
use kv_tests::{Answer, Backend, Key, Session, TestApp};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

fn from_environment(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    value.unwrap_or_else(|| panic!("{name} names no Kubernetes; run the tests with `cargo xtask test`")).into()
}

/// A server with the real cluster registered as `prod`, and a namespace of the test's own in it.
struct World {
    app: TestApp,
    admin: Session,
    namespace: String,
}

impl World {
    async fn new(backend: Backend, namespace: &str) -> Self {
        let app = TestApp::start(backend).await;
        let path = from_environment("KUBEVISION_TEST_KUBECONFIG");
        let source = KubeconfigSource::Operator { folder: path.parent().unwrap_or(Path::new(".")).to_owned() };
        let access = ClusterAccess::from_kubeconfig(&std::fs::read(&path).unwrap(), None, &source).unwrap();
        add_cluster(&Acting::operator(app.inside()).unwrap(), "prod", &access, false).await.unwrap();
        let admin = app.admin().await;
        // Two tests of one name run at once, one a database; and the cluster may remember an earlier run.
        let namespace = format!("{namespace}-{backend:?}-{}", std::process::id()).to_lowercase();
        let world = Self { app, admin, namespace };
        let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}});
        world.app.post("/api/v1/clusters/prod/namespaces").session(&world.admin).json(&wanted).send().await.expect(201);
        world
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/clusters/prod/namespaces/{}/{rest}", self.namespace)
    }

    /// A user with a role and a key, assigned to the test's namespace alone, or to the whole cluster.
    async fn someone(&self, name: &str, role: &str, namespaces: &[&str]) -> (Session, Key) {
        let user = self.app.user(name, role).await;
        self.app.assign(&user, "prod", namespaces).await;
        let session = self.app.login(name).await;
        let key = self.app.key(&session, "ci").await;
        (session, key)
    }

    async fn create(&self, key: &Key, resource: &str, object: &Value) -> Answer {
        self.app.post(&self.path(resource)).key(key).json(object).send().await
    }
}

fn deployment() -> Value {
    let labels = json!({"app": "api-server"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api-server"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "example.invalid/c:1"}]},
            },
        },
    })
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}})
}

async fn the_page_s_patch_scales_a_deployment(backend: Backend) {
    let world = World::new(backend, "page").await;
    let (_, key) = world.someone("ann", "dev", &[&world.namespace]).await;
    world.create(&key, "deployments", &deployment()).await.expect(201);

    let patch = json!({"spec": {"replicas": 5}});
    let answer = world.app.patch(&world.path("deployments/api-server")).key(&key).json(&patch).send().await.expect(200);
    assert_eq!(answer.json()["spec"]["replicas"], 5);
    let entry_id = answer.request_id().to_owned();

    // The controller manager makes it true.
    let begun = Instant::now();
    let pods = world.path("pods?labelSelector=app%3Dapi-server");
    loop {
        let list = world.app.get(&pods).key(&key).send().await.expect(200).json();
        if list["items"].as_array().unwrap().len() == 5 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "five pods were asked for: {list}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // On record here, under the owner's name with the key's as agent …
    let entries = world.app.audit("action=kubernetes.patch").await;
    let entry = entries.iter().find(|entry| entry["id"] == entry_id.as_str()).expect("the patch is on record");
    for (field, value) in [
        ("user", "ann"),
        ("agent", "ci"),
        ("key_id", key.id.as_str()),
        ("resource", "deployments"),
        ("resource_name", "api-server"),
        ("cluster", "prod"),
        ("namespace", world.namespace.as_str()),
        ("outcome", "succeeded"),
        ("request_id", entry_id.as_str()),
    ] {
        assert_eq!(entry[field], value, "{field}");
    }
    assert_eq!(entry["status_code"], 200);
    // … and in the cluster's own log under the same id, so that both can be joined.
    let log = std::fs::read_to_string(from_environment("KUBEVISION_TEST_KUBE_AUDIT")).unwrap();
    let theirs: Vec<&str> = log.lines().filter(|line| line.contains(&entry_id)).collect();
    assert!(!theirs.is_empty(), "the cluster's audit log does not know {entry_id}");
    assert!(theirs.iter().all(|line| line.contains("\"verb\":\"patch\"")), "{theirs:?}");
    assert!(!log.contains(&key.text[8..]), "the key reached the cluster's audit log");
}

async fn every_verb_reaches_the_cluster_unchanged(backend: Backend) {
    let world = World::new(backend, "verbs").await;
    let (_, key) = world.someone("ann", "dev", &[]).await;
    let object = world.path("configmaps/a");
    let get = async || world.app.get(&object).key(&key).send().await.expect(200).json();

    world.create(&key, "configmaps", &config_map("a", "1")).await.expect(201);
    assert_eq!(world.create(&key, "configmaps", &config_map("a", "1")).await.expect(409).code(), "cluster_conflict");
    assert_eq!(get().await["data"]["k"], "1");

    let mut replaced = get().await;
    replaced["data"]["k"] = json!("2");
    world.app.request("PUT", &object).key(&key).json(&replaced).send().await.expect(200);
    assert_eq!(get().await["data"]["k"], "2");
    // A replacement of an older version is the cluster's to refuse.
    world.app.request("PUT", &object).key(&key).json(&replaced).send().await.expect(409);

    for (media_type, body, value) in [
        ("application/json", r#"{"data":{"k":"3"}}"#.to_owned(), "3"),
        ("application/merge-patch+json", r#"{"data":{"k":"4"}}"#.to_owned(), "4"),
        ("application/strategic-merge-patch+json", r#"{"data":{"k":"5"}}"#.to_owned(), "5"),
        ("application/json-patch+json", r#"[{"op":"replace","path":"/data/k","value":"6"}]"#.to_owned(), "6"),
    ] {
        world.app.patch(&object).key(&key).body(media_type, body).send().await.expect(200);
        assert_eq!(get().await["data"]["k"], value, "{media_type}");
    }
    let apply = config_map("b", "7").to_string();
    let applied = world.path("configmaps/b?fieldManager=ci&force=true");
    world.app.patch(&applied).key(&key).body("application/apply-patch+yaml", apply).send().await;
    assert_eq!(world.app.get(&world.path("configmaps/b")).key(&key).send().await.expect(200).json()["data"]["k"], "7");

    // Tried out only.
    let dry = world.path("configmaps?dryRun=All");
    world.app.post(&dry).key(&key).json(&config_map("dry", "1")).send().await.expect(201);
    world.app.get(&world.path("configmaps/dry")).key(&key).send().await.expect(404);

    // Pages as the cluster makes them.
    let first = world.app.get(&world.path("configmaps?limit=1")).key(&key).send().await.expect(200).json();
    let next = first["metadata"]["continue"].as_str().unwrap();
    let second = world.app.get(&world.path(&format!("configmaps?limit=1&continue={next}"))).key(&key).send().await;
    assert_ne!(first["items"][0]["metadata"]["name"], second.expect(200).json()["items"][0]["metadata"]["name"]);

    world.app.delete(&object).key(&key).send().await.expect(200);
    world.app.get(&object).key(&key).send().await.expect(404);
    // A collection is not deleted by leaving out a name.
    world.app.delete(&world.path("configmaps")).key(&key).send().await.expect(400);
    world.app.get(&world.path("configmaps/b")).key(&key).send().await.expect(200);
}

async fn secrets_are_masked_without_the_right_to_reveal(backend: Backend) {
    let world = World::new(backend, "secrets").await;
    let (_, dev) = world.someone("dev", "dev", &[]).await;
    let (_, ops) = world.someone("ops", "ops", &[]).await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": "hunter2"}});
    let made = world.create(&dev, "secrets", &secret).await.expect(201);
    let plain = "aHVudGVyMg==";
    let one = world.path("secrets/s");
    for answer in [
        made,
        world.app.get(&one).key(&dev).send().await.expect(200),
        world.app.get(&world.path("secrets")).key(&dev).send().await.expect(200),
        world.app.patch(&one).key(&dev).json(&json!({"metadata": {"labels": {"a": "b"}}})).send().await.expect(200),
    ] {
        let text = answer.text();
        assert!(!text.contains(plain) && !text.contains("hunter2"), "{text}");
    }
    let shown = world.app.get(&one).key(&dev).send().await.expect(200).json();
    let answer = world.app.request("PUT", &one).key(&dev).json(&shown).send().await.expect(422);
    assert_eq!(answer.code(), "masked_value");
    // Whoever may reveal sees it whole, and that a key asked for no second factor is on record.
    assert_eq!(world.app.get(&one).key(&ops).send().await.expect(200).json()["data"]["p"], plain);
    let entries = world.app.audit("user=ops&action=kubernetes.get").await;
    assert_eq!(entries[0]["detail"]["second_factor"], "bypassed by key");
}

async fn custom_resources_are_found_once_the_cluster_serves_them(backend: Backend) {
    let world = World::new(backend, "custom").await;
    let group = format!("{}.example.test", world.namespace);
    let (_, key) = world.someone("ann", "dev", &[]).await;
    let widgets = world.path(&format!("widgets.{group}"));
    world.app.get(&widgets).key(&key).send().await.expect(404);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let definitions = "/api/v1/clusters/prod/customresourcedefinitions";
    world.app.post(definitions).session(&world.admin).json(&definition).send().await.expect(201);
    let widget = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "w"}, "anything": {"goes": [1, 2]},
    });
    let begun = Instant::now();
    loop {
        let answer = world.app.post(&widgets).key(&key).json(&widget).send().await;
        if answer.status == 201 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the new kind is not found: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let found = world.app.get(&format!("{widgets}/w")).key(&key).send().await.expect(200).json();
    assert_eq!(found["anything"]["goes"], json!([1, 2]), "unknown fields pass");
}

async fn rights_hold_against_the_real_cluster(backend: Backend) {
    let world = World::new(backend, "rights").await;
    let (_, key) = world.someone("ann", "dev", &[&world.namespace]).await;
    let names = |answer: Answer| -> Vec<String> {
        let list = answer.expect(200).json();
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    // Namespaces: one's own alone. Everything else that lives in none: not at all.
    let listed = world.app.get("/api/v1/clusters/prod/namespaces").key(&key).send().await;
    assert_eq!(names(listed), [world.namespace.as_str()]);
    world.app.get("/api/v1/clusters/prod/namespaces/kube-system/pods").key(&key).send().await.expect(404);
    world.app.get("/api/v1/clusters/prod/namespaces/kube-system").key(&key).send().await.expect(404);
    let nodes = world.app.get("/api/v1/clusters/prod/nodes").key(&key).send().await.expect(403).json();
    assert_eq!(nodes["missing"], "nodes:read");
    // A list across namespaces is the union of one's own, whatever there is elsewhere.
    world.create(&key, "configmaps", &config_map("mine", "1")).await.expect(201);
    let listed = names(world.app.get("/api/v1/clusters/prod/configmaps").key(&key).send().await);
    assert!(listed.contains(&"mine".to_owned()) && !listed.contains(&"extension-apiserver-authentication".to_owned()));
    // Nobody hands out rights inside the cluster without holding the right to.
    let (_, ops) = world.someone("ops", "ops", &[]).await;
    let role =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": []});
    let refused = world.create(&ops, "roles", &role).await.expect(403).json();
    assert_eq!(refused["missing"], "rbac:manage");
    world.app.post(&world.path("roles")).session(&world.admin).json(&role).send().await.expect(201);
    let seen = world.app.get("/api/v1/clusters/prod").key(&key).send().await.expect(200).json();
    assert_eq!(seen["health"], "healthy", "{seen}");
    assert!(seen["version"].as_str().is_some_and(|version| version.starts_with("v1.")), "{seen}");
    // What the cluster itself refuses is told as the cluster's word.
    let mut broken = deployment();
    broken["spec"]["replicas"] = json!(-1);
    let answer = world.create(&ops, "deployments", &broken).await.expect(422);
    assert_eq!(answer.code(), "cluster_refused");
}

kv_tests::on_both!(
    the_page_s_patch_scales_a_deployment,
    every_verb_reaches_the_cluster_unchanged,
    secrets_are_masked_without_the_right_to_reveal,
    custom_resources_are_found_once_the_cluster_serves_them,
    rights_hold_against_the_real_cluster,
);
