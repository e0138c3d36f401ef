//! KubeVision as a cluster's webhooks: whose keys are named, what their owners may do, and who may ask.

use kv_tests::{Answer, Backend, Cluster, Key, Session, TestApp, User, on_both};
use serde_json::{Value, json};

on_both!(
    a_living_key_is_its_owner,
    whatever_is_no_living_key_is_nobody,
    what_an_owner_may_do_is_decided_by_their_rights_now,
    of_others_there_is_no_opinion,
    a_key_of_somebody_else_is_no_key,
    collections_are_known_by_what_the_cluster_serves,
    only_the_cluster_asks,
    a_question_under_way_ends_with_its_token_and_with_its_key,
    a_flood_of_wrong_tokens_is_limited_and_the_right_one_is_not,
    questions_are_read_strictly,
);

struct World {
    app: TestApp,
    cluster: Cluster,
    token: String,
    ann: User,
    session: Session,
    key: Key,
}

const TOKENS: &str = "/api/v1/clusters/prod/webhooks/token-review";
const ACCESS: &str = "/api/v1/clusters/prod/webhooks/subject-access-review";
const MAKE: &str = "/api/v1/clusters/prod/webhook-token";

impl World {
    /// `ann` is `dev` in namespace `team` of `prod`.
    async fn new(backend: Backend) -> Self {
        let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
        app.add_cluster("prod", &cluster).await;
        let made = app.post(MAKE).session(&app.admin().await).send().await.expect(201);
        assert_eq!(made.header("cache-control"), "no-store");
        let token = made.json()["token"].as_str().unwrap().to_owned();
        let ann = app.user("ann", "dev").await;
        app.assign(&ann, "prod", &["team"]).await;
        let session = app.login("ann").await;
        let key = app.key(&session, "50% ci").await;
        Self { app, cluster, token, ann, session, key }
    }

    async fn ask(&self, path: &str, body: &Value) -> Answer {
        self.app.post(path).header("authorization", format!("Bearer {}", self.token)).json(body).send().await
    }

    async fn whose(&self, token: &str) -> Value {
        let review = json!({
            "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {"creationTimestamp": null},
            "spec": {"token": token, "audiences": ["https://kubernetes.default.svc"]}, "status": {"user": {}},
        });
        let answer = self.ask(&format!("{TOKENS}?timeout=30s"), &review).await.expect(200).json();
        assert_eq!((&answer["kind"], &answer["apiVersion"]), (&review["kind"], &review["apiVersion"]));
        answer["status"].clone()
    }

    /// As the cluster asks, of the user that a token review named.
    async fn may(&self, user: &Value, attributes: Value) -> (Value, Value) {
        let mut spec = json!({
            "user": user["username"], "uid": user["uid"], "groups": user["groups"], "extra": user["extra"],
        });
        for (name, value) in attributes.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let review = json!({
            "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "metadata": {"creationTimestamp": null}, "spec": spec, "status": {"allowed": false},
        });
        let answer = self.ask(ACCESS, &review).await.expect(200);
        let status = answer.json()["status"].clone();
        (status, self.app.entry_of(&answer).await)
    }

    async fn may_do(&self, user: &Value, verb: &str, resource: &str, namespace: &str) -> (bool, bool) {
        let about = json!({"verb": verb, "version": "v1", "resource": resource, "namespace": namespace, "name": "x"});
        let (status, _) = self.may(user, json!({"resourceAttributes": about})).await;
        (status["allowed"] == true, status["denied"] == true)
    }
}

const YES: (bool, bool) = (true, false);
const NO: (bool, bool) = (false, true);
const NO_OPINION: (bool, bool) = (false, false);

async fn a_living_key_is_its_owner(backend: Backend) {
    let world = World::new(backend).await;
    let status = world.whose(&world.key.text).await;
    assert_eq!(status["authenticated"], true, "{status}");
    let user = &status["user"];
    assert_eq!(user["username"], "kubevision:ann");
    assert_eq!(user["uid"], world.ann.id.to_string());
    assert_eq!(user["groups"], json!(["kubevision:dev", "kubevision:users"]));
    assert_eq!(
        user["extra"],
        json!({"kubevision.io/key-id": [world.key.id], "kubevision.io/key-name": ["50%25%20ci"]})
    );
    let entries = world.app.audit("action=kubernetes.token_review").await;
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    for (field, value) in [
        ("user", "ann"),
        ("agent", "50% ci"),
        ("key_id", &*world.key.id),
        ("cluster", "prod"),
        ("outcome", "succeeded"),
    ] {
        assert_eq!(entry[field], value, "{field}: {entry}");
    }
    assert_eq!(entry["status_code"], 200);
}

async fn whatever_is_no_living_key_is_nobody(backend: Backend) {
    let world = World::new(backend).await;
    let app = &world.app;
    let nobody = json!({"authenticated": false});
    let (_, bobs, stranger) = app.someone("bob", "ops", None).await;
    let spare = app.key(&world.session, "spare").await;
    assert_eq!(world.whose(&spare.text).await["authenticated"], true);
    app.revoke(&world.session, &spare).await.expect(204);
    let mut wrong = world.key.text.clone();
    wrong.replace_range(20..21, if &wrong[20..21] == "a" { "b" } else { "a" });
    for (what, token, status) in [
        ("revoked", &*spare.text, 401),
        ("of no cluster", &*stranger.text, 404),
        ("misspelt", &*wrong, 401),
        ("a session's", &*world.session.token, 401),
        ("another session's", &*bobs.token, 401),
        ("the cluster's own", &*world.token, 401),
        ("empty", "", 401),
        ("too long", &*"x".repeat(100_000), 401),
    ] {
        assert_eq!(world.whose(token).await, nobody, "{what}");
        let entry = app.audit("action=kubernetes.token_review").await.remove(0);
        assert_eq!((&entry["status_code"], &entry["outcome"]), (&json!(status), &json!("denied")), "{what}: {entry}");
    }
    // Disabled at once, and good again never by itself.
    app.change(&world.ann, &json!({"disabled": true})).await;
    assert_eq!(world.whose(&world.key.text).await, nobody);
    // A role or assignment taken counts at the next question.
    let (carl, _, key) = app.someone("carl", "dev", Some("prod")).await;
    assert_eq!(world.whose(&key.text).await["authenticated"], true);
    let path = format!("/api/v1/users/{}/assignments?cluster=prod", carl.id);
    app.delete(&path).session(&app.admin().await).send().await.expect(204);
    assert_eq!(world.whose(&key.text).await, nobody);
}

async fn what_an_owner_may_do_is_decided_by_their_rights_now(backend: Backend) {
    let world = World::new(backend).await;
    let user = world.whose(&world.key.text).await["user"].clone();
    assert_eq!(world.may_do(&user, "get", "pods", "team").await, YES);
    assert_eq!(world.may_do(&user, "get", "pods", "other").await, NO);
    assert_eq!(world.may_do(&user, "get", "secrets", "team").await, NO);
    assert_eq!(world.may_do(&user, "get", "nodes", "").await, NO);
    assert_eq!(world.may_do(&user, "impersonate", "users", "").await, NO);

    let about = json!({"verb": "get", "resource": "secrets", "namespace": "team", "name": "s", "version": "v1"});
    let (status, entry) = world.may(&user, json!({"resourceAttributes": about})).await;
    assert_eq!(status["reason"], "KubeVision: missing secrets:reveal");
    for (field, value) in [
        ("action", "kubernetes.access_review"),
        ("user", "ann"),
        ("agent", "50% ci"),
        ("key_id", &*world.key.id),
        ("resource", "secrets"),
        ("resource_name", "s"),
        ("namespace", "team"),
        ("cluster", "prod"),
        ("outcome", "denied"),
    ] {
        assert_eq!(entry[field], value, "{field}: {entry}");
    }
    assert_eq!((&entry["status_code"], &entry["detail"]["missing"]), (&json!(403), &json!("secrets:reveal")));
    assert_eq!(entry["detail"]["method"], "get");

    let documents = ["/api", "/apis/apps/v1", "/openapi/v2", "/version"];
    for (path, verb, expected) in documents.map(|path| (path, "get", YES)).into_iter().chain([
        ("/healthz", "get", NO_OPINION),
        ("/apisx", "get", NO_OPINION),
        ("/metrics", "get", NO_OPINION),
        ("/version", "post", NO_OPINION),
    ]) {
        let about = json!({"nonResourceAttributes": {"path": path, "verb": verb}});
        let (status, _) = world.may(&user, about).await;
        assert_eq!((status["allowed"] == true, status["denied"] == true), expected, "{verb} {path}");
    }

    // Promoted: at the next question, with what was named before.
    world.app.change(&world.ann, &json!({"role": "ops"})).await;
    assert_eq!(world.may_do(&user, "get", "secrets", "team").await, YES);
    let entry = world.app.audit("action=kubernetes.access_review").await.remove(0);
    assert_eq!(entry["detail"]["second_factor"], "bypassed by key", "{entry}");
    assert_eq!(world.may_do(&user, "get", "secrets", "other").await, NO);
    // Revoked: at the next question too.
    world.app.revoke(&world.app.login("ann").await, &world.key).await.expect(204);
    assert_eq!(world.may_do(&user, "get", "pods", "team").await, NO);
    let entry = world.app.audit("action=kubernetes.access_review").await.remove(0);
    assert_eq!((&entry["status_code"], &entry["user"]), (&json!(401), &json!("ann")), "{entry}");
    let about = json!({"nonResourceAttributes": {"path": "/version", "verb": "get"}});
    assert_eq!(world.may(&user, about).await.0["allowed"], false);
}

async fn of_others_there_is_no_opinion(backend: Backend) {
    let world = World::new(backend).await;
    let named = world.whose(&world.key.text).await["user"].clone();
    let mut nameless = named.clone();
    nameless["extra"] = json!({});
    let mut foreign = named.clone();
    foreign["username"] = json!("ann");
    for user in [json!({"username": "system:admin", "groups": ["system:masters"]}), nameless, foreign, json!({})] {
        assert_eq!(world.may_do(&user, "get", "pods", "team").await, NO_OPINION, "{user}");
        let entry = world.app.audit("action=kubernetes.access_review").await.remove(0);
        assert_eq!((&entry["user"], &entry["cluster"]), (&json!(""), &json!("prod")), "{entry}");
    }
}

async fn a_key_of_somebody_else_is_no_key(backend: Backend) {
    let world = World::new(backend).await;
    let (_, _, bobs) = world.app.someone("bob", "admin", None).await;
    let named = world.whose(&world.key.text).await["user"].clone();
    let with = |field: &str, value: Value| {
        let mut user = named.clone();
        user[field] = value;
        user
    };
    let key = |ids: Value| json!({"kubevision.io/key-id": ids});
    for user in [
        with("extra", key(json!([bobs.id]))),
        with("username", json!("kubevision:bob")),
        with("uid", json!("00000000-0000-7000-8000-000000000000")),
        with("extra", key(json!(["00000000-0000-7000-8000-000000000000"]))),
        with("extra", key(json!(["nonsense"]))),
        with("extra", key(json!([]))),
        with("extra", key(json!([world.key.id, bobs.id]))),
    ] {
        assert_eq!(world.may_do(&user, "get", "pods", "team").await, NO, "{user}");
    }
    assert_eq!(world.may_do(&named, "get", "pods", "team").await, YES);
}

async fn collections_are_known_by_what_the_cluster_serves(backend: Backend) {
    let world = World::new(backend).await;
    let (_, _, key) = world.app.someone("olaf", "dev", Some("prod")).await;
    let (whole, some) =
        (world.whose(&key.text).await["user"].clone(), world.whose(&world.key.text).await["user"].clone());
    let list = |resource: &str, group: &str| json!({"resourceAttributes": {"verb": "list", "resource": resource, "group": group, "version": "v1"}});
    // Nothing is asked of the cluster for a key that is dead.
    let dead = world.app.key(&world.session, "dead").await;
    let gone = world.whose(&dead.text).await["user"].clone();
    world.app.revoke(&world.session, &dead).await.expect(204);
    assert_eq!(world.may(&gone, list("pods", "")).await.0["denied"], true);
    assert_eq!(world.cluster.connections(), 0);

    assert_eq!(world.may(&whole, list("pods", "")).await.0["allowed"], true);
    assert_eq!(world.may(&whole, list("widgets", "example.com")).await.0["allowed"], true);
    assert_eq!(world.may(&whole, list("nodes", "")).await.0["allowed"], false);
    assert_eq!(world.may(&whole, list("unheard", "example.com")).await.0["allowed"], false);
    assert_eq!(world.may(&some, list("pods", "")).await.0["allowed"], false, "there is no union here");
    assert!(world.cluster.asked_what_is_served() > 0);
}

async fn a_question_under_way_ends_with_its_token_and_with_its_key(backend: Backend) {
    for token_goes in [true, false] {
        let world = World::new(backend).await;
        let user = world.whose(&world.key.text).await["user"].clone();
        let review = json!({
            "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "spec": {
                "user": user["username"], "uid": user["uid"], "extra": user["extra"],
                "resourceAttributes": {"verb": "list", "resource": "pods", "version": "v1"},
            },
        });
        // It is asked what it serves, and does not answer.
        world.cluster.stall();
        let bearer = format!("Bearer {}", world.token);
        let held = world.app.post(ACCESS).header("authorization", bearer).json(&review).start();
        world.cluster.has_connections(1).await;
        let started = std::time::Instant::now();
        match token_goes {
            true => world.app.delete(MAKE).session(&world.app.admin().await).send().await.expect(204),
            false => world.app.revoke(&world.session, &world.key).await.expect(204),
        };
        let took = started.elapsed();
        assert!(took < std::time::Duration::from_millis(1_500), "it waited for the cluster: {took:?}");
        let answer = held.await.unwrap().unwrap();
        match token_goes {
            true => assert_eq!(answer.status, 401, "{}", answer.text()),
            false => assert_eq!(answer.expect(200).json()["status"]["denied"], true),
        }
        world.cluster.resume();
        let entries = world.app.audit("action=kubernetes.access_review").await;
        assert_eq!((entries.len(), &entries[0]["status_code"]), (1, &json!(401)), "{entries:?}");
    }
}

async fn only_the_cluster_asks(backend: Backend) {
    let mut world = World::new(backend).await;
    let other = Cluster::start();
    world.app.add_cluster("other", &other).await;
    let admin = world.app.admin().await;
    let made = world.app.post("/api/v1/clusters/other/webhook-token").session(&admin).send().await.expect(201);
    let others = made.json()["token"].as_str().unwrap().to_owned();
    let review = json!({
        "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": world.key.text},
    });
    let mut wrong = world.token.clone();
    wrong.replace_range(10..11, if &wrong[10..11] == "a" { "b" } else { "a" });
    let right = format!("Bearer {}", world.token);
    for (path, values) in [
        (TOKENS, vec![]),
        (TOKENS, vec![format!("Bearer {wrong}")]),
        (TOKENS, vec![format!("Bearer {others}")]),
        (TOKENS, vec![format!("Bearer {}", admin.token)]),
        (TOKENS, vec![format!("ApiKey {}", world.key.text)]),
        (TOKENS, vec![format!("Basic {}", world.token)]),
        (TOKENS, vec![right.clone(), right.clone()]),
        ("/api/v1/clusters/other/webhooks/token-review", vec![right.clone()]),
        ("/api/v1/clusters/none/webhooks/token-review", vec![right.clone()]),
    ] {
        let request =
            values.iter().fold(world.app.post(path), |request, value| request.header("authorization", value.as_str()));
        let answer = request.json(&review).send().await.expect(401);
        assert!(!answer.text().contains("kubevision:"), "{}", answer.text());
        let entry = world.app.entry_of(&answer).await;
        assert_eq!((&entry["action"], &entry["outcome"]), (&json!("auth.refuse"), &json!("denied")), "{entry}");
    }
    // The token opens nothing else.
    world.app.get("/api/v1/clusters").header("authorization", right.as_str()).send().await.expect(401);
    assert_eq!(world.whose(&world.key.text).await["authenticated"], true);
    // It is nowhere in clear.
    assert_eq!(world.app.database.count("audit_entries", &format!("detail LIKE '%{}%'", world.token)), 0);

    // A new one takes its place, and it can be taken away.
    let old = std::mem::take(&mut world.token);
    let made = world.app.post(MAKE).session(&admin).send().await.expect(201);
    world.token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(world.whose(&world.key.text).await["authenticated"], true);
    let stale = world.app.post(TOKENS).header("authorization", format!("Bearer {old}")).json(&review);
    stale.send().await.expect(401);
    for _ in 0..2 {
        world.app.delete(MAKE).session(&admin).send().await.expect(204);
    }
    world.ask(TOKENS, &review).await.expect(401);
    let entries = world.app.audit("action=cluster.change").await;
    let told: Vec<_> = entries.iter().map(|entry| entry["detail"]["after"].as_str().unwrap()).collect();
    let (new, none) = ("webhook token: a new one", "webhook token: none");
    assert_eq!(told, [none, none, new, new, new]);
    // A removed cluster asks nothing.
    let made = world.app.post(MAKE).session(&admin).send().await.expect(201);
    world.token = made.json()["token"].as_str().unwrap().to_owned();
    world.app.delete("/api/v1/clusters/prod").session(&admin).send().await.expect(204);
    world.ask(TOKENS, &review).await.expect(401);
}

async fn a_flood_of_wrong_tokens_is_limited_and_the_right_one_is_not(backend: Backend) {
    let world = World::new(backend).await;
    let wrong = format!("Bearer kvw_{}", "a".repeat(43));
    let mut statuses = Vec::new();
    for _ in 0..60 {
        let request = world.app.post(TOKENS).header("authorization", wrong.as_str()).json(&json!({}));
        statuses.push(request.send().await.status);
    }
    assert!(statuses.starts_with(&[401; 10]), "{statuses:?}");
    // One more is let through every two seconds.
    let limited = statuses.iter().filter(|&&status| status == 429).count();
    assert!(limited >= 20, "{statuses:?}");
    for _ in 0..50 {
        assert_eq!(world.whose(&world.key.text).await["authenticated"], true);
    }
}

async fn questions_are_read_strictly(backend: Backend) {
    let world = World::new(backend).await;
    let token = json!({"token": world.key.text});
    for body in [
        json!({}),
        json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1beta1", "spec": token}),
        json!({"kind": "SubjectAccessReview", "apiVersion": "authentication.k8s.io/v1", "spec": token}),
        json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": 7}}),
        json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"}),
        json!([]),
    ] {
        let answer = world.ask(TOKENS, &body).await.expect(400);
        assert!(!answer.text().contains(&world.key.text[8..]), "{}", answer.text());
        world.ask(ACCESS, &body).await.expect(400);
    }
    let review = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": token});
    world.ask(&format!("{TOKENS}?timeout=30s&as=admin"), &review).await.expect(400);
    let text = world.app.post(TOKENS).header("authorization", format!("Bearer {}", world.token));
    text.body("text/plain", review.to_string()).send().await.expect(415);
}
