//! Several processes on one database: what is taken away in one has ended in all of them when the taking call returns, and
//! a server that lost touch serves nobody.

use crate::streams::{API, EVENT, World, world};
use kv_server::{
    app::App,
    clock::{Clock, Random},
    operations::{
        Acting, assign_user::unassign_user, change_user::Wanted, change_user::change_user,
        remove_cluster::remove_cluster, revoke_api_key::revoke_user_api_key,
    },
    server,
};
use kv_store::Opener;
use kv_tests::{Backend, Key, Request, Socket, on_both, until};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

on_both!(
    s4_what_another_process_revokes_has_ended_here,
    s2_s3_a_running_write_ends_though_another_process_revokes,
    s4_without_notifications_it_ends_all_the_same,
    v1_what_is_still_allowed_goes_on,
    v1_what_a_newer_server_takes_away_is_not_said_to_be_revoked,
    a_server_that_is_gone_is_waited_for_once,
    a_server_that_was_taken_for_dead_begins_anew,
    a_server_without_a_lease_serves_nobody,
);

pub(crate) const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";
/// PostgreSQL tells nobody of what is taken away.
pub(crate) const WITHOUT: &[(&str, &str)] = &[("KUBEVISION_REPLICAS__NOTIFY", "false")];

impl World {
    async fn watch(&self, namespace: &str, key: &Key) -> Socket {
        let path = format!("{API}/namespaces/{namespace}/pods?watch=true");
        let mut watching = Socket::get(&self.app, &path, key).await;
        watching.hears("ADDED").await;
        watching
    }

    async fn streams_end(&self, count: usize) {
        until("the cluster's halves are over", || self.cluster.streams().ended == count).await;
    }

    /// An operator's task, as a process of its own would run it.
    async fn task(&self) -> Arc<App> {
        let config = self.app.config();
        let start = move || App::start(config, Opener::Task, Clock::system(), Random::system());
        tokio::task::spawn_blocking(start).await.unwrap().expect("a task beside the server")
    }

    /// Revokes a key in another process.
    async fn revoke_elsewhere(&self, key: &Key) -> Duration {
        let (task, started) = (self.task().await, Instant::now());
        let acting = Acting::operator(&task).unwrap();
        revoke_user_api_key(acting, self.user.id, key.id.parse().unwrap(), None).await.unwrap();
        let took = started.elapsed();
        tokio::task::spawn_blocking(move || task.stop()).await.unwrap();
        took
    }
}

/// Asks again until it is answered so.
async fn answers(status: u16, request: impl Fn() -> Request) {
    let deadline = Instant::now() + kv_tests::PATIENCE;
    while request().send().await.status != status {
        assert!(Instant::now() < deadline, "it is not answered {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn refused(last: &str) -> (Value, Value) {
    let line = last.lines().rev().find(|line| line.starts_with('{')).unwrap_or("{}");
    let event: Value = serde_json::from_str(line).unwrap();
    (event["type"].clone(), event["object"]["code"].clone())
}

async fn s4_what_another_process_revokes_has_ended_here(backend: Backend) {
    let world = world(backend, &[]).await;
    for round in 1..=5 {
        let key = world.app.key(&world.session, &format!("round {round}")).await;
        let watching = world.watch("team", &key).await;
        world.revoke_elsewhere(&key).await;
        // At this very instant, over a connection that is there.
        let sent = world.cluster.streams().sent;
        let (_, rest) = watching.rest().await;
        assert_eq!(refused(&rest), (json!("ERROR"), json!(401)), "{rest}");
        world.streams_end(round).await;
        assert!(world.cluster.streams().sent <= sent + 2 * EVENT.len() as u64);
        world.app.get(POD).key(&key).send().await.expect(401);
    }
}

async fn s2_s3_a_running_write_ends_though_another_process_revokes(backend: Backend) {
    let world = world(backend, &[]).await;
    world.app.get(POD).key(&world.key).send().await.expect(200);
    let seen = world.cluster.seen().len();
    world.cluster.hold();
    let patch = world.app.patch(POD).key(&world.key).json(&json!({"spec": {}})).start();
    world.cluster.has_seen(seen + 1).await;
    world.revoke_elsewhere(&world.key).await;
    world.cluster.release();
    patch.await.unwrap().unwrap().expect(401);
    world.app.outcomes_written().await;
    let entry = world.app.audit("action=kubernetes.patch").await.remove(0);
    assert_eq!((&entry["outcome"], &entry["status_code"]), (&json!("unknown"), &json!(401)), "{entry}");
}

async fn s4_without_notifications_it_ends_all_the_same(backend: Backend) {
    let world = world(backend, WITHOUT).await;
    let watching = world.watch("team", &world.key).await;
    world.revoke_elsewhere(&world.key).await;
    let (_, rest) = watching.rest().await;
    assert_eq!(refused(&rest), (json!("ERROR"), json!(401)), "{rest}");
}

async fn v1_what_is_still_allowed_goes_on(backend: Backend) {
    let world = world(backend, &[]).await;
    let (_, _, other) = world.app.someone("bob", "dev", Some("prod")).await;
    let task = world.task().await;
    let acting = || Acting::operator(&task).unwrap();
    let (mut team, mut theirs) = (world.watch("team", &world.key).await, world.watch("other", &other).await);
    // Another role that holds no less where it counts: nothing ends, in whatever process it is given.
    let ops = Wanted { role: Some("ops".into()), ..Wanted::default() };
    change_user(&acting(), world.user.id, &ops).await.unwrap();
    team.hears("ADDED").await;
    // Then the cluster is taken from her alone.
    unassign_user(&acting(), world.user.id, Some("prod")).await.unwrap();
    let (_, rest) = team.rest().await;
    assert_eq!(refused(&rest), (json!("ERROR"), json!(401)), "{rest}");
    theirs.hears("ADDED").await;
    // And the cluster itself.
    remove_cluster(&acting(), "prod").await.unwrap();
    let (_, rest) = theirs.rest().await;
    assert_eq!(refused(&rest), (json!("ERROR"), json!(401)), "{rest}");
    world.app.get("/api/v1/clusters").key(&other).send().await.expect(200);
    tokio::task::spawn_blocking(move || task.stop()).await.unwrap();
}

/// Nobody knows what it is, so nothing may go on; and nobody is told that their key is dead.
async fn v1_what_a_newer_server_takes_away_is_not_said_to_be_revoked(backend: Backend) {
    let world = world(backend, &[]).await;
    let watching = world.watch("team", &world.key).await;
    world.app.database.execute(
        "BEGIN; UPDATE revisions SET version = version + 1 WHERE name = 'cuts'; \
         INSERT INTO cuts (number, kind, subject, at) SELECT version, 'planet', NULL, 0 FROM revisions WHERE name = 'cuts'; \
         COMMIT",
    );
    let (_, rest) = watching.rest().await;
    assert_eq!(refused(&rest), (json!("ERROR"), json!(503)), "{rest}");
    world.app.get(POD).key(&world.key).send().await.expect(200);
}

async fn a_server_that_is_gone_is_waited_for_once(backend: Backend) {
    let world = world(backend, &[]).await;
    let database = &world.app.database;
    if backend == Backend::Sqlite {
        // One server has the file; with it gone there is nobody to wait for.
        let mut app = world.app;
        let running = app.database.texts("SELECT renewals AS value FROM replicas").len();
        assert_eq!(running, 1);
        app.stop().await;
        assert_eq!(app.database.count("replicas", "1 = 1"), 0, "who stops leaves");
        app.database.execute("INSERT INTO replicas VALUES (x'00000000000000000000000000000001', 5, 0, 0)");
        let (config, id) = (app.config(), world.key.id.parse().unwrap());
        let start = move || App::start(config, Opener::Task, Clock::system(), Random::system());
        let task = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
        let started = Instant::now();
        revoke_user_api_key(Acting::operator(&task).unwrap(), world.user.id, id, None).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(2), "nobody was there to wait for");
        tokio::task::spawn_blocking(move || task.stop()).await.unwrap();
        return;
    }
    // One that was killed a moment ago.
    database.execute("INSERT INTO replicas VALUES ('\\x00000000000000000000000000000001', 5, 0, 0)");
    let started = Instant::now();
    world.app.revoke(&world.session, &world.key).await.expect(204);
    assert!(started.elapsed() >= Duration::from_secs(2), "its lease may have run for that long");
    assert_eq!(database.count("replicas", "acknowledged = 0"), 0, "nobody waits for it again");
    world.app.get(POD).key(&world.key).send().await.expect(401);
    world.app.get("/api/v1/clusters").session(&world.session).send().await.expect(200);
}

async fn a_server_that_was_taken_for_dead_begins_anew(backend: Backend) {
    let world = world(backend, &[]).await;
    if backend == Backend::Sqlite {
        // Nobody takes the one server of a file for dead.
        assert_eq!(world.app.database.count("replicas", "1 = 1"), 1);
        return;
    }
    let watching = world.watch("team", &world.key).await;
    world.app.database.execute("DELETE FROM replicas");
    let (_, rest) = watching.rest().await;
    assert_eq!(refused(&rest), (json!("ERROR"), json!(503)), "{rest}");
    until("it is there again", || world.app.database.count("replicas", "1 = 1") == 1).await;
    world.app.get("/api/v1/clusters").key(&world.key).send().await.expect(200);
    drop(world.watch("team", &world.key).await);
}

async fn a_server_without_a_lease_serves_nobody(backend: Backend) {
    let world = world(backend, &[]).await;
    if backend == Backend::Sqlite {
        // Its file is always there; the lease of the other database is what can run out.
        assert!(world.app.inside().in_flight.lease().holds());
        return;
    }
    let watching = world.watch("team", &world.key).await;
    let second = server::start(world.app.config(), Clock::system(), Random::system()).await.unwrap();
    let there = || Request::new(second.address, "GET", "/api/v1/clusters").key(&world.key);
    there().send().await.expect(200);
    world.app.database.shut_out();
    let (_, rest) = watching.rest().await;
    assert_eq!(refused(&rest), (json!("ERROR"), json!(503)), "{rest}");
    let before = world.cluster.seen().len();
    for request in [world.app.get("/api/v1/clusters"), world.app.get(POD), world.app.get("/readyz")] {
        let answer = request.key(&world.key).send().await.expect(503);
        assert!(answer.text().contains("the lease has run out") || answer.header("retry-after") == "1", "{answer:?}");
    }
    assert_eq!(world.cluster.seen().len(), before);
    there().send().await.expect(503);
    world.app.database.admit_again();
    until("the leases hold again", || {
        [world.app.inside(), &second.app].iter().all(|app| app.in_flight.lease().holds())
    })
    .await;
    until("both are there", || world.app.database.count("replicas", "1 = 1") == 2).await;
    // The connections of before are dead, and each takes somebody to find that out.
    for request in [|world: &World| world.app.get(POD), |world: &World| world.app.get("/api/v1/clusters")] {
        answers(200, || request(&world).key(&world.key)).await;
    }
    answers(200, there).await;
    world.app.revoke(&world.session, &world.key).await.expect(204);
    there().send().await.expect(401);
    second.stop().await;
}
