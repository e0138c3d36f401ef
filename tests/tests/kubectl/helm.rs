//! helm: a release from its installation to its end, by who sees the values of Secrets; and what becomes of it otherwise.

use crate::world::{Person, World, run, well};
use kv_tests::{Backend, on_both};
use std::process::Command;

on_both!(releases_are_installed_upgraded_rolled_back_and_removed, releases_need_the_values_of_secrets);

const CHART: &str = "apiVersion: v2\nname: tick\nversion: 0.1.0\nappVersion: '1'\n";
const VALUES: &str = "greeting: hello\nreplicas: 1\n";
const TEMPLATE: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {greeting: {{ .Values.greeting | quote }}}
---
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
stringData: {password: {{ .Values.greeting | quote }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: kubevision.test/clock}]
"#;

/// The folder of a small chart.
fn chart(person: &Person) -> String {
    let folder = person.folder().join("tick");
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    for (name, text) in [("Chart.yaml", CHART), ("values.yaml", VALUES), ("templates/all.yaml", TEMPLATE)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder.display().to_string()
}

fn helm(world: &World, person: &Person, arguments: &[&str]) -> Command {
    let mut helm = person.program("KUBEVISION_TEST_HELM");
    helm.args(["--namespace", &world.namespace]).args(arguments);
    helm
}

async fn releases_are_installed_upgraded_rolled_back_and_removed(backend: Backend) {
    let world = World::new(backend, "helm").await;
    let ops = world.own("ops", "ops").await;
    let chart = chart(&ops);
    let does = |arguments: &[&str]| well(run(helm(&world, &ops, arguments), ""));
    let greeting = || ops.does(&["get", "configmap", "tick", "-o", "jsonpath={.data.greeting}"]);
    let waits = ["--wait", "--timeout", "50s"];

    does(&[&["install", "tick", &chart], &waits[..]].concat());
    assert_eq!(greeting(), "hello");
    assert_eq!(ops.shows(&["get", "deployment", "tick"])["status"]["readyReplicas"], 1);
    assert!(does(&["list"]).contains("deployed"));
    does(&[&["upgrade", "tick", &chart, "--set", "greeting=again,replicas=2"], &waits[..]].concat());
    assert_eq!(greeting(), "again");
    assert_eq!(ops.does(&["get", "secret", "tick", "-o", "go-template={{.data.password|base64decode}}"]), "again");
    assert!(does(&["status", "tick"]).contains("REVISION: 2"));
    assert!(does(&["get", "values", "tick"]).contains("again"));
    does(&[&["rollback", "tick", "1"], &waits[..]].concat());
    assert_eq!(greeting(), "hello");
    assert_eq!(does(&["history", "tick", "-o", "json"]).matches("\"revision\"").count(), 3);
    does(&[&["uninstall", "tick"], &waits[..]].concat());
    assert!(does(&["list", "-q"]).is_empty());
    assert!(ops.fails(&["get", "deployment", "tick"]).contains("NotFound"));
    let entries = world.entries(&ops, "").await;
    assert!(
        entries.iter().any(|entry| entry["user_agent"].as_str().unwrap_or_default().contains("Helm")),
        "{entries:?}"
    );
}

async fn releases_need_the_values_of_secrets(backend: Backend) {
    let world = World::new(backend, "helm-masked").await;
    let (dev, ops) = (world.own("dev", "dev").await, world.own("ops", "ops").await);
    let chart = chart(&dev);
    let kept_in = |driver: &str, arguments: &[&str]| {
        let mut helm = helm(&world, &dev, arguments);
        helm.env("HELM_DRIVER", driver);
        run(helm, "")
    };

    // helm keeps its releases in Secrets: it can write what it cannot read again.
    well(kept_in("secret", &["install", "lost", &chart]));
    assert!(well(kept_in("secret", &["list", "--all", "-q"])).is_empty());
    for arguments in [&["status", "lost"][..], &["upgrade", "lost", &chart]] {
        let said = kept_in("secret", arguments);
        assert!(!said.success && said.complaint.contains("no revision for release"), "{arguments:?}: {said:?}");
    }
    // It is there all the same, whole, for who sees the values.
    assert_eq!(well(run(helm(&world, &ops, &["list", "-q"]), "")), "lost\n");
    well(run(helm(&world, &ops, &["uninstall", "lost"]), ""));

    // In ConfigMaps it reads what it wrote.
    let password =
        || world.directly(&["get", "secret", "kept", "-o", "go-template={{.data.password|base64decode}}"], "");
    well(kept_in("configmap", &["install", "kept", &chart, "--wait", "--timeout", "50s"]));
    well(kept_in("configmap", &["upgrade", "kept", &chart, "--set", "replicas=2"]));
    assert_eq!(password(), "hello", "a value that does not change is left alone");
    well(kept_in("configmap", &["upgrade", "kept", &chart, "--set", "greeting=again"]));
    assert_eq!(password(), "again");
    well(kept_in("configmap", &["rollback", "kept", "1"]));
    assert_eq!(password(), "hello");
    well(kept_in("configmap", &["uninstall", "kept"]));
}
