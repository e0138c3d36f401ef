//! The application: everything the operations need, made once at start and shared by all workers.
//!
//! No HTTP types; the operator's tasks use the same.

use crate::{
    admission::{Batcher, InFlight, Lease, Outcomes, Readers, Refusals},
    auth::{Authorities, Passwords, Tokens},
    broken::Rule,
    clock::{Clock, Random},
    config::Config,
    durability,
    failure::Failure,
    keyfile::{self, KeyFileError, Keys},
    known::Known,
    limit::Limiter,
    logging,
    metrics::Metrics,
    operations::purge_audit::PurgeClock,
    pages::assets::Assets,
    patience,
    replicas::Replicas,
    seal::Sealer,
    strangers::Strangers,
    streams::Streams,
    upstreams::Discoveries,
    uses::Uses,
    visitors::Visitors,
};
use kv_authz::Policy;
use kv_store::{ClusterList, Opener, SealKey, Store, StoreError};
use parking_lot::Mutex;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Why the application did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The database.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    /// The database, which would lose what it has committed.
    #[error(transparent)]
    NotDurable(#[from] crate::durability::NotDurable),
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The files that TLS is spoken with.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
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

/// The keys of the data folder that others may take the place of.
#[derive(Debug)]
struct KeyRings {
    signing: Keys,
    sealing: Keys,
}

impl KeyRings {
    fn load(folder: &Path, random: &Random) -> Result<Self, KeyFileError> {
        Ok(Self {
            signing: keyfile::load_ring(folder, "signing", random)?,
            sealing: keyfile::load_ring(folder, "sealing", random)?,
        })
    }
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
    /// Refusals on their way into the log.
    pub refusals: Arc<Refusals>,
    /// Requests in flight.
    pub in_flight: InFlight,
    /// Sessions that read on.
    pub readers: Readers,
    /// This process among the servers of the database.
    pub replicas: Replicas,
    /// What credentials stand for.
    pub authorities: Authorities,
    /// Passwords.
    pub passwords: Passwords,
    /// Access tokens.
    pub tokens: Tokens,
    /// What is kept sealed.
    pub sealer: Sealer,
    /// Rate limits of users.
    pub limiter: Limiter,
    /// How often addresses come.
    pub visitors: Visitors,
    /// Addresses that show what is refused.
    pub strangers: Strangers,
    /// Last uses of keys.
    pub uses: Uses,
    /// What clusters are known to serve.
    pub discoveries: Discoveries,
    /// Streams that are open.
    pub streams: Streams,
    /// What pages are dressed with.
    pub assets: Assets,
    /// Counters.
    pub metrics: Metrics,
    /// The time as the purge of the audit log believes it.
    pub purge_clock: PurgeClock,
    policy: Policy,
    keys: Mutex<KeyRings>,
    seal_key: SealKey,
    chain: Uuid,
    clusters: Known<ClusterList>,
    stopping: CancellationToken,
    /// Whether it is a server's that serves nobody yet.
    starts: AtomicBool,
}

impl App {
    /// Opens the database and starts the threads behind admission.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config, opener: Opener, clock: Clock, random: Random) -> Result<Arc<Self>, StartError> {
        let store = Store::open(&config.database()?, opener)?;
        if opener == Opener::Server {
            // Those that run, and this one.
            let servers = store.replicas(None)?.1.len() + 1;
            durability::check(&store, &config, u32::try_from(servers).unwrap_or(u32::MAX))?;
        }
        // Before the first entry: a day that has some in the default partition gets none of its own.
        store.prepare_audit_days(clock.now())?;
        let keys = KeyRings::load(&config.data_dir, &random)?;
        let seal_key = keyfile::load_or_make(&config.data_dir.join("audit.key"), &random)?;
        let chain = random.id(clock.now()).map_err(Failure::from)?;
        let thread = |source| StartError::System { step: "starting a thread".into(), source };
        let outcomes = Outcomes::start(&store, &clock).map_err(thread)?;
        let batcher = Batcher::start(&store, &clock, &outcomes).map_err(thread)?;
        Ok(Arc::new(Self {
            batcher: Mutex::new(Some(Arc::new(batcher))),
            outcomes,
            refusals: Arc::default(),
            readers: Readers::default(),
            in_flight: InFlight::new(match opener {
                Opener::Server if config.broken.leaves_out(Rule::LeaseRunsOut) => Lease::unlimited(clock.clone()),
                Opener::Server => Lease::new(clock.clone()),
                Opener::Task => Lease::unlimited(clock.clone()),
            }),
            replicas: Replicas::new(random.id(clock.now()).map_err(Failure::from)?),
            authorities: Authorities::new(store.clone()),
            passwords: Passwords::new(random.clone()).map_err(thread)?,
            tokens: Tokens::new(&keys.signing),
            sealer: Sealer::new(&keys.sealing),
            limiter: Limiter::new(config.limits(), store.clone()),
            visitors: Visitors::default(),
            strangers: Strangers::new(config.unknown_rate_limit),
            uses: Uses::default(),
            discoveries: Discoveries::default(),
            streams: Streams::default(),
            assets: Assets::new().map_err(|source| StartError::System { step: "packing the assets".into(), source })?,
            metrics: Metrics::new(),
            purge_clock: PurgeClock::default(),
            policy: Policy {
                keys_may_administer: config.api_keys.allow_administration,
                second_factor: config.second_factor.required_for.clone(),
            },
            keys: Mutex::new(keys),
            seal_key: SealKey::new(*seal_key),
            chain,
            clusters: Known::default(),
            stopping: CancellationToken::new(),
            starts: AtomicBool::new(opener == Opener::Server),
            config,
            store,
            clock,
            random,
        }))
    }

    /// What the operator has settled about keys.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Runs a call of the store off the request threads.
    ///
    /// # Errors
    /// The call's own, [`Failure::Unavailable`] where the database is silent, and [`Failure::Internal`] if it panicked.
    pub async fn with_store<T, E>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let starts = self.starts.load(Ordering::Relaxed);
        let longest = if starts { patience::START } else { Duration::MAX };
        patience::answer(self.with_store_at_length(work), longest, || !starts && self.store.is_silent()).await?
    }

    /// The same for what takes the database long by its nature, and is waited for until it ends.
    ///
    /// # Errors
    /// As [`Self::with_store`].
    pub async fn with_store_at_length<T, E>(
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
        match self.clusters.get() {
            Some(list) => Ok(list),
            None => Box::pin(self.reload_clusters()).await,
        }
    }

    /// Reads the list of clusters again.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn reload_clusters(&self) -> Result<Arc<ClusterList>, Failure> {
        self.clusters.read(|| self.store.timeline(), self.with_store(Store::list_clusters)).await
    }

    /// Forgets what was read from a primary whose place another has taken.
    pub fn forget_what_was_read(&self) {
        self.authorities.forget_all();
        self.clusters.forget();
    }

    /// Reads the list of clusters again after it was changed. The change is done whether this succeeds or not: a list that
    /// is out of date is found stale by its version, and read again then.
    pub async fn refresh_clusters(&self) {
        if let Err(error) = self.reload_clusters().await {
            tracing::warn!(error = logging::whole(&error), "the list of clusters was not read again");
        }
    }

    /// Reads the key files again, and goes on with them where they have changed.
    ///
    /// # Errors
    /// [`KeyFileError`]; then the keys are what they were.
    pub fn reload_keys(&self) -> Result<(), KeyFileError> {
        let found = KeyRings::load(&self.config.data_dir, &self.random)?;
        let mut known = self.keys.lock();
        if found.signing != known.signing {
            self.tokens.replace(&found.signing);
        }
        if found.sealing != known.sealing {
            self.sealer.replace(&found.sealing);
        }
        *known = found;
        Ok(())
    }

    /// Seals what has been written to the audit log since the last time.
    ///
    /// # Errors
    /// [`StoreError`]; what was not sealed waits for the next time.
    pub fn seal_audit(&self) -> Result<usize, StoreError> {
        self.store.seal(&self.seal_key, self.chain, self.clock.now())
    }

    /// The key under which the audit log is sealed.
    #[must_use]
    pub fn seal_key(&self) -> &SealKey {
        &self.seal_key
    }

    /// Whether the server is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Requests are served from now on, and kept waiting by no call that the database is silent about.
    pub fn has_started(&self) {
        self.starts.store(false, Ordering::Relaxed);
    }

    /// Tells load balancers to look elsewhere, and those with a stream to open it there.
    pub fn drain(&self) {
        self.stopping.cancel();
    }

    /// Cancelled once the server is stopping. Streams, which would never end, end then.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The way to admission.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] once the application has stopped.
    pub fn batcher(&self) -> Result<Arc<Batcher>, Failure> {
        let stopped = Failure::Unavailable { step: "admission has stopped", source: None };
        self.batcher.lock().clone().ok_or(stopped)
    }

    /// Writes what is still to be written and ends the threads.
    pub fn stop(&self) {
        // The last reference ends its lanes.
        drop(self.batcher.lock().take());
        self.outcomes.stop();
        // What waits from before, and then what has come since.
        for _ in 0..2 {
            if let Err(error) = self.store.note_uses(&self.uses.take(usize::MAX)) {
                tracing::warn!(error = logging::whole(&error), "the last uses of keys were not noted");
            }
        }
        // Last: it seals what the others have written.
        if let Err(error) = self.seal_audit() {
            tracing::warn!(error = logging::whole(&error), "the last entries are sealed at the next start");
        }
    }
}
