//! A PostgreSQL of a test's own, to be ill-treated; with a synchronous standby if wanted. `cargo xtask postgres` runs it, and is
//! told what to do with it.

use crate::TestDatabase;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

/// One of its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// The first.
    Primary,
    /// The one that follows it.
    Standby,
}

/// A PostgreSQL. Ends with this value.
#[derive(Debug)]
pub struct Postgres {
    task: Child,
    orders: Mutex<(Option<ChildStdin>, mpsc::Receiver<String>)>,
    primary: String,
    standby: Option<String>,
}

impl Postgres {
    /// One server, with these settings beside the usual ones.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::with(settings, &[])
    }

    /// Two servers: what the first says is committed, the second has.
    #[must_use]
    pub fn with_standby(settings: &[&str]) -> Self {
        let both = Self::with(settings, &["--standby"]);
        let linked = "SELECT sync_state::text AS value FROM pg_stat_replication";
        let deadline = std::time::Instant::now() + 3 * crate::PATIENCE;
        while both.database(Node::Primary).texts(linked) != [Some("sync".to_owned())] {
            assert!(std::time::Instant::now() < deadline, "the standby does not follow");
            thread::sleep(Duration::from_millis(20));
        }
        both
    }

    fn with(settings: &[&str], arguments: &[&str]) -> Self {
        let xtask = std::env::var_os("KUBEVISION_TEST_XTASK");
        let xtask = xtask.expect("no KUBEVISION_TEST_XTASK; run the tests with `cargo xtask test`");
        let mut command = Command::new(&xtask);
        command.arg("postgres").args(arguments).args(settings.iter().flat_map(|setting| ["--setting", setting]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A group of its own: where the test is killed, it still removes what it has made.
        let mut task = command.process_group(0).spawn().unwrap();
        let (stdin, stdout) = (task.stdin.take(), task.stdout.take().unwrap());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let place = told
            .recv_timeout(6 * crate::PATIENCE)
            .expect("a PostgreSQL; `cargo xtask postgres` says why there is none");
        let place: Value = serde_json::from_str(&place).unwrap();
        let url = |name: &str| place[name].as_str().map(str::to_owned);
        let (primary, standby) = (url("primary").unwrap(), url("standby"));
        Self { task, orders: Mutex::new((stdin, told)), primary, standby }
    }

    /// The URL of a server's database.
    ///
    /// # Panics
    /// Where there is no standby.
    #[must_use]
    pub fn url(&self, node: Node) -> &str {
        match node {
            Node::Primary => &self.primary,
            Node::Standby => self.standby.as_deref().expect("a standby"),
        }
    }

    /// Where a server listens.
    ///
    /// # Panics
    /// Never: the task said it.
    #[must_use]
    pub fn address(&self, node: Node) -> SocketAddr {
        address_of(self.url(node))
    }

    /// A look at a server's database, past everything in between.
    ///
    /// # Panics
    /// Never: the task said where it is.
    #[must_use]
    pub fn database(&self, node: Node) -> TestDatabase {
        TestDatabase::at(self.url(node))
    }

    /// Ends a server as an operator does, with everybody's connections; its data stay.
    pub async fn stop(&self, node: Node) {
        self.order("stop", node).await;
    }

    /// Kills every process of a server.
    pub async fn kill(&self, node: Node) {
        self.order("kill", node).await;
    }

    /// Keeps what a server has on disk though it ends by itself.
    pub async fn keep(&self, node: Node) {
        self.order("keep", node).await;
    }

    /// Starts a server that was ended, and waits until it is there.
    pub async fn start_again(&self, node: Node) {
        self.order("start", node).await;
    }

    /// Stops every process of a server where it stands.
    pub async fn freeze(&self, node: Node) {
        self.order("freeze", node).await;
    }

    /// Lets them go on.
    pub async fn thaw(&self, node: Node) {
        self.order("thaw", node).await;
    }

    /// Makes the standby a primary; the old one is not told.
    pub async fn promote(&self) {
        self.order("promote", Node::Standby).await;
    }

    async fn order(&self, order: &str, node: Node) {
        let whom = if node == Node::Primary { "primary" } else { "standby" };
        let line = format!("{order} {whom}\n");
        // The task needs no thread of the test's.
        let told = tokio::task::block_in_place(|| {
            let mut orders = self.orders.lock().unwrap();
            orders.0.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
            orders.1.recv_timeout(6 * crate::PATIENCE).expect("an answer")
        });
        assert!(told.starts_with("{\"done\""), "{told}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(mut orders) = self.orders.lock() {
            orders.0.take();
        }
        let _ = self.task.wait();
    }
}

/// The address in a PostgreSQL URL.
pub(crate) fn address_of(url: &str) -> SocketAddr {
    let (_, rest) = url.rsplit_once('@').unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}
