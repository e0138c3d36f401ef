//! A server on a PostgreSQL of its own, reached over a link, with a cluster behind it and a steady small load of requests with a
//! key; and what is asked of each trouble.

use kv_tests::{Answer, Backend, Cluster, Key, Link, Node, Postgres, Session, TestApp, TestDatabase, until};
use serde_json::json;
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";
/// Requests that are under way at once, and the pause after each.
const CLIENTS: usize = 6;
const PAUSE: Duration = Duration::from_millis(15);
/// How long a trouble may go unnoticed by what had begun before it.
const SETTLES: Duration = Duration::from_millis(1_500);
/// How soon a request is told that the database is in trouble: a second, and what a busy machine adds.
const SOON: Duration = Duration::from_secs(4);
/// How soon all is well again: five seconds, and what a busy machine adds.
const WELL_AGAIN: Duration = Duration::from_secs(12);
/// Connections a server keeps: two for admission, four for the rest.
const POOLED: usize = 7;
/// Connections a server may try to make each second while it gets none.
const TRIES: u32 = 25;

pub(crate) struct World {
    pub(crate) postgres: Postgres,
    pub(crate) link: Link,
    pub(crate) app: TestApp,
    pub(crate) cluster: Cluster,
    pub(crate) session: Session,
    key: Key,
    /// Whether people are among those who ask.
    pub(crate) people: bool,
}

/// A request of the load and its answer.
#[derive(Debug)]
pub(crate) struct Heard {
    what: &'static str,
    began: Instant,
    ended: Instant,
    answer: Answer,
}

#[derive(Debug)]
struct Load {
    heard: Arc<Mutex<Vec<Heard>>>,
    stops: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    async fn end(self) -> Vec<Heard> {
        self.stops.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl World {
    pub(crate) async fn on(postgres: Postgres) -> Self {
        let (link, url) = Link::to_database(postgres.url(Node::Primary));
        // The URL counts; no file is made.
        let app = TestApp::with(Backend::Sqlite, &[("KUBEVISION_DATABASE_URL", url.as_str())]).await;
        let cluster = Cluster::start();
        app.add_cluster("prod", &cluster).await;
        let (_, session, key) = app.someone("ann", "dev", Some("prod")).await;
        // Every worker has asked the cluster what it serves.
        for _ in 0..8 {
            app.get(POD).key(&key).send().await.expect(200);
        }
        Self { postgres, link, app, cluster, session, key, people: true }
    }

    pub(crate) async fn start() -> Self {
        Self::on(tokio::task::spawn_blocking(|| Postgres::start(&[])).await.unwrap()).await
    }

    pub(crate) fn primary(&self) -> TestDatabase {
        self.postgres.database(Node::Primary)
    }

    fn load(&self) -> Load {
        let (heard, stops) = (Arc::<Mutex<Vec<Heard>>>::default(), Arc::<AtomicBool>::default());
        let patch = self.app.patch(POD).json(&json!({"metadata": {"labels": {"a": "b"}}}));
        let mut requests = vec![
            ("a patch", patch.key(&self.key)),
            ("a get", self.app.get(POD).key(&self.key)),
            ("a list", self.app.get("/api/v1/clusters").key(&self.key)),
            ("a read", self.app.get("/api/v1/api-keys/current").key(&self.key)),
        ];
        if self.people {
            requests.push(("a person's list", self.app.get("/api/v1/clusters").session(&self.session)));
        }
        let clients = (0..CLIENTS).map(|client| {
            let (heard, stops, requests) = (heard.clone(), stops.clone(), requests.clone());
            tokio::spawn(async move {
                let mut next = client;
                while !stops.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let (what, request) = requests[next % requests.len()].clone();
                    // An answer that was on its way when the lease ran out breaks off.
                    if let Ok(answer) = request.try_send().await {
                        heard.lock().unwrap().push(Heard { what, began, ended: Instant::now(), answer });
                    }
                    next += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            })
        });
        Load { clients: clients.collect(), heard, stops }
    }

    /// Has the load meet a trouble of so many seconds, and asks of it what is asked of each.
    pub(crate) async fn goes_through(
        &self,
        name: &str,
        lasts: Duration,
        begin: impl AsyncFnOnce(),
        end: impl AsyncFnOnce(),
    ) {
        let load = self.load();
        tokio::time::sleep(Duration::from_millis(500)).await;
        begin().await;
        let (began, made) = (Instant::now(), self.link.made());
        tokio::time::sleep(SETTLES).await;
        let seen = self.cluster.seen().len();
        tokio::time::sleep(lasts.saturating_sub(SETTLES)).await;
        assert_eq!(self.cluster.seen().len(), seen, "{name}: nothing reaches the cluster meanwhile");
        let (made, lasted) = (self.link.made() - made, began.elapsed());
        let ends = Instant::now();
        end().await;
        let over = Instant::now();
        tokio::time::sleep(Duration::from_secs(2)).await;
        until(&format!("{name}: requests succeed again"), || {
            let heard = load.heard.lock().unwrap();
            heard.last().is_some_and(|last| last.answer.is_success() && last.began > over)
        })
        .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let heard = load.end().await;

        let refused: Vec<&Heard> = heard.iter().filter(|one| !one.answer.is_success()).collect();
        for one in &refused {
            assert_eq!(one.answer.status, 503, "{name}: {}", one.answer.text());
            assert_eq!(one.answer.header("content-type"), "application/problem+json", "{name}");
            assert!(!one.answer.header("retry-after").is_empty(), "{name}: {}", one.answer.text());
        }
        let meanwhile = heard.iter().filter(|one| one.began > began + SETTLES && one.ended < ends);
        let meanwhile: Vec<&Heard> = meanwhile.collect();
        assert!(meanwhile.len() >= CLIENTS, "{name}: {} were answered meanwhile", meanwhile.len());
        assert!(meanwhile.iter().all(|one| one.answer.status == 503), "{name}: nobody is admitted meanwhile");
        let slowest = refused.iter().map(|one| (one.ended - one.began, one.what)).max().unwrap();
        assert!(slowest.0 < SOON, "{name}: 503 took {slowest:?}");
        let last = refused.iter().map(|one| one.ended).max().unwrap();
        let well = last.saturating_duration_since(over);
        assert!(well < WELL_AGAIN, "{name}: it took {well:?} to be well again");
        let allowed = TRIES * (u32::try_from(lasted.as_secs()).unwrap() + 1);
        assert!(made <= allowed as usize, "{name}: {made} connections were tried in {lasted:?}");
        println!(
            "{name}: {} refused of {}, slowest {slowest:?}, well after {well:?}, {made} connections tried in {lasted:?}, {} open",
            refused.len(),
            heard.len(),
            self.link.open(),
        );
        until(&format!("{name}: no more connections than the pools hold"), || self.link.open() <= POOLED).await;
        self.app.outcomes_written().await;
    }

    /// Everything the cluster has seen, and every answer that was given, is on record in this database.
    pub(crate) fn is_on_record(&self, database: &TestDatabase, answers: &[Answer]) {
        let query = "SELECT request_id AS value FROM audit_entries";
        let known: HashSet<String> = database.texts(query).into_iter().flatten().collect();
        let seen = self.cluster.seen();
        assert!(!seen.is_empty());
        for one in seen {
            let id = one.header("audit-id").expect("the id of its entry");
            assert!(known.contains(id), "{} is not on record: {id}", one.line());
        }
        for answer in answers {
            assert!(known.contains(answer.request_id()), "an answer is not on record: {answer:?}");
        }
    }
}
