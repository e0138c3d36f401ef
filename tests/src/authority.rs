//! Certificates for a server under test: an authority of the test's own, the files it issues, and clients that trust it
//! and nobody else.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::aws_lc_rs,
        pki_types::ServerName,
        version::{TLS12, TLS13},
    },
};

/// An authority, and the folder with the files it has issued last.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    folder: TempDir,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An authority that has issued one certificate, for 127.0.0.1 and localhost.
    ///
    /// # Panics
    /// Where there is no chance or no disk.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::Builder::new().prefix("kv-tls-").tempdir().unwrap();
        let authority = Self { issuer: Issuer::new(params, key), certificate, folder };
        std::fs::write(authority.own_file(), authority.pem()).unwrap();
        authority.issue();
        authority
    }

    /// Issues another certificate with another key, in the place of the files before. The certificate as it is sent.
    ///
    /// # Panics
    /// Where there is no chance or no disk.
    pub fn issue(&self) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.key_file(), key.serialize_pem()).unwrap();
        std::fs::write(self.certificate_file(), made.pem()).unwrap();
        made.der().to_vec()
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// The file of its own certificate.
    #[must_use]
    pub fn own_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// The file of the certificate issued last.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    /// The file of its key.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }

    /// What tells a server of them.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, String); 2] {
        let text = |path: &Path| path.display().to_string();
        [("KUBEVISION_TLS_CERT", text(&self.certificate_file())), ("KUBEVISION_TLS_KEY", text(&self.key_file()))]
    }

    /// Clients that trust it.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.trust_with(&[&TLS13, &TLS12], &[])
    }

    /// Clients that trust it, and speak these versions and protocols only.
    ///
    /// # Panics
    /// For versions that cannot be spoken.
    #[must_use]
    pub fn trust_with(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> Trust {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Trust(Arc::new(config))
    }
}

/// Clients that trust one authority and nobody else.
#[derive(Debug, Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Connects, and agrees on TLS.
    ///
    /// # Errors
    /// Where nobody listens, or no agreement is reached.
    pub async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(self.0.clone()).connect(ServerName::IpAddress(address.ip().into()), stream).await
    }
}
