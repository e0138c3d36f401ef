//! The application: everything the operations need, made once at start and shared by all workers.
//!
//! No HTTP types; the operator's tasks use the same.

use crate::{
    admission::{Batcher, InFlight, Outcomes},
    auth::{Authorities, Passwords, Tokens},
    clock::{Clock, Random},
    config::Config,
    failure::Failure,
    keyfile::{self, KeyFileError},
    limit::Limiter,
    metrics::Metrics,
    seal::Sealer,
    upstreams::Discoveries,
    uses::Uses,
};
use kv_authz::Policy;
use kv_store::{ClusterList, Opener, Store, StoreError};
use parking_lot::{Mutex, RwLock};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Why the application did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The database.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The system: a thread, a socket.
    #[error("{step}")]
    System {
        /// What was tried.
        step: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// An operation of the first start.
    #[error("{0}")]
    Operation(#[from] Failure),
}

/// The application.
#[derive(Debug)]
pub struct App {
    /// The settings.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The generator.
    pub random: Random,
    /// Admission.
    pub batcher: Mutex<Option<Arc<Batcher>>>,
    /// Outcomes of begun entries.
    pub outcomes: Arc<Outcomes>,
    /// Requests in flight.
    pub in_flight: InFlight,
    /// What credentials stand for.
    pub authorities: Authorities,
    /// Passwords.
    pub passwords: Passwords,
    /// Access tokens.
    pub tokens: Tokens,
    /// What is kept sealed.
    pub sealer: Sealer,
    /// Rate limits.
    pub limiter: Limiter,
    /// Last uses of keys.
    pub uses: Uses,
    /// What clusters are known to serve.
    pub discoveries: Discoveries,
    /// Counters.
    pub metrics: Metrics,
    clusters: RwLock<Option<Arc<ClusterList>>>,
    draining: AtomicBool,
}

impl App {
    /// Opens the database and starts the threads behind admission.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config, opener: Opener, clock: Clock, random: Random) -> Result<Arc<Self>, StartError> {
        let store = Store::open(&config.database()?, opener)?;
        // Before the first entry: a day that has some in the default partition gets none of its own.
        store.prepare_audit_days(clock.now())?;
        let signing = keyfile::load_or_make(&config.data_dir.join("signing.key"), &random)?;
        let sealing = keyfile::load_or_make(&config.data_dir.join("sealing.key"), &random)?;
        let thread = |source| StartError::System { step: "starting a thread".into(), source };
        let outcomes = Outcomes::start(&store, &clock).map_err(thread)?;
        let batcher = Batcher::start(&store, &clock, &outcomes).map_err(thread)?;
        Ok(Arc::new(Self {
            batcher: Mutex::new(Some(Arc::new(batcher))),
            outcomes,
            in_flight: InFlight::default(),
            authorities: Authorities::new(store.clone()),
            passwords: Passwords::new(random.clone()),
            tokens: Tokens::new(&signing),
            sealer: Sealer::new(&sealing),
            limiter: Limiter::new(config.rate_limit),
            uses: Uses::default(),
            discoveries: Discoveries::default(),
            metrics: Metrics::new(),
            clusters: RwLock::new(None),
            draining: AtomicBool::new(false),
            config,
            store,
            clock,
            random,
        }))
    }

    /// What the operator has settled about keys.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy { keys_may_administer: self.config.api_keys.allow_administration }
    }

    /// Runs a call of the store off the request threads.
    ///
    /// # Errors
    /// The call's own, and [`Failure::Internal`] if it panicked.
    pub async fn with_store<T, E>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(done) => done.map_err(Into::into),
            Err(error) => Err(Failure::internal("a store call", error)),
        }
    }

    /// The list of clusters as last read; its version is confirmed at admission like any other.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn clusters(&self) -> Result<Arc<ClusterList>, Failure> {
        let known = self.clusters.read().clone();
        match known {
            Some(list) => Ok(list),
            None => self.reload_clusters().await,
        }
    }

    /// Reads the list of clusters again.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn reload_clusters(&self) -> Result<Arc<ClusterList>, Failure> {
        let list = Arc::new(self.with_store(Store::list_clusters).await?);
        *self.clusters.write() = Some(list.clone());
        Ok(list)
    }

    /// Whether the server is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Tells load balancers to look elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The way to admission; none once the application has stopped.
    #[must_use]
    pub fn batcher(&self) -> Option<Arc<Batcher>> {
        self.batcher.lock().clone()
    }

    /// Writes what is still to be written and ends the threads.
    pub fn stop(&self) {
        // The last reference ends its lanes.
        drop(self.batcher.lock().take());
        self.outcomes.stop();
        if let Err(error) = self.store.note_uses(&self.uses.take()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last uses of keys were not noted");
        }
    }
}
