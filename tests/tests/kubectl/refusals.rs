//! What is refused, in the words that kubectl shows.

use crate::{
    running::PATIENCE,
    running::Running,
    world::{World, config_map},
};
use kv_tests::{Backend, on_both};

on_both!(refusals_name_what_is_missing, spdy_is_refused_with_what_to_use);

async fn refusals_name_what_is_missing(backend: Backend) {
    let mut world = World::new(backend, "kubectl-refused").await;
    let other = world.another_namespace(&format!("{}-other", world.namespace));
    world.pods(&[("clock", "clock")]);
    world.directly(&["create", "configmap", "there"], "");
    let bob = world.own("bob", "readonly").await;
    for (arguments, missing) in [
        (&["create", "configmap", "any"][..], "configmaps:write"),
        (&["run", "any", "--image", "any"], "pods:write"),
        (&["exec", "clock", "--", "true"], "pods:exec"),
        (&["attach", "clock"], "pods:exec"),
        (&["cp", "clock:file", "/dev/null"], "pods:exec"),
        (&["delete", "configmap", "there"], "configmaps:delete"),
        (&["delete", "configmaps", "--all"], "configmaps:delete"),
        (&["label", "configmap", "there", "a=b"], "configmaps:write"),
        (&["get", "nodes"], "nodes:read"),
        (&["create", "namespace", "any"], "namespaces:write"),
    ] {
        let said = bob.fails(arguments);
        // Where kubectl has words of its own, it leaves this one out.
        let own = said.contains("error: failed to create");
        assert!(said.contains("Error from server (Forbidden)") || own, "{arguments:?}: {said}");
        assert!(said.contains(&format!("does not hold {missing}")), "{arguments:?}: {said}");
    }
    let text = config_map("any", "1").to_string();
    for arguments in [&["apply", "-f", "-"][..], &["apply", "--server-side", "-f", "-"], &["create", "-f", "-"]] {
        let said = bob.fails_with(arguments, &text);
        assert!(said.contains("does not hold configmaps:write"), "{arguments:?}: {said}");
    }
    assert!(world.directly(&["get", "configmaps", "-o", "name"], "").contains("configmap/there"));

    // A namespace that one has no part in is one that is not there.
    let ann = world.own("ann", "dev").await;
    for namespace in [other.as_str(), "kube-system", "nowhere"] {
        for arguments in
            [&["get", "pods"][..], &["get", "pod", "any"], &["create", "configmap", "any"], &["delete", "pod", "any"]]
        {
            let said = ann.fails(&[&["-n", namespace], arguments].concat());
            let not_there = said.contains("NotFound") || said.contains("There is no such object");
            assert!(not_there, "{namespace}: {arguments:?}: {said}");
        }
        assert!(ann.fails(&["get", "namespace", namespace]).contains("NotFound"), "{namespace}");
    }
    let denied = world.entries(&bob, "outcome=denied").await;
    assert!(denied.iter().any(|entry| entry["action"] == "kubernetes.exec"), "{denied:?}");
    // Nobody acts as somebody else.
    assert!(ann.fails(&["get", "pods", "--as", "root"]).contains("mpersonat"));
}

async fn spdy_is_refused_with_what_to_use(backend: Backend) {
    let world = World::new(backend, "kubectl-spdy").await;
    world.pods(&[("echo", "echo")]);
    let ann = world.own("ann", "dev").await;
    let bob = world.own("bob", "readonly").await;
    for arguments in [&["exec", "echo", "--", "true"][..], &["attach", "echo"], &["port-forward", "pod/echo", ":80"]] {
        for (who, wanted) in [(&ann, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS"), (&bob, "does not hold pods:exec")] {
            let mut kubectl = who.command(arguments);
            kubectl.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false").env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
            let said = Running::start(kubectl).ends_within(PATIENCE);
            assert!(!said.success && said.complaint.contains(wanted), "{arguments:?}: {said:?}");
        }
    }
}
