//! A cluster played by the test: an HTTPS server on loopback that serves what Kubernetes serves to be discovered, writes
//! down every other request, and answers when and how it is told.

use crate::{
    certificate::{CERTIFICATE, private_key},
    until,
};
use kv_server::cluster::ClusterAccess;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// The token the server is given for the cluster.
const TOKEN: &str = "the-clusters-own-token";

/// What a cluster serves: group, version, plural, kind, whether in namespaces.
const SERVED: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "pods", "Pod", true),
    ("", "v1", "secrets", "Secret", true),
    ("", "v1", "configmaps", "ConfigMap", true),
    ("", "v1", "namespaces", "Namespace", false),
    ("", "v1", "nodes", "Node", false),
    ("apps", "v1", "deployments", "Deployment", true),
    ("apps", "v1", "replicasets", "ReplicaSet", true),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true),
    ("example.com", "v1", "widgets", "Widget", true),
];

/// The parts that its objects have.
const PARTS: &[(&str, &str)] = &[
    ("pods", "status"),
    ("pods", "log"),
    ("pods", "exec"),
    ("pods", "attach"),
    ("pods", "portforward"),
    ("pods", "proxy"),
    ("pods", "ephemeralcontainers"),
    ("pods", "eviction"),
    ("nodes", "status"),
    ("nodes", "proxy"),
    ("deployments", "scale"),
    ("deployments", "status"),
    ("widgets", "status"),
];

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Seen {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every header whose name begins so, in their order.
    #[must_use]
    pub fn headers_like(&self, start: &str) -> Vec<(&str, &str)> {
        let alike = self.headers.iter().filter(|(name, _)| name.starts_with(start));
        alike.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Method and path.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer to be given.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    /// JSON.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".into(), "application/json".into())];
        Self { status, headers, body: body.to_string() }
    }

    /// A `Status`, as Kubernetes refuses.
    #[must_use]
    pub fn refusal(status: u16, message: &str) -> Self {
        Self::json(status, &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}))
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    asked_what_is_served: usize,
    replies: Vec<(String, Reply)>,
    connections: usize,
    holds: bool,
    holds_writes: bool,
    stalls: bool,
    keeps: bool,
}

/// A cluster. Ends with this value.
#[derive(Debug)]
pub struct Cluster {
    /// Where it listens.
    pub address: SocketAddr,
    state: Shared,
    _end: oneshot::Sender<()>,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    async fn while_it(&self, so: impl Fn(&State) -> bool) {
        while self.with(|state| so(state)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Cluster {
    /// A cluster that answers everything at once.
    ///
    /// # Panics
    /// Where there is no socket or thread for it.
    #[must_use]
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Shared(Arc::default());
        let (end, ended) = oneshot::channel::<()>();
        let shared = state.clone();
        // A thread of its own: it must answer while the test's own threads are busy.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = listen(listener, shared) => {}
                }
            });
        });
        Self { address, state, _end: end }
    }

    /// What opens it.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn access(&self) -> ClusterAccess {
        let server = format!("https://{}", self.address);
        ClusterAccess::from_parts(&server, Some(CERTIFICATE), SecretString::from(TOKEN)).unwrap()
    }

    /// The certificate to trust.
    #[must_use]
    pub fn certificate(&self) -> &'static str {
        CERTIFICATE
    }

    /// Every request so far that was not about what is served.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.with(|state| state.seen.clone())
    }

    /// How often it was asked what it serves.
    #[must_use]
    pub fn asked_what_is_served(&self) -> usize {
        self.state.with(|state| state.asked_what_is_served)
    }

    /// How many connections were opened.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.with(|state| state.connections)
    }

    /// Connections are kept for more requests from now on.
    pub fn keep_alive(&self) {
        self.state.with(|state| state.keeps = true);
    }

    /// Answers requests for paths that begin so with this, from now on.
    pub fn reply(&self, path: &str, reply: Reply) {
        self.state.with(|state| state.replies.insert(0, (path.to_owned(), reply)));
    }

    /// Requests arrive and are not answered, until [`Self::release`].
    pub fn hold(&self) {
        self.state.with(|state| state.holds = true);
    }

    /// The same for what is no GET.
    pub fn hold_writes(&self) {
        self.state.with(|state| state.holds_writes = true);
    }

    /// Answers what it held.
    pub fn release(&self) {
        self.state.with(|state| (state.holds, state.holds_writes) = (false, false));
    }

    /// Connections are accepted and their TLS not answered, until [`Self::resume`].
    pub fn stall(&self) {
        self.state.with(|state| state.stalls = true);
    }

    /// Goes on with TLS.
    pub fn resume(&self) {
        self.state.with(|state| state.stalls = false);
    }

    /// Waits until so many requests have arrived.
    pub async fn has_seen(&self, count: usize) {
        until("the cluster has seen the request", || self.state.with(|state| state.seen.len() >= count)).await;
    }

    /// Waits until so many connections were opened.
    pub async fn has_connections(&self, count: usize) {
        until("the cluster was connected to", || self.connections() >= count).await;
    }
}

async fn listen(listener: std::net::TcpListener, state: Shared) {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(private_key().as_bytes()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        state.with(|state| state.connections += 1);
        tokio::spawn(serve(stream, acceptor.clone(), state.clone()));
    }
}

/// One request a connection, so that every request has to connect, unless they are kept.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Shared) {
    state.while_it(|state| state.stalls).await;
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    while let Some(seen) = read(&mut stream).await {
        let keeps = state.with(|state| state.keeps);
        let reply = answer(seen, &state).await;
        let how = if keeps { "keep-alive" } else { "close" };
        let mut head =
            format!("HTTP/1.1 {} Told\r\nconnection: {how}\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // The server may have gone, which is its right.
        let sent = stream.write_all(format!("{head}\r\n{}", reply.body).as_bytes()).await;
        if !keeps || sent.is_err() {
            break;
        }
    }
    let _ = stream.shutdown().await;
}

/// The next request. The server sends none before it has the answer to the last.
async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 16 * 1024];
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
        if let Some(seen) = request(&bytes) {
            return Some(seen);
        }
    }
}

/// What is answered, once it may be.
async fn answer(seen: Seen, state: &Shared) -> Reply {
    match discovery(&seen) {
        Some(answer) => {
            state.with(|state| state.asked_what_is_served += 1);
            Reply::json(200, &answer)
        }
        None => {
            let told = state.with(|state| {
                state.seen.push(seen.clone());
                state.replies.iter().find(|(path, _)| seen.path.starts_with(path)).map(|(_, reply)| reply.clone())
            });
            state.while_it(|state| state.holds || state.holds_writes && seen.method != "GET").await;
            told.unwrap_or_else(|| usual(&seen))
        }
    }
}

/// A request, if it is whole.
fn request(bytes: &[u8]) -> Option<Seen> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.to_lowercase(), v.trim().to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    let seen = Seen { method: first.next()?.into(), path: first.next()?.into(), headers, body: body.to_owned() };
    (body.len() >= length).then_some(seen)
}

/// What is answered to questions about what is served.
fn discovery(seen: &Seen) -> Option<Value> {
    let groups = ["apps", "rbac.authorization.k8s.io", "example.com"];
    if seen.path == "/apis" {
        let named = groups.map(|name| {
            let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
            json!({"name": name, "versions": [version], "preferredVersion": version})
        });
        return Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": named}));
    }
    let group = match seen.path.as_str() {
        "/api/v1" => "",
        path => groups.into_iter().find(|group| path == format!("/apis/{group}/v1"))?,
    };
    let verbs = ["get", "list", "create", "update", "patch", "delete", "deletecollection", "watch"];
    let own = SERVED.iter().filter(|served| served.0 == group);
    let resources: Vec<Value> = own
        .flat_map(|(_, _, plural, kind, namespaced)| {
            let parts = PARTS.iter().filter(move |(of, _)| of == plural).map(move |(of, part)| format!("{of}/{part}"));
            [(*plural).to_owned()].into_iter().chain(parts).map(move |name| {
                json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": verbs})
            })
        })
        .collect();
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}))
}

/// What a cluster of no particular content answers: an object to everything, and to lists one object a namespace.
fn usual(seen: &Seen) -> Reply {
    let path = seen.path.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, rest) = if segments[0] == "api" { ("", &segments[2..]) } else { (segments[1], &segments[3..]) };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let Some((_, version, _, kind, _)) =
        SERVED.iter().find(|served| served.0 == group && rest.first() == Some(&served.2))
    else {
        return Reply::refusal(404, "the server could not find the requested resource");
    };
    let api_version = if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") };
    let object = |namespace: Option<&str>, name: &str| {
        let mut object = json!({"kind": kind, "apiVersion": api_version, "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = namespace.into();
        }
        if *kind == "Secret" {
            object["data"] = json!({"password": "aHVudGVyMg=="});
        }
        object
    };
    let selected = seen.path.split_once("metadata.name%3D").map(|(_, name)| name);
    let body = match (rest.get(1), seen.method.as_str()) {
        (None, "GET") => {
            let items: Vec<Value> = match (namespace, selected) {
                (Some(namespace), _) => vec![object(Some(namespace), &format!("of-{namespace}"))],
                (None, Some(name)) => vec![object(None, name)],
                (None, None) => ["a", "b", "c"].map(|space| object(Some(space), &format!("of-{space}"))).into(),
            };
            json!({"kind": format!("{kind}List"), "apiVersion": api_version, "metadata": {"resourceVersion": "7"}, "items": items})
        }
        (name, _) => object(namespace, name.unwrap_or(&"new")),
    };
    Reply::json(if seen.method == "POST" { 201 } else { 200 }, &body)
}
