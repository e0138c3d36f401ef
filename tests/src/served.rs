//! What a played cluster serves, and what it answers to what nobody told it how to answer.

use crate::cluster::{Reply, Seen};
use serde_json::{Value, json};

/// What a cluster serves: group, version, plural, kind, whether in namespaces.
const SERVED: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "pods", "Pod", true),
    ("", "v1", "secrets", "Secret", true),
    ("", "v1", "configmaps", "ConfigMap", true),
    ("", "v1", "namespaces", "Namespace", false),
    ("", "v1", "nodes", "Node", false),
    ("apps", "v1", "deployments", "Deployment", true),
    ("apps", "v1", "replicasets", "ReplicaSet", true),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    ("example.com", "v1", "widgets", "Widget", true),
];

/// The parts that its objects have.
const PARTS: &[(&str, &str)] = &[
    ("pods", "status"),
    ("pods", "log"),
    ("pods", "exec"),
    ("pods", "attach"),
    ("pods", "portforward"),
    ("pods", "proxy"),
    ("pods", "ephemeralcontainers"),
    ("pods", "eviction"),
    ("nodes", "status"),
    ("nodes", "proxy"),
    ("deployments", "scale"),
    ("deployments", "status"),
    ("widgets", "status"),
];

/// What is answered to questions about what is served.
pub(crate) fn discovery(seen: &Seen) -> Option<Value> {
    let groups = ["apps", "rbac.authorization.k8s.io", "authorization.k8s.io", "example.com"];
    if seen.path == "/apis" {
        let named = groups.map(|name| {
            let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
            json!({"name": name, "versions": [version], "preferredVersion": version})
        });
        return Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": named}));
    }
    let group = match seen.path.as_str() {
        "/api/v1" => "",
        path => groups.into_iter().find(|group| path == format!("/apis/{group}/v1"))?,
    };
    let verbs = ["get", "list", "create", "update", "patch", "delete", "deletecollection", "watch"];
    let own = SERVED.iter().filter(|served| served.0 == group);
    let resources: Vec<Value> = own
        .flat_map(|(_, _, plural, kind, namespaced)| {
            let parts = PARTS.iter().filter(move |(of, _)| of == plural).map(move |(of, part)| format!("{of}/{part}"));
            [(*plural).to_owned()].into_iter().chain(parts).map(move |name| {
                json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": verbs})
            })
        })
        .collect();
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}))
}

/// What a cluster of no particular content answers: an object to everything, and to lists one object a namespace.
pub(crate) fn usual(seen: &Seen) -> Reply {
    let path = seen.path.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let nothing = || Reply::refusal(404, "the server could not find the requested resource");
    let (group, rest) = match *segments.as_slice() {
        ["api", _, ref rest @ ..] => ("", rest),
        [_, group, _, ref rest @ ..] => (group, rest),
        _ => return nothing(),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let Some((_, version, _, kind, _)) =
        SERVED.iter().find(|served| served.0 == group && rest.first() == Some(&served.2))
    else {
        return nothing();
    };
    let api_version = if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") };
    let object = |namespace: Option<&str>, name: &str| {
        let mut object = json!({"kind": kind, "apiVersion": api_version, "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = namespace.into();
        }
        if *kind == "Secret" {
            object["data"] = json!({"password": "aHVudGVyMg=="});
        }
        object
    };
    let selected = seen.path.split_once("metadata.name%3D").map(|(_, name)| name);
    let body = match (rest.get(1), seen.method.as_str()) {
        (None, "GET") => {
            let items: Vec<Value> = match (namespace, selected) {
                (Some(namespace), _) => vec![object(Some(namespace), &format!("of-{namespace}"))],
                (None, Some(name)) => vec![object(None, name)],
                (None, None) => ["a", "b", "c"].map(|space| object(Some(space), &format!("of-{space}"))).into(),
            };
            json!({"kind": format!("{kind}List"), "apiVersion": api_version, "metadata": {"resourceVersion": "7"}, "items": items})
        }
        (name, _) => object(namespace, name.unwrap_or(&"new")),
    };
    Reply::json(if seen.method == "POST" { 201 } else { 200 }, &body)
}
