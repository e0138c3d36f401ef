//! A run's world: a database, servers as processes that reach it, the cluster and their clients over a link each, people with
//! sessions, and the keys that are in use. Ends when it is told to, and hands over what was seen.

use crate::{
    ON_TRIAL, SERVER,
    history::{History, Records, Spell, Story},
    marks::Marks,
    read,
};
use kv_server::{
    cluster::ClusterAccess,
    operations::{Acting, add_cluster::add_cluster},
};
use kv_tests::{Answer, Backend, Cluster, Link, PASSWORD, Process, Reply, Request, TestApp, until};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What the played cluster says again and again, and how often.
const EVENT: &str =
    r#"{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"team"}}}"#;
const EVERY: Duration = Duration::from_millis(40);
/// How long a call of the controller may take before it is made to another server.
const CALL: Duration = Duration::from_secs(5);
/// How long it is tried for: servers may be killed as soon as they serve, many times, and by this very call.
const CALLS: Duration = Duration::from_secs(60);
/// People with keys.
const PEOPLE: usize = 4;

/// A server and the links around it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Mutex<Option<Process>>,
    address: Mutex<SocketAddr>,
    pub(crate) clients: Link,
    pub(crate) cluster: Link,
    /// None where its database is a file.
    pub(crate) database: Option<Link>,
    url: String,
    /// Variables of a server on trial, from its next start on; none for the server as it is.
    pub(crate) trial: Mutex<Trial>,
}

/// Variables, with their values.
pub(crate) type Trial = Vec<(&'static str, String)>;

/// Somebody with a session.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) start: Instant,
    pub(crate) records: Records,
    pub(crate) cluster: Cluster,
    pub(crate) servers: Vec<Server>,
    pub(crate) people: Vec<Person>,
    pub(crate) admin: String,
    /// Sessions that are there to be ended, each with its person.
    pub(crate) sessions: Mutex<Vec<(usize, usize)>>,
    /// Keys and sessions that the load uses.
    pub(crate) in_use: Mutex<Vec<usize>>,
    pub(crate) over: AtomicBool,
    /// What is run as a server from now on.
    pub(crate) program: Mutex<String>,
    serial: AtomicU64,
    /// Stopped; its database and folder are the servers'.
    app: TestApp,
}

impl World {
    /// So many servers on a database of this kind.
    pub(crate) async fn start(backend: Backend, servers: usize) -> Arc<Self> {
        Self::on_trial(backend, servers, Vec::new()).await
    }

    /// The same with servers on trial.
    pub(crate) async fn on_trial(backend: Backend, servers: usize, trial: Trial) -> Arc<Self> {
        let (mut app, cluster) = (TestApp::start(backend).await, Cluster::start());
        for path in ["/api/v1/namespaces/team/pods?", "/api/v1/namespaces/team/pods/y"] {
            cluster.reply(path, Reply::endless(EVENT, 0, EVERY));
        }
        let url = app.database.url_text();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut made = Vec::new();
        for number in 0..servers {
            let to_cluster = Link::to(cluster.address);
            let access = ClusterAccess::from_parts(
                &format!("https://{}", to_cluster.address),
                Some(cluster.certificate()),
                SecretString::from("the-clusters-own-token"),
            );
            let acting = Acting::operator(app.inside()).unwrap();
            add_cluster(&acting, &format!("c{number}"), &access.unwrap(), false).await.unwrap();
            let by = (backend == Backend::Postgres).then(|| Link::to_database(&url));
            let (url, database) = by.map_or((url.clone(), None), |(link, url)| (url, Some(link)));
            made.push(Server {
                process: Mutex::default(),
                address: Mutex::new(nowhere),
                clients: Link::to(nowhere),
                cluster: to_cluster,
                database,
                url,
                trial: Mutex::new(trial.clone()),
            });
        }
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            let user = app.user(&format!("user{number}"), "dev").await;
            for number in 0..servers {
                app.assign(&user, &format!("c{number}"), &[]).await;
            }
            let token = app.login(&user.name).await.token;
            people.push(Person { id: user.id.to_string(), token });
        }
        let admin = app.admin().await.token;
        app.stop().await;
        let world = Arc::new(Self {
            start: Instant::now(),
            records: Records::default(),
            cluster,
            servers: made,
            people,
            admin,
            sessions: Mutex::default(),
            in_use: Mutex::default(),
            over: AtomicBool::new(false),
            program: Mutex::new(SERVER.to_owned()),
            serial: AtomicU64::new(1),
            app,
        });
        for server in 0..servers {
            world.run(server).await;
        }
        world
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.app.folder()
    }

    pub(crate) fn database(&self) -> &kv_tests::TestDatabase {
        &self.app.database
    }

    /// Starts a server, and leads its clients to it.
    pub(crate) async fn run(&self, server: usize) {
        let place = &self.servers[server];
        let mut variables = vec![
            ("KUBEVISION_DATABASE_URL", place.url.as_str()),
            ("KUBEVISION_CLUSTERS__ALLOWED_ADDRESSES", "127.0.0.1"),
            ("KUBEVISION_RATE_LIMIT", "off"),
            // Whoever tries revoked keys has the same address as everybody else.
            ("KUBEVISION_UNKNOWN_RATE_LIMIT", "off"),
        ];
        let trial = place.trial.lock().unwrap().clone();
        variables.extend(trial.iter().map(|(name, value)| (*name, value.as_str())));
        let usual = self.program.lock().unwrap().clone();
        let program = if trial.is_empty() { usual } else { ON_TRIAL.to_owned() };
        let process = Process::serving(&program, self.app.folder(), &variables).await;
        place.clients.lead_to(process.address);
        *place.address.lock().unwrap() = process.address;
        *place.process.lock().unwrap() = Some(process);
        self.records.tell(format!("server {server} serves"));
    }

    /// Sends a server's process a signal.
    pub(crate) fn signal(&self, server: usize, name: &str) {
        if let Some(process) = &*self.servers[server].process.lock().unwrap() {
            process.signal(name);
        }
        self.records.tell(format!("server {server} is sent {name}"));
    }

    /// All that a server's process wrote.
    pub(crate) fn words(&self, server: usize) -> String {
        self.servers[server].process.lock().unwrap().as_ref().map_or_else(String::new, Process::words)
    }

    /// Waits until a server that was started is among the others. It listens a moment before.
    pub(crate) async fn has_joined(&self, server: usize) {
        let says = |process: &Process| process.words().contains("\"serving\"");
        until("the server has joined", || self.servers[server].process.lock().unwrap().as_ref().is_some_and(says))
            .await;
    }

    /// Whether a server's process has ended by itself.
    pub(crate) fn is_dead(&self, server: usize) -> bool {
        self.servers[server].process.lock().unwrap().as_mut().is_none_or(Process::has_ended)
    }

    /// Waits until a server that was told to end has ended; its exit code.
    pub(crate) async fn ended(&self, server: usize) -> Option<i32> {
        let process = self.servers[server].process.lock().unwrap().take();
        let ended = process.expect("a server that runs").ended().await;
        for line in ended.words.lines().filter(|line| line.contains("ERROR") || line.contains("panicked")) {
            self.records.tell(format!("server {server} had said: {line}"));
        }
        ended.code
    }

    pub(crate) fn address(&self, server: usize) -> SocketAddr {
        *self.servers[server].address.lock().unwrap()
    }

    pub(crate) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Asks servers one after another, beginning with this one, until one answers so.
    pub(crate) async fn call(
        &self,
        first: usize,
        status: u16,
        request: impl Fn(SocketAddr) -> Request,
    ) -> (Answer, usize) {
        let began = Instant::now();
        let servers = (0..self.servers.len()).cycle().skip(first);
        for server in servers.take_while(|_| began.elapsed() < CALLS) {
            let asked = tokio::time::timeout(CALL, request(self.address(server)).try_send()).await;
            match asked {
                Ok(Ok(answer)) if answer.status == status => return (answer, server),
                // An honest answer that is another one would come again.
                Ok(Ok(answer)) => assert!(answer.status >= 500, "{}: {}", answer.status, answer.text()),
                Ok(Err(_)) | Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no server has answered {status}");
    }

    /// Makes a key of somebody's: its number in the history.
    pub(crate) async fn make_key(&self, person: usize, first: usize) -> usize {
        let token = format!("Bearer {}", self.people[person % PEOPLE].token);
        let (made, _) = self
            .call(first, 201, |address| {
                // One whose making was not answered may be there.
                let body = json!({"name": format!("key {}", self.next_serial())});
                Request::new(address, "POST", "/api/v1/api-keys").header("authorization", token.as_str()).json(&body)
            })
            .await;
        let made: Value = made.json();
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        self.begins(Story::new(text("id"), format!("ApiKey {}", text("key")), false))
    }

    /// Begins another session of somebody's: its number in the history.
    pub(crate) async fn make_session(&self, person: usize, first: usize) -> usize {
        let named = json!({"username": format!("user{}", person % PEOPLE), "password": PASSWORD});
        let login = |address| Request::new(address, "POST", "/api/v1/auth/login").json(&named);
        let (begun, _) = self.call(first, 200, login).await;
        let shown = format!("Bearer {}", begun.json()["access_token"].as_str().unwrap());
        let list = |address| {
            Request::new(address, "GET", "/api/v1/auth/sessions?limit=200").header("authorization", shown.as_str())
        };
        let (known, _) = self.call(first, 200, list).await;
        let known = known.json();
        let this = known["items"].as_array().unwrap().iter().find(|one| one["current"] == true);
        let id = this.unwrap()["id"].as_str().unwrap().to_owned();
        self.begins(Story::new(id, shown.clone(), true))
    }

    /// The number of a story in the history.
    fn begins(&self, story: Story) -> usize {
        self.records.with(|history| {
            history.keys.push(story);
            history.keys.len() - 1
        })
    }

    pub(crate) fn key(&self, key: usize) -> Story {
        self.records.with(|history| history.keys[key].clone())
    }

    /// How much has been written by the servers until now.
    pub(crate) fn marks(&self) -> Marks {
        let of = |link: fn(&Server) -> &Link| {
            self.servers.iter().flat_map(|server| link(server).carried()).collect::<Vec<_>>()
        };
        Marks::take(&of(|server| &server.clients), &of(|server| &server.cluster))
    }

    /// Has a key die by this call, and notes when.
    pub(crate) async fn dies(&self, keys: &[usize], call: impl AsyncFnOnce()) {
        let from = Instant::now();
        call().await;
        let dead = Some((Instant::now(), Arc::new(self.marks())));
        self.records.with(|history| {
            for &key in keys {
                history.keys[key].spells.push(Spell { from, dead: dead.clone(), back: None, live: None });
            }
        });
    }

    /// Has a dead key live again by this call.
    pub(crate) async fn revives(&self, keys: &[usize], call: impl AsyncFnOnce()) {
        let back = Instant::now();
        call().await;
        let live = Instant::now();
        self.records.with(|history| {
            for &key in keys {
                let spell = history.keys[key].spells.last_mut().expect("a spell");
                (spell.back, spell.live) = (Some(back), Some(live));
            }
        });
    }

    /// Everything is well again: every link carries, and every server answers a key that lives, and refuses those that do not.
    pub(crate) async fn is_well(&self) {
        for server in &self.servers {
            for link in [Some(&server.clients), Some(&server.cluster), server.database.as_ref()].into_iter().flatten() {
                link.pass();
                link.reset();
            }
        }
        let living = self.make_key(0, 0).await;
        let path = "/api/v1/clusters";
        for server in 0..self.servers.len() {
            let ask = async |shown: &str| {
                let request = Request::new(self.address(server), "GET", path);
                let sent = request.header("authorization", shown).try_send().await;
                sent.map_or_else(|error| format!("{error:?}"), |answer| format!("{} {}", answer.status, answer.text()))
            };
            let deadline = Instant::now() + 2 * kv_tests::PATIENCE;
            loop {
                let said = ask(&self.key(living).shown).await;
                if said.starts_with("200") {
                    break;
                }
                if Instant::now() > deadline {
                    panic!("server {server} is not well again: {said}\n{}", self.words(server));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Ends it, and what was seen.
    pub(crate) async fn end(self: Arc<Self>) -> History {
        for server in 0..self.servers.len() {
            self.signal(server, "TERM");
        }
        for server in 0..self.servers.len() {
            self.ended(server).await;
        }
        until("the links have carried everything", || {
            self.servers.iter().all(|server| server.clients.open() + server.cluster.open() == 0)
        })
        .await;
        let (world, mut history) = (self.clone(), self.records.with(|history| history.clone()));
        history.effects = read::effects(&world.cluster, world.servers.iter().map(|server| &server.cluster));
        tokio::task::spawn_blocking(move || {
            history.entries = read::entries(world.database());
            history.revoked = read::revoked(world.database());
            history
        })
        .await
        .unwrap()
    }
}

/// Waits until no round is left.
pub(crate) async fn until_none(rounds: &std::sync::atomic::AtomicUsize) {
    while rounds.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
