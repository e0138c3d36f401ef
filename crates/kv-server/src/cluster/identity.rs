//! Whom a cluster sees: the names under which it knows a user, and the impersonation fields of a call made for one.
//!
//! Never here: a name without our prefix, so that no user is `system:` anything; a value that was cut, trimmed or repaired;
//! a call that goes out as the cluster's own account because a name could not be written.

use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use kv_authz::{Owner, Principal};
use kv_store::ClusterRecord;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The group that all users of ours are in. A role of that name is written otherwise, so that it is not everybody.
const EVERYBODY: &str = "users";
/// The longest name, in bytes before it is written as ASCII.
const MAX_BYTES: usize = 1024;

/// What is not visible ASCII, and the sign of the encoding itself: no two names are written alike.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
// Names of extra fields are percent-encoded; the API server decodes them and knows them in lower case.
const EXTRA_KEY_ID: HeaderName = HeaderName::from_static("impersonate-extra-kubevision.io%2fkey-id");
const EXTRA_KEY_NAME: HeaderName = HeaderName::from_static("impersonate-extra-kubevision.io%2fkey-name");

/// Why a caller has no name for a cluster. Nothing may be sent for them.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nobody stands behind the call.
    #[error("the call is made for no user")]
    Nobody,
    /// There is nothing to call them.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// It is longer than any name of ours may be.
    #[error("{0} is longer than 1,024 bytes")]
    TooLong(&'static str),
    /// It cannot be written into a field.
    #[error("{what} cannot be written into a header field")]
    NotAHeader {
        /// What it is the name of.
        what: &'static str,
        /// Why.
        #[source]
        source: InvalidHeaderValue,
    },
}

/// A user of ours, and the key they use, as a cluster knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    user: String,
    groups: Vec<String>,
    extra: Vec<(&'static str, String)>,
    headers: HeaderMap,
}

impl Identity {
    /// The prefix of every user and group of ours.
    pub const PREFIX: &str = "kubevision:";
    /// The name of the extra field with the key's id.
    pub const KEY_ID: &str = "kubevision.io/key-id";
    /// The name of the extra field with the key's name.
    pub const KEY_NAME: &str = "kubevision.io/key-name";

    /// Whom a call to this cluster is made as: nobody but the cluster's own account, unless it is called by impersonation.
    /// For every call that is made on behalf of a caller. Our own questions, what the cluster serves and which version it
    /// is, are asked as its account.
    ///
    /// # Errors
    /// [`IdentityError`]; then the call must not be made.
    pub fn for_request(principal: &Principal, cluster: &ClusterRecord) -> Result<Option<Self>, IdentityError> {
        if cluster.impersonate { Self::of(principal).map(Some) } else { Ok(None) }
    }

    /// The identity of a session or key.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn of(principal: &Principal) -> Result<Self, IdentityError> {
        let owner = principal.owner().ok_or(IdentityError::Nobody)?;
        let key = match principal {
            Principal::ApiKey { id, name, .. } => Some((id.to_string(), name.as_str())),
            Principal::Session { .. } | Principal::Operator => None,
        };
        Self::new(owner, key)
    }

    fn new(owner: &Owner, key: Option<(String, &str)>) -> Result<Self, IdentityError> {
        let mut headers = HeaderMap::new();
        let user = prefixed(&encoded(&owner.name, "the user's name")?);
        headers.append(USER, field(&user, "the user's name")?);
        let groups = vec![prefixed(&group_of(&encoded(owner.role.name(), "the role's name")?)), prefixed(EVERYBODY)];
        for group in &groups {
            headers.append(GROUP, field(group, "the role's name")?);
        }
        let mut extra = Vec::new();
        if let Some((id, name)) = key {
            let name = encoded(name, "the key's name")?;
            headers.append(EXTRA_KEY_ID, field(&id, "the key's id")?);
            headers.append(EXTRA_KEY_NAME, field(&name, "the key's name")?);
            extra = vec![(Self::KEY_ID, id), (Self::KEY_NAME, name)];
        }
        Ok(Self { user, groups, extra, headers })
    }

    /// The user, with our prefix.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The groups: their role, and that of all users of ours.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The key's id and name; nothing for a session.
    #[must_use]
    pub fn extra(&self) -> &[(&'static str, String)] {
        &self.extra
    }

    /// The fields of a call made for them.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

fn prefixed(name: &str) -> String {
    format!("{}{name}", Identity::PREFIX)
}

/// The group of a role. The one that is called like the group of everybody has its first letter encoded, which is no other's.
fn group_of(role: &str) -> String {
    if role == EVERYBODY { role.replacen('u', "%75", 1) } else { role.to_owned() }
}

/// A name in visible ASCII.
fn encoded(name: &str, what: &'static str) -> Result<String, IdentityError> {
    match name.len() {
        0 => Err(IdentityError::Empty(what)),
        1..=MAX_BYTES => Ok(utf8_percent_encode(name, ENCODED).to_string()),
        _ => Err(IdentityError::TooLong(what)),
    }
}

fn field(value: &str, what: &'static str) -> Result<HeaderValue, IdentityError> {
    HeaderValue::from_str(value).map_err(|source| IdentityError::NotAHeader { what, source })
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
