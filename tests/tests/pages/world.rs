//! The world of these tests: a server with a real Kubernetes behind it, and people who sign in with a browser.
//!
//! Nothing is looked at here.

use kv_server::{
    cluster::{ClusterAccess, KubeconfigSource},
    operations::{Acting, add_cluster::add_cluster},
};
use kv_tests::{
    Backend, PASSWORD, TestApp,
    browser::{Browser, Look},
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The file that opens the real cluster.
pub(super) fn kubeconfig() -> PathBuf {
    let path = std::env::var_os("KUBEVISION_TEST_KUBECONFIG").map(PathBuf::from);
    path.expect("KUBEVISION_TEST_KUBECONFIG names no Kubernetes; run the tests with `cargo xtask test`")
}

/// Has the real cluster registered as `prod`, with a namespace of the test's own and a Deployment `api-server` in it. Gives
/// the namespace.
pub(super) async fn with_cluster(app: &TestApp, namespace: &str) -> String {
    let path = kubeconfig();
    let source = KubeconfigSource::Operator { folder: path.parent().unwrap_or(Path::new(".")).to_owned() };
    let access = ClusterAccess::from_kubeconfig(&std::fs::read(&path).unwrap(), None, &source).unwrap();
    add_cluster(&Acting::operator(app.inside()).unwrap(), "prod", &access, false).await.unwrap();
    // The cluster may remember an earlier run.
    let namespace = format!("{namespace}-{}", std::process::id());
    let admin = app.admin().await;
    let create = async |path: &str, object: Value| {
        app.post(path).session(&admin).json(&object).send().await.expect(201);
    };
    create("/api/v1/clusters/prod/namespaces", json!({"metadata": {"name": namespace}})).await;
    create(&format!("/api/v1/clusters/prod/namespaces/{namespace}/deployments"), deployment()).await;
    namespace
}

fn deployment() -> Value {
    json!({"metadata": {"name": "api-server"}, "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "api-server"}},
        "template": {
            "metadata": {"labels": {"app": "api-server"}},
            "spec": {"containers": [{"name": "main", "image": "registry.example.com/api-server:1.42.0"}]},
        },
    }})
}

/// A server, and a browser that looks at it.
pub(super) async fn open(backend: Backend, look: Look) -> (TestApp, Browser) {
    let app = TestApp::start(backend).await;
    let browser = Browser::open(look).await.at(app.address());
    (app, browser)
}

/// Signs in by the page.
pub(super) async fn sign_in(browser: &Browser, name: &str) {
    browser.goto("/sign-in").await;
    browser.fill("Name", name).await;
    browser.fill("Password", PASSWORD).await;
    browser.click_text("Sign in").await;
    browser.await_path("/clusters").await;
}
