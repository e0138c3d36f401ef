//! Whom a cluster sees: the caller by name where it is called so, never anybody else, and nobody who cannot be named.

use kv_tests::{Backend, Cluster, Connection, Key, Request, Session, TestApp, on_both};
use serde_json::json;
use std::{collections::HashMap, sync::Arc};

on_both!(
    keys_and_sessions_are_named,
    a_cluster_that_is_called_by_its_account_hears_no_names,
    odd_names_arrive_in_visible_ascii,
    attack_144_145_146_nobody_brings_a_name_of_their_own,
    attack_148_who_cannot_be_named_reaches_nothing,
    every_part_of_a_union_is_asked_for_by_name,
    our_own_questions_are_the_accounts,
    changing_it_is_an_act_of_those_who_may,
    attack_152_no_request_goes_under_anothers_name,
);

const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";
const PROD: &str = "/api/v1/clusters/prod";

async fn impersonate(app: &TestApp, on: bool) {
    let admin = app.admin().await;
    app.patch(PROD).session(&admin).json(&json!({"impersonate": on})).send().await.expect(200);
}

async fn world(backend: Backend) -> (TestApp, Cluster, Session, Key) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    impersonate(&app, true).await;
    let (_, session, key) = app.someone("ann", "dev", Some("prod")).await;
    (app, cluster, session, key)
}

async fn keys_and_sessions_are_named(backend: Backend) {
    let (app, cluster, session, key) = world(backend).await;
    let person = [
        ("impersonate-user", "kubevision:ann"),
        ("impersonate-group", "kubevision:dev"),
        ("impersonate-group", "kubevision:users"),
    ];
    let extra = [
        ("impersonate-extra-kubevision.io%2fkey-id", key.id.as_str()),
        ("impersonate-extra-kubevision.io%2fkey-name", "ci"),
    ];
    for request in [app.get(POD), app.patch(POD).json(&json!({})), app.delete(POD)] {
        request.clone().key(&key).send().await.expect(200);
        let seen = cluster.seen().pop().unwrap();
        assert_eq!(seen.headers_like("impersonate-"), [&person[..], &extra[..]].concat(), "{}", seen.line());
        assert_eq!(seen.header("authorization"), Some("Bearer the-clusters-own-token"));
        request.session(&session).send().await.expect(200);
        assert_eq!(cluster.seen().pop().unwrap().headers_like("impersonate-"), person);
    }
}

async fn a_cluster_that_is_called_by_its_account_hears_no_names(backend: Backend) {
    let (app, cluster, _, key) = world(backend).await;
    app.get(POD).key(&key).send().await.expect(200);
    impersonate(&app, false).await;
    app.get(POD).key(&key).send().await.expect(200);
    let named: Vec<_> = cluster.seen().iter().map(|seen| seen.headers_like("impersonate-").len()).collect();
    assert_eq!(named, [5, 0]);
}

async fn odd_names_arrive_in_visible_ascii(backend: Backend) {
    let (app, cluster, session, _) = world(backend).await;
    let name_header = "impersonate-extra-kubevision.io%2fkey-name";
    for (name, written) in [
        ("déploiement 日本", "d%C3%A9ploiement%20%E6%97%A5%E6%9C%AC"),
        ("50% off", "50%25%20off"),
        ("50%25 off", "50%2525%20off"),
        ("%0d%0aImpersonate-User: system:admin", "%250d%250aImpersonate-User:%20system:admin"),
        ("a,b;c=\"d\"", "a,b;c=\"d\""),
    ] {
        let key = app.key(&session, name).await;
        app.get(POD).key(&key).send().await.expect(200);
        let seen = cluster.seen().pop().unwrap();
        assert_eq!(seen.header(name_header), Some(written));
        assert_eq!(seen.headers_like("impersonate-user"), [("impersonate-user", "kubevision:ann")]);
    }
    // The longest name there may be, in the longest characters.
    let key = app.key(&session, &"🦀".repeat(100)).await;
    app.get(POD).key(&key).send().await.expect(200);
    assert_eq!(cluster.seen().pop().unwrap().header(name_header), Some(&*"%F0%9F%A6%80".repeat(100)));
    // Nobody becomes a part of the system by their name.
    let (_, _, key) = app.someone("system:masters", "dev", Some("prod")).await;
    app.get(POD).key(&key).send().await.expect(200);
    assert_eq!(cluster.seen().pop().unwrap().header("impersonate-user"), Some("kubevision:system:masters"));
    // Nor everybody by the name of their role.
    let role = json!({"name": "users", "grants": ["pods:read"]});
    app.post("/api/v1/roles").session(&app.admin().await).json(&role).send().await.expect(201);
    let (_, _, key) = app.someone("bob", "users", Some("prod")).await;
    app.get(POD).key(&key).send().await.expect(200);
    let seen = cluster.seen().pop().unwrap();
    let groups = [("impersonate-group", "kubevision:%75sers"), ("impersonate-group", "kubevision:users")];
    assert_eq!(seen.headers_like("impersonate-group"), groups);
}

async fn attack_144_145_146_nobody_brings_a_name_of_their_own(backend: Backend) {
    let (app, cluster, _, key) = world(backend).await;
    app.get(POD).key(&key).send().await.expect(200);
    let usual = cluster.seen().pop().unwrap();
    for name in ["Impersonate-User", "impersonate-GROUP", "Impersonate-Uid", "Impersonate-Extra-A", "Impersonate_User"]
    {
        for value in ["kubevision:ann", "system:admin", ""] {
            let answer = app.get(POD).key(&key).header(name, value).send().await.expect(400);
            assert_eq!(answer.code(), "impersonation_refused", "{name}");
        }
    }
    assert_eq!(cluster.seen().len(), 1, "none of them arrived");
    for (name, value) in [
        ("connection", "Impersonate-User, Impersonate-Group, Authorization"),
        ("connection", "close, Impersonate-Extra-kubevision.io%2Fkey-id"),
        ("x-remote-user", "system:admin"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-kubevision.io%2fkey-id", "another"),
        ("te", "trailers"),
        ("trailer", "Impersonate-User"),
    ] {
        app.get(POD).key(&key).header(name, value).send().await.expect(200);
        let seen = cluster.seen().pop().unwrap();
        let names = |seen: &kv_tests::Seen| seen.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&seen), names(&usual), "{name}: {value}");
        assert_eq!(seen.headers_like("impersonate-"), usual.headers_like("impersonate-"), "{name}: {value}");
    }
}

async fn attack_148_who_cannot_be_named_reaches_nothing(backend: Backend) {
    let (app, cluster, session, key) = world(backend).await;
    app.get(POD).key(&key).send().await.expect(200);
    // Damage: no such name gets in by any of our ways.
    let nameless = app.key(&session, "soon without").await;
    app.database.execute("UPDATE api_keys SET name = '' WHERE name = 'soon without'");
    let overlong = app.key(&session, "soon long").await;
    app.database.execute(&format!("UPDATE api_keys SET name = '{}' WHERE name = 'soon long'", "x".repeat(2_000)));
    for key in [nameless, overlong] {
        for request in [app.get(POD), app.patch(POD).json(&json!({}))] {
            let answer = request.key(&key).send().await.expect(500);
            assert_eq!(answer.code(), "internal");
            assert_eq!(app.entry_of(&answer).await["outcome"], "failed");
        }
    }
    assert_eq!(cluster.seen().len(), 1, "not as the cluster's own account either");
    app.get(POD).key(&key).send().await.expect(200);
}

async fn every_part_of_a_union_is_asked_for_by_name(backend: Backend) {
    let (app, cluster, ..) = world(backend).await;
    let bob = app.user("bob", "readonly").await;
    app.assign(&bob, "prod", &["a", "b"]).await;
    let key = app.key(&app.login("bob").await, "ci").await;
    app.get("/api/v1/clusters/prod/pods").key(&key).send().await.expect(200);
    let seen = cluster.seen();
    assert_eq!(seen.len(), 2);
    for part in seen {
        assert_eq!(part.header("impersonate-user"), Some("kubevision:bob"), "{}", part.line());
    }
}

async fn our_own_questions_are_the_accounts(backend: Backend) {
    let (app, cluster, session, _) = world(backend).await;
    app.get(PROD).session(&session).send().await.expect(200);
    let seen = cluster.seen().pop().unwrap();
    assert_eq!((seen.line(), seen.headers_like("impersonate-")), ("GET /version".to_owned(), vec![]));
}

async fn changing_it_is_an_act_of_those_who_may(backend: Backend) {
    let (app, cluster, _, key) = world(backend).await;
    let (_, _, ops) = app.someone("olga", "ops", Some("prod")).await;
    let (_, _, stranger) = app.someone("otto", "ops", None).await;
    let change = |path: &str, body| app.patch(path).json(&body);
    let on = json!({"impersonate": true});
    assert_eq!(change(PROD, on.clone()).key(&key).send().await.expect(403).json()["missing"], "clusters:write");
    change(PROD, on.clone()).key(&stranger).send().await.expect(404);
    change("/api/v1/clusters/none", on.clone()).key(&ops).send().await.expect(404);
    for wrong in
        [json!({}), json!({"impersonate": "on"}), json!({"impersonate": null}), json!({"impersonate": true, "a": 1})]
    {
        change(PROD, wrong.clone()).key(&ops).send().await.expect(400);
    }
    let answer = change(PROD, json!({"impersonate": false})).key(&ops).send().await.expect(200);
    assert_eq!((&answer.json()["name"], &answer.json()["impersonate"]), (&json!("prod"), &json!(false)));
    let entry = app.entry_of(&answer).await;
    assert_eq!((&entry["action"], &entry["resource_name"]), (&json!("cluster.change"), &json!("prod")));
    let detail = &entry["detail"];
    assert_eq!((&detail["before"], &detail["after"]), (&json!("impersonate: true"), &json!("impersonate: false")));
    assert_eq!(app.get(PROD).key(&key).send().await.expect(200).json()["impersonate"], false);

    // What is under way as the account ends when calls shall name the caller, and what is under way as them when no longer.
    for (on, named) in [(true, Some("kubevision:ann")), (false, None)] {
        cluster.hold();
        let seen = cluster.seen().len();
        let running = app.get(POD).key(&key).start();
        cluster.has_seen(seen + 1).await;
        impersonate(&app, on).await;
        assert!(!running.await.unwrap().is_ok_and(|answer| answer.is_success()), "it went on as somebody else: {on}");
        cluster.release();
        app.get(POD).key(&key).send().await.expect(200);
        assert_eq!(cluster.seen().pop().unwrap().header("impersonate-user"), named);
    }

    // From the start, over the API.
    let new = json!({"name": "other", "server": "https://10.0.0.1", "token": "t", "impersonate": true});
    let made = app.post("/api/v1/clusters").key(&ops).json(&new).send().await.expect(201).json();
    assert_eq!(made["impersonate"], true);
}

/// 64 in flight at every moment, on connections that both users share.
async fn attack_152_no_request_goes_under_anothers_name(backend: Backend) {
    const EACH: usize = 157;
    const LANES: usize = 64;
    let (app, cluster) = (TestApp::with(backend, &[("KUBEVISION_RATE_LIMIT", "off")]).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    impersonate(&app, true).await;
    cluster.keep_alive();
    let mut people = Vec::new();
    for (name, role) in [("ann", "dev"), ("bob", "ops")] {
        let (_, _, key) = app.someone(name, role, Some("prod")).await;
        people.push((name, role, key));
    }
    let people = Arc::new(people);
    let address = app.address();
    let lanes = (0..LANES).map(|lane| {
        let people = people.clone();
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await.unwrap();
            for number in 0..EACH {
                let (name, _, key) = &people[(lane + number) % 2];
                let path = format!("/api/v1/clusters/prod/namespaces/team/pods/{name}-{lane}-{number}");
                let answer = connection.send(Request::new(address, "GET", &path).key(key)).await.unwrap();
                assert_eq!(answer.expect(200).json()["metadata"]["name"], format!("{name}-{lane}-{number}"));
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
    let seen = cluster.seen();
    assert_eq!(seen.len(), EACH * LANES);
    assert!(cluster.connections() < EACH * LANES / 10, "calls of both went over the same connections");
    let mut counts = HashMap::new();
    for request in seen {
        let asked = request.path.rsplit('/').next().unwrap().split('-').next().unwrap();
        let (name, role, key) = people.iter().find(|(name, ..)| *name == asked).unwrap();
        let expected = [
            ("impersonate-user", format!("kubevision:{name}")),
            ("impersonate-group", format!("kubevision:{role}")),
            ("impersonate-group", "kubevision:users".to_owned()),
            ("impersonate-extra-kubevision.io%2fkey-id", key.id.clone()),
            ("impersonate-extra-kubevision.io%2fkey-name", "ci".to_owned()),
        ];
        let found: Vec<_> =
            request.headers_like("impersonate-").into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        assert_eq!(found, expected, "{}", request.line());
        *counts.entry(*name).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 2, "{counts:?}");
}
