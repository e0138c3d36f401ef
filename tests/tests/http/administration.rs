//! Administration: users, roles and assignments. What is taken counts at once.

use kv_tests::{Backend, Cluster, Key, PASSWORD, Request, Session, TestApp, on_both};
use serde_json::{Value, json};
use std::time::Duration;

on_both!(
    a_user_is_made_looked_at_and_changed,
    attack_97_a_namesake_inherits_nothing,
    attack_98_enabled_again_keys_stay_dead_unless_asked_for,
    attack_100_101_a_custom_role_counts_as_it_is_now,
    attack_109_the_last_administrator_stays,
    attack_110_a_namesake_of_a_cluster_is_another_cluster,
    attack_138_what_is_taken_ends_what_runs_and_nothing_else,
    keys_administer_only_where_the_operator_lets_them,
    every_act_is_on_record_with_both_names,
);

const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";

pub(crate) async fn made(app: &TestApp, session: &Session, name: &str, role: &str) -> Value {
    let body = json!({"name": name, "role": role, "password": PASSWORD});
    app.post("/api/v1/users").session(session).json(&body).send().await.expect(201).json()
}

pub(crate) fn id(made: &Value) -> &str {
    made["id"].as_str().unwrap()
}

pub(crate) async fn role(app: &TestApp, session: &Session, name: &str, grants: &[&str]) {
    let body = json!({"name": name, "grants": grants});
    app.post("/api/v1/roles").session(session).json(&body).send().await.expect(201);
}

async fn a_user_is_made_looked_at_and_changed(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let admin = app.admin().await;
    for (body, code) in [
        (json!({"name": "", "role": "dev"}), "invalid_name"),
        (json!({"name": "operator", "role": "dev"}), "invalid_name"),
        (json!({"name": "a\u{202e}b", "role": "dev"}), "invalid_name"),
        (json!({"name": "ann", "role": "Admin"}), "unknown_role"),
        (json!({"name": "ann", "role": ""}), "unknown_role"),
        (json!({"name": "ann", "role": "dev", "password": "short"}), "weak_password"),
    ] {
        let refused = app.post("/api/v1/users").session(&admin).json(&body).send().await.expect(422);
        assert_eq!(refused.code(), code, "{body}");
    }
    let unknown = json!({"name": "ann", "role": "dev", "is_admin": true});
    app.post("/api/v1/users").session(&admin).json(&unknown).send().await.expect(400);
    let ann = made(&app, &admin, "ann", "dev").await;
    let again = json!({"name": "ann", "role": "dev"});
    assert_eq!(app.post("/api/v1/users").session(&admin).json(&again).send().await.expect(409).code(), "name_taken");
    let user = format!("/api/v1/users/{}", id(&ann));
    let assign = |body: Value| app.request("PUT", &format!("{user}/assignments")).session(&admin).json(&body).send();
    assign(json!({"cluster": "prod", "namespaces": ["team", "other"]})).await.expect(204);
    assign(json!({"cluster": "prod", "namespaces": ["team"]})).await.expect(204);
    assign(json!({"cluster": "none"})).await.expect(404);
    assert_eq!(
        assign(json!({"cluster": "prod", "namespaces": ["../a"]})).await.expect(422).code(),
        "invalid_namespace"
    );
    assign(json!({"namespace": "team"})).await.expect(400);
    let shown = app.get(&user).session(&admin).send().await.expect(200).json();
    assert_eq!(
        (&shown["name"], &shown["role"], &shown["second_factor"]),
        (&json!("ann"), &json!("dev"), &json!(false))
    );
    assert_eq!(shown["assignments"], json!([{"cluster": "prod", "namespaces": ["team"]}]));
    assert!(!shown.to_string().contains("argon2"));
    let session = app.login("ann").await;
    app.get(POD).session(&session).send().await.expect(200);
    app.delete(&format!("{user}/assignments?cluster=prod")).session(&admin).send().await.expect(204);
    app.get(POD).session(&session).send().await.expect(404);
    app.patch(&user).session(&admin).json(&json!({"restore_api_keys": true})).send().await.expect(422);
    app.delete(&user).session(&admin).send().await.expect(204);
    for method in ["GET", "DELETE"] {
        app.request(method, &user).session(&admin).send().await.expect(404);
    }
    // An id that is none names nothing, and to whom that matters not, not even that.
    app.get("/api/v1/users/1").session(&admin).send().await.expect(404);
    app.user("bob", "dev").await;
    app.get("/api/v1/users/1").session(&app.login("bob").await).send().await.expect(403);
}

async fn attack_97_a_namesake_inherits_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (ann, session, key) = app.someone("ann", "ops", None).await;
    let admin = app.admin().await;
    app.delete(&format!("/api/v1/users/{}", ann.id)).session(&admin).send().await.expect(204);
    app.get("/api/v1/clusters").key(&key).send().await.expect(401);
    let next = made(&app, &admin, "ann", "dev").await;
    assert_ne!(id(&next), ann.id.to_string());
    app.get("/api/v1/clusters").key(&key).send().await.expect(401);
    app.get("/api/v1/clusters").session(&session).send().await.expect(401);
    let keys = format!("/api/v1/users/{}/api-keys?state=all", id(&next));
    assert_eq!(app.get(&keys).session(&admin).send().await.expect(200).json()["items"], json!([]));
}

async fn attack_98_enabled_again_keys_stay_dead_unless_asked_for(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (ann, session, first) = app.someone("ann", "dev", None).await;
    let revoked = app.key(&session, "revoked before").await;
    app.revoke(&session, &revoked).await.expect(204);
    let works = async |key: &Key| app.get("/api/v1/clusters").key(key).send().await.status;
    let done = app.change(&ann, &json!({"disabled": true})).await;
    assert_eq!((&done["api_keys_revoked"], &done["sessions_ended"]), (&json!(1), &json!(1)));
    assert_eq!(works(&first).await, 401);
    let done = app.change(&ann, &json!({"disabled": false})).await;
    assert_eq!((done["api_keys_restored"].clone(), works(&first).await), (json!(0), 401));
    let second = app.key(&app.login("ann").await, "second").await;
    app.change(&ann, &json!({"disabled": true})).await;
    assert_eq!(works(&second).await, 401);
    let done = app.change(&ann, &json!({"disabled": false, "restore_api_keys": true})).await;
    assert_eq!(done["api_keys_restored"], 1);
    assert_eq!((works(&second).await, works(&first).await, works(&revoked).await), (200, 401, 401));
}

async fn attack_100_101_a_custom_role_counts_as_it_is_now(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let admin = app.admin().await;
    for name in ["admin", "Admin", "DEV", "a b", "", ".x", "ä"] {
        let refused = app.post("/api/v1/roles").session(&admin).json(&json!({"name": name})).send().await.expect(422);
        assert_eq!(refused.code(), "invalid_name", "{name}");
    }
    for grants in [json!(["pods"]), json!(["pods:fly"]), json!("pods:read"), json!([1]), json!(null)] {
        let body = json!({"name": "lead", "grants": grants});
        app.post("/api/v1/roles").session(&admin).json(&body).send().await.expect(400);
    }
    role(&app, &admin, "lead", &[]).await;
    let (_, session, key) = app.someone("ann", "lead", Some("prod")).await;
    let read =
        async || (app.get(POD).key(&key).send().await.status, app.get(POD).session(&session).send().await.status);
    let set = |grants: &[&str]| {
        let body = json!({"grants": grants});
        app.patch("/api/v1/roles/lead").session(&admin).json(&body).send()
    };
    assert_eq!(read().await, (403, 403), "a new role holds nothing");
    for round in 0..5 {
        set(&["pods:read"]).await.expect(204);
        assert_eq!(read().await, (200, 200), "round {round}");
        set(&["deployments:*"]).await.expect(204);
        let refused = app.get(POD).key(&key).send().await.expect(403).json();
        assert_eq!(refused["missing"], "pods:read");
        assert_eq!(read().await, (403, 403), "round {round}");
    }
    set(&["*:*"]).await.expect(204);
    assert_eq!(read().await, (200, 200));
    let shown = app.get("/api/v1/roles/lead").session(&admin).send().await.expect(200).json();
    assert_eq!((&shown["grants"], &shown["users"]), (&json!(["*:*"]), &json!(1)));
    app.delete("/api/v1/roles/lead").session(&admin).send().await.expect(204);
    assert_eq!(read().await, (403, 403), "a deleted role holds nothing");
    role(&app, &admin, "lead", &["*:*"]).await;
    assert_eq!(read().await, (403, 403), "and no namesake's");
}

async fn attack_109_the_last_administrator_stays(backend: Backend) {
    let app = TestApp::start(backend).await;
    let second = app.user("second", "admin").await;
    let (first, other) = (app.admin().await, app.login("second").await);
    let users = app.get("/api/v1/users").session(&first).send().await.expect(200).json();
    let root = users["items"].as_array().unwrap().iter().find(|user| user["name"] == "admin").unwrap()["id"].clone();
    let paths = [format!("/api/v1/users/{}", root.as_str().unwrap()), format!("/api/v1/users/{}", second.id)];
    // Each demotes the other, at once.
    let demote = json!({"role": "dev"});
    let acts = [
        app.patch(&paths[1]).session(&first).json(&demote).start(),
        app.patch(&paths[0]).session(&other).json(&demote).start(),
    ];
    let mut done = 0;
    for act in acts {
        done += usize::from(act.await.unwrap().is_ok_and(|answer| answer.is_success()));
    }
    assert!(done <= 1, "{done}");
    let admins = || app.database.count("users", "role = 'admin' AND deleted_at IS NULL AND disabled_at IS NULL");
    assert!(admins() >= 1);
    let (session, path) = match app.database.count("users", "role = 'admin' AND name = 'admin'") {
        1 => (&first, &paths[0]),
        _ => (&other, &paths[1]),
    };
    if admins() == 2 {
        return;
    }
    for act in [app.patch(path).json(&demote), app.patch(path).json(&json!({"disabled": true})), app.delete(path)] {
        assert_eq!(act.session(session).send().await.expect(409).code(), "last_administrator");
    }
    assert_eq!(admins(), 1);
}

async fn attack_110_a_namesake_of_a_cluster_is_another_cluster(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, _, key) = app.someone("ann", "dev", Some("prod")).await;
    app.get(POD).key(&key).send().await.expect(200);
    let admin = app.admin().await;
    app.delete("/api/v1/clusters/prod").session(&admin).send().await.expect(204);
    app.get(POD).key(&key).send().await.expect(404);
    app.add_cluster("prod", &cluster).await;
    app.get(POD).key(&key).send().await.expect(404);
    assert_eq!(app.get("/api/v1/clusters").key(&key).send().await.expect(200).json()["items"], json!([]));
}

/// A request that the cluster has and does not answer.
async fn held(
    app: &TestApp,
    cluster: &Cluster,
    request: Request,
) -> tokio::task::JoinHandle<Result<kv_tests::Answer, String>> {
    let seen = cluster.seen().len();
    let held = request.start();
    cluster.has_seen(seen + 1).await;
    let _ = app;
    held
}

async fn attack_138_what_is_taken_ends_what_runs_and_nothing_else(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let admin = app.admin().await;
    role(&app, &admin, "lead", &["pods:*", "configmaps:read"]).await;
    let ann = app.user("ann", "lead").await;
    let user = format!("/api/v1/users/{}", ann.id);
    let assign = |namespaces: Value| {
        let body = json!({"cluster": "prod", "namespaces": namespaces});
        app.request("PUT", &format!("{user}/assignments")).session(&admin).json(&body)
    };
    let map = "/api/v1/clusters/prod/namespaces/other/configmaps/m";
    for how in ["namespace", "role of the user", "role itself", "role deleted", "cluster"] {
        if how == "role deleted" {
            role(&app, &admin, "second", &["pods:*", "configmaps:read"]).await;
        }
        let name = if how == "role deleted" { "second" } else { "lead" };
        app.patch(&user).session(&admin).json(&json!({"role": name})).send().await.expect(200);
        assign(json!(["team", "other"])).send().await.expect(204);
        app.patch("/api/v1/roles/lead")
            .session(&admin)
            .json(&json!({"grants": ["pods:*", "configmaps:read"]}))
            .send()
            .await
            .expect(204);
        let session = app.login("ann").await;
        let key = app.key(&session, how).await;
        for path in [POD, map] {
            app.get(path).key(&key).send().await.expect(200);
        }
        cluster.hold();
        let lost = held(&app, &cluster, app.patch(POD).key(&key).json(&json!({"spec": {}}))).await;
        let kept = held(&app, &cluster, app.get(map).key(&key)).await;
        let taken = match how {
            "namespace" => assign(json!(["other"])),
            "role of the user" => app.patch(&user).session(&admin).json(&json!({"role": "readonly"})),
            "role itself" => {
                app.patch("/api/v1/roles/lead").session(&admin).json(&json!({"grants": ["configmaps:read"]}))
            }
            "role deleted" => app.delete("/api/v1/roles/second").session(&admin),
            _ => app.delete("/api/v1/clusters/prod").session(&admin),
        };
        assert!(taken.send().await.is_success(), "{how}");
        let lost = tokio::time::timeout(Duration::from_secs(1), lost).await.expect("it ended with the call").unwrap();
        assert!(!lost.is_ok_and(|answer| answer.is_success()), "{how}");
        let all_gone = matches!(how, "role deleted" | "cluster");
        let kept = if all_gone {
            tokio::time::timeout(Duration::from_secs(1), kept).await.expect("it ended with the call")
        } else {
            assert!(!kept.is_finished(), "{how}: what may still be done goes on");
            cluster.release();
            kept.await
        };
        let kept = kept.unwrap();
        cluster.release();
        assert_eq!(kept.is_ok_and(|answer| answer.status == 200), !all_gone, "{how}");
        if how != "cluster" {
            app.outcomes_written().await;
            let entry = app.audit("action=kubernetes.patch").await.remove(0);
            assert_eq!((&entry["outcome"], &entry["status_code"]), (&json!("unknown"), &json!(401)), "{how}");
        }
    }
}

async fn keys_administer_only_where_the_operator_lets_them(backend: Backend) {
    for allowed in [false, true] {
        let settings = [("KUBEVISION_API_KEYS__ALLOW_ADMINISTRATION", if allowed { "true" } else { "false" })];
        let app = TestApp::with(backend, &settings).await;
        let (_, _, key) = app.someone("ann", "admin", None).await;
        let bob = app.user("bob", "dev").await;
        let user = format!("/api/v1/users/{}", bob.id);
        for act in [
            app.get("/api/v1/users"),
            app.get(&user),
            app.post("/api/v1/users").json(&json!({"name": "new", "role": "dev"})),
            app.patch(&user).json(&json!({"role": "readonly"})),
            app.request("PUT", &format!("{user}/assignments")).json(&json!({"cluster": null})),
            app.delete(&format!("{user}/assignments")),
            app.post("/api/v1/roles").json(&json!({"name": "lead"})),
            app.get("/api/v1/roles"),
            app.patch("/api/v1/roles/lead").json(&json!({"grants": ["pods:read"]})),
            app.delete("/api/v1/roles/lead"),
            app.get(&format!("{user}/api-keys")),
            app.delete(&format!("{user}/api-keys")),
            app.delete(&user),
        ] {
            let answer = act.key(&key).send().await;
            match allowed {
                true => assert!(answer.is_success(), "{}", answer.text()),
                false => assert_eq!(answer.expect(403).code(), "interactive_session_required"),
            }
        }
        // Passwords, second factors and sessions are nothing for keys, whatever the operator lets them do: with those of
        // its own owner a stolen key would outlive its revocation.
        let me = app.get("/api/v1/auth/me").key(&key).send().await.expect(200).json()["id"].clone();
        let user = format!("/api/v1/users/{}", me.as_str().unwrap());
        for act in [
            app.get(&format!("{user}/sessions")),
            app.delete(&format!("{user}/sessions")),
            app.post(&format!("{user}/reset-password")).json(&json!({"new_password": "another long one"})),
            app.delete(&format!("{user}/second-factor")),
        ] {
            assert_eq!(act.key(&key).send().await.expect(403).code(), "interactive_session_required");
        }
    }
}

async fn every_act_is_on_record_with_both_names(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (ann, _, key) = app.someone("ann", "dev", None).await;
    let admin = app.admin().await;
    let user = format!("/api/v1/users/{}", ann.id);
    role(&app, &admin, "lead", &["pods:read"]).await;
    for (act, action) in [
        (app.patch(&user).json(&json!({"role": "lead"})), "user.change"),
        (app.patch("/api/v1/roles/lead").json(&json!({"grants": ["*:read"]})), "role.change"),
        (app.request("PUT", &format!("{user}/assignments")).json(&json!({"cluster": null})), "user.assign"),
        (app.delete(&format!("{user}/assignments")), "user.unassign"),
        (app.delete(&format!("{user}/api-keys/{}", key.id)), "api_key.revoke"),
        (app.delete(&format!("{user}/sessions")), "session.end"),
        (app.delete("/api/v1/roles/lead"), "role.delete"),
        (app.delete(&user), "user.delete"),
    ] {
        let answer = act.session(&admin).send().await;
        assert!(answer.is_success(), "{action}: {}", answer.text());
        let entry = app.entry_of(&answer).await;
        assert_eq!((entry["action"].as_str(), entry["user"].as_str()), (Some(action), Some("admin")));
        let whole = entry.to_string();
        let whose = if action.starts_with("role") { "lead".to_owned() } else { ann.id.to_string() };
        assert!(whole.contains(&whose) || whole.contains("\"ann\""), "{action}: {whole}");
    }
    let change = app.audit("action=role.change").await.remove(0);
    assert_eq!((&change["detail"]["before"], &change["detail"]["after"]), (&json!("pods:read"), &json!("*:read")));
}
