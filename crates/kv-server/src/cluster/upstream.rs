//! The connection to one cluster.
//!
//! Never here: a redirect followed, a header of a caller's, an answer without a bound, a call without an end, a retry of
//! what may have arrived. Nothing is detached: a dropped [`Upstream::send`] that hyper has not yet written is never
//! written, because everything runs on the thread that dropped it. That is why an [`Upstream`] cannot leave its thread.

use std::{
    cell::RefCell,
    error::Error as StdError,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::client::{Body, ConfigExt};
use tower::{
    BoxError, Layer, Service,
    util::{MapErr, UnsyncBoxService},
};

use crate::admission::Cover;

use super::{
    access::{AccessError, ClusterAccess},
    address::{AddressPolicy, Checked, RefusedAddress, Resolver},
    call::Call,
    covered::Covered,
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

    fn of(error: BoxError) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
        let mut connecting = false;
        while let Some(error) = cause {
            if let Some(refused) = error.downcast_ref::<RefusedAddress>() {
                return UpstreamError::Refused(*refused);
            }
            connecting |= error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect);
            cause = error.source();
        }
        if connecting { UpstreamError::Unreachable(error) } else { UpstreamError::Broken(error) }
    }
}

/// The way to one cluster, for one thread.
pub struct Upstream {
    /// kube's layers above hyper's client, without the queue and the task that would let several threads share them.
    service: RefCell<UnsyncBoxService<Request<Body>, Response<Incoming>, BoxError>>,
}

impl Upstream {
    /// Prepares the way; connects when first used, and is of use only while the lease holds as it does now. Must be called
    /// inside the runtime it is used on.
    ///
    /// # Errors
    /// [`UpstreamError::Access`] or [`UpstreamError::Setup`] if certificate, key or token are of no use.
    pub fn new(
        access: &ClusterAccess,
        policy: &AddressPolicy,
        connect: Duration,
        cover: Cover,
    ) -> Result<Self, UpstreamError> {
        tokio::runtime::Handle::try_current().map_err(|error| UpstreamError::Setup(error.into()))?;
        let config = access.config().map_err(UpstreamError::Access)?;
        let setup = |error: kube::Error| UpstreamError::Setup(error.into());

        let mut http = HttpConnector::new_with_resolver(Resolver::new(policy.clone()));
        http.enforce_http(false);
        http.set_nodelay(true);
        let checked = Checked::new(http, policy.clone());
        let tls = config.rustls_https_connector_with_connector(checked).map_err(setup)?;
        let timed = Timed { inner: tls, limit: connect, cover };
        // One cluster and one account per client, so a pooled connection is never used for another. Whom a call is made as is
        // said in the call, never by its connection.
        let client = legacy::Builder::new(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build::<_, Body>(timed);
        // And without its retries: a write that may have arrived is not sent twice.
        let addressed = MapErr::new(config.base_uri_layer().layer(client), BoxError::from);
        let service = match config.auth_layer().map_err(setup)? {
            Some(auth) => UnsyncBoxService::new(auth.layer(addressed)),
            None => UnsyncBoxService::new(addressed),
        };
        Ok(Self { service: RefCell::new(service) })
    }

    /// Sends a call and reads its whole answer.
    ///
    /// # Errors
    /// [`UpstreamError`]; an answer of status 400 and above is an answer.
    pub async fn send(&self, call: Call, limits: CallLimits) -> Result<Answer, UpstreamError> {
        let answer = async {
            let opened = self.open(call, limits.time).await?;
            if opened.status.is_success() && !opened.is_json() {
                return Err(UpstreamError::NotKubernetes);
            }
            opened.whole(limits.bytes).await
        };
        tokio::time::timeout(limits.time, answer).await.unwrap_or(Err(UpstreamError::Timeout))
    }

    /// Sends a call and reads the head of its answer, for which the cluster has so much time. The body is still to come, and
    /// nothing bounds it but who reads it.
    ///
    /// # Errors
    /// [`UpstreamError`]; an answer of status 400 and above is an answer.
    pub async fn open(&self, call: Call, patience: Duration) -> Result<Opened, UpstreamError> {
        let request = call.into_request().map_err(|error| UpstreamError::Setup(error.into()))?;
        let answer = async {
            let response = self.request(request).await?;
            if response.status().is_informational() {
                return Err(UpstreamError::NotKubernetes);
            }
            Ok(Opened::of(response))
        };
        tokio::time::timeout(patience, answer).await.unwrap_or(Err(UpstreamError::Timeout))
    }

    pub(super) async fn request(&self, request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        let ready = poll_fn(|context| self.service.borrow_mut().poll_ready(context));
        ready.await.map_err(UpstreamError::of)?;
        let called = self.service.borrow_mut().call(request);
        let response = called.await.map_err(UpstreamError::of)?;
        if response.status().is_redirection() {
            return Err(UpstreamError::Redirected);
        }
        Ok(response)
    }
}

/// An answer whose body is still to come.
pub struct Opened {
    /// The status; never a redirect.
    pub status: StatusCode,
    /// The media type, as the cluster says it.
    pub content_type: Option<String>,
    body: Incoming,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Opened {
    pub(super) fn of(response: Response<Incoming>) -> Self {
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { status: response.status(), content_type, body: response.into_body() }
    }

    /// The media type without its parameters, in lower case.
    #[must_use]
    pub fn media_type(&self) -> String {
        let whole = self.content_type.as_deref().unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Whether the cluster says that the body is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.media_type() == "application/json"
    }

    /// How long the body is, if that is known before.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The body, whole, if it is not longer than this.
    ///
    /// # Errors
    /// [`UpstreamError::TooLarge`] or [`UpstreamError::Broken`].
    pub async fn whole(self, max: usize) -> Result<Answer, UpstreamError> {
        let is_json = self.is_json();
        let body = Limited::new(self.body, max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { UpstreamError::TooLarge } else { UpstreamError::Broken(error) }
        })?;
        Ok(Answer { status: self.status, is_json, body: body.to_bytes() })
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`].
    pub async fn piece(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| UpstreamError::Broken(error.into()))?;
            if let Ok(piece) = frame.into_data()
                && !piece.is_empty()
            {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// A connector with an end to its patience, TLS included, whose connections end with the lease.
#[derive(Debug, Clone)]
struct Timed<C> {
    inner: C,
    limit: Duration,
    cover: Cover,
}

impl<C> Service<http::Uri> for Timed<C>
where
    C: Service<http::Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = Covered<C::Response>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Covered<C::Response>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let cover = self.cover.clone();
        tokio::time::timeout(self.limit, self.inner.call(uri))
            .map(|done| match done {
                Ok(connected) => connected.map(|inner| Covered::new(inner, cover)).map_err(Into::into),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            })
            .boxed()
    }
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
