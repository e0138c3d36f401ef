//! Secrets with kubectl, by who may see their values and who may not: in every form in which kubectl asks for them.

use crate::world::{World, run, secret, well};
use kv_tests::{Backend, on_both};

on_both!(values_are_masked_in_every_form, values_are_changed_by_who_does_not_see_them);

/// `hunter2`, as it stands in `data`.
const ENCODED: &str = "aHVudGVyMg==";
/// The mask, as it stands in `data`.
const MASK: &str = "KioqKioqKio=";

fn shows(text: &str) -> bool {
    text.contains("hunter2") || text.contains(ENCODED)
}

async fn values_are_masked_in_every_form(backend: Backend) {
    let world = World::new(backend, "kubectl-masked").await;
    let ann = world.own("ann", "dev").await;
    let bob = world.own("bob", "readonly").await;
    let ops = world.own("ops", "ops").await;
    // Applied, so that a copy of the values stands in an annotation.
    world.directly(&["apply", "-f", "-"], &secret("kept", "hunter2").to_string());
    let forms: &[&[&str]] = &[
        &["-o", "yaml"],
        &["-o", "json"],
        &["-o", "wide"],
        &["-o", "custom-columns=D:.data.password,A:.metadata.annotations"],
        &["-o", "jsonpath={.data.password}"],
        &["-o", "go-template={{.data.password}}{{.metadata.annotations}}"],
        &["-o", "yaml", "--show-managed-fields"],
    ];
    for form in forms {
        let arguments = [&["get", "secret", "kept"], *form].concat();
        for who in [&ann, &bob] {
            let text = who.does(&arguments);
            assert!(!shows(&text), "{}: {form:?}: {text}", who.user.name);
            assert!(text.contains(MASK) || form.contains(&"wide"), "{form:?}: {text}");
        }
        assert!(shows(&ops.does(&arguments)) || form.contains(&"wide"), "{form:?}");
    }
    for arguments in [
        &["get", "secrets", "-o", "yaml"][..],
        &["get", "secrets"],
        &["get", "secrets", "-A", "-o", "json"],
        &["get", "secrets", "-o", "json", "--chunk-size=1"],
        &["describe", "secret", "kept"],
    ] {
        let text = bob.does(arguments);
        assert!(!shows(&text) && text.contains("kept"), "{arguments:?}: {text}");
    }
    let raw = format!("/api/v1/clusters/prod/k8s/api/v1/namespaces/{}/secrets/kept", world.namespace);
    assert!(!shows(&ann.does(&["get", "--raw", &raw])) && shows(&ops.does(&["get", "--raw", &raw])));

    let watch = ["get", "secrets", "--watch", "--output-watch-events", "-o", "json"];
    let (masked, shown) = (ann.starts(&watch), ops.starts(&watch));
    masked.says("kept");
    shown.says(ENCODED);
    world.directly(&["apply", "-f", "-"], &secret("late", "hunter2").to_string());
    masked.says("late");
    shown.says("late");
    world.directly(&["delete", "secret", "late"], "");
    masked.says("DELETED");
    let heard = masked.answer();
    assert!(!shows(&heard) && heard.contains(MASK), "{heard}");

    let revealed = world.entries(&ops, "action=kubernetes.get").await;
    assert!(revealed.iter().all(|entry| entry["outcome"] == "succeeded"), "{revealed:?}");
}

async fn values_are_changed_by_who_does_not_see_them(backend: Backend) {
    let world = World::new(backend, "kubectl-mask-kept").await;
    let ann = world.own("ann", "dev").await;
    let value = |name: &str| world.directly(&["get", "secret", name, "-o", "jsonpath={.data.password}"], "");

    // What one has written oneself comes back masked, too.
    for (name, how) in [("applied", &["apply"][..]), ("served", &["apply", "--server-side"]), ("created", &["create"])]
    {
        let arguments = [how, &["-f", "-", "-o", "json"]].concat();
        let text = ann.does_with(&arguments, &secret(name, "hunter2").to_string());
        assert!(!shows(&text) && text.contains(MASK), "{how:?}: {text}");
        assert_eq!(value(name), ENCODED, "{how:?}");
    }
    // A shown Secret is not stored: its masks would take the place of the values.
    for name in ["applied", "served"] {
        let shown = ann.does(&["get", "secret", name, "-o", "json"]);
        for arguments in [&["replace", "-f", "-"][..], &["apply", "--server-side", "--force-conflicts", "-f", "-"]] {
            let said = ann.fails_with(arguments, &shown);
            assert!(said.contains("masked values"), "{arguments:?}: {said}");
        }
        let patch = format!(r#"{{"data":{{"password":"{MASK}"}}}}"#);
        assert!(ann.fails(&["patch", "secret", name, "-p", &patch]).contains("masked values"));
        // What is edited beside the masks is all that is sent.
        let mut edit = ann.command(&["edit", "secret", name]);
        edit.env("EDITOR", "sed -i 's/^metadata:/metadata:\\n  labels: {edited: by-hand}/'");
        well(run(edit, ""));
        assert_eq!(ann.shows(&["get", "secret", name])["metadata"]["labels"]["edited"], "by-hand");
        assert_eq!(value(name), ENCODED);
    }
    // One leaves out what one does not change, and changes what one knows.
    ann.does(&["label", "secret", "applied", "team=shop"]);
    assert_eq!(value("applied"), ENCODED);
    ann.does(&["patch", "secret", "applied", "-p", r#"{"stringData":{"password":"changed"}}"#]);
    assert_eq!(value("applied"), "Y2hhbmdlZA==");
    let text = secret("applied", "again").to_string();
    let said = ann.does_with(&["apply", "-f", "-"], &text);
    assert!(said.contains("configured"), "{said}");
    assert_eq!(value("applied"), "YWdhaW4=");
    ann.does(&["delete", "secret", "applied"]);
}
