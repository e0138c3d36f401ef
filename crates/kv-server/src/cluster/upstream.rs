//! The connection to one cluster.
//!
//! Never here: a redirect followed, a header of a caller's, an answer without a bound, a call without an end, a retry of
//! what may have arrived. Nothing is detached: a dropped [`Upstream::send`] that hyper has not yet written is never
//! written, because everything runs on the thread that dropped it. That is why an [`Upstream`] cannot leave its thread.

use std::{
    error::Error as StdError,
    future::Future,
    io,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::client::{Body, ClientBuilder, ConfigExt};
use tower::{BoxError, Layer, Service, util::MapErr};
use uuid::Uuid;

use super::{
    access::{AccessError, ClusterAccess},
    address::{AddressPolicy, Checked, RefusedAddress, Resolver},
    identity::Identity,
    path::{ObjectPath, UpstreamPath},
    query::UpstreamQuery,
};

/// How long a connection may take, its TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// From the call to the last byte of the answer.
    pub time: Duration,
    /// How long the answer's body may be.
    pub bytes: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(30), bytes: 16 * 1024 * 1024 }
    }
}

/// A request to a cluster. There is no room in it for anybody's headers.
#[derive(Debug)]
pub struct Call {
    method: Method,
    path: UpstreamPath,
    body: Option<(&'static str, Vec<u8>)>,
    audit_id: Option<Uuid>,
    identity: HeaderMap,
}

impl Call {
    /// Reads one of the paths that need no rights of their own.
    #[must_use]
    pub fn get(path: UpstreamPath) -> Self {
        Self { method: Method::GET, path, body: None, audit_id: None, identity: HeaderMap::new() }
    }

    /// Does what the path says, with the path's method.
    #[must_use]
    pub fn object(path: &ObjectPath, query: &UpstreamQuery) -> Self {
        Self {
            method: path.method(),
            path: path.upstream(query),
            body: None,
            audit_id: None,
            identity: HeaderMap::new(),
        }
    }

    /// With a body, of the content type that [`check`](super::body::check) gave.
    #[must_use]
    pub fn with_body(self, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { body: Some((content_type, body)), ..self }
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

    fn into_request(self) -> Result<Request<Body>, http::Error> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path.as_str())
            // JSON alone: of any other form the masking could not see the values.
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("kubevision/", env!("CARGO_PKG_VERSION")));
        if let Some(entry) = self.audit_id {
            request = request.header("Audit-ID", entry.to_string());
        }
        let mut request = match self.body {
            Some((content_type, body)) => request.header(header::CONTENT_TYPE, content_type).body(Body::from(body)),
            None => request.body(Body::empty()),
        }?;
        request.headers_mut().extend(self.identity);
        Ok(request)
    }
}

/// A cluster's answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// The status; never a redirect.
    pub status: StatusCode,
    /// Whether the cluster says that the body is JSON. Always so for a success.
    pub is_json: bool,
    /// The body.
    pub body: Bytes,
}

/// A call without an answer. Holds no text of the cluster's.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The cluster's credentials are of no use.
    #[error("the cluster's credentials cannot be used")]
    Access(#[source] AccessError),
    /// The client could not be built from them, or outside a runtime.
    #[error("the connection to the cluster cannot be set up")]
    Setup(#[source] BoxError),
    /// No connection.
    #[error("the cluster cannot be reached")]
    Unreachable(#[source] BoxError),
    /// The connection ended in the middle: what was asked may have been done.
    #[error("the connection to the cluster broke")]
    Broken(#[source] BoxError),
    /// No whole answer in time: what was asked may have been done.
    #[error("the cluster did not answer in time")]
    Timeout,
    /// The answer is longer than allowed.
    #[error("the cluster's answer is too large")]
    TooLarge,
    /// The cluster is at an address that is not allowed.
    #[error(transparent)]
    Refused(RefusedAddress),
    /// The cluster sends callers elsewhere.
    #[error("the cluster answered with a redirect, which is not followed")]
    Redirected,
    /// The answer is not one of a Kubernetes API server.
    #[error("the answer is not one of the Kubernetes API")]
    NotKubernetes,
    /// A question of our own got this status instead of an answer.
    #[error("the cluster answered with status {0}")]
    Answered(StatusCode),
}

impl UpstreamError {
    /// The status of the answer to the caller.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            UpstreamError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether it is certain that the cluster has done nothing, for the audit's outcome.
    #[must_use]
    pub fn nothing_was_sent(&self) -> bool {
        matches!(
            self,
            UpstreamError::Access(_)
                | UpstreamError::Setup(_)
                | UpstreamError::Unreachable(_)
                | UpstreamError::Refused(_)
        )
    }

    fn of(error: kube::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        let mut connecting = false;
        while let Some(error) = cause {
            if let Some(refused) = error.downcast_ref::<RefusedAddress>() {
                return UpstreamError::Refused(*refused);
            }
            connecting |= error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect);
            cause = error.source();
        }
        if connecting { UpstreamError::Unreachable(error.into()) } else { UpstreamError::Broken(error.into()) }
    }
}

/// The way to one cluster, for one thread.
pub struct Upstream {
    client: kube::Client,
    /// Keeps it on its thread.
    here: PhantomData<Rc<()>>,
}

impl Upstream {
    /// Prepares the way; connects when first used. Must be called inside the runtime it is used on.
    ///
    /// # Errors
    /// [`UpstreamError::Access`] or [`UpstreamError::Setup`] if certificate, key or token are of no use.
    pub fn new(access: &ClusterAccess, policy: &AddressPolicy, connect: Duration) -> Result<Self, UpstreamError> {
        tokio::runtime::Handle::try_current().map_err(|error| UpstreamError::Setup(error.into()))?;
        let config = access.config().map_err(UpstreamError::Access)?;
        let setup = |error: kube::Error| UpstreamError::Setup(error.into());

        let mut http = HttpConnector::new_with_resolver(Resolver::new(policy.clone()));
        http.enforce_http(false);
        http.set_nodelay(true);
        let checked = Checked::new(http, policy.clone());
        let tls = config.rustls_https_connector_with_connector(checked).map_err(setup)?;
        let timed = Timed { inner: tls, limit: connect };
        // One cluster and one account per client, so a pooled connection is never used for another. Whom a call is made as is
        // said in the call, never by its connection.
        let client = legacy::Builder::new(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build::<_, Body>(timed);
        // kube's own stack without its retries: a write that may have arrived is not sent twice.
        let addressed = MapErr::new(config.base_uri_layer().layer(client), BoxError::from);
        let client = match config.auth_layer().map_err(setup)? {
            Some(auth) => ClientBuilder::new(auth.layer(addressed), "default").build(),
            None => ClientBuilder::new(addressed, "default").build(),
        };
        Ok(Self { client, here: PhantomData })
    }

    /// Sends a call and reads its whole answer.
    ///
    /// # Errors
    /// [`UpstreamError`]; an answer of status 400 and above is an answer.
    pub async fn send(&self, call: Call, limits: CallLimits) -> Result<Answer, UpstreamError> {
        let request = call.into_request().map_err(|error| UpstreamError::Setup(error.into()))?;
        let answer = async {
            let response = self.client.send(request).await.map_err(UpstreamError::of)?;
            read(response, limits.bytes).await
        };
        tokio::time::timeout(limits.time, answer).await.unwrap_or(Err(UpstreamError::Timeout))
    }
}

async fn read(response: http::Response<Body>, max: usize) -> Result<Answer, UpstreamError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(UpstreamError::Redirected);
    }
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(says_json);
    if status.is_informational() || (status.is_success() && !is_json) {
        return Err(UpstreamError::NotKubernetes);
    }
    let body = Limited::new(response.into_body(), max).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { UpstreamError::TooLarge } else { UpstreamError::Broken(error) }
    })?;
    Ok(Answer { status, is_json, body: body.to_bytes() })
}

fn says_json(value: &HeaderValue) -> bool {
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// A connector with an end to its patience, TLS included.
#[derive(Debug, Clone)]
struct Timed<C> {
    inner: C,
    limit: Duration,
}

impl<C> Service<http::Uri> for Timed<C>
where
    C: Service<http::Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        tokio::time::timeout(self.limit, self.inner.call(uri))
            .map(|done| match done {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            })
            .boxed()
    }
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
