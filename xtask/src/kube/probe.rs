//! Asking the API server a question, over TLS that trusts its cluster's CA and nothing else. Never here: more than GET, a
//! connection kept, a doubt about whose answer it is – another server on the port fails the handshake.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs};

use super::KubeError;

const PATIENCE: Duration = Duration::from_secs(5);

/// A client of one API server.
pub(crate) struct Probe {
    tls: Arc<ClientConfig>,
    port: u16,
}

/// What the API server answered.
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: String,
}

impl Probe {
    /// A client of the server on `port` of 127.0.0.1 whose certificate the CA in `ca` has signed.
    pub(crate) fn new(ca: &Path, port: u16) -> Result<Self, KubeError> {
        let told = |source: Box<dyn std::error::Error + Send + Sync>| KubeError::Trust { ca: ca.to_owned(), source };
        let certificate = CertificateDer::from_pem_file(ca).map_err(|error| told(error.into()))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(|error| told(error.into()))?;
        // The provider is named, as the process may have another default, or none.
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| told(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), port })
    }

    /// Asks for `path`.
    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> io::Result<Answer> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
        let client = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(client, socket);
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        // HTTP/1.0: the body ends with the connection, unchunked.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\n{token}\r\n", self.port)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
    }
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}
