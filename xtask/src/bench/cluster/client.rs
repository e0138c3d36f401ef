//! Requests to a cluster, straight or through the server: the same request, on connections that are kept.

use super::super::latencies::Latencies;
use crate::error::{Done, TaskError, Tried};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// One way to the cluster.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) address: SocketAddr,
    tls: Option<TlsConnector>,
    authorization: String,
    /// What stands before each path.
    prefix: String,
}

impl Way {
    /// Straight, over TLS, with the cluster's own token.
    pub(super) fn straight(address: SocketAddr, ca: &[u8], token: &str) -> Done<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca) {
            roots.add(certificate.tried("reading the cluster's CA")?).tried("trusting the cluster's CA")?;
        }
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.tried("setting up TLS")?.with_root_certificates(roots).with_no_client_auth();
        let tls = Some(TlsConnector::from(Arc::new(config)));
        Ok(Self { address, tls, authorization: format!("Bearer {token}"), prefix: String::new() })
    }

    /// Through the server, with a key.
    pub(super) fn through(address: SocketAddr, key: &str) -> Self {
        let prefix = "/api/v1/clusters/bench/k8s".to_owned();
        Self { address, tls: None, authorization: format!("ApiKey {key}"), prefix }
    }

    /// To the server's own addresses, with a key.
    pub(super) fn ours(address: SocketAddr, key: &str) -> Self {
        Self { prefix: String::new(), ..Self::through(address, key) }
    }

    /// Opens a connection.
    pub(super) async fn open(&self) -> Done<Connection> {
        let stream = TcpStream::connect(self.address).await.tried("connecting")?;
        stream.set_nodelay(true).tried("setting up a connection")?;
        let sender = match &self.tls {
            None => begin(TokioIo::new(stream)).await?,
            Some(tls) => {
                let name = ServerName::from(self.address.ip());
                begin(TokioIo::new(tls.connect(name, stream).await.tried("speaking TLS")?)).await?
            }
        };
        Ok(Connection { sender, way: self.clone() })
    }
}

async fn begin<S>(stream: TokioIo<S>) -> Done<SendRequest<Full<Bytes>>>
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let (sender, connection) = handshake(stream).await.tried("speaking HTTP")?;
    drop(tokio::task::spawn_local(async move { drop(connection.await) }));
    Ok(sender)
}

/// A connection that is kept.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    way: Way,
}

impl Connection {
    /// Sends a request and gives the head of its answer.
    pub(super) async fn ask(&mut self, method: &str, path: &str, body: &str) -> Done<Response<Incoming>> {
        self.sender.ready().await.tried("keeping a connection")?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.way.prefix))
            .header("host", self.way.address.to_string())
            .header("authorization", &self.way.authorization)
            .header("accept", "application/json")
            .header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).tried("writing a request")?;
        self.sender.send_request(request).await.tried("sending a request")
    }

    /// The same, to the end of the answer: its status and length.
    pub(super) async fn whole(&mut self, method: &str, path: &str, body: &str) -> Done<(u16, usize)> {
        let mut answer = self.ask(method, path, body).await?;
        let (status, mut length) = (answer.status().as_u16(), 0);
        while let Some(frame) = answer.body_mut().frame().await {
            length += frame.tried("reading an answer")?.data_ref().map_or(0, Bytes::len);
        }
        Ok((status, length))
    }
}

/// What came of a load.
pub(super) struct Loaded {
    pub(super) latencies: Latencies,
    pub(super) seconds: f64,
}

impl Loaded {
    pub(super) fn per_second(&self) -> f64 {
        self.latencies.total() as f64 / self.seconds
    }

    /// Both together.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.latencies.add(&other.latencies);
        Self { seconds: self.seconds + other.seconds, ..self }
    }
}

/// The same GET on so many connections for so long, after a second of warming up.
pub(super) async fn load(way: &Way, path: &str, connections: usize, window: Duration) -> Done<Loaded> {
    let from = Instant::now() + Duration::from_secs(1);
    let until = from + window;
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let (way, path) = (way.clone(), path.to_owned());
            tokio::task::spawn_local(async move {
                let mut connection = way.open().await?;
                let mut latencies = Latencies::new();
                loop {
                    let sent = Instant::now();
                    if sent >= until {
                        return Ok::<_, TaskError>(latencies);
                    }
                    let (status, _) = connection.whole("GET", &path, "").await?;
                    if status != 200 {
                        return Err(TaskError::new(format!("{path} was answered {status}")));
                    }
                    if sent >= from {
                        latencies.count(sent.elapsed());
                    }
                }
            })
        })
        .collect();
    let mut latencies = Latencies::new();
    for client in clients {
        latencies.add(&client.await.tried("a connection's task")??);
    }
    Ok(Loaded { latencies, seconds: window.as_secs_f64() })
}
