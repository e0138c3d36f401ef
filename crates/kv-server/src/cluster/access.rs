//! What opens the way to one cluster: its address, its authority, and a token or a client certificate.
//!
//! Never here: anything that prints a secret, skips a certificate check, or runs a program. It leaves as bytes only to be
//! sealed, and comes back the same way.

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::client::{ConfigExt, RustlsTlsError};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// A token longer than this is none.
const MAX_TOKEN: usize = 16 * 1024;
/// So is a bundle of certificates, or a key.
const MAX_PEM: usize = 256 * 1024;

/// Why a description of a cluster is refused. Names the field, never what stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The kubeconfig is too long.
    #[error("the kubeconfig is larger than 256 KiB")]
    TooLarge,
    /// It cannot be read.
    #[error("this is not a kubeconfig, or it is ambiguous: {0}")]
    Malformed(&'static str),
    /// A field that is not allowed, whatever its value.
    #[error("the field `{0}` is not allowed{hint}", hint = hint(.0))]
    Forbidden(&'static str),
    /// A field that is needed.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A field that does not hold what it should.
    #[error("the field `{0}` is invalid")]
    Invalid(&'static str),
    /// A file of the operator's that cannot be read.
    #[error("the file named in `{0}` cannot be read")]
    File(&'static str),
    /// Stored bytes that are not ours.
    #[error("the stored credentials cannot be read")]
    Stored,
}

fn hint(field: &str) -> &'static str {
    match field {
        "exec" | "auth-provider" => ": exec credentials are not allowed",
        "tokenFile" | "client-certificate" | "client-key" | "certificate-authority" => {
            ": give the content itself, not a file"
        }
        _ => "",
    }
}

/// What opens the way to one cluster.
pub struct ClusterAccess {
    server: String,
    ca_pem: Option<String>,
    token: Option<SecretString>,
    identity: Option<Identity>,
}

/// A client certificate and its key, in PEM.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: SecretString,
}

impl fmt::Debug for ClusterAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterAccess").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Writing<'a> {
    server: &'a str,
    ca_pem: Option<&'a str>,
    token: Option<&'a str>,
    certificate: Option<&'a str>,
    key: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    server: String,
    ca_pem: Option<String>,
    token: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl ClusterAccess {
    /// From address, authority and token. Without an authority the system's are trusted.
    ///
    /// # Errors
    /// [`AccessError`] naming the field.
    pub fn from_parts(server: &str, ca_pem: Option<&str>, token: SecretString) -> Result<Self, AccessError> {
        Self::checked(server_url(server, false)?, ca_pem.map(str::to_owned), Some(token), None)
    }

    /// Puts together what has been read, and sees that it can be used.
    pub(super) fn checked(
        server: String,
        ca_pem: Option<String>,
        token: Option<SecretString>,
        identity: Option<Identity>,
    ) -> Result<Self, AccessError> {
        if token.is_none() && identity.is_none() {
            return Err(AccessError::Missing("token"));
        }
        if let Some(token) = &token {
            let text = token.expose_secret();
            // What is no header value would stop the client from being built at all.
            if text.is_empty() || text.len() > MAX_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(AccessError::Invalid("token"));
            }
        }
        let access = Self { server, ca_pem, token, identity };
        let config = access.config()?;
        // With a token alone there is nothing to get wrong, and the system's authorities need not be read for it.
        if access.ca_pem.is_some() || access.identity.is_some() {
            config.rustls_client_config().map_err(|error| match error {
                kube::Error::RustlsTls(RustlsTlsError::AddRootCertificate(_)) => {
                    AccessError::Invalid("certificate-authority-data")
                }
                kube::Error::RustlsTls(RustlsTlsError::InvalidPrivateKey(_)) => AccessError::Invalid("client-key-data"),
                _ => AccessError::Invalid("client-certificate-data"),
            })?;
        }
        Ok(access)
    }

    /// The address of the API server, where it is written as one and not as a name.
    #[must_use]
    pub fn address(&self) -> Option<std::net::IpAddr> {
        let uri: http::Uri = self.server().parse().ok()?;
        uri.host()?.trim_matches(['[', ']']).parse().ok()
    }

    /// Where the cluster is.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Everything as bytes, secrets included: for sealing, and nothing else.
    ///
    /// # Errors
    /// [`AccessError::Stored`], which does not happen.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, AccessError> {
        let writing = Writing {
            server: &self.server,
            ca_pem: self.ca_pem.as_deref(),
            token: self.token.as_ref().map(ExposeSecret::expose_secret),
            certificate: self.identity.as_ref().map(|identity| identity.certificate.as_str()),
            key: self.identity.as_ref().map(|identity| identity.key.expose_secret()),
        };
        let lengths = [Some(writing.server), writing.ca_pem, writing.token, writing.certificate, writing.key];
        let longest: usize = lengths.into_iter().flatten().map(str::len).sum();
        // Large enough even if every character is escaped: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(longest * 6 + 128));
        serde_json::to_writer(&mut *bytes, &writing).map_err(|_| AccessError::Stored)?;
        Ok(bytes)
    }

    /// Back from bytes that were sealed.
    ///
    /// # Errors
    /// [`AccessError`] if they are not of [`ClusterAccess::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AccessError> {
        let reading: Reading = serde_json::from_slice(bytes).map_err(|_| AccessError::Stored)?;
        let identity = match (reading.certificate, reading.key) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key: key.into() }),
            (None, None) => None,
            _ => return Err(AccessError::Stored),
        };
        Self::checked(
            server_url(&reading.server, true)?,
            reading.ca_pem,
            reading.token.map(SecretString::from),
            identity,
        )
    }

    /// The same for kube, which reads neither files nor the environment for it.
    pub(super) fn config(&self) -> Result<kube::Config, AccessError> {
        let server: http::Uri = self.server.parse().map_err(|_| AccessError::Invalid("server"))?;
        let mut config = kube::Config::new(server);
        config.default_retry = false;
        if let Some(pem) = &self.ca_pem {
            config.root_cert = Some(certificates(pem, "certificate-authority-data")?);
        }
        config.auth_info.token = self.token.clone();
        if let Some(identity) = &self.identity {
            certificates(&identity.certificate, "client-certificate-data")?;
            let key = identity.key.expose_secret();
            if key.len() > MAX_PEM || !key.contains("PRIVATE KEY-----") {
                return Err(AccessError::Invalid("client-key-data"));
            }
            config.auth_info.client_certificate_data = Some(BASE64_STANDARD.encode(&identity.certificate));
            config.auth_info.client_key_data = Some(BASE64_STANDARD.encode(key).into());
        }
        Ok(config)
    }

    /// A way to a server of a test, which speaks no TLS.
    #[cfg(test)]
    pub(crate) fn plain_for_test(port: u16) -> Self {
        let server = format!("http://127.0.0.1:{port}");
        Self { server, ca_pem: None, token: Some("test-token".to_owned().into()), identity: None }
    }
}

/// Checks where a cluster is said to be: `https://host[:port]`, and a path only where the operator says so.
pub(super) fn server_url(text: &str, path_allowed: bool) -> Result<String, AccessError> {
    let invalid = AccessError::Invalid("server");
    // What a URL parser forgives, drops or reads differently from another is not a URL here.
    let strange = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'@' | b'?' | b'#' | b'\\' | b'%' | b'"');
    if text.len() > 2_048 || text.bytes().any(strange) {
        return Err(invalid);
    }
    let uri: http::Uri = text.parse().map_err(|_| invalid)?;
    let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(invalid) };
    let host_end = authority.as_str().len() - authority.port().map_or(0, |port| port.as_str().len() + 1);
    let spelt = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    if authority.host().is_empty()
        || authority.host().len() != host_end
        || !authority.host().bytes().all(spelt)
        || authority.port_u16() == Some(0)
    {
        return Err(invalid);
    }
    let path = uri.path().trim_end_matches('/');
    let plain = |segment: &str| !matches!(segment, "" | "." | "..");
    if !path.is_empty() && (!path_allowed || !path.split('/').skip(1).all(plain)) {
        return Err(invalid);
    }
    Ok(format!("https://{authority}{path}"))
}

/// The certificates of a PEM text, in DER.
fn certificates(pem: &str, field: &'static str) -> Result<Vec<Vec<u8>>, AccessError> {
    let invalid = AccessError::Invalid(field);
    if pem.len() > MAX_PEM {
        return Err(invalid);
    }
    let mut found = Vec::new();
    let mut rest = pem;
    while let Some((_, after)) = rest.split_once("-----BEGIN CERTIFICATE-----") {
        let (body, after) = after.split_once("-----END CERTIFICATE-----").ok_or(invalid)?;
        let body: String = body.split_ascii_whitespace().collect();
        found.push(BASE64_STANDARD.decode(body).map_err(|_| invalid)?);
        rest = after;
    }
    if found.is_empty() { Err(invalid) } else { Ok(found) }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
