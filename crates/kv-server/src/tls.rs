//! TLS for the API: the certificate from the operator's files, taken up again when they change, and the authorities that
//! clients are told to trust.
//!
//! Never a process-wide default, never HTTP/2, never a version before TLS 1.2, and never a file read while a connection
//! waits for it.

use crate::config::TlsFiles;
use parking_lot::{Mutex, RwLock};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

/// Why TLS cannot be spoken with the files there are.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting} names {path}, which cannot be read", path = path.display())]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{setting} names {path}, which does not hold {wanted} in PEM", path = path.display())]
    Malformed {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What was found, where something was.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The two files are not a certificate and its key.
    #[error(
        "the certificate in {certificate} and the key in {key} cannot be used together; \
         KUBEVISION_TLS_CERT begins with the server's own certificate, KUBEVISION_TLS_KEY holds the key of that one",
        certificate = files.certificate.display(), key = files.key.display()
    )]
    Pair {
        /// The files.
        files: TlsFiles,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// What tells whether a file is still the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// Also when its rights change, after which it may be readable.
    changed: (i64, i64),
}

impl Stamp {
    /// None for a file that is not there or not to be seen.
    fn of(path: &Path) -> Option<Self> {
        let seen = fs::metadata(path).ok()?;
        Some(Self {
            device: seen.dev(),
            inode: seen.ino(),
            length: seen.len(),
            modified: (seen.mtime(), seen.mtime_nsec()),
            changed: (seen.ctime(), seen.ctime_nsec()),
        })
    }
}

type Stamps = (Option<Stamp>, Option<Stamp>);

fn stamps(files: &TlsFiles) -> Stamps {
    (Stamp::of(&files.certificate), Stamp::of(&files.key))
}

/// The certificate that is served, and the files it comes from.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    served: Arc<Served>,
    seen: Mutex<Stamps>,
}

/// What handshakes ask for.
#[derive(Debug)]
struct Served(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`] for files that cannot be read, hold something else, or do not fit each other.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        // Before they are read: a change in between is seen the next time.
        let seen = Mutex::new(stamps(&files));
        let served = Arc::new(Served(RwLock::new(read(&files, &provider)?)));
        Ok(Self { files, provider, served, seen })
    }

    /// Reads the files again if they have changed since they were last looked at, and serves what they hold to new
    /// connections; tells whether it did. Each change is tried once.
    ///
    /// # Errors
    /// [`TlsError`]; then the certificate is what it was.
    pub fn take_up(&self) -> Result<bool, TlsError> {
        let now = stamps(&self.files);
        if std::mem::replace(&mut *self.seen.lock(), now) == now {
            return Ok(false);
        }
        *self.served.0.write() = read(&self.files, &self.provider)?;
        Ok(true)
    }

    /// What a listener speaks.
    ///
    /// # Errors
    /// [`TlsError::Setup`].
    pub fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone());
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(TlsError::Setup)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.served.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
        Ok(config)
    }
}

/// The authorities that clients are told to trust, in PEM: the certificates of the file and nothing else that is in it.
///
/// # Errors
/// [`TlsError`] for a file that cannot be read, or holds no certificates of authorities.
pub fn authorities(path: &Path) -> Result<String, TlsError> {
    let setting = "KUBEVISION_TLS_CA";
    let text = fs::read(path).map_err(|source| TlsError::File { setting, path: path.to_owned(), source })?;
    let malformed = |source| TlsError::Malformed { setting, path: path.to_owned(), wanted: "certificates", source };
    let found: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|source| malformed(Some(source.into())))?;
    if found.is_empty() {
        return Err(malformed(None));
    }
    let mut trusted = RootCertStore::empty();
    found.iter().try_for_each(|one| trusted.add(one.clone())).map_err(|source| malformed(Some(source.into())))?;
    let sections: Vec<_> = found.iter().map(|one| pem::Pem::new("CERTIFICATE", one.as_ref())).collect();
    Ok(pem::encode_many_config(&sections, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)))
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let text = |setting, path: &Path| {
        let read = fs::read(path).map(Zeroizing::new);
        read.map_err(|source| TlsError::File { setting, path: path.to_owned(), source })
    };
    let (setting, path) = ("KUBEVISION_TLS_CERT", &files.certificate);
    let malformed = |source| TlsError::Malformed { setting, path: path.clone(), wanted: "a certificate", source };
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(&text(setting, path)?).collect();
    let chain = chain.map_err(|source| malformed(Some(source.into())))?;
    if chain.is_empty() {
        return Err(malformed(None));
    }
    let (setting, path) = ("KUBEVISION_TLS_KEY", &files.key);
    let malformed = |source| TlsError::Malformed { setting, path: path.clone(), wanted: "a private key", source };
    let key = PrivateKeyDer::from_pem_slice(&text(setting, path)?).map_err(|source| malformed(Some(source.into())))?;
    let pair = CertifiedKey::from_der(chain, key, provider);
    pair.map(Arc::new).map_err(|source| TlsError::Pair { files: files.clone(), source })
}
