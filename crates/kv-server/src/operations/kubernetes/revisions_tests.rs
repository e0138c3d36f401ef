//! Revisions of workloads: which are its own, which is chosen, and what the patch changes.

use super::*;

fn workload(value: Value) -> Workload {
    serde_json::from_value(value).unwrap()
}

fn template(image: &str) -> Value {
    json!({
        "metadata": {"creationTimestamp": null, "labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": image}], "of_a_later_version": {"a": [1]}},
    })
}

fn deployment(image: &str) -> Workload {
    workload(json!({
        "metadata": {
            "uid": "u1", "generation": 7,
            "annotations": {REVISION: "3", "own": "now", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template(image)},
    }))
}

fn replica_set(owner: &str, number: &str, image: &str) -> Value {
    let mut template = template(image);
    template["metadata"]["labels"][TEMPLATE_HASH] = json!("5d");
    json!({
        "metadata": {
            "creationTimestamp": "2026-11-24T12:00:00Z",
            "annotations": {REVISION: number, CHANGE_CAUSE: image, "deployment.kubernetes.io/max-replicas": "9"},
            "ownerReferences": [{"uid": owner, "controller": true}],
        },
        "spec": {"template": template},
    })
}

fn numbers(revisions: &[Revision]) -> Vec<u64> {
    revisions.iter().map(|revision| revision.number).collect()
}

fn number(number: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(number)
}

#[test]
fn only_its_own_numbered_revisions_count_and_the_newest_comes_first() {
    let deployment = deployment("c:3");
    let mut unnumbered = replica_set("u1", "x", "c:8");
    unnumbered["metadata"]["annotations"] = json!({});
    let mut owned_not_controlled = replica_set("u1", "5", "c:5");
    owned_not_controlled["metadata"]["ownerReferences"][0]["controller"] = json!(false);
    let list = json!({"items": [
        replica_set("u1", "2", "c:2"), replica_set("u2", "4", "c:4"), replica_set("u1", "10", "c:3"), unnumbered,
        owned_not_controlled, {"metadata": {}, "data": [1], "revision": 3},
    ]});
    let revisions = deployment.revisions(list).unwrap();
    assert_eq!(numbers(&revisions), [10, 2]);
    let told = deployment.history(&revisions);
    assert_eq!(
        told["items"][0],
        json!({
            "revision": 10, "created_at": "2026-11-24T12:00:00Z", "change_cause": "c:3", "current": true, "images": ["c:3"],
        })
    );
    assert_eq!((&told["items"][1]["current"], &told["next_cursor"]), (&json!(false), &Value::Null));
}

#[test]
fn the_one_before_is_the_newest_that_it_is_not() {
    let revisions = |deployment: &Workload| {
        let items = [replica_set("u1", "1", "c:1"), replica_set("u1", "2", "c:2")];
        deployment.revisions(json!({"items": items})).unwrap()
    };
    let chosen = |image: &str, wanted: Option<u64>| {
        let deployment = deployment(image);
        let revisions = revisions(&deployment);
        deployment.choose(&revisions, wanted.and_then(number)).map(|found| found.map(|revision| revision.number))
    };
    assert_eq!(chosen("c:2", None), Ok(Some(1)));
    // The controller has not numbered c:3 yet.
    assert_eq!(chosen("c:3", None), Ok(Some(2)));
    assert_eq!(chosen("c:2", Some(1)), Ok(Some(1)));
    assert_eq!(chosen("c:2", Some(2)), Ok(None));
    assert_eq!(chosen("c:2", Some(3)), Err(NoRevision::Numbered(number(3).unwrap())));
    assert_eq!(deployment("c:2").choose(&[], None).unwrap_err(), NoRevision::Earlier);
    let only = deployment("c:1").revisions(json!({"items": [replica_set("u1", "1", "c:1")]})).unwrap();
    assert_eq!(deployment("c:1").choose(&only, None).unwrap_err(), NoRevision::Earlier);
}

#[test]
fn a_deployment_gets_the_whole_template_and_its_annotations_back() {
    let deployment = deployment("c:2");
    let revisions = deployment.revisions(json!({"items": [replica_set("u1", "1", "c:1")]})).unwrap();
    let (media_type, patch) = deployment.rollback(&revisions[0]);
    assert_eq!(media_type, "application/json-patch+json");
    let expected = json!([
        {"op": "test", "path": "/metadata/uid", "value": "u1"},
        {"op": "test", "path": "/metadata/generation", "value": 7},
        {"op": "replace", "path": "/spec/template", "value": template("c:1")},
        {"op": "add", "path": "/metadata/annotations", "value": {
            REVISION: "3", "kubectl.kubernetes.io/last-applied-configuration": "{}", CHANGE_CAUSE: "c:1",
        }},
    ]);
    assert_eq!(patch, expected);
}

#[test]
fn the_others_get_what_their_controller_kept() {
    let set = workload(json!({"metadata": {"uid": "u1"}, "spec": {"template": template("c:2")}}));
    let kept = |revision: u64, image: &str| {
        let mut template = template(image);
        template["$patch"] = json!("replace");
        json!({
            "metadata": {"ownerReferences": [{"uid": "u1", "controller": true}]}, "revision": revision,
            // Nothing but the template is taken from it.
            "data": {"spec": {"template": template, "replicas": 0}},
        })
    };
    let revisions = set.revisions(json!({"items": [kept(1, "c:1"), kept(2, "c:2")]})).unwrap();
    assert_eq!(numbers(&revisions), [2, 1]);
    let chosen = set.choose(&revisions, None).unwrap().unwrap();
    let (media_type, patch) = set.rollback(chosen);
    assert_eq!(media_type, STRATEGIC);
    let mut back = template("c:1");
    back["$patch"] = json!("replace");
    assert_eq!(patch, json!({"metadata": {"uid": "u1"}, "spec": {"template": back}}));
}
