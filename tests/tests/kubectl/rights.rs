//! What somebody may do, as kubectl asks it (`auth can-i`), and tokens of service accounts.

use crate::world::{Person, World};
use kv_tests::{Backend, on_both};
use serde_json::json;

on_both!(everybody_learns_what_they_may_do, tokens_take_the_right_to_hand_out_rights);

async fn everybody_learns_what_they_may_do(backend: Backend) {
    let world = World::new(backend, "kubectl-can-i").await;
    let ann = world.own("ann", "dev").await;
    let bob = world.own("bob", "readonly").await;
    let ops = world.person("ops", "ops", &[]).await;
    let may = |who: &Person, question: &[&str]| {
        let said = who.tries(&[&["auth", "can-i"], question].concat());
        let answer = said.answer.trim().to_owned();
        assert_eq!(said.success, answer == "yes", "{question:?}: {said:?}");
        answer
    };
    for (question, of_ann, of_bob, of_ops) in [
        (&["get", "pods"][..], "yes", "yes", "yes"),
        (&["create", "deployments.apps"], "yes", "deployments:write", "yes"),
        (&["create", "pods", "--subresource=exec"], "yes", "pods:exec", "yes"),
        (&["get", "pods", "--subresource=log"], "yes", "yes", "yes"),
        (&["delete", "secrets"], "yes", "secrets:delete", "yes"),
        (&["list", "nodes"], "nodes:read", "nodes:read", "yes"),
        (&["create", "rolebindings.rbac.authorization.k8s.io"], "rbac:manage", "rolebindings:write", "rbac:manage"),
        (&["get", "pods", "-n", "kube-system"], "not assigned", "not assigned", "yes"),
        (&["*", "*"], "*", "*", "*:*"),
        (&["get", "/version"], "yes", "yes", "yes"),
        (&["get", "/metrics"], "passes on nothing", "passes on nothing", "passes on nothing"),
    ] {
        for (who, wanted) in [(&ann, of_ann), (&bob, of_bob), (&ops, of_ops)] {
            let answer = may(who, question);
            let right =
                if wanted == "yes" { answer == "yes" } else { answer.starts_with("no") && answer.contains(wanted) };
            assert!(right, "{}: {question:?}: {answer}", who.user.name);
        }
    }
    // What is said holds.
    assert!(bob.fails(&["create", "configmap", "any"]).contains("configmaps:write"));
    ann.does(&["create", "configmap", "any"]);

    let listed = bob.does(&["auth", "can-i", "--list"]);
    assert!(listed.contains("[get list watch]") && !listed.contains("create"), "{listed}");
    assert!(ann.does(&["auth", "can-i", "--list"]).contains("pods/exec"));
    // The cluster for tests is too old to be asked who one is; it says so, and nothing else.
    let said = ann.tries(&["auth", "whoami"]);
    assert!(said.success && said.answer.contains("ann") || said.complaint.contains("not enabled"), "{said:?}");
    let asked = world.entries(&ann, "action=kubernetes.review").await;
    assert!(!asked.is_empty());
}

async fn tokens_take_the_right_to_hand_out_rights(backend: Backend) {
    let world = World::new(backend, "kubectl-token").await;
    let root = world.person("root", "admin", &[]).await;
    let ops = world.person("ops", "ops", &[]).await;
    ops.creates(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}));
    assert!(ops.fails(&["create", "token", "robot"]).contains("rbac:manage"));
    let token = root.does(&["create", "token", "robot", "--duration=10m"]);
    assert!(token.starts_with("eyJ"), "{token}");
    assert!(ops.fails(&["create", "rolebinding", "any", "--clusterrole=view", "--user=ops"]).contains("rbac:manage"));
    root.does(&["create", "rolebinding", "any", "--clusterrole=view", "--user=ops"]);
}
