//! A server whose clock is set an hour on and back: what is dead stays dead, what lives lives on, and no lease runs out.

use kv_server::clock::Clock;
use kv_tests::{Backend, Cluster, Reply, Socket, TestApp, on_both};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

on_both!(a_clock_that_is_set_revives_nothing_and_ends_nothing);

const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";
const WATCH: &str = "/api/v1/clusters/prod/k8s/api/v1/namespaces/team/pods?watch=true";

async fn a_clock_that_is_set_revives_nothing_and_ends_nothing(backend: Backend) {
    let off = Arc::new(AtomicI64::new(0));
    let told = off.clone();
    let clock =
        Clock::from_fn(move || OffsetDateTime::now_utc() + time::Duration::minutes(told.load(Ordering::Relaxed)));
    let (app, cluster) = (TestApp::with_clock(backend, &[], clock).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let piece = Reply::endless("{\"type\":\"ADDED\",\"object\":{}}", 0, Duration::from_millis(20));
    cluster.reply("/api/v1/namespaces/team/pods?watch", piece);
    let (_, session, living) = app.someone("ann", "dev", Some("prod")).await;
    let dead = app.key(&session, "dead").await;
    let soon = (OffsetDateTime::now_utc() + time::Duration::minutes(30)).format(&Rfc3339).unwrap();
    let expiring = app.key_until(&session, "expiring", &json!(soon)).await;
    app.revoke(&session, &dead).await.expect(204);
    let mut watching = Socket::get(&app, WATCH, &living).await;
    let mut expired = false;
    for minutes in [60, 0, -60, 60, -60, 0] {
        off.store(minutes, Ordering::Relaxed);
        assert!(app.inside().in_flight.lease().holds(), "{minutes}");
        for path in [POD, "/api/v1/clusters"] {
            app.get(path).key(&living).send().await.expect(200);
            app.get(path).key(&dead).send().await.expect(401);
            // Whose clock counts is the database's; once it was seen as expired, it is.
            let status = app.get(path).key(&expiring).send().await.status;
            assert!(status == 401 || status == 200 && !expired, "{minutes}: {status}");
            expired |= status == 401;
        }
        // Longer than between two looks at the lease, and two renewals.
        tokio::time::sleep(Duration::from_millis(800)).await;
        watching.hears("ADDED").await;
    }
    assert_eq!(expired, backend == Backend::Sqlite, "PostgreSQL's clock was not set");
    assert_eq!(cluster.streams().ended, 0, "the stream goes on");
}
