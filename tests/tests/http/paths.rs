//! Paths, queries and bodies: what is authorised is what is sent, and what is not plainly meant is not sent at all.

use kv_tests::{Backend, Cluster, Key, TestApp, on_both};
use serde_json::json;

on_both!(
    attack_112_113_114_no_parameter_escapes_its_segment,
    attack_117_a_query_adds_nothing,
    attack_118_a_body_says_the_same_as_its_path,
    attack_36_a_malformed_namespace_tells_nothing_of_clusters,
    attack_126_no_typing_error_deletes_a_collection,
    what_the_page_shows_arrives_as_a_merge_patch,
);

const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";
const PODS: &str = "/api/v1/clusters/prod/namespaces/team/pods";

async fn world(backend: Backend) -> (TestApp, Cluster, Key) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, _, key) = app.someone("ann", "ops", Some("prod")).await;
    (app, cluster, key)
}

async fn attack_112_113_114_no_parameter_escapes_its_segment(backend: Backend) {
    let (app, cluster, key) = world(backend).await;
    let credential = format!("Authorization: ApiKey {}", key.text);
    for hostile in [
        "%2e%2e",
        "..",
        ".",
        "%252e%252e",
        "..;",
        "..\\",
        "%5c",
        "",
        "%00",
        "a%2F..%2Fkube-system",
        "x%3Flimit=1",
        "x%23",
        "x;y",
        "x@host",
        "%2f",
        "a%20b",
        "A_B%2e",
        "x%0d%0aHost:y",
        "%C3%A9",
        "%ff",
        "x,y",
        "x=y",
        "x&y",
    ] {
        for path in [
            format!("/api/v1/clusters/{hostile}/namespaces/team/pods"),
            format!("/api/v1/clusters/prod/namespaces/{hostile}/pods"),
            format!("/api/v1/clusters/prod/namespaces/team/{hostile}"),
            format!("/api/v1/clusters/prod/namespaces/team/pods/{hostile}"),
            format!("/api/v1/clusters/prod/{hostile}"),
            format!("/api/v1/clusters/prod/nodes/{hostile}"),
        ] {
            // What a climbing path would be used for.
            let method = if path.matches('/').count() > 6 { "DELETE" } else { "GET" };
            let status = app.raw_status(&format!("{method} {path}"), &credential).await;
            assert_eq!(status, 400, "{method} {path}");
        }
    }
    // Plain, and yet no names.
    for path in
        ["/api/v1/clusters/Prod/pods", "/api/v1/clusters/prod/namespaces/a.b/pods", "/api/v1/clusters/prod/Pods"]
    {
        app.get(path).key(&key).send().await.expect(400);
    }
    assert_eq!(cluster.connections(), 0, "nobody even connected");
}

async fn attack_117_a_query_adds_nothing(backend: Backend) {
    let (app, cluster, key) = world(backend).await;
    for query in [
        "namespace=kube-system",
        "watch=1",
        "watch=true",
        "%77atch=1",
        "follow=true",
        "limit=1&limit=2",
        "limit=1&%6cimit=2",
        "allowWatchBookmarks=true",
        "as=admin",
        "limit=-1",
    ] {
        app.get(&format!("{PODS}?{query}")).key(&key).send().await.expect(400);
    }
    assert_eq!(cluster.connections(), 0);
    app.get(&format!("{PODS}?labelSelector=app%3Dweb%26watch%3D1&limit=5")).key(&key).send().await.expect(200);
    let arrived = cluster.seen().pop().unwrap();
    assert_eq!(arrived.line(), "GET /api/v1/namespaces/team/pods?labelSelector=app%3Dweb%26watch%3D1&limit=5");
}

async fn attack_118_a_body_says_the_same_as_its_path(backend: Backend) {
    let (app, cluster, key) = world(backend).await;
    let pod = |metadata| json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata});
    for body in [
        pod(json!({"namespace": "kube-system"})),
        pod(json!({"name": "other"})),
        json!({"kind": "Secret", "apiVersion": "v1"}),
        json!({"kind": "Pod", "apiVersion": "apps/v1"}),
        json!([]),
        json!("x"),
    ] {
        app.request("PUT", POD).key(&key).json(&body).send().await.expect(400);
        app.patch(POD).key(&key).json(&body).send().await.expect(400);
    }
    let moving = json!([{"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}]);
    app.patch(POD).key(&key).body("application/json-patch+json", moving.to_string()).send().await.expect(400);
    for body in ["{\"spec\":1,\"spec\":2}", "{} {}", "{", ""] {
        app.patch(POD).key(&key).body("application/json", body).send().await.expect(400);
    }
    for media in ["text/plain", "application/yaml", "application/vnd.kubernetes.protobuf", ""] {
        app.patch(POD).key(&key).body(media, "{}").send().await.expect(415);
    }
    app.request("GET", POD).key(&key).json(&json!({})).send().await.expect(400);
    assert_eq!(cluster.seen().len(), 0);
    app.request("PUT", POD).key(&key).json(&pod(json!({"name": "web", "namespace": "team"}))).send().await.expect(200);
}

async fn attack_36_a_malformed_namespace_tells_nothing_of_clusters(backend: Backend) {
    let (app, _, key) = world(backend).await;
    let mut answers = Vec::new();
    for cluster in ["prod", "none"] {
        let path = format!("/api/v1/clusters/{cluster}/namespaces/{}/pods", "n".repeat(64));
        let answer = app.get(&path).key(&key).send().await.expect(400);
        answers.push(answer.text().replace(answer.request_id(), "ID"));
    }
    assert_eq!(answers[0], answers[1]);
}

async fn attack_126_no_typing_error_deletes_a_collection(backend: Backend) {
    let (app, cluster, key) = world(backend).await;
    let credential = format!("Authorization: ApiKey {}", key.text);
    for (path, status) in [(PODS, 400), (&format!("{PODS}/"), 400), (&format!("{PODS}//"), 400)] {
        assert_eq!(app.raw_status(&format!("DELETE {path}"), &credential).await, status, "{path}");
    }
    assert_eq!(app.raw_status("DELETE /api/v1/clusters/prod/nodes", &credential).await, 400);
    assert_eq!(cluster.connections(), 0);
}

async fn what_the_page_shows_arrives_as_a_merge_patch(backend: Backend) {
    let (app, cluster, key) = world(backend).await;
    let path = "/api/v1/clusters/prod/namespaces/default/deployments/api-server";
    let body = r#"{"spec": {"replicas": 5}}"#;
    app.patch(path).key(&key).body("application/json", body).send().await.expect(200);
    let arrived = cluster.seen().pop().unwrap();
    assert_eq!(arrived.line(), "PATCH /apis/apps/v1/namespaces/default/deployments/api-server");
    assert_eq!((arrived.body.as_str(), arrived.header("content-type")), (body, Some("application/merge-patch+json")));
}
