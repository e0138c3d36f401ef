//! Clients whose answers go on: a bare socket that reads when it is told to, and a WebSocket.

use crate::{Key, PATIENCE, Session, TestApp};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, client::IntoClientRequest, http::HeaderValue},
};

/// A connection with a request on it, whose answer is read piece by piece.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Socket {
    /// Sends a GET.
    ///
    /// # Panics
    /// Where there is no connection.
    pub async fn get(app: &TestApp, path: &str, key: &Key) -> Self {
        Self::send(app, path, &format!("ApiKey {}", key.text)).await
    }

    /// The same in a session.
    ///
    /// # Panics
    /// Where there is no connection.
    pub async fn get_in(app: &TestApp, path: &str, session: &Session) -> Self {
        Self::send(app, path, &format!("Bearer {}", session.token)).await
    }

    async fn send(app: &TestApp, path: &str, credential: &str) -> Self {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: kv\r\nAuthorization: {credential}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        Self { stream, heard: Vec::new() }
    }

    /// Reads until this text was heard.
    ///
    /// # Panics
    /// Where it is not heard.
    pub async fn hears(&mut self, text: &str) -> &mut Self {
        let reading = async {
            while !String::from_utf8_lossy(&self.heard).contains(text) {
                let mut buffer = [0; 16 * 1024];
                let read = self.stream.read(&mut buffer).await.unwrap_or(0);
                assert!(read > 0, "{text:?} was not in: {}", String::from_utf8_lossy(&self.heard));
                self.heard.extend_from_slice(&buffer[..read]);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("waited for {text:?}"));
        self
    }

    /// Reads to the end of the connection: how many bytes there still were, and everything as text.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub async fn rest(mut self) -> (usize, String) {
        let before = self.heard.len();
        let reading = async {
            let mut buffer = [0; 64 * 1024];
            while let Ok(read @ 1..) = self.stream.read(&mut buffer).await {
                self.heard.extend_from_slice(&buffer[..read]);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the connection ends");
        (self.heard.len() - before, String::from_utf8_lossy(&self.heard).into_owned())
    }

    /// Whether the connection is over once what is on its way has been read, within so long.
    pub async fn ends_within(mut self, patience: Duration) -> bool {
        let reading = async {
            let mut buffer = [0; 64 * 1024];
            while let Ok(1..) = self.stream.read(&mut buffer).await {}
        };
        tokio::time::timeout(patience, reading).await.is_ok()
    }
}

/// Opens a WebSocket that offers these protocols.
///
/// # Errors
/// What the server answered instead.
///
/// # Panics
/// Where there is no connection.
pub async fn websocket(
    app: &TestApp,
    path: &str,
    key: &Key,
    protocols: &str,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let stream = TcpStream::connect(app.address()).await.unwrap();
    let mut request = format!("ws://{}{path}", app.address()).into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {}", key.text)).unwrap());
    headers.insert("sec-websocket-protocol", HeaderValue::from_str(protocols).unwrap());
    Ok(client_async(request, stream).await?.0)
}
