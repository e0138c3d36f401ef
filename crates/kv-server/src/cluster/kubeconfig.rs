//! Reading a kubeconfig, the one format in which others tell us about their clusters.
//!
//! Never here: a program run, a variable read, a proxy used. An uploaded file names no file either; of the operator's own
//! the named files are read once and their content kept.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::access::{AccessError, ClusterAccess, Identity, server_url};

/// As much of a kubeconfig as is read at all, and of a file it names.
const MAX_BYTES: usize = 256 * 1024;

/// Whose kubeconfig it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KubeconfigSource {
    /// A caller's: everything stands in it, or it is refused.
    Uploaded,
    /// The operator's own, on this machine: it may name files.
    Operator {
        /// The folder it lies in, from which relative names of files count.
        folder: PathBuf,
    },
}

impl KubeconfigSource {
    fn folder(&self) -> Option<&Path> {
        match self {
            KubeconfigSource::Uploaded => None,
            KubeconfigSource::Operator { folder } => Some(folder),
        }
    }
}

impl ClusterAccess {
    /// The contexts of a kubeconfig by name.
    ///
    /// # Errors
    /// [`AccessError`] where it cannot be read.
    pub fn contexts(yaml: &[u8]) -> Result<Vec<String>, AccessError> {
        Ok(read(yaml)?.contexts.into_iter().map(|context| context.name).collect())
    }

    /// Reads a kubeconfig: the named context, or else the current one.
    ///
    /// # Errors
    /// [`AccessError`] naming the field. In an uploaded file every entry is judged, used or not.
    pub fn from_kubeconfig(yaml: &[u8], context: Option<&str>, source: &KubeconfigSource) -> Result<Self, AccessError> {
        let file = read(yaml)?;
        if source.folder().is_none() {
            file.clusters
                .iter()
                .filter_map(|named| named.cluster.as_ref())
                .try_for_each(|c| judge_cluster(c, false))?;
            file.auth_infos
                .iter()
                .filter_map(|named| named.auth_info.as_ref())
                .try_for_each(|u| judge_user(u, false))?;
        }
        let name = context.or(file.current_context.as_deref()).filter(|name| !name.is_empty());
        let name = name.ok_or(AccessError::Missing("current-context"))?;
        let context = only(file.contexts.iter().filter(|named| named.name == name), "context")?;
        let context = context.context.as_ref().ok_or(AccessError::Missing("context"))?;
        let cluster = only(file.clusters.iter().filter(|named| named.name == context.cluster), "cluster")?;
        let cluster = cluster.cluster.as_ref().ok_or(AccessError::Missing("cluster"))?;
        let user = context.user.as_deref().ok_or(AccessError::Missing("user"))?;
        let user = only(file.auth_infos.iter().filter(|named| named.name == user), "user")?;
        let user = user.auth_info.as_ref().ok_or(AccessError::Missing("user"))?;
        judge_cluster(cluster, source.folder().is_some())?;
        judge_user(user, source.folder().is_some())?;
        assemble(cluster, user, source.folder())
    }
}

fn read(yaml: &[u8]) -> Result<Kubeconfig, AccessError> {
    if yaml.len() > MAX_BYTES {
        return Err(AccessError::TooLarge);
    }
    let text = std::str::from_utf8(yaml).map_err(|_| AccessError::Malformed("it is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if has_several_documents(text) {
        return Err(AccessError::Malformed("it has several documents"));
    }
    if has_anchors(text) {
        return Err(AccessError::Malformed("it has anchors or aliases"));
    }
    // The parser's error would repeat a part of the text.
    Kubeconfig::from_yaml(text).map_err(|_| AccessError::Malformed("the YAML cannot be read"))
}

/// Whether a marker stands anywhere but before the first line: kube would merge the documents.
fn has_several_documents(text: &str) -> bool {
    let mut content = false;
    for line in text.split(['\n', '\r']) {
        let marker =
            |mark: &str| line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if (marker("---") && content) || marker("...") {
            return true;
        }
        content |= marker("---") || !(line.trim().is_empty() || line.starts_with(['#', '%']));
    }
    false
}

/// Whether something looks like an anchor or an alias: no kubeconfig needs one, and they are how a small text gets large.
fn has_anchors(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().any(|(at, byte)| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        matches!(byte, b'&' | b'*')
            && before.is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'[' | b'{' | b',' | b':' | b'-'))
            && bytes.get(at + 1).is_some_and(|byte| !byte.is_ascii_whitespace())
    })
}

/// The one entry of this name.
fn only<'a, T>(mut found: impl Iterator<Item = &'a T>, field: &'static str) -> Result<&'a T, AccessError> {
    let first = found.next().ok_or(AccessError::Missing(field))?;
    if found.next().is_some() { Err(AccessError::Malformed("two entries have the same name")) } else { Ok(first) }
}

fn forbid(fields: &[(&'static str, bool)]) -> Result<(), AccessError> {
    match fields.iter().find(|(_, present)| *present) {
        Some((field, _)) => Err(AccessError::Forbidden(field)),
        None => Ok(()),
    }
}

fn judge_cluster(cluster: &Cluster, files: bool) -> Result<(), AccessError> {
    forbid(&[
        ("insecure-skip-tls-verify", cluster.insecure_skip_tls_verify == Some(true)),
        ("proxy-url", cluster.proxy_url.is_some()),
        ("tls-server-name", cluster.tls_server_name.is_some()),
        ("certificate-authority", cluster.certificate_authority.is_some() && !files),
        ("unknown field of the cluster", !cluster.other.is_empty()),
    ])
}

fn judge_user(user: &AuthInfo, files: bool) -> Result<(), AccessError> {
    forbid(&[
        ("exec", user.exec.is_some()),
        ("auth-provider", user.auth_provider.is_some()),
        ("as", user.impersonate.is_some()),
        ("as-uid", user.impersonate_uid.is_some()),
        ("as-groups", user.impersonate_groups.is_some()),
        ("as-user-extra", user.impersonate_user_extra.is_some()),
        ("username", user.username.is_some()),
        ("password", user.password.is_some()),
        ("tokenFile", user.token_file.is_some() && !files),
        ("client-certificate", user.client_certificate.is_some() && !files),
        ("client-key", user.client_key.is_some() && !files),
        ("unknown field of the user", !user.other.is_empty()),
    ])
}

fn assemble(cluster: &Cluster, user: &AuthInfo, folder: Option<&Path>) -> Result<ClusterAccess, AccessError> {
    let server = cluster.server.as_deref().ok_or(AccessError::Missing("server"))?;
    let server = server_url(server, folder.is_some())?;
    let content = |data: Option<&str>, data_field, file: Option<&str>, file_field| match (data, file, folder) {
        (Some(data), ..) => decode(data, data_field).map(Some),
        (None, Some(file), Some(folder)) => load(&folder.join(file), file_field).map(Some),
        _ => Ok(None),
    };
    let ca_pem = content(
        cluster.certificate_authority_data.as_deref(),
        "certificate-authority-data",
        cluster.certificate_authority.as_deref(),
        "certificate-authority",
    )?;
    let certificate = content(
        user.client_certificate_data.as_deref(),
        "client-certificate-data",
        user.client_certificate.as_deref(),
        "client-certificate",
    )?;
    let key = content(
        user.client_key_data.as_ref().map(ExposeSecret::expose_secret),
        "client-key-data",
        user.client_key.as_deref(),
        "client-key",
    )?;
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Some(Identity { certificate: certificate.as_str().to_owned(), key: key.as_str().into() })
        }
        (None, None) => None,
        (Some(_), None) => return Err(AccessError::Missing("client-key-data")),
        (None, Some(_)) => return Err(AccessError::Missing("client-certificate-data")),
    };
    let token = match (&user.token, &user.token_file, folder) {
        (Some(token), ..) => Some(token.clone()),
        (None, Some(file), Some(folder)) => Some(SecretString::from(load(&folder.join(file), "tokenFile")?.trim())),
        _ => None,
    };
    ClusterAccess::checked(server, ca_pem.map(|pem| pem.as_str().to_owned()), token, identity)
}

fn decode(data: &str, field: &'static str) -> Result<Zeroizing<String>, AccessError> {
    let data = Zeroizing::new(data.split_ascii_whitespace().collect::<String>());
    let bytes = BASE64_STANDARD.decode(&*data).map_err(|_| AccessError::Invalid(field))?;
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| AccessError::Invalid(field))
}

fn load(path: &Path, field: &'static str) -> Result<Zeroizing<String>, AccessError> {
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|_| AccessError::File(field))?;
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(|_| AccessError::File(field))?;
    if text.len() > MAX_BYTES { Err(AccessError::File(field)) } else { Ok(text) }
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
