//! A call to a cluster: method, path, body, and the few headers there are.
//!
//! Never here: a header copied from a caller. What a caller says of the form of the answer is read and written anew.

use http::{HeaderMap, HeaderValue, Method, Request, header};
use hyper::body::Bytes;
use kube::client::Body;
use uuid::Uuid;

use super::{
    accept::Accept,
    identity::Identity,
    path::{ObjectPath, UpstreamPath},
    query::UpstreamQuery,
};

/// A request to a cluster. There is no room in it for anybody's headers.
#[derive(Debug)]
pub struct Call {
    method: Method,
    path: UpstreamPath,
    accept: Accept,
    body: Option<(String, Bytes)>,
    audit_id: Option<Uuid>,
    identity: HeaderMap,
}

impl Call {
    /// Reads one of the paths that need no rights of their own.
    #[must_use]
    pub fn get(path: UpstreamPath) -> Self {
        Self {
            method: Method::GET,
            path,
            accept: Accept::default(),
            body: None,
            audit_id: None,
            identity: HeaderMap::new(),
        }
    }

    /// Does what the path says, with the path's method.
    #[must_use]
    pub fn object(path: &ObjectPath, query: &UpstreamQuery) -> Self {
        Self { method: path.method(), ..Self::get(path.upstream(query)) }
    }

    /// With another method, where a cluster of an older version wants another one.
    #[must_use]
    pub fn with_method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// With a body, of the content type that [`check`](super::body::check) gave.
    #[must_use]
    pub fn with_body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { body: Some((content_type.to_owned(), body.into())), ..self }
    }

    /// With the forms of the answer that its caller can read.
    #[must_use]
    pub fn accepting(self, accept: Accept) -> Self {
        Self { accept, ..self }
    }

    /// With the id under which the cluster's own audit log keeps the call: that of our audit entry.
    #[must_use]
    pub fn with_audit_id(self, entry: Uuid) -> Self {
        Self { audit_id: Some(entry), ..self }
    }

    /// As somebody, where the cluster is called by impersonation; otherwise as its own account.
    #[must_use]
    pub fn with_identity(self, identity: Option<&Identity>) -> Self {
        Self { identity: identity.map(|identity| identity.headers().clone()).unwrap_or_default(), ..self }
    }

    /// The head of the request, for a body or an upgrade.
    pub(super) fn head(&self) -> http::request::Builder {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.path.as_str())
            .header(header::ACCEPT, self.accept.as_str())
            .header(header::USER_AGENT, concat!("kubevision/", env!("CARGO_PKG_VERSION")));
        if let Some(entry) = self.audit_id {
            request = request.header("Audit-ID", entry.to_string());
        }
        for (name, value) in &self.identity {
            request = request.header(name, value);
        }
        request
    }

    pub(super) fn into_request(self) -> Result<Request<Body>, http::Error> {
        let request = self.head();
        match self.body {
            Some((content_type, body)) => {
                let content_type = HeaderValue::try_from(content_type)?;
                request.header(header::CONTENT_TYPE, content_type).body(Body::from(body))
            }
            None => request.body(Body::empty()),
        }
    }
}
