//! Bodies that say what the path says, and others.

use super::*;
use crate::cluster::{
    Names,
    discovery::Served,
    mask,
    names::{Group, Namespace, ObjectName, Plural, Version},
};
use KubernetesVerb::{Create, Patch, Update};
use serde_json::json;

fn path(verb: KubernetesVerb) -> ObjectPath {
    let (group, version) = (Group::parse("apps").unwrap(), Version::parse("v1").unwrap());
    let served = Served::of(Plural::parse("things").unwrap(), group, version, true);
    let name = (verb != Create).then(|| ObjectName::parse("web", "apps").unwrap());
    let names = Names { namespace: Some(Namespace::parse("team").unwrap()), name, ..Names::default() };
    ObjectPath::new(&served, names, verb).unwrap()
}

fn checked(verb: KubernetesVerb, content_type: &str, body: &Value) -> Result<CheckedBody, BodyError> {
    check(body.to_string().as_bytes(), Some(content_type), &path(verb))
}

fn refused(verb: KubernetesVerb, content_type: &str, body: &Value) -> Option<BodyError> {
    checked(verb, content_type, body).err()
}

#[test]
fn attack_125_content_types() {
    let body = json!({"spec": {"replicas": 3}});
    for (verb, content_type, upstream) in [
        (Create, "application/json", JSON),
        (Update, "application/JSON; charset=utf-8", JSON),
        (Patch, "application/json", MERGE_PATCH),
        (Patch, "application/merge-patch+json", MERGE_PATCH),
        (Patch, "application/strategic-merge-patch+json", STRATEGIC_PATCH),
        (Patch, "application/apply-patch+yaml", APPLY_PATCH),
    ] {
        assert_eq!(checked(verb, content_type, &body).unwrap().content_type(), upstream);
    }
    for (verb, content_type) in [
        (Create, "application/yaml"),
        (Create, "text/plain"),
        (Create, ""),
        (Update, "application/merge-patch+json"),
        (Patch, "application/vnd.kubernetes.protobuf"),
        (Patch, "application/apply-patch+cbor"),
        (Create, "application/json; charset=utf-16"),
        (Create, "application/json, text/plain"),
    ] {
        assert_eq!(refused(verb, content_type, &body), Some(BodyError::Unsupported), "{content_type}");
    }
    assert!(matches!(check(b"{}", None, &path(Create)), Err(BodyError::Unsupported)));
}

#[test]
fn attack_118_the_body_agrees_with_the_path() {
    let good = json!({"kind": "Thing", "apiVersion": "apps/v1", "metadata": {"name": "web", "namespace": "team"}});
    for (verb, content_type) in
        [(Create, JSON), (Update, JSON), (Patch, JSON), (Patch, APPLY_PATCH), (Patch, STRATEGIC_PATCH)]
    {
        assert!(checked(verb, content_type, &good).is_ok());
        for (pointer, value, field) in [
            ("/kind", json!("Other"), "kind"),
            ("/kind", json!("ThingList"), "kind"),
            ("/apiVersion", json!("v1"), "apiVersion"),
            ("/apiVersion", json!(7), "apiVersion"),
            ("/metadata/namespace", json!("kube-system"), "metadata.namespace"),
            ("/metadata/namespace", json!(""), "metadata.namespace"),
            ("/metadata/namespace", json!(["team"]), "metadata.namespace"),
            ("/metadata/name", json!("other"), "metadata.name"),
            ("/metadata", json!("x"), "metadata"),
        ] {
            let mut body = good.clone();
            *body.pointer_mut(pointer).unwrap() = value;
            let expected = (verb != Create || field != "metadata.name").then_some(BodyError::Mismatch(field));
            assert_eq!(refused(verb, content_type, &body), expected, "{verb:?} {pointer}");
        }
    }
    assert_eq!(checked(Create, JSON, &good).unwrap().object_name(), Some("web"));
}

#[test]
fn attack_117_118_null_takes_away_in_a_patch_only() {
    let body = json!({"metadata": {"namespace": null, "name": null}});
    assert!(checked(Update, JSON, &body).is_ok());
    assert_eq!(refused(Patch, JSON, &body), Some(BodyError::Mismatch("metadata.namespace")));
    assert_eq!(refused(Patch, JSON, &json!({"metadata": null})), Some(BodyError::Mismatch("metadata")));
}

#[test]
fn attack_125_a_json_patch_leaves_the_object_where_it_is() {
    let replace = |path: &str| json!([{"op": "replace", "path": path, "value": "kube-system"}]);
    for (path, field) in [
        ("/metadata/namespace", "metadata.namespace"),
        ("/metadata/name", "metadata.name"),
        ("/metadata/name/x", "metadata.name"),
        ("/metadata", "metadata"),
        ("", "the whole object"),
        ("/kind", "kind"),
        ("/apiVersion", "apiVersion"),
    ] {
        assert_eq!(refused(Patch, JSON_PATCH, &replace(path)), Some(BodyError::Immovable(field)), "{path}");
    }
    let moved = json!([{"op": "move", "from": "/metadata/namespace", "path": "/metadata/labels/x"}]);
    assert_eq!(refused(Patch, JSON_PATCH, &moved), Some(BodyError::Immovable("metadata.namespace")));
    // Read by some as `/metadata/name`.
    let shape = Some(BodyError::Shape("a JSON patch"));
    for operation in [
        json!({"op": "replace", "path": "spec/x", "value": 1}),
        json!({"op": "test", "path": "spec/x", "value": 1}),
        json!({"op": "copy", "from": "spec/x", "path": "/spec/y"}),
        json!({"op": "copy", "path": "/spec/y"}),
        json!({"op": "Replace", "path": "/spec/x"}),
        json!({"op": "replace"}),
        json!({"op": "replace", "path": ["/spec"]}),
        json!({"path": "/spec"}),
        json!("x"),
    ] {
        assert_eq!(refused(Patch, JSON_PATCH, &json!([operation])), shape, "{operation}");
    }
    assert!(refused(Patch, JSON_PATCH, &json!([{"op": "add", "path": "x/metadata/name", "value": 1}])).is_some());
    assert!(matches!(refused(Patch, JSON_PATCH, &json!({})), Some(BodyError::Shape(_))));
    for path in ["/spec/replicas", "/metadata/labels/a~1b", "/metadata/namespaces", "/spec/template/metadata/name"] {
        assert!(checked(Patch, JSON_PATCH, &replace(path)).is_ok(), "{path}");
    }
    assert!(checked(Patch, JSON_PATCH, &json!([{"op": "test", "path": "/metadata/name", "value": "web"}])).is_ok());
}

#[test]
fn bodies_that_can_be_read_in_two_ways() {
    let json_error = |text: &str, content_type| check(text.as_bytes(), Some(content_type), &path(Patch)).err();
    let twice = r#"{"metadata":{"namespace":"team","namespace":"kube-system"}}"#;
    assert_eq!(json_error(twice, JSON), Some(BodyError::Json(json::JsonError::DuplicateKey)));
    for text in ["{} {}", "a: 1", "", "---\n{}", "{\"a\":1}#x"] {
        assert_eq!(json_error(text, APPLY_PATCH), Some(BodyError::Json(json::JsonError::Malformed)), "{text}");
    }
    assert!(matches!(json_error(r#"{"x":{"<<":{}}}"#, APPLY_PATCH), Some(BodyError::Shape(_))));
    for text in ["[]", "null", "\"x\"", "7"] {
        assert!(matches!(json_error(text, JSON), Some(BodyError::Shape(_))), "{text}");
    }
    assert!(matches!(check(&vec![b' '; MAX_BODY + 1], Some(JSON), &path(Create)), Err(BodyError::TooLarge)));
}

#[test]
fn patches_that_would_carry_masked_values_off() {
    let reveals = |operation: Value| mask::would_reveal(&checked(Patch, JSON_PATCH, &json!([operation])).unwrap());
    assert!(reveals(json!({"op": "copy", "from": "/data/p", "path": "/metadata/annotations/x"})));
    assert!(reveals(json!({"op": "move", "from": "/data/p", "path": "/metadata/annotations/x"})));
    assert!(reveals(json!({"op": "test", "path": "/data/p", "value": "aHVudGVyMg=="})));
    assert!(!reveals(json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"})));
    assert!(!reveals(json!({"op": "replace", "path": "/data/p", "value": "aHVudGVyMg=="})));
    assert!(!mask::would_reveal(&checked(Patch, JSON, &json!({"data": {"p": "x"}})).unwrap()));
}
