//! One worker's connections to clusters; and, shared by all workers, what each cluster is known to serve.
//!
//! A worker is one thread, and a connection stays on it: a request that is dropped before it was written is then never
//! written, for nobody else could be writing it meanwhile. No connection is shared between workers.

use crate::{
    admission::Cover,
    app::App,
    cluster::{
        AccessError, Answer, CONNECT_TIMEOUT, CallLimits, ClusterAccess, Discovery, Opened, Upstream, UpstreamError,
        version,
    },
    failure::Failure,
    operations::{add_cluster::PLACE, kubernetes::FlowLimits},
};
use kv_authz::ClusterId;
use kv_store::ClusterList;
use parking_lot::Mutex;
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a cluster is taken to serve what it served.
const DISCOVERY_FRESH: Duration = Duration::from_secs(300);
/// How long whoever looks at a cluster waits for it to say its version.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// How soon a missing resource may make it be asked again.
const DISCOVERY_RETRY: Duration = Duration::from_secs(2);

/// The connections of a worker.
pub struct Upstreams {
    app: Arc<App>,
    open: RefCell<HashMap<ClusterId, Rc<Connection>>>,
}

/// The connection to one cluster.
pub struct Connection {
    /// The client.
    pub upstream: Upstream,
    /// What every call may take.
    pub limits: CallLimits,
    cluster: ClusterId,
    cover: Cover,
    app: Arc<App>,
}

/// What clusters are known to serve, and since when. What one worker learns counts for all.
#[derive(Default)]
pub struct Discoveries(Mutex<HashMap<ClusterId, (Instant, Arc<Discovery>)>>);

impl fmt::Debug for Discoveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Discoveries")
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstreams")
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Upstreams {
    /// No connections yet.
    #[must_use]
    pub fn new(app: &Arc<App>) -> Self {
        Self { app: app.clone(), open: RefCell::default() }
    }

    /// The connection to a cluster of the list. Connects nowhere yet.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn connection(&self, cluster: ClusterId, list: &ClusterList) -> Result<Rc<Connection>, Failure> {
        // After a gap in the lease the connections of before it carry nothing any more.
        if let Some(connection) = self.open.borrow().get(&cluster).filter(|connection| connection.cover.holds()) {
            return Ok(connection.clone());
        }
        let cover = self.app.in_flight.lease().cover();
        let sealed = self.app.with_store(move |store| store.sealed_cluster(cluster)).await?;
        let sealed = sealed.ok_or(Failure::NotFound { what: "cluster" })?;
        let plain = self
            .app
            .sealer
            .open(&sealed, PLACE, cluster.uuid())
            .map_err(|error| Failure::internal("opening a cluster's access", error))?;
        let unusable = |error: AccessError| Failure::internal("reading a cluster's access", error);
        let access = ClusterAccess::from_bytes(&plain).map_err(unusable)?;
        let settings = &self.app.config.clusters;
        let upstream =
            Upstream::new(&access, &settings.allowed_addresses, CONNECT_TIMEOUT, cover.clone()).map_err(failure)?;
        let limits =
            CallLimits { time: Duration::from_secs(u64::from(settings.timeout_seconds)), ..CallLimits::default() };
        let connection = Rc::new(Connection { upstream, limits, cluster, cover, app: self.app.clone() });
        let mut open = self.open.borrow_mut();
        open.retain(|id, _| list.clusters.iter().any(|known| known.id == *id));
        self.app.discoveries.0.lock().retain(|id, _| list.clusters.iter().any(|known| known.id == *id));
        open.insert(cluster, connection.clone());
        Ok(connection)
    }
}

impl Connection {
    /// What is found among what the cluster serves, if that is known freshly enough to need no question.
    #[must_use]
    pub fn known<T>(&self, find: impl Fn(&Discovery) -> Option<T>) -> Option<T> {
        let (at, discovery) = self.discovery()?;
        // One that lacks a group might find another resource under a plain name.
        let fresh = if discovery.is_incomplete() { DISCOVERY_RETRY } else { DISCOVERY_FRESH };
        (at.elapsed() < fresh).then(|| find(&discovery)).flatten()
    }

    /// The rest of an answer, whole, within what a call may take.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn whole(&self, opened: Opened) -> Result<Answer, UpstreamError> {
        let answer = tokio::time::timeout(self.limits.time, opened.whole(self.limits.bytes)).await;
        answer.unwrap_or(Err(UpstreamError::Timeout))
    }

    /// How long and how far answers may flow.
    #[must_use]
    pub fn streaming(&self) -> FlowLimits {
        let settings = &self.app.config.clusters;
        FlowLimits {
            patience: self.limits.time,
            idle: Duration::from_secs(u64::from(settings.stream_idle_seconds)),
            bytes: u64::from(settings.max_answer_mebibytes) * 1024 * 1024,
            stopping: self.app.stopping().clone(),
        }
    }

    /// Which version of Kubernetes the cluster runs. Asks it, and waits for three seconds at most.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn version(&self) -> Result<String, UpstreamError> {
        let limits = CallLimits { time: self.limits.time.min(HEALTH_TIMEOUT), ..self.limits };
        version(&self.upstream, limits).await
    }

    fn discovery(&self) -> Option<(Instant, Arc<Discovery>)> {
        self.app.discoveries.0.lock().get(&self.cluster).cloned()
    }

    /// Learns what the cluster serves; asks the cluster unless it was asked a moment ago.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn discover(&self) -> Result<(), Failure> {
        let asked = self.discovery().is_some_and(|(at, _)| at.elapsed() < DISCOVERY_RETRY);
        if !asked {
            let discovery = Discovery::fetch(&self.upstream, self.limits).await.map_err(failure)?;
            self.app.discoveries.0.lock().insert(self.cluster, (Instant::now(), Arc::new(discovery)));
        }
        Ok(())
    }
}

/// A call without an answer, as the caller is told.
#[must_use]
pub fn failure(error: UpstreamError) -> Failure {
    let status = error.status().as_u16();
    let code = match &error {
        UpstreamError::Timeout => "cluster_timeout",
        UpstreamError::TooLarge => "cluster_answer_too_large",
        UpstreamError::Refused(_) => "cluster_address_refused",
        UpstreamError::Redirected => "cluster_redirected",
        UpstreamError::Unreachable(_) | UpstreamError::Broken(_) => "cluster_unreachable",
        _ => "cluster_failed",
    };
    let mut detail = error.to_string();
    detail[..1].make_ascii_uppercase();
    detail.push('.');
    Failure::Upstream { status, code, detail, source: Some(Box::new(error)) }
}
