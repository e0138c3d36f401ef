//! Deployments with kubectl: scaled, rolled out, rolled back.

use crate::world::{World, deployment};
use kv_tests::{Backend, on_both};
use serde_json::json;

on_both!(deployments_are_scaled_and_rolled_out);

async fn deployments_are_scaled_and_rolled_out(backend: Backend) {
    let world = World::new(backend, "kubectl-rollout").await;
    let ann = world.own("ann", "dev").await;
    ann.creates(&deployment("web", 1));
    let rolled_out = || ann.does(&["rollout", "status", "deployment/web", "--timeout=50s"]);
    assert!(rolled_out().contains("successfully rolled out"));
    ann.does(&["scale", "deployment/web", "--replicas=3", "--current-replicas=1"]);
    assert!(rolled_out().contains("successfully rolled out"));
    assert_eq!(ann.shows(&["get", "deployment", "web"])["status"]["readyReplicas"], 3);
    assert_eq!(ann.shows(&["get", "pods", "-l", "app=web"])["items"].as_array().unwrap().len(), 3);

    ann.does(&["rollout", "restart", "deployment/web"]);
    rolled_out();
    ann.does(&["set", "image", "deployment/web", "main=kubevision.test/clock:2"]);
    rolled_out();
    let history = ann.does(&["rollout", "history", "deployment/web"]);
    assert!(history.lines().any(|line| line.starts_with('3')), "{history}");
    ann.does(&["rollout", "undo", "deployment/web", "--to-revision=1"]);
    rolled_out();
    let image = ["get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"];
    assert_eq!(ann.does(&image), "kubevision.test/clock");
    ann.does(&["rollout", "pause", "deployment/web"]);
    ann.does(&["rollout", "resume", "deployment/web"]);
    ann.does(&["autoscale", "deployment/web", "--min=1", "--max=2"]);
    let read = ann.starts(&["logs", "-f", "deployment/web", "--tail=1"]);
    read.says("\n");
    drop(read);

    let entries = world.entries(&ann, "action=kubernetes.update").await;
    assert!(
        entries
            .iter()
            .any(|entry| entry["resource"] == "deployments.apps/scale" || entry["resource"] == "deployments/scale"),
        "{entries:?}"
    );
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    });
    ann.creates(&service);
    ann.does(&["delete", "deployment,service,hpa", "web", "--timeout=50s"]);
}
