//! Clusters and what they say they serve.

use super::*;
use crate::cluster::{AddressPolicy, CONNECT_TIMEOUT, ClusterAccess};
use serde_json::{Value, json};
use std::collections::HashMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A lease that never runs out.
fn held() -> crate::admission::Cover {
    crate::admission::Lease::unlimited(crate::clock::Clock::system()).cover()
}

fn resource(name: &str, kind: &str) -> Value {
    json!({"name": name, "singularName": "", "kind": kind, "namespaced": true, "verbs": ["get", "list", "patch"]})
}

fn list(group_version: &str, resources: &[Value]) -> Value {
    json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources})
}

fn group(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<_> =
        versions.iter().map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v})).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

/// A cluster with these answers; everything else is a 503.
async fn discover(answers: HashMap<&'static str, Value>) -> Result<Discovery, UpstreamError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let answers = std::sync::Arc::new(answers);
        while let Ok((mut stream, _)) = listener.accept().await {
            let answers = answers.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 8 * 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    let (status, body) = match answers.get(path) {
                        Some(answer) => ("200 OK", answer.to_string()),
                        None => ("503 Service Unavailable", "{}".to_owned()),
                    };
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let policy = AddressPolicy::new(["127.0.0.1"]).unwrap();
    let upstream = Upstream::new(&ClusterAccess::plain_for_test(port), &policy, CONNECT_TIMEOUT, held()).unwrap();
    let found = Discovery::fetch(&upstream, CallLimits::default()).await;
    serving.abort();
    found
}

fn cluster() -> HashMap<&'static str, Value> {
    let groups = [
        group("extensions", &["v1beta1"]),
        group("events.k8s.io", &["v1"]),
        group("apps", &["v1", "v1beta1"]),
        group("example.com", &["v2"]),
        group("metrics.k8s.io", &["v1beta1"]),
        group("down.example.com", &["v1"]),
        group("../../evil", &["v1"]),
        group("", &["v9"]),
    ];
    let hostile: Vec<Value> =
        ["", "..", "a/b", "pods/exec", "x?y", "UPPER", "a%2f"].iter().map(|name| resource(name, "Evil")).collect();
    let mut core = vec![
        resource("pods", "Pod"),
        resource("pods/log", "Pod"),
        resource("events", "Event"),
        resource("secrets", "Secret"),
    ];
    core.extend(hostile);
    HashMap::from([
        ("/apis", json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})),
        ("/api/v1", list("v1", &core)),
        ("/apis/extensions/v1beta1", list("extensions/v1beta1", &[resource("deployments", "Deployment")])),
        ("/apis/events.k8s.io/v1", list("events.k8s.io/v1", &[resource("events", "Event")])),
        (
            "/apis/apps/v1",
            list("apps/v1", &[resource("deployments", "Deployment"), resource("deployments/scale", "Scale")]),
        ),
        ("/apis/apps/v1beta1", list("apps/v1beta1", &[resource("deployments", "Old"), resource("olds", "Old")])),
        ("/apis/example.com/v2", list("example.com/v2", &[resource("widgets", "Widget"), resource("pods", "Fake")])),
        ("/apis/metrics.k8s.io/v1beta1", list("metrics.k8s.io/v1beta1", &[resource("pods", "PodMetrics")])),
    ])
}

fn found<'a>(discovery: &'a Discovery, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let served = discovery.find(&ResourceName::parse(name).unwrap())?;
    Some((served.group().as_str(), served.version().as_str(), served.kind()))
}

#[tokio::test]
async fn plain_plurals_are_built_in_and_custom_ones_have_a_group() {
    let discovery = discover(cluster()).await.unwrap();
    assert_eq!(found(&discovery, "pods"), Some(("", "v1", "Pod")));
    assert_eq!(found(&discovery, "events"), Some(("", "v1", "Event")));
    assert_eq!(found(&discovery, "events.events.k8s.io"), Some(("events.k8s.io", "v1", "Event")));
    assert_eq!(found(&discovery, "deployments"), Some(("apps", "v1", "Deployment")));
    assert_eq!(found(&discovery, "deployments.extensions"), Some(("extensions", "v1beta1", "Deployment")));
    assert_eq!(found(&discovery, "widgets"), None);
    assert_eq!(found(&discovery, "widgets.example.com"), Some(("example.com", "v2", "Widget")));
    assert_eq!(found(&discovery, "pods.example.com"), Some(("example.com", "v2", "Fake")));
    assert_eq!(found(&discovery, "pods.metrics.k8s.io"), Some(("metrics.k8s.io", "v1beta1", "PodMetrics")));
    // Only another version has it.
    assert_eq!(found(&discovery, "olds"), Some(("apps", "v1beta1", "Old")));
    assert_eq!(found(&discovery, "nothing"), None);
    assert!(discovery.is_incomplete());
    let secrets = discovery.find(&ResourceName::parse("secrets").unwrap()).unwrap();
    assert!(secrets.is_secret() && secrets.offers(KubernetesVerb::Patch) && !secrets.offers(KubernetesVerb::Delete));
}

#[tokio::test]
async fn attack_121_128_nothing_but_whole_resources_with_names_for_paths() {
    let discovery = discover(cluster()).await.unwrap();
    for served in discovery.all() {
        assert_ne!(served.kind(), "Evil");
        assert_ne!(served.kind(), "Scale");
        assert_ne!(served.version().as_str(), "v9");
        assert!(!served.group().as_str().contains(".."));
    }
    for name in ["openapi", "version", "healthz", "logs", "debug"] {
        assert_eq!(found(&discovery, name), None);
    }
}

#[tokio::test]
async fn a_cluster_that_answers_nothing_is_an_error() {
    let error = discover(HashMap::new()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Answered(status) if status == 503));
    let groups = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group("apps", &["v1"])]});
    assert!(discover(HashMap::from([("/apis", groups)])).await.is_err());
    let wrong = json!({"kind": "PodList", "apiVersion": "v1", "items": []});
    assert!(matches!(discover(HashMap::from([("/apis", wrong)])).await, Err(UpstreamError::NotKubernetes)));
}
