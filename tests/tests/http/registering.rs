//! Clusters registered and removed over the API: what is refused in a kubeconfig, where a cluster may be, and that nothing of
//! the way in comes back.

use kv_tests::{Backend, Cluster, Reply, Session, TestApp, on_both};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_both!(
    a_cluster_is_registered_used_and_removed,
    a_cluster_says_how_it_is,
    attacks_154_156_157_158_a_kubeconfig_runs_reads_and_redirects_nothing,
    attack_160_addresses_of_this_machine_are_the_operators,
    attack_161_bombs_are_refused_at_once,
    attack_162_contexts_are_explicit,
    attack_42_a_way_in_opens_in_its_own_row_alone,
    sealing_keys_take_each_others_place,
);

const SECRET: &str = "c2VjcmV0LW9mLXRoZS1jbHVzdGVy";

fn kubeconfig(cluster: Value, user: Value) -> Value {
    let file = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    });
    // JSON is YAML.
    json!({"name": "new", "kubeconfig": file.to_string()})
}

async fn add(app: &TestApp, session: &Session, body: &Value) -> kv_tests::Answer {
    app.post("/api/v1/clusters").session(session).json(body).send().await
}

async fn a_cluster_is_registered_used_and_removed(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.user("ops", "ops").await;
    let ops = app.login("ops").await;
    for name in ["", "Prod", "prod.eu", "-prod", "prod-", "a b", &"x".repeat(64), "../prod"] {
        let body = json!({"name": name, "server": "https://10.0.0.1", "token": SECRET});
        assert_eq!(add(&app, &ops, &body).await.expect(422).code(), "invalid_name", "{name}");
    }
    let server = format!("https://{}", cluster.address);
    let body = json!({"name": "prod", "server": server, "ca": cluster.certificate(), "token": SECRET});
    let made = add(&app, &ops, &body).await.expect(201);
    assert!(!made.text().contains(SECRET) && !made.text().contains("CERTIFICATE"));
    let entry = app.entry_of(&made).await;
    assert_eq!((&entry["action"], &entry["resource_name"]), (&json!("cluster.add"), &json!("prod")));
    assert!(!entry.to_string().contains(SECRET));
    assert_eq!(add(&app, &ops, &body).await.expect(409).code(), "name_taken");
    let (_, _, key) = app.someone("ann", "dev", Some("prod")).await;
    let pod = "/api/v1/clusters/prod/namespaces/team/pods/web";
    app.get(pod).key(&key).send().await.expect(200);
    assert_eq!(cluster.seen().pop().unwrap().header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    for path in ["/api/v1/clusters", "/api/v1/clusters/prod", "/api/v1/audit-logs"] {
        let admin = app.admin().await;
        assert!(!app.get(path).session(&admin).send().await.expect(200).text().contains(SECRET), "{path}");
    }
    app.delete("/api/v1/clusters/prod").session(&ops).send().await.expect(403);
    let admin = app.admin().await;
    app.delete("/api/v1/clusters/prod").session(&admin).send().await.expect(204);
    app.delete("/api/v1/clusters/prod").session(&admin).send().await.expect(404);
    let seen = cluster.seen().len();
    app.get(pod).key(&key).send().await.expect(404);
    assert_eq!(cluster.seen().len(), seen);
}

async fn a_cluster_says_how_it_is(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, _, key) = app.someone("ann", "dev", Some("prod")).await;
    let look = || app.get("/api/v1/clusters/prod").key(&key).send();
    let version = |status, body: &Value| cluster.reply("/version", Reply::json(status, body));
    version(200, &json!({"major": "1", "minor": "36", "gitVersion": "v1.36.2"}));
    let answer = look().await.expect(200);
    let seen = answer.json();
    assert_eq!(
        (&seen["name"], &seen["health"], &seen["version"]),
        (&json!("prod"), &json!("healthy"), &json!("v1.36.2"))
    );
    assert_eq!(seen["problem"], Value::Null);
    let entry = app.entry_of(&answer).await;
    assert_eq!((&entry["action"], &entry["outcome"]), (&json!("cluster.show"), &json!("succeeded")));
    // Its credentials are refused; it is something else; it is gone.
    for (status, body, code) in [
        (401, json!({"kind": "Status", "code": 401}), "cluster_failed"),
        (200, json!(["hello"]), "cluster_failed"),
        (503, json!({}), "cluster_failed"),
    ] {
        version(status, &body);
        let seen = look().await.expect(200).json();
        assert_eq!((&seen["health"], &seen["version"]), (&json!("unhealthy"), &Value::Null), "{body}");
        assert_eq!(seen["problem"]["code"], code, "{seen}");
    }
    let admin = app.admin().await;
    let body = json!({"name": "local", "server": "https://localhost:1", "token": SECRET});
    add(&app, &admin, &body).await.expect(201);
    let seen = app.get("/api/v1/clusters/local").session(&admin).send().await.expect(200).json();
    assert_eq!((&seen["health"], &seen["problem"]["code"]), (&json!("unhealthy"), &json!("cluster_unreachable")));
    app.get("/api/v1/clusters/local").key(&key).send().await.expect(404);
}

async fn attacks_154_156_157_158_a_kubeconfig_runs_reads_and_redirects_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let admin = app.admin().await;
    let good = json!({"server": "https://10.0.0.1"});
    let token = json!({"token": SECRET});
    let with = |base: &Value, name: &str, value: Value| {
        let mut all = base.clone();
        all[name] = value;
        all
    };
    let touched = app.folder().join("touched");
    let program = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": [touched.display().to_string()],
        "interactiveMode": "Never",
    });
    let mut refused = Vec::new();
    for (field, value) in [
        ("exec", program),
        ("auth-provider", json!({"name": "gcp", "config": {"cmd-path": "touch"}})),
        ("tokenFile", json!("/etc/passwd")),
        ("client-certificate", json!("/proc/self/environ")),
        ("client-key", json!("/etc/shadow")),
        ("as", json!("system:admin")),
        ("as-groups", json!(["system:masters"])),
        ("as-uid", json!("0")),
        ("as-user-extra", json!({"a": ["b"]})),
    ] {
        refused.push((field, kubeconfig(good.clone(), with(&token, field, value))));
    }
    for (field, value) in [
        ("certificate-authority", json!("/etc/passwd")),
        ("insecure-skip-tls-verify", json!(true)),
        ("proxy-url", json!("http://10.0.0.2:3128")),
        ("tls-server-name", json!("other")),
    ] {
        refused.push((field, kubeconfig(with(&good, field, value), token.clone())));
    }
    for server in [
        "http://10.0.0.1",
        "file:///etc/passwd",
        "unix:/run/docker.sock",
        "gopher://10.0.0.1",
        "https://user:pass@10.0.0.1",
        "https://10.0.0.1/path",
        "https://10.0.0.1/#f",
        "https://10.0.0.1/?q",
        "10.0.0.1",
        "",
    ] {
        refused.push(("server", kubeconfig(json!({"server": server}), token.clone())));
        refused.push(("server", json!({"name": "new", "server": server, "token": SECRET})));
    }
    for body in [
        json!({"name": "new"}),
        json!({"name": "new", "server": "https://10.0.0.1"}),
        json!({"name": "new", "token": SECRET}),
        json!({"name": "new", "server": "https://10.0.0.1", "token": SECRET, "kubeconfig": "{}"}),
        json!({"name": "new", "server": "https://10.0.0.1", "token": SECRET, "context": "x"}),
        json!({"name": "new", "server": "https://10.0.0.1", "token": SECRET, "ca": "no certificate"}),
        json!({"name": "new", "server": "https://10.0.0.1", "token": "a\nb"}),
    ] {
        refused.push(("parts", body));
    }
    for (field, body) in refused {
        let answer = add(&app, &admin, &body).await.expect(400);
        assert_eq!(answer.code(), "invalid_cluster", "{field}: {body}");
        assert!(!answer.text().contains(SECRET) && !answer.text().contains("root:"), "{field}: {}", answer.text());
    }
    assert!(!touched.exists(), "no program was run");
    assert_eq!(app.database.count("clusters", "1 = 1"), 0);
    add(&app, &admin, &kubeconfig(good, token)).await.expect(201);
}

async fn attack_160_addresses_of_this_machine_are_the_operators(backend: Backend) {
    let app = TestApp::with(backend, &[("KUBEVISION_CLUSTERS__ALLOWED_ADDRESSES", "127.0.0.9")]).await;
    let admin = app.admin().await;
    for host in ["127.0.0.1", "169.254.169.254", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "[fe80::1]", "224.0.0.1"] {
        let body = json!({"name": "new", "server": format!("https://{host}"), "token": SECRET});
        let refused = add(&app, &admin, &body).await;
        assert!([400, 422].contains(&refused.status), "{host}: {}", refused.text());
    }
    assert_eq!(app.database.count("clusters", "1 = 1"), 0);
    for (n, host) in ["127.0.0.9", "10.1.2.3", "192.168.1.1", "kubernetes.example.com"].iter().enumerate() {
        let body = json!({"name": format!("c{n}"), "server": format!("https://{host}"), "token": SECRET});
        add(&app, &admin, &body).await.expect(201);
    }
    // A name is judged by what it resolves to, when it is connected to.
    let body = json!({"name": "local", "server": "https://localhost:1", "token": SECRET});
    add(&app, &admin, &body).await.expect(201);
    let answer = app.get("/api/v1/clusters/local/pods").session(&admin).send().await.expect(502);
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
}

async fn attack_161_bombs_are_refused_at_once(backend: Backend) {
    let app = TestApp::start(backend).await;
    let admin = app.admin().await;
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n";
    for yaml in [
        laughs.to_owned(),
        "[".repeat(20_000),
        "a: ".repeat(20_000),
        format!("---\n{}\n---\n{}", "a: 1", "b: 2"),
        "a: 1\na: 2".to_owned(),
        "\ta: 1".to_owned(),
        "x".repeat(1_000_000),
        String::new(),
    ] {
        let started = Instant::now();
        add(&app, &admin, &json!({"name": "new", "kubeconfig": yaml})).await.expect(400);
        assert!(started.elapsed() < Duration::from_secs(2), "{:.20}: {:?}", yaml, started.elapsed());
    }
}

async fn attack_162_contexts_are_explicit(backend: Backend) {
    let app = TestApp::start(backend).await;
    let admin = app.admin().await;
    let mut body = kubeconfig(json!({"server": "https://10.0.0.1"}), json!({"token": SECRET}));
    body["context"] = "elsewhere".into();
    add(&app, &admin, &body).await.expect(400);
    body["context"] = "here".into();
    add(&app, &admin, &body).await.expect(201);
}

async fn attack_42_a_way_in_opens_in_its_own_row_alone(backend: Backend) {
    let (app, one, two) = (TestApp::start(backend).await, Cluster::start(), Cluster::start());
    app.add_cluster("one", &one).await;
    app.add_cluster("two", &two).await;
    app.database
        .execute("UPDATE clusters SET sealed = (SELECT sealed FROM clusters WHERE name = 'two') WHERE name = 'one'");
    let admin = app.admin().await;
    let answer = app.get("/api/v1/clusters/one/pods").session(&admin).send().await.expect(500);
    assert!(!answer.text().contains("token"), "{}", answer.text());
    assert_eq!((one.connections(), two.connections()), (0, 0), "nobody was called with another's way in");
    app.get("/api/v1/clusters/two/pods").session(&admin).send().await.expect(200);
}

async fn sealing_keys_take_each_others_place(backend: Backend) {
    use kv_server::{
        keyfile,
        operations::{Acting, reseal::reseal},
    };
    let (mut app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    app.user("ann", "admin").await;
    let (session, factor) = app.enrol("ann").await;
    let reach = async |app: &TestApp| app.get("/api/v1/clusters/prod/pods").session(&session).send().await.status;
    assert_eq!(reach(&app).await, 200);
    let inside = app.inside().clone();
    for name in ["signing", "sealing"] {
        keyfile::rotate(app.folder(), name, 1_800_000_000, &inside.random).unwrap();
    }
    inside.reload_keys().unwrap();
    // Nobody is signed out, and everything still opens.
    assert_eq!(reach(&app).await, 200);
    let done = reseal(&Acting::operator(&inside).unwrap()).await.unwrap();
    assert_eq!((done.clusters, done.second_factors), (1, 1));
    std::fs::remove_file(app.folder().join("sealing-001800000000.key")).unwrap();
    drop(inside);
    app.restart().await;
    assert_eq!(reach(&app).await, 200, "with the newest sealing key alone, and the older signing key");
    let body = json!({"totp_code": factor.next_code(&app).await});
    app.post("/api/v1/auth/reverify").session(&session).json(&body).send().await.expect(204);
    std::fs::remove_file(app.folder().join("signing-001800000000.key")).unwrap();
    app.restart().await;
    assert_eq!(reach(&app).await, 401, "tokens of a key that is gone are none");
}
