//! Objects with kubectl: looked at, written, changed, watched, deleted; and what kubectl finds out about a cluster.

use crate::world::{World, config_map, pod, run, secret, well};
use kv_tests::{Backend, on_both};
use serde_json::json;
use std::time::Duration;

on_both!(
    objects_are_looked_at_in_every_way,
    objects_are_applied_changed_and_deleted,
    watches_show_what_happens,
    kubectl_finds_out_what_a_cluster_serves,
);

async fn objects_are_looked_at_in_every_way(backend: Backend) {
    let world = World::new(backend, "kubectl-get").await;
    let ann = world.own("ann", "dev").await;
    ann.creates(&config_map("first", "one"));
    ann.does(&["run", "runs", "--image", "kubevision.test/clock", "--labels", "app=runs"]);
    ann.does(&["wait", "--for=condition=Ready", "pod/runs", "--timeout=30s"]);

    let table = ann.does(&["get", "configmaps,pods"]);
    assert!(table.contains("NAME") && table.contains("configmap/first") && table.contains("1/1"), "{table}");
    assert!(ann.does(&["get", "pods", "-o", "wide"]).contains("node-1"));
    assert_eq!(ann.does(&["get", "configmap", "first", "-o", "name"]), "configmap/first\n");
    assert!(ann.does(&["get", "configmap", "first", "-o", "yaml"]).contains("k: one"));
    assert_eq!(ann.does(&["get", "cm", "first", "-o", "jsonpath={.data.k}"]), "one");
    assert!(ann.does(&["get", "pods", "-l", "app=runs", "--show-labels"]).contains("app=runs"));
    assert!(ann.does(&["get", "pods", "--field-selector", "status.phase=Pending"]).is_empty());
    assert!(ann.does(&["get", "all"]).contains("pod/runs"));
    let described = ann.does(&["describe", "pod", "runs"]);
    assert!(described.contains("kubevision.test/clock") && described.contains("Events:"), "{described}");
    assert!(ann.does(&["describe", "configmap", "first"]).contains("one"));

    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "runs.1"}, "type": "Normal", "reason": "Tested",
        "message": "seen by kubectl",
        "involvedObject": {"kind": "Pod", "name": "runs", "namespace": world.namespace, "apiVersion": "v1"},
    });
    ann.creates(&event);
    assert!(ann.does(&["get", "events"]).contains("seen by kubectl"));
    assert!(ann.does(&["events", "--for", "pod/runs"]).contains("seen by kubectl"));
    // kubectl takes such a path as the whole one, and leaves out what its kubeconfig says of the server's.
    let path = format!("/api/v1/clusters/prod/k8s/api/v1/namespaces/{}/configmaps/first", world.namespace);
    assert!(ann.does(&["get", "--raw", &path]).contains("\"k\":\"one\""));
    assert!(ann.fails(&["get", "configmap", "none"]).contains("NotFound"));
}

async fn objects_are_applied_changed_and_deleted(backend: Backend) {
    let world = World::new(backend, "kubectl-write").await;
    let ann = world.own("ann", "dev").await;
    let value = |name: &str| ann.does(&["get", "configmap", name, "-o", "jsonpath={.data.k}"]);
    let text = |value: &str| config_map("applied", value).to_string();

    assert!(ann.does_with(&["apply", "-f", "-"], &text("1")).contains("created"));
    assert!(ann.does_with(&["apply", "-f", "-"], &text("1")).contains("unchanged"));
    assert!(ann.does_with(&["apply", "-f", "-"], &text("2")).contains("configured"));
    assert_eq!(value("applied"), "2");
    let changed = ann.file("changed.json", text("3"));
    let said = ann.tries(&["diff", "-f", &changed]);
    assert!(!said.success && said.answer.contains("+  k: \"3\"") && said.answer.contains("-  k: \"2\""), "{said:?}");
    assert_eq!(value("applied"), "2", "a diff is a dry run");
    ann.does(&["apply", "-f", &changed, "--dry-run=server"]);
    assert_eq!(value("applied"), "2");

    let other = config_map("other", "1").to_string();
    assert!(ann.does_with(&["apply", "--server-side", "-f", "-"], &other).contains("serverside-applied"));
    let conflicts = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let other = config_map("other", "2").to_string();
    assert!(ann.fails_with(&conflicts, &other).contains("conflict"));
    ann.does_with(&[&conflicts[..], &["--force-conflicts"]].concat(), &other);
    assert_eq!(value("other"), "2");

    let mut edit = ann.command(&["edit", "configmap", "other"]);
    edit.env("EDITOR", "sed -i 's/k: \"2\"/k: edited/'");
    well(run(edit, ""));
    assert_eq!(value("other"), "edited");
    ann.does(&["patch", "configmap", "other", "-p", r#"{"data":{"k":"strategic"}}"#]);
    assert_eq!(value("other"), "strategic");
    ann.does(&["patch", "configmap", "other", "--type", "merge", "-p", r#"{"data":{"k":"merged"}}"#]);
    assert_eq!(value("other"), "merged");
    let operations = r#"[{"op":"replace","path":"/data/k","value":"operated"}]"#;
    ann.does(&["patch", "configmap", "other", "--type", "json", "-p", operations]);
    assert_eq!(value("other"), "operated");
    ann.does_with(&["replace", "-f", "-"], &config_map("other", "replaced").to_string());
    assert_eq!(value("other"), "replaced");
    ann.does(&["label", "configmap", "other", "team=shop"]);
    ann.does(&["annotate", "configmap", "other", "note=kept"]);
    let metadata = &ann.shows(&["get", "configmap", "other"])["metadata"];
    assert_eq!((&metadata["labels"]["team"], &metadata["annotations"]["note"]), (&json!("shop"), &json!("kept")));

    ann.does(&["create", "secret", "generic", "made", "--from-literal", "password=hunter2"]);
    ann.does(&["create", "configmap", "made", "--from-literal", "k=v"]);
    ann.does(&["delete", "configmap", "other"]);
    assert!(ann.fails(&["get", "configmap", "other"]).contains("NotFound"));
    ann.does(&["delete", "configmaps", "-l", "team=none"]);
    assert_eq!(value("made"), "v");
    assert!(ann.does(&["delete", "configmaps", "--all", "--timeout=30s"]).contains("\"made\" deleted"));
    ann.does_with(&["delete", "-f", "-", "--ignore-not-found"], &secret("made", "any").to_string());
    let left = ann.does(&["get", "configmaps,secrets", "-o", "name"]);
    assert!(!left.contains("made"), "{left}");

    let deleted = world.entries(&ann, "action=kubernetes.delete").await;
    assert!(deleted.iter().any(|entry| entry["resource_name"] == "other" && entry["resource"] == "configmaps"));
}

async fn watches_show_what_happens(backend: Backend) {
    let world = World::new(backend, "kubectl-watch").await;
    let ann = world.own("ann", "dev").await;
    ann.creates(&config_map("before", "1"));
    let table = ann.starts(&["get", "configmaps", "--watch"]);
    let events = ann.starts(&["get", "configmaps", "--watch", "--output-watch-events", "-o", "json"]);
    let waits = ann.starts(&["wait", "--for=delete", "configmap/before", "--timeout=50s"]);
    table.says("before");
    events.says("before");
    ann.creates(&config_map("during", "2"));
    table.says("during");
    events.says("during");
    ann.does(&["delete", "configmap", "before"]);
    events.says("DELETED");
    assert!(waits.ends_within(Duration::from_secs(20)).success);

    // A watch that is asked to end in time does so, and is none of a failure.
    let begun = std::time::Instant::now();
    let path = format!(
        "/api/v1/clusters/prod/k8s/api/v1/namespaces/{}/configmaps?watch=true&timeoutSeconds=2",
        world.namespace
    );
    assert!(ann.does(&["get", "--raw", &path]).contains("\"during\""));
    assert!(begun.elapsed() > Duration::from_secs(1));
}

async fn kubectl_finds_out_what_a_cluster_serves(backend: Backend) {
    let world = World::new(backend, "kubectl-serves").await;
    let ann = world.own("ann", "readonly").await;
    let version = ann.does(&["version"]);
    assert!(version.contains("Server Version"), "{version}");
    assert!(ann.does(&["api-versions"]).lines().any(|line| line == "apps/v1"));
    let resources = ann.does(&["api-resources", "--verbs=list", "--namespaced", "-o", "name"]);
    assert!(resources.lines().any(|line| line == "deployments.apps"), "{resources}");
    let explained = ann.does(&["explain", "pod.spec.containers"]);
    assert!(explained.contains("RESOURCE") || explained.contains("FIELD"), "{explained}");
    // What a cluster serves besides its API is not passed on.
    for path in ["/metrics", "/healthz", "/logs/kubelet.log", "/api/v1/watch/pods"] {
        let path = format!("/api/v1/clusters/prod/k8s{path}");
        assert!(ann.fails(&["get", "--raw", &path]).contains("NotFound"), "{path}");
    }
    // Written by a client of its own: the kinds of Kubernetes travel in the form that this client prefers.
    let said = ann.tries(&["create", "--dry-run=client", "-o", "name", "-f", "-"]);
    assert!(!said.success, "{said:?}");
    let bob = world.own("bob", "dev").await;
    let made =
        bob.does_with(&["create", "--dry-run=server", "-o", "name", "-f", "-"], &pod("any", "clock").to_string());
    assert_eq!(made, "pod/any\n");
    assert!(bob.fails(&["get", "pod", "any"]).contains("NotFound"));
}
