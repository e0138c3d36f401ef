//! A server for one test, with the people, keys and clusters a test gives it.

use crate::{
    Answer, Authority, Backend, Cluster, Request, TestDatabase, Trust,
    client::{Connection, raw},
    until,
};
use kv_authz::UserId;
use kv_server::{
    app::App,
    clock::{Clock, Random},
    config::Config,
    operations::{Acting, add_cluster::add_cluster, assign_user::assign_user, create_user::create_user},
    server::{self, Running},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

/// Everybody's password, the administrator's too.
pub const PASSWORD: &str = "correct horse battery staple";

/// A running server.
#[derive(Debug)]
pub struct TestApp {
    running: Option<Running>,
    /// Its database.
    pub database: TestDatabase,
    folder: TempDir,
    settings: Vec<(String, String)>,
    trust: Option<Trust>,
    clock: Clock,
    random: Random,
    admin: Mutex<Option<Session>>,
}

/// A user.
#[derive(Debug, Clone)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their name.
    pub name: String,
}

/// Someone who is signed in.
#[derive(Debug, Clone)]
pub struct Session {
    /// The access token.
    pub token: String,
}

/// A key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// The key itself.
    pub text: String,
}

impl TestApp {
    /// A server without a rate limit.
    pub async fn start(backend: Backend) -> Self {
        Self::with(backend, &[]).await
    }

    /// A server with further settings.
    pub async fn with(backend: Backend, settings: &[(&str, &str)]) -> Self {
        Self::with_clock(backend, settings, Clock::system()).await
    }

    /// A server that goes by another clock.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn with_clock(backend: Backend, settings: &[(&str, &str)], clock: Clock) -> Self {
        Self::made_of(backend, settings, clock, Random::system()).await
    }

    /// A server with the certificate an authority has issued last; everything here then reaches it over TLS.
    pub async fn with_tls(backend: Backend, settings: &[(&str, &str)], authority: &Authority) -> Self {
        let files = authority.settings();
        let mut all: Vec<(&str, &str)> = files.iter().map(|(name, path)| (*name, path.as_str())).collect();
        all.extend(settings);
        Self { trust: Some(authority.trust()), ..Self::with(backend, &all).await }
    }

    /// A server that draws from another generator.
    pub async fn with_random(backend: Backend, random: Random) -> Self {
        Self::made_of(backend, &[], Clock::system(), random).await
    }

    async fn made_of(backend: Backend, settings: &[(&str, &str)], clock: Clock, random: Random) -> Self {
        let database = TestDatabase::fresh(backend);
        let folder = tempfile::Builder::new().prefix("kv-data-").tempdir().unwrap();
        let mut all = vec![
            ("KUBEVISION_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("KUBEVISION_METRICS_LISTEN".into(), "127.0.0.1:0".into()),
            ("KUBEVISION_DATA_DIR".into(), folder.path().display().to_string()),
            ("KUBEVISION_DATABASE_URL".into(), database.url_text()),
            ("KUBEVISION_ADMIN_PASSWORD".into(), PASSWORD.into()),
            ("KUBEVISION_RATE_LIMIT".into(), "off".into()),
            ("KUBEVISION_UNKNOWN_RATE_LIMIT".into(), "off".into()),
            ("KUBEVISION_CLUSTERS__ALLOWED_ADDRESSES".into(), "127.0.0.1".into()),
        ];
        all.retain(|(name, _)| !settings.iter().any(|(other, _)| other == name));
        all.extend(settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        let mut app = Self {
            running: None,
            database,
            folder,
            settings: all,
            trust: None,
            clock,
            random,
            admin: Mutex::default(),
        };
        app.begin().await;
        app
    }

    async fn begin(&mut self) {
        let config = Config::from_variables(self.settings.clone()).expect("settings that are understood");
        let running = server::start(config, self.clock.clone(), self.random.clone()).await;
        self.running = Some(running.expect("a server that starts"));
    }

    /// Stops it.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Stops it and starts another on the same database and data.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.begin().await;
    }

    /// Its settings, for a second one.
    ///
    /// # Panics
    /// Never: they were understood before.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::from_variables(self.settings.clone()).unwrap()
    }

    /// The application inside, for the operator's operations.
    #[must_use]
    pub fn inside(&self) -> &Arc<App> {
        &self.running().app
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("a server that runs")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running().address
    }

    /// Where its metrics are.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.running().metrics_address
    }

    /// Its data folder.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Any request.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.address(), method, path).over(self.trust.clone())
    }

    /// A GET.
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A POST.
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// A PATCH.
    pub fn patch(&self, path: &str) -> Request {
        self.request("PATCH", path)
    }

    /// A DELETE.
    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }

    /// A connection that is kept.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn connect(&self) -> Connection {
        Connection::over(self.address(), self.trust.as_ref()).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        raw(self.address(), bytes.as_ref()).await
    }

    /// Sends a request with lines of head that no proper client would send, and reads the status; 0 for a connection
    /// that was closed without an answer.
    pub async fn raw_status(&self, line: &str, head: impl AsRef<[u8]>) -> u16 {
        let mut bytes = format!("{line} HTTP/1.1\r\nHost: kv\r\nConnection: close\r\n").into_bytes();
        bytes.extend_from_slice(head.as_ref());
        bytes.extend_from_slice(b"\r\n\r\n");
        status_of(&self.raw(bytes).await)
    }

    /// Makes a user of a role, with [`PASSWORD`].
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn user(&self, name: &str, role: &str) -> User {
        let acting = Acting::operator(self.inside()).unwrap();
        let made = create_user(&acting, name, role, Some(SecretString::from(PASSWORD))).await.unwrap();
        User { id: made.id, name: name.to_owned() }
    }

    /// Assigns a cluster to a user; no namespaces means all of them.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn assign(&self, user: &User, cluster: &str, namespaces: &[&str]) {
        let named = (!namespaces.is_empty()).then(|| namespaces.iter().map(|&name| name.to_owned()).collect());
        let acting = Acting::operator(self.inside()).unwrap();
        assign_user(&acting, user.id, Some(cluster), named).await.unwrap();
    }

    /// Changes a user as the administrator.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn change(&self, user: &User, change: &Value) -> Value {
        let admin = self.admin().await;
        let path = format!("/api/v1/users/{}", user.id);
        self.patch(&path).session(&admin).json(change).send().await.expect(200).json()
    }

    /// What the clock of the server says.
    #[must_use]
    pub fn now(&self) -> time::OffsetDateTime {
        self.clock.now()
    }

    /// Registers a cluster.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn add_cluster(&self, name: &str, cluster: &Cluster) {
        add_cluster(&Acting::operator(self.inside()).unwrap(), name, &cluster.access(), false).await.unwrap();
    }

    /// Signs in.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn login(&self, name: &str) -> Session {
        let answer = self.try_login(name, PASSWORD).await.expect(200);
        Session { token: answer.json()["access_token"].as_str().unwrap().to_owned() }
    }

    /// Tries to sign in.
    pub async fn try_login(&self, name: &str, password: &str) -> Answer {
        self.post("/api/v1/auth/login").json(&json!({"username": name, "password": password})).send().await
    }

    /// The administrator, signed in.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn admin(&self) -> Session {
        let known = self.admin.lock().unwrap().clone();
        match known {
            Some(session) => session,
            None => {
                let session = self.login("admin").await;
                *self.admin.lock().unwrap() = Some(session.clone());
                session
            }
        }
    }

    /// Makes a key.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn key(&self, session: &Session, name: &str) -> Key {
        self.key_until(session, name, &Value::Null).await
    }

    /// Makes a key with an expiry.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn key_until(&self, session: &Session, name: &str, expires_at: &Value) -> Key {
        let wanted = json!({"name": name, "expires_at": expires_at});
        let made = self.post("/api/v1/api-keys").session(session).json(&wanted).send().await.expect(201).json();
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        Key { id: text("id"), text: text("key") }
    }

    /// A user with a role, all of a cluster if one is given, and a key.
    pub async fn someone(&self, name: &str, role: &str, cluster: Option<&str>) -> (User, Session, Key) {
        let user = self.user(name, role).await;
        if let Some(cluster) = cluster {
            self.assign(&user, cluster, &[]).await;
        }
        let session = self.login(name).await;
        let key = self.key(&session, "ci").await;
        (user, session, key)
    }

    /// Revokes a key as its owner.
    pub async fn revoke(&self, session: &Session, key: &Key) -> Answer {
        self.delete(&format!("/api/v1/api-keys/{}", key.id)).session(session).send().await
    }

    /// Entries of the audit log, the newest first.
    ///
    /// # Panics
    /// Where they cannot be read.
    pub async fn audit(&self, filter: &str) -> Vec<Value> {
        let admin = self.admin().await;
        let answer = self.get(&format!("/api/v1/audit-logs?limit=200&{filter}")).session(&admin).send().await;
        answer.expect(200).json()["items"].as_array().unwrap().clone()
    }

    /// The entries of one request.
    pub async fn entries_of(&self, answer: &Answer) -> Vec<Value> {
        let all = self.audit("").await;
        all.into_iter().filter(|entry| entry["request_id"] == answer.request_id()).collect()
    }

    /// The one entry of a request, once its outcome is known.
    ///
    /// # Panics
    /// If there are none or several.
    pub async fn entry_of(&self, answer: &Answer) -> Value {
        let mut found = Vec::new();
        for _ in 0..200 {
            found = self.entries_of(answer).await;
            if found.first().is_some_and(|entry| !entry["status_code"].is_null()) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(found.len(), 1, "exactly one entry for a request: {found:?}");
        found.remove(0)
    }

    /// Waits until every outcome is written.
    pub async fn outcomes_written(&self) {
        until("all outcomes are written", || self.inside().outcomes.waiting() == 0).await;
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        Request::new(self.metrics_address(), "GET", "/metrics").send().await.text()
    }
}

/// The status of an answer as it came; 0 if there is none.
fn status_of(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok()).unwrap_or(0)
}
