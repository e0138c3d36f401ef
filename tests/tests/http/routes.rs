//! Every route: what anyone, the wrong role and the right one get there. A route without a row fails.

use kv_server::routes::{Access, ROUTES, Route};
use kv_tests::{Backend, Cluster, Request, TestApp, on_both};
use serde_json::{Value, json};
use std::collections::BTreeSet;

on_both!(every_route_knows_who_may_call_it);

/// A route's row. `{dev}` and `{key}` in the address are ids; `wrong` and `right` call as these users.
struct Row {
    route: (&'static str, &'static str),
    address: &'static str,
    body: Option<Value>,
    anonymous: u16,
    wrong: (&'static str, u16),
    right: (&'static str, u16),
}

fn row(route: (&'static str, &'static str), wrong: (&'static str, u16), right: (&'static str, u16)) -> Row {
    Row { route, address: route.1, body: None, anonymous: 401, wrong, right }
}

impl Row {
    fn at(self, address: &'static str) -> Self {
        Self { address, ..self }
    }

    fn with(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    fn anonymous(self, status: u16) -> Self {
        Self { anonymous: status, ..self }
    }
}

/// `dev` may work in namespace `team` of cluster `prod`, `ops` in all of it, `nobody` has no cluster.
fn rows() -> Vec<Row> {
    const KEYS: &str = "/api/v1/users/{id}/api-keys";
    const USER: &str = "/api/v1/users/{id}";
    const ASSIGNMENTS: &str = "/api/v1/users/{id}/assignments";
    const SESSIONS: &str = "/api/v1/users/{id}/sessions";
    const ONE_KEY: &str = "/api/v1/users/{id}/api-keys/{key_id}";
    const SPACED: &str = "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}";
    const SPACED_ONE: &str = "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}";
    const WIDE: &str = "/api/v1/clusters/{cluster}/{resource}";
    const WIDE_ONE: &str = "/api/v1/clusters/{cluster}/{resource}/{name}";
    const PODS: &str = "/api/v1/clusters/prod/namespaces/team/pods";
    const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";
    const NODES: &str = "/api/v1/clusters/prod/nodes";
    const NODE: &str = "/api/v1/clusters/prod/nodes/one";
    const SPACED_PART: &str = "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}/{part}";
    const WIDE_PART: &str = "/api/v1/clusters/{cluster}/{resource}/{name}/{part}";
    const NATIVE: &str = "/api/v1/clusters/{cluster}/k8s/{path:.*}";
    const POD_STATUS: &str = "/api/v1/clusters/prod/namespaces/team/pods/web/status";
    const NODE_STATUS: &str = "/api/v1/clusters/prod/nodes/one/status";
    const NATIVE_POD: &str = "/api/v1/clusters/prod/k8s/api/v1/namespaces/team/pods/web";
    let (pod, node) = (json!({"kind": "Pod", "apiVersion": "v1"}), json!({"kind": "Node", "apiVersion": "v1"}));
    let public = |path| row(("GET", path), ("dev", 200), ("admin", 200)).anonymous(200);
    vec![
        public("/healthz"),
        public("/readyz"),
        public("/api/v1/openapi.json"),
        row(("POST", "/api/v1/auth/login"), ("dev", 401), ("admin", 401))
            .with(json!({"username": "dev", "password": "wrong"})),
        row(("POST", "/api/v1/auth/mfa"), ("dev", 401), ("admin", 401))
            .with(json!({"mfa_token": "kvm_x", "totp_code": "000000"})),
        row(("POST", "/api/v1/auth/refresh"), ("dev", 401), ("admin", 401)).with(json!({"refresh_token": "kvr_x"})),
        row(("GET", "/api/v1/auth/me"), ("key", 200), ("dev", 200)),
        row(("POST", "/api/v1/auth/password"), ("key", 403), ("dev", 422))
            .with(json!({"current_password": "wrong", "new_password": "a long enough password"})),
        row(("POST", "/api/v1/auth/reverify"), ("key", 403), ("dev", 409)).with(json!({"totp_code": "000000"})),
        row(("GET", "/api/v1/auth/sessions"), ("key", 403), ("dev", 200)),
        row(("DELETE", "/api/v1/auth/sessions"), ("key", 403), ("dev", 200)),
        row(("DELETE", "/api/v1/auth/sessions/{id}"), ("dev", 404), ("admin", 404)).at("/api/v1/auth/sessions/{key}"),
        row(("POST", "/api/v1/auth/totp/setup"), ("key", 403), ("dev", 200)),
        row(("POST", "/api/v1/auth/totp/enable"), ("key", 403), ("dev", 422)).with(json!({"totp_code": "x"})),
        row(("POST", "/api/v1/auth/totp/disable"), ("key", 403), ("dev", 409)).with(json!({"totp_code": "000000"})),
        row(("POST", "/api/v1/auth/totp/recovery-codes"), ("key", 403), ("dev", 409))
            .with(json!({"totp_code": "000000"})),
        row(("GET", "/api/v1/api-keys"), ("key", 403), ("dev", 200)),
        row(("POST", "/api/v1/api-keys"), ("key", 403), ("dev", 201)).with(json!({"name": "another"})),
        row(("GET", "/api/v1/api-keys/current"), ("dev", 404), ("key", 200)),
        row(("DELETE", "/api/v1/api-keys/{id}"), ("ops", 404), ("dev", 204)).at("/api/v1/api-keys/{key}"),
        row(("GET", "/api/v1/users"), ("ops", 403), ("admin", 200)),
        row(("POST", "/api/v1/users"), ("ops", 403), ("admin", 201)).with(json!({"name": "new", "role": "dev"})),
        row(("GET", USER), ("ops", 403), ("admin", 200)).at("/api/v1/users/{dev}"),
        row(("PATCH", USER), ("ops", 403), ("admin", 200)).at("/api/v1/users/{dev}").with(json!({"role": "dev"})),
        row(("DELETE", USER), ("ops", 403), ("admin", 404)).at("/api/v1/users/{key}"),
        row(("POST", "/api/v1/users/{id}/reset-password"), ("ops", 403), ("admin", 422))
            .at("/api/v1/users/{dev}/reset-password")
            .with(json!({"new_password": "short"})),
        row(("DELETE", "/api/v1/users/{id}/second-factor"), ("ops", 403), ("admin", 404))
            .at("/api/v1/users/{key}/second-factor"),
        row(("PUT", ASSIGNMENTS), ("ops", 403), ("admin", 204))
            .at("/api/v1/users/{dev}/assignments")
            .with(json!({"cluster": "prod", "namespaces": ["team"]})),
        row(("DELETE", ASSIGNMENTS), ("ops", 403), ("admin", 404)).at("/api/v1/users/{dev}/assignments"),
        row(("GET", SESSIONS), ("ops", 403), ("admin", 200)).at("/api/v1/users/{dev}/sessions"),
        row(("DELETE", SESSIONS), ("ops", 403), ("admin", 404)).at("/api/v1/users/{key}/sessions"),
        row(("DELETE", "/api/v1/users/{id}/sessions/{session_id}"), ("ops", 403), ("admin", 404))
            .at("/api/v1/users/{dev}/sessions/{key}"),
        row(("GET", "/api/v1/roles"), ("ops", 403), ("admin", 200)),
        row(("POST", "/api/v1/roles"), ("ops", 403), ("admin", 201))
            .with(json!({"name": "lead", "grants": ["*:read"]})),
        row(("GET", "/api/v1/roles/{name}"), ("ops", 403), ("admin", 200)).at("/api/v1/roles/lead"),
        row(("PATCH", "/api/v1/roles/{name}"), ("ops", 403), ("admin", 204))
            .at("/api/v1/roles/lead")
            .with(json!({"grants": []})),
        row(("DELETE", "/api/v1/roles/{name}"), ("ops", 403), ("admin", 204)).at("/api/v1/roles/lead"),
        row(("GET", KEYS), ("ops", 403), ("admin", 200)).at("/api/v1/users/{dev}/api-keys"),
        row(("POST", KEYS), ("dev", 403), ("admin", 403)).at("/api/v1/users/{dev}/api-keys").with(json!({"name": "x"})),
        row(("DELETE", ONE_KEY), ("ops", 403), ("admin", 204)).at("/api/v1/users/{dev}/api-keys/{key}"),
        row(("DELETE", KEYS), ("ops", 403), ("admin", 200)).at("/api/v1/users/{dev}/api-keys"),
        row(("GET", "/api/v1/audit-logs"), ("dev", 403), ("ops", 200)),
        row(("GET", "/api/v1/audit-logs/export"), ("dev", 403), ("ops", 200))
            .at("/api/v1/audit-logs/export?format=csv"),
        row(("GET", "/api/v1/clusters"), ("nobody", 200), ("dev", 200)),
        row(("POST", "/api/v1/clusters"), ("dev", 403), ("ops", 201))
            .with(json!({"name": "other", "server": "https://10.0.0.1", "token": "t"})),
        row(("GET", "/api/v1/clusters/{cluster}"), ("nobody", 404), ("dev", 200)).at("/api/v1/clusters/prod"),
        row(("PATCH", "/api/v1/clusters/{cluster}"), ("dev", 403), ("ops", 200))
            .at("/api/v1/clusters/prod")
            .with(json!({"impersonate": false})),
        row(("GET", "/api/v1/clusters/{cluster}/kubeconfig"), ("nobody", 404), ("dev", 200))
            .at("/api/v1/clusters/prod/kubeconfig"),
        row(("DELETE", "/api/v1/clusters/{cluster}"), ("ops", 403), ("admin", 204)).at("/api/v1/clusters/other"),
        row(("POST", "/api/v1/clusters/{cluster}/webhook-token"), ("dev", 403), ("ops", 201))
            .at("/api/v1/clusters/prod/webhook-token"),
        row(("DELETE", "/api/v1/clusters/{cluster}/webhook-token"), ("dev", 403), ("ops", 204))
            .at("/api/v1/clusters/prod/webhook-token"),
        // Nobody's key or session opens these, an administrator's neither.
        row(("POST", "/api/v1/clusters/{cluster}/webhooks/token-review"), ("dev", 401), ("admin", 401))
            .at("/api/v1/clusters/prod/webhooks/token-review")
            .with(json!({})),
        row(("POST", "/api/v1/clusters/{cluster}/webhooks/subject-access-review"), ("dev", 401), ("admin", 401))
            .at("/api/v1/clusters/prod/webhooks/subject-access-review")
            .with(json!({})),
        row(("GET", SPACED), ("nobody", 404), ("dev", 200)).at(PODS),
        row(("POST", SPACED), ("readonly", 403), ("dev", 201)).at(PODS).with(pod.clone()),
        row(("GET", SPACED_ONE), ("nobody", 404), ("dev", 200)).at(POD),
        row(("PUT", SPACED_ONE), ("readonly", 403), ("dev", 200)).at(POD).with(pod.clone()),
        row(("PATCH", SPACED_ONE), ("readonly", 403), ("dev", 200)).at(POD).with(json!({"spec": {}})),
        row(("DELETE", SPACED_ONE), ("readonly", 403), ("dev", 200)).at(POD),
        row(("GET", WIDE), ("dev", 403), ("ops", 200)).at(NODES),
        row(("POST", WIDE), ("dev", 403), ("ops", 201)).at(NODES).with(node.clone()),
        row(("GET", WIDE_ONE), ("dev", 403), ("ops", 200)).at(NODE),
        row(("PUT", WIDE_ONE), ("dev", 403), ("ops", 200)).at(NODE).with(node.clone()),
        row(("PATCH", WIDE_ONE), ("dev", 403), ("ops", 200)).at(NODE).with(json!({"spec": {}})),
        row(("DELETE", WIDE_ONE), ("dev", 403), ("ops", 200)).at(NODE),
        row(("DELETE", SPACED), ("readonly", 403), ("dev", 200))
            .at("/api/v1/clusters/prod/namespaces/team/pods?deletecollection=true"),
        row(("DELETE", WIDE), ("dev", 403), ("ops", 200)).at("/api/v1/clusters/prod/nodes?deletecollection=true"),
        row(("GET", SPACED_PART), ("nobody", 404), ("dev", 200)).at(POD_STATUS),
        row(("POST", SPACED_PART), ("readonly", 403), ("dev", 201))
            .at("/api/v1/clusters/prod/namespaces/team/pods/web/eviction")
            .with(json!({"kind": "Eviction", "metadata": {"name": "web"}})),
        row(("PUT", SPACED_PART), ("readonly", 403), ("dev", 200)).at(POD_STATUS).with(pod.clone()),
        row(("PATCH", SPACED_PART), ("readonly", 403), ("dev", 200)).at(POD_STATUS).with(json!({"status": {}})),
        row(("GET", WIDE_PART), ("dev", 403), ("ops", 200)).at(NODE_STATUS),
        row(("POST", WIDE_PART), ("dev", 403), ("ops", 201)).at("/api/v1/clusters/prod/nodes/one/proxy"),
        row(("PUT", WIDE_PART), ("dev", 403), ("ops", 200)).at(NODE_STATUS).with(node.clone()),
        row(("PATCH", WIDE_PART), ("dev", 403), ("ops", 200)).at(NODE_STATUS).with(json!({"status": {}})),
        row(("GET", NATIVE), ("nobody", 404), ("dev", 200)).at(NATIVE_POD),
        row(("POST", NATIVE), ("readonly", 403), ("dev", 201))
            .at("/api/v1/clusters/prod/k8s/api/v1/namespaces/team/pods")
            .with(pod.clone()),
        row(("PUT", NATIVE), ("readonly", 403), ("dev", 200)).at(NATIVE_POD).with(pod.clone()),
        row(("PATCH", NATIVE), ("readonly", 403), ("dev", 200)).at(NATIVE_POD).with(json!({"spec": {}})),
        row(("DELETE", NATIVE), ("readonly", 403), ("dev", 200)).at(NATIVE_POD),
        // What ends a credential comes last.
        row(("DELETE", "/api/v1/api-keys/current"), ("dev", 404), ("spare", 204)),
        row(("POST", "/api/v1/auth/logout"), ("key-of-ops", 403), ("dev", 204)),
    ]
}

/// The routes of the API; those of pages have tests of their own.
fn api() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| {
        matches!(route.access, Access::Public | Access::Credential) && !route.path.starts_with("/assets/")
    })
}

async fn every_route_knows_who_may_call_it(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let mut callers = vec![("admin".to_owned(), format!("Bearer {}", app.admin().await.token))];
    let (dev, session, _) = app.someone("dev", "dev", None).await;
    app.assign(&dev, "prod", &["team"]).await;
    for (name, role) in [("ops", "ops"), ("readonly", "readonly")] {
        let (_, session, key) = app.someone(name, role, Some("prod")).await;
        callers.push((name.into(), format!("Bearer {}", session.token)));
        callers.push((format!("key-of-{name}"), format!("ApiKey {}", key.text)));
    }
    app.user("nobody", "dev").await;
    callers.push(("nobody".into(), format!("Bearer {}", app.login("nobody").await.token)));
    callers.push(("dev".into(), format!("Bearer {}", session.token)));

    let rows = rows();
    let known: BTreeSet<_> = rows.iter().map(|row| row.route).collect();
    let there: BTreeSet<_> = api().map(|route| (route.method, route.path)).collect();
    assert_eq!(known, there, "every route has exactly one row");

    for row in rows {
        let (method, path) = row.route;
        let public =
            ROUTES.iter().any(|route| (route.method, route.path) == row.route && route.access == Access::Public);
        assert!(public || row.anonymous == 401, "{method} {path} is open to nobody without a credential");
        // Fresh ones for every row, for some rows end them.
        let number = app.database.count("api_keys", "1 = 1");
        let key = app.key(&session, &format!("key {number}")).await;
        let spare = app.key(&session, &format!("spare {number}")).await;
        let address = row.address.replace("{dev}", &dev.id.to_string()).replace("{key}", &spare.id);
        let call = |caller: Option<&str>| -> Request {
            let request = app.request(method, &address);
            let request = row.body.as_ref().map_or(request.clone(), |body| request.json(body));
            match caller {
                None => request,
                Some("key") => request.key(&key),
                Some("spare") => request.key(&spare),
                Some(name) => {
                    let found = callers.iter().find(|(caller, _)| caller == name).unwrap();
                    request.header("authorization", found.1.as_str())
                }
            }
        };
        let anonymous = call(None).send().await;
        assert_eq!(anonymous.status, row.anonymous, "anyone: {method} {path}: {}", anonymous.text());
        assert_eq!(anonymous.status == 401, !anonymous.header("www-authenticate").is_empty(), "{method} {path}");
        for (caller, status) in [row.wrong, row.right] {
            let answer = call(Some(caller)).send().await;
            assert_eq!(answer.status, status, "{caller}: {method} {path}: {}", answer.text());
            assert!(!answer.request_id().is_empty(), "{method} {path}");
        }
    }
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    kv_tests::run(async {
        let app = TestApp::start(Backend::Sqlite).await;
        let document = app.get("/api/v1/openapi.json").send().await.expect(200).json();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        let there: BTreeSet<_> =
            api().map(|route| (route.method.to_owned(), route.path.replace("{path:.*}", "{path}"))).collect();
        assert_eq!(described, there);
    });
}

#[test]
fn attack_124_other_methods_do_nothing() {
    kv_tests::run(async {
        let app = TestApp::start(Backend::Sqlite).await;
        let (_, session, key) = app.someone("ann", "dev", None).await;
        for method in ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "PUT"] {
            let path = format!("/api/v1/api-keys/{}", key.id);
            let answer = app.request(method, &path).session(&session).send().await;
            assert_eq!(answer.status, 405, "{method}");
        }
        app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    });
}
