//! Straight to the cluster: a real API server that asks KubeVision whose a key is and what its owner may do, and clients that
//! show it their keys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot have its world has failed"
)]

use http::Request;
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use kv_server::{
    cluster::ClusterAccess,
    operations::{Acting, add_cluster::add_cluster, webhooks::make_webhook_token},
};
use kv_tests::{Authority, Backend, Key, TestApp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

kv_tests::on_both!(an_api_server_lets_keys_in_and_asks_what_they_may);

/// The operator's program, and a Kubernetes that it keeps until this is dropped.
struct Kubernetes {
    xtask: PathBuf,
    name: String,
    kubeconfig: Kubeconfig,
    audit_log: PathBuf,
}

impl Kubernetes {
    async fn up(name: String, arguments: Vec<String>) -> Self {
        let xtask = std::env::var_os("KUBEVISION_TEST_XTASK").map(PathBuf::from);
        let xtask = xtask.expect("no KUBEVISION_TEST_XTASK; run the tests with `cargo xtask test`");
        let mut command = Command::new(&xtask);
        command.args(["kube", "up", &name, "--json"]);
        command.args(arguments.iter().flat_map(|argument| ["--api-server-argument", argument]));
        // The server must answer meanwhile.
        let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let told = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
        let place: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        let path = |field: &str| PathBuf::from(place[field].as_str().unwrap());
        let kubeconfig = Kubeconfig::read_from(path("kubeconfig")).unwrap();
        Self { xtask, name, kubeconfig, audit_log: path("audit_log") }
    }

    /// A client with the administrator's token, or with another.
    async fn client(&self, token: Option<&str>) -> Client {
        let mut kubeconfig = self.kubeconfig.clone();
        if let Some(token) = token {
            let user = kubeconfig.auth_infos[0].auth_info.as_mut().unwrap();
            user.token = Some(SecretString::from(token));
        }
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        // A failed test has its own words; what is left is told by `kube status`.
        let _ = Command::new(&self.xtask).args(["kube", "down", &self.name]).output();
    }
}

async fn ask(client: &Client, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string().into_bytes()));
    let answer = client.send(request.body(body).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// The file by which an API server finds a webhook.
fn webhook_file(folder: &Path, (app, ca): (&TestApp, &Path), webhook: &str, token: &str) -> String {
    let server = format!("https://{}/api/v1/clusters/prod/webhooks/{webhook}", app.address());
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "kubevision",
        "clusters": [{"name": "kubevision", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": "api-server", "user": {"token": token}}],
        "contexts": [{"name": "kubevision", "context": {"cluster": "kubevision", "user": "api-server"}}],
    });
    let path = folder.join(webhook);
    std::fs::write(&path, config.to_string()).unwrap();
    path.display().to_string()
}

async fn an_api_server_lets_keys_in_and_asks_what_they_may(backend: Backend) {
    // An API server shows its token over TLS alone.
    let authority = Authority::new();
    let app = TestApp::with_tls(backend, &[], &authority).await;
    let operator = || Acting::operator(app.inside()).unwrap();
    // Registered before it runs, so that its webhooks have an address; nothing here goes there through KubeVision.
    let nowhere = ClusterAccess::from_parts("https://127.0.0.1:1", None, SecretString::from("none")).unwrap();
    add_cluster(&operator(), "prod", &nowhere, false).await.unwrap();
    let token = make_webhook_token(&operator(), "prod").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let file = |webhook: &str| webhook_file(folder.path(), (&app, &ca), webhook, token.expose_secret());
    let arguments = vec![
        format!("--authentication-token-webhook-config-file={}", file("token-review")),
        "--authentication-token-webhook-version=v1".into(),
        "--authentication-token-webhook-cache-ttl=0s".into(),
        // After RBAC, which it has anyway.
        "--authorization-mode=Webhook".into(),
        format!("--authorization-webhook-config-file={}", file("subject-access-review")),
        "--authorization-webhook-version=v1".into(),
        "--authorization-webhook-cache-authorized-ttl=0s".into(),
        "--authorization-webhook-cache-unauthorized-ttl=0s".into(),
    ];
    let name = format!("straight-{backend:?}-{}", std::process::id()).to_lowercase();
    let kubernetes = Kubernetes::up(name, arguments).await;
    let admin = kubernetes.client(None).await;
    for namespace in ["team", "other"] {
        let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        assert_eq!(ask(&admin, "POST", "/api/v1/namespaces", Some(wanted)).await.0, 201);
    }
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"p": "aHVudGVyMg=="}});
    assert_eq!(ask(&admin, "POST", "/api/v1/namespaces/team/secrets", Some(secret)).await.0, 201);

    let ann = app.user("ann", "dev").await;
    app.assign(&ann, "prod", &["team"]).await;
    let session = app.login("ann").await;
    let key = app.key(&session, "ci").await;
    let (_, _, ops) = app.someone("olga", "ops", Some("prod")).await;
    let (_, _, stranger) = app.someone("otto", "ops", None).await;
    let with = async |key: &Key| kubernetes.client(Some(&key.text)).await;
    let (dev, ops) = (with(&key).await, with(&ops).await);
    let get = async |client: &Client, path: &str| ask(client, "GET", path, None).await;

    // One's own namespace, and no other.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    let maps = |namespace: &str| format!("/api/v1/namespaces/{namespace}/configmaps");
    let (status, made) = ask(&dev, "POST", &maps("team"), Some(map.clone())).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(get(&dev, &format!("{}/a", maps("team"))).await.1["data"]["k"], "v");
    let (status, refused) = ask(&dev, "POST", &maps("other"), Some(map)).await;
    assert_eq!(status, 403, "{refused}");
    assert_eq!(get(&dev, "/api/v1/configmaps").await.0, 403, "there is no union on this way");
    assert_eq!(get(&dev, "/api/v1/nodes").await.0, 403);
    for document in ["/version", "/api", "/apis", "/openapi/v2"] {
        assert_eq!(get(&dev, document).await.0, 200, "{document}");
    }
    // Secrets are shown whole or not at all.
    let one = "/api/v1/namespaces/team/secrets/s";
    let (status, refused) = get(&dev, one).await;
    assert_eq!(status, 403);
    assert!(refused["message"].as_str().unwrap().contains("KubeVision: missing secrets:reveal"), "{refused}");
    assert_eq!(get(&dev, "/api/v1/namespaces/team/secrets").await.0, 403);
    let (status, shown) = get(&ops, one).await;
    assert_eq!((status, &shown["data"]["p"]), (200, &json!("aHVudGVyMg==")));
    // No key of ours, or of somebody without this cluster.
    for token in [&*stranger.text, &*session.token, "nonsense"] {
        assert_eq!(get(&kubernetes.client(Some(token)).await, "/api").await.0, 401);
    }
    // The cluster's own log names user and key.
    let log = std::fs::read_to_string(&kubernetes.audit_log).unwrap();
    let created = |line: &&str| {
        line.contains("team/configmaps") && line.contains("\"create\"") && line.contains("kubevision:ann")
    };
    let line = log.lines().find(created).expect("her request is in the cluster's own log");
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["user"]["username"], "kubevision:ann", "{line}");
    assert_eq!(line["user"]["extra"]["kubevision.io/key-id"], json!([key.id]), "{line}");
    assert!(!log.contains(&key.text[8..]), "the key reached the cluster's audit log");

    // Each question is on record here, under the owner's name with the key's as agent.
    let entries = app.audit("user=ann&action=kubernetes.access_review").await;
    let asked = |method: &str, resource: &str, namespace: &str| {
        let same = |entry: &&Value| {
            (&entry["detail"]["method"], &entry["resource"], &entry["namespace"])
                == (&json!(method), &json!(resource), &json!(namespace))
        };
        entries.iter().filter(same).map(|entry| entry["outcome"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(asked("create", "configmaps", "team"), ["succeeded"]);
    assert_eq!(asked("create", "configmaps", "other"), ["denied"]);
    assert_eq!(asked("get", "secrets", "team"), ["denied"]);
    for entry in &entries {
        assert_eq!(
            (&entry["agent"], &entry["key_id"], &entry["cluster"]),
            (&json!("ci"), &json!(key.id), &json!("prod"))
        );
    }
    assert!(!app.audit("user=ann&action=kubernetes.token_review").await.is_empty());

    // Rights and keys count as they are now.
    app.change(&ann, &json!({"role": "readonly"})).await;
    assert_eq!(ask(&dev, "DELETE", &format!("{}/a", maps("team")), None).await.0, 403);
    assert_eq!(get(&dev, &maps("team")).await.0, 200);
    app.revoke(&app.login("ann").await, &key).await.expect(204);
    // The API server remembers for ten seconds whose a token is, and asks all the same what they may.
    let revoked = Instant::now();
    loop {
        match get(&dev, &maps("team")).await.0 {
            401 => break,
            status => assert_eq!(status, 403),
        }
        assert!(revoked.elapsed() < Duration::from_secs(20), "the API server remembers a revoked key");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(get(&admin, &maps("team")).await.0, 200);
}
