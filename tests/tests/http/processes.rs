//! The server as a process, beside others on the same database, and at its start and end.

use crate::SERVER;
use kv_server::{
    app::App,
    clock::{Clock, Random},
    operations::{Acting, revoke_api_key::revoke_user_api_key},
    server,
};
use kv_store::Opener;
use kv_tests::{Backend, Cluster, Link, Manner, PASSWORD, Process, Request, TestApp, TestDatabase, on_both};
use serde_json::json;
use std::time::Duration;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

on_both!(
    attack_232_an_operators_task_revokes_for_the_running_server,
    a_second_server_shares_postgresql_and_is_refused_a_sqlite_file,
    a_stopping_server_finishes_what_it_holds,
    attack_93_the_time_zone_of_the_machine_has_no_effect,
    the_operators_contexts_are_registered_once,
);

/// How long everything takes to a database that is far away.
const DISTANT: Duration = Duration::from_millis(50);
const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";

async fn attack_232_an_operators_task_revokes_for_the_running_server(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (ann, _, key) = app.someone("ann", "dev", None).await;
    app.get("/api/v1/clusters").key(&key).send().await.expect(200);
    let config = app.config();
    let task = tokio::task::spawn_blocking(move || App::start(config, Opener::Task, Clock::system(), Random::system()));
    let task = task.await.unwrap().expect("a task beside the server");
    let acting = Acting::operator(&task).unwrap();
    revoke_user_api_key(acting, ann.id, key.id.parse().unwrap(), Some("left the company".into())).await.unwrap();
    app.get("/api/v1/clusters").key(&key).send().await.expect(401);
    let entry = app.audit("action=api_key.revoke").await.remove(0);
    assert_eq!((&entry["user_id"], &entry["outcome"]), (&json!(null), &json!("succeeded")), "{entry}");
    tokio::task::spawn_blocking(move || task.stop()).await.unwrap();
}

async fn a_second_server_shares_postgresql_and_is_refused_a_sqlite_file(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (_, session, key) = app.someone("ann", "dev", None).await;
    let second = server::start(app.config(), Clock::system(), Random::system()).await;
    if backend == Backend::Sqlite {
        let error = second.expect_err("a second server on one file");
        let told = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
        assert!(told.contains("another server is running"), "{told}");
        return;
    }
    let second = second.expect("a second server on PostgreSQL");
    let there = |path: &str| Request::new(second.address, "GET", path);
    for round in 0..20 {
        there("/api/v1/clusters").key(&key).send().await.expect(200);
        let fresh = app.key(&session, &format!("fresh {round}")).await;
        there("/api/v1/clusters").key(&fresh).send().await.expect(200);
        app.revoke(&session, &fresh).await.expect(204);
        there("/api/v1/clusters").key(&fresh).send().await.expect(401);
    }
    second.stop().await;
}

async fn a_stopping_server_finishes_what_it_holds(backend: Backend) {
    let (mut app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, _, key) = app.someone("ann", "dev", Some("prod")).await;
    app.stop().await;
    // The same database and data, served by a process.
    let folder = app.folder().to_owned();
    let url = app.database.url_text();
    let variables =
        [("KUBEVISION_DATABASE_URL", url.as_str()), ("KUBEVISION_CLUSTERS__ALLOWED_ADDRESSES", "127.0.0.1")];
    let mut process = Process::start(SERVER, &folder, &variables);
    process.serves().await;
    Request::new(process.address, "GET", POD).key(&key).send().await.expect(200);
    cluster.hold();
    let held = Request::new(process.address, "PATCH", POD).key(&key).json(&json!({"spec": {}})).start();
    cluster.has_seen(2).await;
    process.signal("TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.release();
    assert_eq!(held.await.unwrap().map(|answer| answer.status), Ok(200));
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.words);
    app.restart().await;
    let entry = app.audit("action=kubernetes.patch").await.remove(0);
    assert_eq!(entry["outcome"], "succeeded", "{entry}");
}

#[test]
fn attack_250_a_wrong_setting_stops_the_start_with_a_clear_message() {
    kv_tests::run(async {
        for (name, value, told) in [
            ("KUBEVISION_LISTN", "127.0.0.1:1", "listn"),
            ("KUBEVISION_RATE_LIMIT", "fast", "rate limit"),
            ("KUBEVISION_UNKNOWN_RATE_LIMIT", "10", "rate limit"),
            ("KUBEVISION_ENVIRONMENT", "staging", "environment"),
            ("KUBEVISION_DATABASE_URL", "mysql://x:hunter2@y", "sqlite://"),
            ("KUBEVISION_DATABASE_URL_FILE", "/nowhere", "KUBEVISION_DATABASE_URL_FILE"),
            ("KUBEVISION_LOG", "=[", "log"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let ended = Process::start(SERVER, folder.path(), &[(name, value)]).ended().await;
            assert!(ended.code.is_some_and(|code| code != 0), "{name}: {ended:?}");
            assert!(ended.words.to_lowercase().contains(&told.to_lowercase()), "{name}: {}", ended.words);
            assert!(!ended.words.contains("hunter2") && ended.words.lines().count() < 5, "{name}: {}", ended.words);
            assert!(ended.took < Duration::from_secs(2), "{name}: {:?}", ended.took);
        }
    });
}

#[test]
fn attack_249_the_first_password_is_made_up_and_shown_once() {
    kv_tests::run(async {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(SERVER, folder.path(), &[("KUBEVISION_LOG", "trace")]);
        process.serves().await;
        kv_tests::until("the password is told", || process.words().contains("not shown again:\n\n    ")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let words = process.words();
        let password = words.lines().find(|line| line.starts_with("    ")).expect("a password").trim().to_owned();
        assert!(password.len() >= 24, "{password}");
        let login = async |address, password: &str| {
            let body = json!({"username": "admin", "password": password});
            Request::new(address, "POST", "/api/v1/auth/login").json(&body).send().await.status
        };
        for guess in ["admin", "admin123", "password", "kubevision", ""] {
            assert_eq!(login(process.address, guess).await, 401, "{guess}");
        }
        assert_eq!(login(process.address, &password).await, 200);
        assert_eq!(process.words().matches(&password).count(), 1, "once, and in no log line");
        process.signal("TERM");
        assert_eq!(process.ended().await.code, Some(0));
        // Not at the second start, and on no disk.
        let mut process = Process::start(SERVER, folder.path(), &[]);
        process.serves().await;
        assert_eq!(login(process.address, &password).await, 200);
        assert!(!process.words().contains("password"), "{}", process.words());
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(&password), "{}", path.display());
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} is for its owner alone: {mode:o}", path.display());
        }
    });
}

async fn attack_93_the_time_zone_of_the_machine_has_no_effect(backend: Backend) {
    let database = TestDatabase::fresh(backend);
    let url = database.url_text();
    // Fourteen hours ahead, twelve behind, and a zone in which an hour comes twice.
    for (zone, name) in [("Pacific/Kiritimati", "east"), ("<-12>12", "west"), ("Europe/Berlin", "summer")] {
        let folder = tempfile::tempdir().unwrap();
        let variables = [
            ("KUBEVISION_DATABASE_URL", url.as_str()),
            ("KUBEVISION_ADMIN_PASSWORD", PASSWORD),
            ("TZ", zone),
            ("PGTZ", zone),
        ];
        let mut process = Process::start(SERVER, folder.path(), &variables);
        process.serves().await;
        let login = json!({"username": "admin", "password": PASSWORD});
        let request = |method: &str, path: &str| Request::new(process.address, method, path);
        let token = request("POST", "/api/v1/auth/login").json(&login).send().await.expect(200).json();
        let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
        let end = OffsetDateTime::now_utc() + time::Duration::seconds(2);
        let body = json!({"name": name, "expires_at": end.format(&Rfc3339).unwrap()});
        let make = request("POST", "/api/v1/api-keys").header("authorization", bearer.as_str());
        let made = make.json(&body).send().await.expect(201).json();
        let key = format!("ApiKey {}", made["key"].as_str().unwrap());
        let call = || request("GET", "/api/v1/api-keys/current").header("authorization", key.as_str());
        let current = call().send().await.expect(200).json();
        for field in ["created_at", "expires_at"] {
            let text = current[field].as_str().unwrap();
            assert!(text.ends_with('Z'), "{zone}: {text}");
            let off = OffsetDateTime::parse(text, &Rfc3339).unwrap() - OffsetDateTime::now_utc();
            assert!(off.abs() < time::Duration::minutes(1), "{zone}: {field} is {text}");
        }
        tokio::time::sleep(Duration::from_millis(2_200)).await;
        call().send().await.expect(401);
        process.signal("TERM");
        assert_eq!(process.ended().await.code, Some(0));
    }
}

async fn the_operators_contexts_are_registered_once(backend: Backend) {
    let (database, folder, cluster) = (TestDatabase::fresh(backend), tempfile::tempdir().unwrap(), Cluster::start());
    std::fs::write(folder.path().join("ca.pem"), cluster.certificate()).unwrap();
    let context = |name: &str| json!({"name": name, "context": {"cluster": "c", "user": "u"}});
    let file = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "prod",
        "contexts": [context("prod"), context("Not_A_Name"), {"name": "lost", "context": {"cluster": "x", "user": "u"}}],
        // Of the operator's own file, named files are read.
        "clusters": [{"name": "c", "cluster": {"server": format!("https://{}", cluster.address), "certificate-authority": "ca.pem"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    });
    let path = folder.path().join("config");
    std::fs::write(&path, file.to_string()).unwrap();
    let (url, path) = (database.url_text(), path.display().to_string());
    for start in 0..2 {
        let variables = [
            ("KUBEVISION_DATABASE_URL", url.as_str()),
            ("KUBEVISION_ADMIN_PASSWORD", PASSWORD),
            ("KUBEVISION_REGISTER_CONTEXTS", "true"),
            ("KUBEVISION_CLUSTERS__ALLOWED_ADDRESSES", "127.0.0.1"),
            ("KUBECONFIG", path.as_str()),
        ];
        let mut process = Process::start(SERVER, folder.path(), &variables);
        process.serves().await;
        let request = |method: &str, path: &str| Request::new(process.address, method, path);
        let login = json!({"username": "admin", "password": PASSWORD});
        let token = request("POST", "/api/v1/auth/login").json(&login).send().await.expect(200).json();
        let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
        let get = |path: &str| request("GET", path).header("authorization", bearer.as_str()).send();
        let listed = get("/api/v1/clusters").await.expect(200).json();
        let names: Vec<&str> =
            listed["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["prod"], "start {start}");
        get("/api/v1/clusters/prod/pods").await.expect(200);
        process.signal("TERM");
        let ended = process.ended().await;
        assert!(
            ended.words.contains("Not_A_Name") && ended.words.contains("lost"),
            "what is left out is told: {}",
            ended.words
        );
    }
    assert_eq!(database.count("audit_entries", "action = 'cluster.add' AND user_name = 'operator'"), 1);
}

#[test]
fn a_first_start_waits_for_a_database_that_is_slow() {
    kv_tests::run(async {
        let (database, folder) = (TestDatabase::fresh(Backend::Postgres), tempfile::tempdir().unwrap());
        let (link, url) = Link::to_database(&database.url_text());
        // A user is made by several statements, which all together take longer than a request is kept waiting for.
        link.set(Manner::Delay { usual: DISTANT, tail: DISTANT });
        let process = Process::serving(SERVER, folder.path(), &[("KUBEVISION_DATABASE_URL", &url)]).await;
        assert!(process.words().contains("Sign in as `admin` with this password"), "{}", process.words());
    });
}
