//! Restart, rollback and history of workloads, seen in the cluster and in both audit logs.

use crate::{World, deployment, from_environment};
use kv_tests::{Answer, Backend, Key};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

kv_tests::on_both!(
    a_deployment_is_restarted_and_rolled_back,
    what_cannot_be_done_is_told_and_changes_nothing,
    the_other_workloads_have_revisions_too,
    each_step_takes_its_own_right,
);

const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// A workload of the test's, by its path.
struct Workload<'a> {
    world: &'a World,
    key: &'a Key,
    path: String,
}

impl<'a> Workload<'a> {
    async fn create(world: &'a World, key: &'a Key, plural: &str, object: &Value) -> Self {
        world.create(key, plural, object).await.expect(201);
        let path = format!("{plural}/{}", object["metadata"]["name"].as_str().unwrap());
        Self { world, key, path: world.path(&path) }
    }

    async fn post(&self, what: &str, body: Option<Value>) -> Answer {
        let request = self.world.app.post(&format!("{}/{what}", self.path)).key(self.key);
        match body {
            Some(body) => request.json(&body).send().await,
            None => request.send().await,
        }
    }

    async fn rollback(&self, body: Value) -> Answer {
        self.post("rollback", Some(body)).await
    }

    async fn read(&self) -> Value {
        self.world.app.get(&self.path).key(self.key).send().await.expect(200).json()
    }

    async fn set_image(&self, image: &str) {
        let patch = json!({
            "metadata": {"annotations": {"kubernetes.io/change-cause": image}},
            "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
        });
        let patch = self
            .world
            .app
            .patch(&self.path)
            .key(self.key)
            .body("application/strategic-merge-patch+json", patch.to_string());
        patch.send().await.expect(200);
    }

    /// The history, once its newest revision has this number and is the current one.
    async fn history(&self, newest: u64) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let answer = self.world.app.get(&format!("{}/history", self.path)).key(self.key).send().await.expect(200);
            let list = answer.json();
            assert_eq!(list["next_cursor"], Value::Null, "{list}");
            let first = &list["items"][0];
            if first["revision"] == newest && first["current"] == true {
                return list["items"].as_array().unwrap().clone();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "revision {newest} was asked for: {list}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn column<'a>(items: &'a [Value], field: &str) -> Vec<&'a Value> {
    items.iter().map(|item| &item[field]).collect()
}

async fn a_deployment_is_restarted_and_rolled_back(backend: Backend) {
    let world = World::new(backend, "rollout").await;
    let (_, key) = world.someone("ann", "dev", &[&world.namespace]).await;
    let workload = Workload::create(&world, &key, "deployments", &deployment()).await;
    let first = workload.history(1).await;
    assert_eq!((&first[0]["images"], &first[0]["change_cause"]), (&json!(["example.invalid/c:1"]), &Value::Null));
    assert!(first[0]["created_at"].as_str().unwrap().ends_with('Z'), "{first:?}");
    workload.set_image("example.invalid/c:2").await;
    let second = workload.history(2).await;
    assert_eq!(column(&second, "revision"), [2, 1]);
    assert_eq!(column(&second, "current"), [true, false]);
    assert_eq!(second[0]["images"], json!(["example.invalid/c:2"]));
    assert_eq!(second[0]["change_cause"], "example.invalid/c:2");

    let restarted = workload.post("restart", None).await.expect(200);
    let at =
        restarted.json().pointer("/spec/template/metadata/annotations").unwrap()["kubectl.kubernetes.io/restartedAt"]
            .as_str()
            .unwrap()
            .to_owned();
    time::OffsetDateTime::parse(&at, &time::format_description::well_known::Rfc3339).unwrap();
    assert_eq!(workload.history(3).await.len(), 3);
    // A second one is a second one, however soon.
    let again = workload.post("restart", None).await.expect(200).json();
    assert_eq!(again["metadata"]["generation"].as_u64(), workload.read().await["metadata"]["generation"].as_u64());
    workload.history(4).await;

    // Without a number: the one before, which was restarted at another time.
    let back = workload.rollback(json!({})).await.expect(200).json();
    let annotations = back.pointer("/spec/template/metadata/annotations").unwrap();
    assert_eq!(annotations["kubectl.kubernetes.io/restartedAt"], at.as_str());
    assert_eq!(column(&workload.history(5).await, "revision"), [5, 4, 2, 1], "the third is now the fifth");
    let rolled_back = workload.rollback(json!({"revision": 1})).await.expect(200);
    let now = workload.history(6).await;
    assert_eq!(now[0]["images"], json!(["example.invalid/c:1"]));
    let object = workload.read().await;
    assert_eq!(object.pointer(IMAGE).unwrap(), "example.invalid/c:1");
    assert_eq!(object.pointer("/spec/template/metadata/labels").unwrap(), &json!({"app": "api-server"}));
    assert!(object.pointer("/spec/template/metadata/annotations").is_none(), "nothing of later templates stays");
    assert!(object["metadata"]["annotations"].get("kubernetes.io/change-cause").is_none());

    // The pods are those of the revision.
    let begun = Instant::now();
    loop {
        let pods = world.app.get(&world.path("pods")).key(&key).send().await.expect(200).json();
        let pods = pods["items"].as_array().unwrap();
        let running =
            |pod: &Value| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
        if let [pod] = pods.as_slice()
            && running(pod)
            && pod["spec"]["containers"][0]["image"] == "example.invalid/c:1"
        {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "one pod of the first revision: {pods:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // One entry for each, and the cluster's log has every call of it under the same id.
    world.app.outcomes_written().await;
    let log = std::fs::read_to_string(from_environment("KUBEVISION_TEST_KUBE_AUDIT")).unwrap();
    for (answer, action, verbs) in [
        (&restarted, "kubernetes.restart", &["get", "patch"][..]),
        (&rolled_back, "kubernetes.rollback", &["get", "list", "patch"]),
    ] {
        let entry = world.app.entry_of(answer).await;
        for (field, value) in [
            ("action", action),
            ("resource", "deployments"),
            ("resource_name", "api-server"),
            ("namespace", world.namespace.as_str()),
            ("agent", "ci"),
            ("outcome", "succeeded"),
        ] {
            assert_eq!(entry[field], value, "{field} of {entry}");
        }
        let theirs: Vec<&str> = log.lines().filter(|line| line.contains(answer.request_id())).collect();
        for verb in verbs {
            assert!(theirs.iter().any(|line| line.contains(&format!("\"verb\":\"{verb}\""))), "{verb}: {theirs:?}");
        }
    }
    let told = world.app.audit("action=kubernetes.history&user=ann").await;
    assert!(told.iter().all(|entry| entry["outcome"] == "succeeded" && entry["resource"] == "deployments"));
    assert!(told.len() >= 6, "{told:?}");
}

async fn what_cannot_be_done_is_told_and_changes_nothing(backend: Backend) {
    let world = World::new(backend, "refusals").await;
    let (_, key) = world.someone("ann", "dev", &[&world.namespace]).await;
    let workload = Workload::create(&world, &key, "deployments", &deployment()).await;
    workload.history(1).await;
    let answer = workload.rollback(json!({})).await.expect(404);
    assert_eq!(answer.code(), "revision_not_found");
    workload.set_image("example.invalid/c:2").await;
    workload.history(2).await;
    let before = workload.read().await["spec"].clone();

    let answer = workload.rollback(json!({"revision": 7})).await.expect(404);
    assert_eq!(answer.code(), "revision_not_found");
    assert!(answer.json()["detail"].as_str().unwrap().contains("revision 7"), "{}", answer.text());
    assert_eq!(world.app.entry_of(&answer).await["outcome"], "failed");
    // It has that one already.
    let same = workload.rollback(json!({"revision": 2})).await.expect(200).json();
    assert_eq!(same.pointer(IMAGE).unwrap(), "example.invalid/c:2");
    // Tried out only.
    let dry = workload.post("rollback?dryRun=All", Some(json!({}))).await.expect(200).json();
    assert_eq!(dry.pointer(IMAGE).unwrap(), "example.invalid/c:1");
    for (what, body, status, code) in [
        ("rollback", Some(json!({"revision": 0})), 400, "malformed_body"),
        ("rollback", Some(json!({"revision": "2"})), 400, "malformed_body"),
        ("rollback", Some(json!({"to": 1})), 400, "malformed_body"),
        ("restart", Some(json!({})), 400, "unexpected_body"),
        ("restart?force=true", None, 400, "malformed_query"),
        ("history", None, 405, "method_not_allowed"),
    ] {
        assert_eq!(workload.post(what, body).await.expect(status).code(), code, "{what}");
    }
    for what in ["restart", "rollback"] {
        let answer = world.app.get(&format!("{}/{what}", workload.path)).key(&key).send().await.expect(405);
        assert_eq!(answer.code(), "method_not_allowed");
        let entry = world.app.entry_of(&answer).await;
        assert_eq!((&entry["action"], &entry["outcome"]), (&json!(format!("kubernetes.{what}")), &json!("failed")));
    }
    assert_eq!(workload.read().await["spec"], before);

    world.create(&key, "configmaps", &crate::config_map("a", "1")).await.expect(201);
    for other in ["configmaps/a/restart", "pods/a/rollback"] {
        let answer = world.app.post(&world.path(other)).key(&key).send().await.expect(404);
        assert!(answer.json()["detail"].as_str().unwrap().contains("daemonsets"), "{}", answer.text());
    }
    world.app.post(&world.path("deployments/none/restart")).key(&key).send().await.expect(404);

    let paused = json!({"spec": {"paused": true}});
    world.app.patch(&workload.path).key(&key).json(&paused).send().await.expect(200);
    for (what, body) in [("restart", None), ("rollback", Some(json!({"revision": 1})))] {
        let answer = workload.post(what, body).await.expect(409);
        assert_eq!(answer.code(), "workload_paused");
        assert_eq!(world.app.entry_of(&answer).await["outcome"], "failed");
    }
    assert_eq!(workload.read().await["spec"]["template"], before["template"]);
}

async fn the_other_workloads_have_revisions_too(backend: Backend) {
    let world = World::new(backend, "sets").await;
    let (_, key) = world.someone("ann", "dev", &[&world.namespace]).await;
    for (plural, kind) in [("statefulsets", "StatefulSet"), ("daemonsets.apps", "DaemonSet")] {
        let mut object = deployment();
        object["kind"] = json!(kind);
        object["metadata"]["name"] = json!(plural.split('.').next().unwrap());
        let labels = json!({"app": kind});
        object["spec"]["selector"] = json!({"matchLabels": labels});
        object["spec"]["template"]["metadata"]["labels"] = labels;
        match kind {
            "DaemonSet" => drop(object["spec"].as_object_mut().unwrap().remove("replicas")),
            _ => object["spec"]["serviceName"] = json!("none"),
        }
        let workload = Workload::create(&world, &key, plural, &object).await;
        workload.history(1).await;
        workload.set_image("example.invalid/c:2").await;
        assert_eq!(column(&workload.history(2).await, "current"), [true, false], "{kind}");
        let restarted = workload.post("restart", None).await.expect(200).json();
        assert!(restarted.pointer("/spec/template/metadata/annotations").is_some(), "{restarted}");
        workload.history(3).await;
        workload.post("rollback", None).await.expect(200);
        let before = workload.history(4).await;
        assert_eq!(before[0]["images"], json!(["example.invalid/c:2"]), "{kind}: {before:?}");
        assert!(workload.read().await.pointer("/spec/template/metadata/annotations").is_none(), "{kind}");
        let back = workload.rollback(json!({"revision": 1})).await.expect(200).json();
        assert_eq!(back.pointer(IMAGE).unwrap(), "example.invalid/c:1", "{kind}");
        let first = workload.history(5).await;
        assert_eq!(first[0]["images"], json!(["example.invalid/c:1"]));
        workload.rollback(json!({"revision": 1})).await.expect(404);
        let same = workload.rollback(json!({"revision": 5})).await.expect(200).json();
        assert_eq!(same["metadata"]["generation"], back["metadata"]["generation"], "{kind}: it has that one already");
    }
}

async fn each_step_takes_its_own_right(backend: Backend) {
    let world = World::new(backend, "steps").await;
    let (_, dev) = world.someone("dev", "dev", &[&world.namespace]).await;
    let (_, reader) = world.someone("reader", "readonly", &[&world.namespace]).await;
    let role = json!({"name": "deployer", "grants": ["deployments:read", "deployments:write"]});
    world.app.post("/api/v1/roles").session(&world.admin).json(&role).send().await.expect(201);
    let (_, deployer) = world.someone("deployer", "deployer", &[&world.namespace]).await;
    let (_, elsewhere) = world.someone("elsewhere", "dev", &["another"]).await;
    let workload = Workload::create(&world, &dev, "deployments", &deployment()).await;
    workload.history(1).await;
    workload.set_image("example.invalid/c:2").await;
    workload.history(2).await;
    let as_ = |key| Workload { world: &world, key, path: workload.path.clone() };
    let (reader, deployer, elsewhere) = (as_(&reader), as_(&deployer), as_(&elsewhere));

    for what in ["restart", "rollback"] {
        let answer = reader.post(what, None).await.expect(403);
        assert_eq!(answer.json()["missing"], "deployments:write");
        let entry = world.app.entry_of(&answer).await;
        assert_eq!((&entry["action"], &entry["outcome"]), (&json!(format!("kubernetes.{what}")), &json!("denied")));
        assert_eq!(elsewhere.post(what, None).await.status, 404);
    }
    assert_eq!(reader.history(2).await.len(), 2);
    let answer = deployer.rollback(json!({"revision": 1})).await.expect(403);
    assert_eq!(answer.json()["missing"], "replicasets:read");
    let entry = world.app.entry_of(&answer).await;
    assert_eq!(entry["detail"]["missing"], "replicasets:read");
    let history = format!("{}/history", workload.path);
    let answer = world.app.get(&history).key(deployer.key).send().await.expect(403);
    assert_eq!(answer.json()["missing"], "replicasets:read");
    assert_eq!(workload.read().await.pointer(IMAGE).unwrap(), "example.invalid/c:2");
    deployer.post("restart", None).await.expect(200);
}
