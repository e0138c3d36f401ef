//! People who read on without the database being asked: what is taken from them or given to them, by whichever process, shows in
//! the very next thing they read.

use crate::{
    replicas::{POD, WITHOUT},
    streams::{World, world},
};
use kv_server::{
    clock::{Clock, Random},
    server::{self, Running},
};
use kv_tests::{Backend, Cluster, Request, Session, on_both};
use serde_json::{Value, json};

on_both!(
    people_read_on_while_admission_stands_still,
    what_is_given_and_taken_elsewhere_shows_in_the_next_read,
    without_notifications_it_shows_all_the_same,
    a_read_that_is_cut_by_its_sessions_end_is_on_record,
);

const CLUSTERS: &str = "/api/v1/clusters";

async fn names(world: &World, session: &Session) -> Vec<String> {
    let list = world.app.get(CLUSTERS).session(session).send().await.expect(200).json();
    list["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

async fn people_read_on_while_admission_stands_still(backend: Backend) {
    let world = world(backend, &[]).await;
    let list = || world.app.get(CLUSTERS).session(&world.session);
    // Before the first time the database has not said anything of her.
    let held = world.app.inside().batcher.lock().take();
    list().send().await.expect(503);
    *world.app.inside().batcher.lock() = held;
    list().send().await.expect(200);
    let seen = world.cluster.seen().len();
    let held = world.app.inside().batcher.lock().take();
    list().send().await.expect(200);
    world.app.get("/api/v1/api-keys").session(&world.session).send().await.expect(200);
    // Whatever leaves an entry or reaches a cluster waits for the database: a key's read, a person's refusal, a person's pod.
    world.app.get(CLUSTERS).key(&world.key).send().await.expect(503);
    world.app.get("/api/v1/users").session(&world.session).send().await.expect(503);
    world.app.get(POD).session(&world.session).send().await.expect(503);
    assert_eq!(world.cluster.seen().len(), seen, "nothing was sent to the cluster");
    *world.app.inside().batcher.lock() = held;
    world.app.get("/api/v1/users").session(&world.session).send().await.expect(403);
}

async fn what_is_given_and_taken_elsewhere_shows_in_the_next_read(backend: Backend) {
    shows_in_the_next_read(&world(backend, &[]).await, backend, 8).await;
}

async fn without_notifications_it_shows_all_the_same(backend: Backend) {
    shows_in_the_next_read(&world(backend, WITHOUT).await, backend, 1).await;
}

async fn a_read_that_is_cut_by_its_sessions_end_is_on_record(backend: Backend) {
    let world = world(backend, &[]).await;
    let pod = || world.app.get(POD).session(&world.session);
    pod().send().await.expect(200);
    let (seen, other) = (world.cluster.seen().len(), world.app.login("ann").await);
    world.cluster.hold();
    let reading = pod().start();
    world.cluster.has_seen(seen + 1).await;
    world.app.delete("/api/v1/auth/sessions").session(&other).send().await.expect(200);
    let answer = reading.await.unwrap().unwrap().expect(401);
    world.cluster.release();
    let entry = world.app.entry_of(&answer).await;
    assert_eq!((&entry["outcome"], &entry["user"]), (&json!("denied"), &json!("ann")), "{entry}");
    assert_eq!(entry["detail"]["reason"], "session_ended", "{entry}");
}

/// Acts by another server where there can be one.
struct Elsewhere<'a> {
    world: &'a World,
    second: Option<Running>,
    admin: Session,
}

impl Elsewhere<'_> {
    async fn acts(&self, method: &str, path: &str, body: Option<&Value>, status: u16) {
        let address = self.second.as_ref().map_or(self.world.app.address(), |second| second.address);
        let request = Request::new(address, method, path).session(&self.admin);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send().await.expect(status);
    }
}

async fn shows_in_the_next_read(world: &World, backend: Backend, rounds: usize) {
    let second = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(server::start(world.app.config(), Clock::system(), Random::system()).await.unwrap()),
    };
    let admin = world.app.admin().await;
    let elsewhere = Elsewhere { world, second, admin: admin.clone() };
    let other = Cluster::start();
    let added = json!({
        "name": "other",
        "server": other.access().server(),
        "ca": other.certificate(),
        "token": "t",
    });
    let lead = json!({"name": "lead", "grants": []});
    elsewhere.acts("POST", "/api/v1/roles", Some(&lead), 201).await;
    let (bob, session, _) = world.app.someone("bob", "lead", Some("prod")).await;
    let user = format!("/api/v1/users/{}", bob.id);
    let assigned = format!("{user}/assignments");
    for round in 0..rounds {
        // Twice, so that the second is read without asking.
        for _ in 0..2 {
            assert_eq!(names(world, &session).await, ["prod"], "round {round}");
        }
        elsewhere.acts("DELETE", &format!("{assigned}?cluster=prod"), None, 204).await;
        for _ in 0..2 {
            assert_eq!(names(world, &session).await, [""; 0], "round {round}: taken");
        }
        elsewhere.acts("PUT", &assigned, Some(&json!({"cluster": "prod"})), 204).await;
        assert_eq!(names(world, &session).await, ["prod"], "round {round}: given");

        // The administrator has every cluster there is, and is told of one that is new.
        for _ in 0..2 {
            assert_eq!(names(world, &admin).await, ["prod"]);
        }
        elsewhere.acts("POST", CLUSTERS, Some(&added), 201).await;
        assert_eq!(names(world, &admin).await, ["other", "prod"]);
        elsewhere.acts("DELETE", &format!("{CLUSTERS}/other"), None, 204).await;
        assert_eq!(names(world, &admin).await, ["prod"]);

        let people = || world.app.get("/api/v1/users").session(&session);
        people().send().await.expect(403);
        elsewhere.acts("PATCH", "/api/v1/roles/lead", Some(&json!({"grants": ["users:read"]})), 204).await;
        for _ in 0..2 {
            people().send().await.expect(200);
        }
        elsewhere.acts("PATCH", "/api/v1/roles/lead", Some(&json!({"grants": []})), 204).await;
        people().send().await.expect(403);
    }
    // A session that is ended elsewhere is over here, at that instant, and so are those of somebody who is disabled.
    names(world, &session).await;
    elsewhere.acts("PATCH", &user, Some(&json!({"disabled": true})), 200).await;
    world.app.get(CLUSTERS).session(&session).send().await.expect(401);
    if let Some(second) = elsewhere.second {
        second.stop().await;
    }
}
