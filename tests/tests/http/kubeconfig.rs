//! Kubeconfigs given out: to whom, with which server, and whether kubectl and shells make of them what they should.

use kv_tests::{Authority, Backend, Cluster, Key, Kubectl, Said, TestApp, on_both};
use serde_json::{Value, json};
use std::path::Path;

on_both!(
    a_kubeconfig_is_given_to_whom_the_cluster_is_assigned,
    its_server_is_the_public_url_or_where_the_request_was_sent,
    kubectl_takes_the_key_from_the_environment,
);

const KUBECONFIG: &str = "/api/v1/clusters/prod/kubeconfig";

async fn a_kubeconfig_is_given_to_whom_the_cluster_is_assigned(backend: Backend) {
    let (authority, cluster) = (Authority::new(), Cluster::start());
    let ca = authority.own_file().display().to_string();
    // Whatever else the file holds is not given out.
    let secret = std::fs::read_to_string(authority.key_file()).unwrap();
    std::fs::write(authority.own_file(), format!("{secret}# ours\n{}", authority.pem())).unwrap();
    let app = TestApp::with_tls(backend, &[("KUBEVISION_TLS_CA", &ca)], &authority).await;
    app.add_cluster("prod", &cluster).await;
    let (_, session, key) = app.someone("ann", "readonly", Some("prod")).await;
    let (_, _, other) = app.someone("bob", "admin", None).await;
    let (_, _, stranger) = app.someone("eve", "ops", None).await;

    let given = app.get(KUBECONFIG).key(&key).send().await.expect(200);
    assert_eq!(given.header("content-type"), "application/yaml");
    assert_eq!(given.header("content-disposition"), "attachment; filename=\"prod.kubeconfig\"");
    assert_eq!(given.header("cache-control"), "no-store");
    let entry = app.entry_of(&given).await;
    assert_eq!((&entry["action"], &entry["resource_name"]), (&json!("cluster.kubeconfig"), &json!("prod")), "{entry}");
    for answer in [app.get(KUBECONFIG).session(&session), app.get(KUBECONFIG).key(&other)] {
        assert_eq!(answer.send().await.expect(200).text(), given.text(), "the same for all");
    }
    let refused = app.get(KUBECONFIG).key(&stranger).send().await.expect(404);
    let none = app.get("/api/v1/clusters/none/kubeconfig").key(&stranger).send().await.expect(404);
    assert_eq!((refused.code(), &refused.json()["detail"]), (none.code(), &none.json()["detail"]));
    assert_eq!(app.entry_of(&refused).await["action"], "cluster.kubeconfig");
    app.get(&format!("{KUBECONFIG}?user=ann")).key(&key).send().await.expect(400);

    let text = given.text();
    for secret in [&key.text, "the-clusters-own-token", "PRIVATE KEY", &cluster.address.to_string()] {
        assert!(!text.contains(secret), "{text}");
    }
    let view = Kubectl::new(&text).view();
    assert_eq!((&view["apiVersion"], &view["kind"]), (&json!("v1"), &json!("Config")), "{text}");
    let named = &view["clusters"][0];
    let server = format!("https://{}/api/v1/clusters/prod/k8s", app.address());
    assert_eq!((&named["name"], &named["cluster"]["server"]), (&json!("kubevision-prod"), &json!(server)));
    let trusted = named["cluster"]["certificate-authority-data"].as_str().unwrap();
    assert_eq!(String::from_utf8(decoded(trusted)).unwrap().trim(), authority.pem().replace("\r\n", "\n").trim());
    let context = json!({"name": "kubevision-prod", "context": {"cluster": "kubevision-prod", "user": "kubevision"}});
    assert_eq!((&view["contexts"][0], &view["current-context"]), (&context, &json!("kubevision-prod")));
    let exec = &view["users"][0]["user"]["exec"];
    assert_eq!(exec["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!((&exec["interactiveMode"], &exec["provideClusterInfo"]), (&json!("Never"), &json!(false)));
    shells_take_a_key_and_nothing_else(exec, &key);
}

fn decoded(base64: &str) -> Vec<u8> {
    use std::io::Write;
    let mut decoder = std::process::Command::new("base64");
    decoder.arg("-d").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut decoder = decoder.spawn().unwrap();
    decoder.stdin.take().unwrap().write_all(base64.as_bytes()).unwrap();
    decoder.wait_with_output().unwrap().stdout
}

/// The plugin alone, by each shell there is on this machine.
fn shells_take_a_key_and_nothing_else(exec: &Value, key: &Key) {
    let arguments: Vec<&str> = exec["args"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!((exec["command"].as_str(), arguments.first()), (Some("sh"), Some(&"-c")));
    let shells: [(&str, &[&str]); 5] = [
        ("/bin/sh", &[]),
        ("/bin/dash", &[]),
        ("/bin/bash", &["--posix"]),
        ("/bin/busybox", &["sh"]),
        ("/bin/zsh", &[]),
    ];
    for (shell, more) in shells.iter().filter(|(shell, _)| *shell == "/bin/sh" || Path::new(shell).exists()) {
        let all = [more, arguments.as_slice()].concat();
        // Without a PATH: no other program takes part, in whose command line the key could be read.
        let run = |variables: &[(&str, &str)]| {
            let mut variables = variables.to_vec();
            variables.push(("PATH", "/nowhere"));
            Said::by(Path::new(shell), &all, &variables)
        };
        let said = run(&[("KUBEVISION_API_KEY", &key.text)]);
        assert!(said.success && said.complaint.is_empty(), "{shell}: {said:?}");
        let credential: Value = serde_json::from_str(&said.answer).unwrap();
        let wanted = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": key.text},
        });
        assert_eq!(credential, wanted, "{shell}");
        let said = run(&[]);
        assert!(!said.success && said.answer.is_empty(), "{shell}: {said:?}");
        assert!(said.complaint.contains("KUBEVISION_API_KEY is not set"), "{shell}: {said:?}");
        let tail = &key.text[8..];
        for wrong in [
            String::new(),
            "hunter2".into(),
            format!("ApiKey {}", key.text),
            format!("{}\n", key.text),
            format!("{}x", key.text),
            key.text[..55].to_owned(),
            format!("kv_prod_{tail}"),
            format!("kv_live_{}\"", &tail[1..]),
            format!("kv_live_{}\u{e9}", &tail[2..]),
            format!("kv_live_{}*", &tail[1..]),
            format!("kv_live_$(id){}", &tail[5..]),
            format!("kv_live_{}\\n", &tail[2..]),
        ] {
            let said = run(&[("KUBEVISION_API_KEY", &wrong)]);
            assert!(!said.success && said.answer.is_empty(), "{shell}: {wrong:?}: {said:?}");
            assert!(said.complaint.starts_with("KUBEVISION_API_KEY "), "{shell}: {wrong:?}: {said:?}");
            assert!(wrong.is_empty() || !said.complaint.contains(&wrong), "{shell}: it is not repeated: {said:?}");
        }
    }
}

async fn its_server_is_the_public_url_or_where_the_request_was_sent(backend: Backend) {
    let cluster = Cluster::start();
    let public = "https://kubevision.example.com:8443";
    let set = TestApp::with(backend, &[("KUBEVISION_PUBLIC_URL", public)]).await;
    let unset = TestApp::start(backend).await;
    let mut keys = Vec::new();
    for app in [&set, &unset] {
        app.add_cluster("prod", &cluster).await;
        keys.push(app.someone("ann", "dev", Some("prod")).await.2);
    }
    let ask = async |app: &TestApp, key: &Key, hosts: &str| {
        let credential = format!("Authorization: ApiKey {}\r\n", key.text);
        app.raw(format!("GET {KUBECONFIG} HTTP/1.1\r\n{hosts}{credential}Connection: close\r\n\r\n")).await
    };
    for host in ["kv.example.com:8080", "[::1]:8080", "kv"] {
        let answer = ask(&unset, &keys[1], &format!("Host: {host}\r\n")).await;
        assert!(answer.contains(&format!("http://{host}/api/v1/clusters/prod/k8s")), "{answer}");
        assert!(answer.contains("plain HTTP") && !answer.contains("certificate-authority"), "{answer}");
        let answer = ask(&set, &keys[0], &format!("Host: {host}\r\n")).await;
        assert!(answer.contains(&format!("{public}/api/v1/clusters/prod/k8s")), "{answer}");
        assert!(!answer.contains(host) || host == "kv", "{answer}");
    }
    for hosts in [
        "Host: kv@evil.example\r\n",
        "Host: kv/path\r\n",
        "Host: kv evil\r\n",
        "Host: kv:0\r\n",
        "Host: \r\n",
        "Host: a\r\nHost: b\r\n",
    ] {
        let answer = ask(&unset, &keys[1], hosts).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{hosts:?}: {answer}");
    }
}

async fn kubectl_takes_the_key_from_the_environment(backend: Backend) {
    let (authority, cluster) = (Authority::new(), Cluster::start());
    let ca = authority.own_file().display().to_string();
    let app = TestApp::with_tls(backend, &[("KUBEVISION_TLS_CA", &ca)], &authority).await;
    app.add_cluster("prod", &cluster).await;
    let (_, session, key) = app.someone("ann", "dev", Some("prod")).await;
    let text = app.get(KUBECONFIG).session(&session).send().await.expect(200).text();
    let kubectl = Kubectl::new(&text);
    let ask = ["get", "--raw", "/api/v1/namespaces/team/pods", "--request-timeout", "10s"];
    let said = kubectl.run(&ask, &[]);
    assert!(!said.success && said.complaint.contains("KUBEVISION_API_KEY is not set"), "{said:?}");
    // Whatever the address answers: kubectl trusts the server, and the request is on record as the key's.
    let _ = kubectl.run(&ask, &[("KUBEVISION_API_KEY", &key.text)]);
    let of_key = app.audit(&format!("key_id={}", key.id)).await;
    let user_agent = of_key.first().map(|entry| entry["user_agent"].as_str().unwrap_or_default().to_owned());
    assert!(user_agent.is_some_and(|name| name.starts_with("kubectl/")), "{of_key:?}");
}
