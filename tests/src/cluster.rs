//! A cluster played by the test: an HTTPS server on loopback that serves what Kubernetes serves to be discovered, writes
//! down every other request, and answers when and how it is told.

use crate::{
    certificate::{CERTIFICATE, private_key},
    served::{discovery, usual},
    streaming::{self, Manner, Notes, Streams},
    until,
};
use kv_server::cluster::ClusterAccess;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
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
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The token the server is given for the cluster.
const TOKEN: &str = "the-clusters-own-token";

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
    /// Whom it came from.
    pub from: SocketAddr,
    /// When it was read.
    pub at: Instant,
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
    manner: Manner,
}

impl Reply {
    /// JSON.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".into(), "application/json".into())];
        Self { status, headers, body: body.to_string(), manner: Manner::Whole }
    }

    /// A `Status`, as Kubernetes refuses.
    #[must_use]
    pub fn refusal(status: u16, message: &str) -> Self {
        Self::json(status, &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}))
    }

    /// An answer that never ends: so many bytes each time, beginning with this line, and so long between two times.
    #[must_use]
    pub fn endless(line: &str, bytes: usize, every: Duration) -> Self {
        let headers = vec![("content-type".into(), "application/json".into())];
        let piece = format!("{line}{}\n", " ".repeat(bytes.saturating_sub(line.len() + 1)));
        Self { status: 200, headers, body: piece, manner: Manner::Endless(every) }
    }

    /// A WebSocket that speaks this, and sends back what it is sent.
    #[must_use]
    pub fn websocket(protocol: &'static str) -> Self {
        Self { status: 101, headers: Vec::new(), body: String::new(), manner: Manner::WebSocket(protocol) }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Reply {
    fn head(&self, more: &str) -> String {
        let mut head = format!("HTTP/1.1 {} Told\r\n{more}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head
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
    streams: Notes,
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

    /// What became of the streams it opened.
    #[must_use]
    pub fn streams(&self) -> Streams {
        self.state.with(|state| state.streams.read())
    }

    /// Waits until so many streams are open.
    pub async fn has_open(&self, count: usize) {
        until("the cluster has the streams open", || self.streams().open >= count).await;
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
    let Ok(from) = stream.peer_addr() else { return };
    state.while_it(|state| state.stalls).await;
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    while let Some(seen) = read(&mut stream, from).await {
        let keeps = state.with(|state| state.keeps);
        let mut reply = answer(seen.clone(), &state).await;
        let notes = state.with(|state| state.streams.clone());
        match reply.manner {
            Manner::Whole => {}
            Manner::Endless(every) => {
                let head = reply.head("transfer-encoding: chunked\r\nconnection: close");
                return streaming::endless(stream, &head, &reply.body, every, notes).await;
            }
            Manner::WebSocket(protocol) => {
                let accepted = derive_accept_key(seen.header("sec-websocket-key").unwrap_or_default().as_bytes());
                reply = reply.with("upgrade", "websocket").with("sec-websocket-accept", &accepted);
                let head = reply.with("sec-websocket-protocol", protocol).head("connection: Upgrade");
                return streaming::echo(stream, &head, notes).await;
            }
        }
        let how = if keeps { "keep-alive" } else { "close" };
        let head = reply.head(&format!("connection: {how}\r\ncontent-length: {}", reply.body.len()));
        // The server may have gone, which is its right.
        let sent = stream.write_all(format!("{head}{}", reply.body).as_bytes()).await;
        if !keeps || sent.is_err() {
            break;
        }
    }
    let _ = stream.shutdown().await;
}

/// The next request. The server sends none before it has the answer to the last.
async fn read(stream: &mut (impl AsyncReadExt + Unpin), from: SocketAddr) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 16 * 1024];
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
        if let Some(seen) = request(&bytes, from) {
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
fn request(bytes: &[u8], from: SocketAddr) -> Option<Seen> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.to_lowercase(), v.trim().to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    let (method, path) = (first.next()?.into(), first.next()?.into());
    let seen = Seen { method, path, headers, body: body.to_owned(), from, at: Instant::now() };
    (body.len() >= length).then_some(seen)
}
