//! A client: one connection a request, or several requests on one; and one that sends any bytes at all.

use crate::{Key, PATIENCE, Session, Trust};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// A request to be sent.
#[derive(Debug, Clone)]
#[must_use = "it is not sent yet"]
pub struct Request {
    address: SocketAddr,
    trust: Option<Trust>,
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { address, trust: None, method: method.into(), path: path.into(), headers, body }
    }

    /// Over TLS, where a trust is given.
    pub fn over(self, trust: Option<Trust>) -> Self {
        Self { trust, ..self }
    }

    /// With a key, as the user page writes it.
    pub fn key(self, key: &Key) -> Self {
        self.header("authorization", format!("ApiKey {}", key.text))
    }

    /// With a session's access token.
    pub fn session(self, session: &Session) -> Self {
        self.header("authorization", format!("Bearer {}", session.token))
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// With any body.
    pub fn body(self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let with_type = self.header("content-type", media_type);
        Self { body: body.into(), ..with_type }
    }

    /// Sends it on a connection of its own, which is closed when this is dropped.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: no answer: {error}"))
    }

    /// The same, where the connection may be cut.
    ///
    /// # Errors
    /// What happened instead of an answer.
    pub async fn try_send(self) -> Result<Answer, String> {
        let mut connection =
            Connection::over(self.address, self.trust.as_ref()).await.map_err(|error| error.to_string())?;
        connection.send(self).await
    }

    /// Sends it in the background.
    pub fn start(self) -> JoinHandle<Result<Answer, String>> {
        tokio::spawn(self.try_send())
    }
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Opens it.
    ///
    /// # Errors
    /// Where nobody listens.
    pub async fn open(address: SocketAddr) -> std::io::Result<Self> {
        Self::over(address, None).await
    }

    /// Opens it over TLS, where a trust is given.
    ///
    /// # Errors
    /// Where nobody listens, or the server is not to be trusted.
    pub async fn over(address: SocketAddr, trust: Option<&Trust>) -> std::io::Result<Self> {
        match trust {
            Some(trust) => Self::on(trust.connect(address).await?).await,
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Self::on(stream).await
            }
        }
    }

    async fn on(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> std::io::Result<Self> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, driver })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// What happened instead of an answer.
    pub async fn send(&mut self, request: Request) -> Result<Answer, String> {
        let mut built = http::Request::builder().method(request.method.as_str()).uri(&request.path);
        built = built.header("host", request.address.to_string());
        for (name, value) in &request.headers {
            built = built.header(name, value.as_slice());
        }
        let built = built.body(Full::new(Bytes::from(request.body))).expect("a request that can be sent");
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(built).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        let done = tokio::time::timeout(PATIENCE * 3, exchange).await.expect("an answer or the connection's end");
        done.map_err(|error: hyper::Error| error.to_string())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A problem's code; empty if there is none.
    #[must_use]
    pub fn code(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header as text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.header("x-request-id")
    }

    /// The same, if the status is this one.
    ///
    /// # Panics
    /// If it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Whether it is a success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Sends bytes and reads until the server closes or is silent for long.
///
/// # Panics
/// Where the server cannot be reached.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may refuse before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut heard = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..read]);
        }
    };
    // Longer than the server waits for a head.
    let _ = tokio::time::timeout(PATIENCE, reading).await;
    String::from_utf8_lossy(&heard).into_owned()
}
