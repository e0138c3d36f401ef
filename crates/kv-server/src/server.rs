//! The server: from a configuration to listening sockets, and from a signal back to silence.

use crate::{
    app::{App, StartError},
    clock::{Clock, Random},
    config::Config,
    failure::Failure,
    held,
    metrics::Levels,
    operations::{
        first_start::{self, first_start},
        purge_audit::purge_audit,
        register_contexts::register_contexts,
    },
    replicas::Membership,
    routes,
    tls::{self, Tls},
    upstreams::Upstreams,
};
use actix_web::{App as Web, HttpServer, web};
use kv_store::{Opener, StoreError};
use secrecy::ExposeSecret;
use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use time::OffsetDateTime;

/// Workers: one a core up to this many.
const MAX_WORKERS: usize = 8;
/// How long a client may take to send its head.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// How long a client may take to agree on TLS.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
/// How many clients may be about to agree on TLS, for each worker. Above it new ones wait, so silent ones must not fill it.
const HANDSHAKES: usize = 4_096;
/// How long running requests may take to end once the server stops.
const SHUTDOWN_SECONDS: u64 = 10;
/// Between two rounds of housekeeping.
const HOUSEKEEPING: Duration = Duration::from_secs(3);
/// Last uses written in one transaction.
const USES: usize = 200;
/// The most that are written in one round.
const USES_A_ROUND: usize = 3_000;
/// Between two seals of the audit log.
const SEALING: Duration = Duration::from_secs(1);
/// The round of sealing in which what a crash left is adopted.
const ADOPTION: u32 = 10;
/// Between two steps of deleting.
const BETWEEN_STEPS: Duration = Duration::from_millis(50);
/// The most rows of throttles and sessions that are deleted an hour.
const ROWS: i64 = 10_000;
/// How long sessions that are over are remembered: by them an address is known to be familiar.
const KEEP_SESSIONS: time::Duration = time::Duration::days(90);
/// How long what was to be ended is remembered. No lease lasts so long by far.
const KEEP_CUTS: time::Duration = time::Duration::hours(1);
/// Rounds between two looks at what changes by the hour.
const ROUNDS_AN_HOUR: u32 = 1_200;

/// A server that listens.
#[derive(Debug)]
pub struct Running {
    /// The application.
    pub app: Arc<App>,
    /// Where the API listens.
    pub address: SocketAddr,
    /// Where `/metrics` listens.
    pub metrics_address: SocketAddr,
    /// To stop it.
    pub handle: actix_web::dev::ServerHandle,
    work: tokio::task::JoinHandle<std::io::Result<()>>,
    housekeeping: tokio::task::JoinHandle<()>,
    sealing: tokio::task::JoinHandle<()>,
    membership: Membership,
    metrics: actix_web::dev::ServerHandle,
}

/// Runs a server until it is told to stop.
///
/// # Errors
/// [`StartError`].
pub async fn run(config: Config) -> Result<(), StartError> {
    let server = start(config, Clock::system(), Random::system()).await?;
    tracing::info!(address = %server.address, database = ?server.app.store.url(), "serving");
    if server.app.config.tls().is_none() && !server.address.ip().is_loopback() {
        tracing::warn!(
            "plain HTTP beyond this machine: keys and passwords can be read on the way; \
             set KUBEVISION_TLS_CERT and KUBEVISION_TLS_KEY, or put TLS in front"
        );
    }
    stop_signal().await;
    tracing::info!("stopping");
    server.stop().await;
    Ok(())
}

/// Starts a server and returns as soon as it listens.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, clock: Clock, random: Random) -> Result<Running, StartError> {
    // First: a certificate that cannot be used stops the start before anything is changed.
    let tls = config.tls().map(Tls::load).transpose()?.map(Arc::new);
    config.tls_ca.as_deref().map(tls::authorities).transpose()?;
    let opened = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || App::start(config, Opener::Server, clock, random)).await
    };
    let app = opened.map_err(|error| StartError::System {
        step: "opening the database".into(),
        source: std::io::Error::other(error),
    })??;
    if let Some(password) = first_start(&app).await? {
        announce(password.expose_secret());
    }
    let registered = register_contexts(&app).await?;
    if registered > 0 {
        tracing::info!(clusters = registered, "registered the operator's clusters");
    }
    let listen = |address: SocketAddr| {
        let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
        bound.map_err(|source| StartError::System { step: format!("listening on {address}"), source })
    };
    let (address, listener) = listen(config.listen)?;
    let (metrics_address, metrics_listener) = listen(config.metrics_listen)?;
    let system = |source| StartError::System { step: "starting the workers".into(), source };

    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(MAX_WORKERS);
    let shared = app.clone();
    let server = HttpServer::new(move || {
        Web::new()
            .app_data(web::Data::new(shared.clone()))
            .app_data(web::Data::new(Upstreams::new(&shared)))
            .configure(routes::configure)
    })
    .workers(workers)
    .on_connect(held::keep_socket)
    .client_request_timeout(HEAD_PATIENCE)
    // Who closes has gone: a stream to nobody would be kept until there is something to send.
    .h1_allow_half_closed(false)
    .tls_handshake_timeout(HANDSHAKE_PATIENCE)
    .max_connection_rate(HANDSHAKES)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals();
    let listening = match &tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls.server_config()?),
        None => server.listen(listener),
    };
    let server = listening.map_err(system)?.run();

    let counted = app.clone();
    let metrics = HttpServer::new(move || {
        let app = counted.clone();
        Web::new().route("/metrics", web::get().to(move || metrics(app.clone())))
    })
    .workers(1)
    .disable_signals()
    .listen(metrics_listener)
    .map_err(system)?
    .run();

    // Before anything is answered.
    let membership = Membership::begin(&app).await?;
    let metrics_handle = metrics.handle();
    drop(tokio::spawn(metrics));
    Ok(Running {
        address,
        metrics_address,
        handle: server.handle(),
        work: tokio::spawn(server),
        housekeeping: tokio::spawn(keep_house(app.clone(), tls)),
        sealing: tokio::spawn(keep_sealing(app.clone())),
        membership,
        metrics: metrics_handle,
        app,
    })
}

impl Running {
    /// Stops: no new requests, running ones ended, what is to be written written.
    pub async fn stop(self) {
        self.app.drain();
        self.housekeeping.abort();
        self.sealing.abort();
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.work.await {
            tracing::warn!(%error, "the server did not stop cleanly");
        }
        self.metrics.stop(false).await;
        self.membership.end().await;
        let app = self.app;
        if tokio::task::spawn_blocking(move || app.stop()).await.is_err() {
            tracing::error!("stopping the application failed");
        }
    }
}

async fn metrics(app: Arc<App>) -> String {
    let waiting = app.batcher().map_or(0, |batcher| batcher.waiting());
    app.metrics.text(&Levels {
        admissions_waiting: waiting,
        outcomes_waiting: app.outcomes.waiting(),
        credentials_in_flight: app.in_flight.credentials(),
        lease_held: app.in_flight.lease().holds(),
        cuts_running: app.replicas.running(),
    })
}

/// What is done now and then: last uses noted, full buckets forgotten, days of the audit log made ahead, files read again.
async fn keep_house(app: Arc<App>, tls: Option<Arc<Tls>>) {
    let mut round = 0_u32;
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        round = round.wrapping_add(1);
        let uses = app.uses.take(USES_A_ROUND);
        // A few at a time: on SQLite admission waits meanwhile.
        let noted = app.with_store(move |store| uses.chunks(USES).try_for_each(|some| store.note_uses(some))).await;
        let mut done = vec![("noting the last uses of keys", noted)];
        if round.is_multiple_of(ROUNDS_AN_HOUR) {
            let now = app.clock.now();
            done.push(("making audit days", app.with_store(move |store| store.prepare_audit_days(now)).await));
        }
        if round.is_multiple_of(ROUNDS_AN_HOUR) || round == 1 {
            done.push(("deleting what is over", delete_what_is_over(&app).await));
        }
        let (files, certificate) = (app.clone(), tls.clone());
        if let Err(error) = tokio::task::spawn_blocking(move || read_again(&files, certificate.as_deref())).await {
            tracing::error!(%error, "reading the key files panicked");
        }
        app.limiter.forget_full();
        for (step, result) in done {
            if let Err(error) = result {
                tracing::warn!(error = &error as &dyn std::error::Error, step, "housekeeping failed");
            }
        }
    }
}

/// Takes up what has changed in the files of keys and certificates.
fn read_again(app: &App, tls: Option<&Tls>) {
    if let Err(error) = app.reload_keys() {
        tracing::warn!(error = &error as &dyn std::error::Error, "the key files cannot be read again");
    }
    match tls.map(Tls::take_up) {
        Some(Ok(true)) => tracing::info!("the TLS certificate was replaced; new connections get it"),
        Some(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the changed TLS files cannot be used; the certificate before them is served on");
        }
        Some(Ok(false)) | None => {}
    }
}

/// Deletes what nobody needs any more, in small steps with pauses, so that requests hardly wait for it.
async fn delete_what_is_over(app: &Arc<App>) -> Result<(), Failure> {
    while !purge_audit(app).await?.is_nothing() {
        tokio::time::sleep(BETWEEN_STEPS).await;
    }
    let now = app.clock.now();
    app.with_store(move |store| store.purge_throttles(now, ROWS)).await?;
    app.with_store(move |store| store.purge_sessions(now - KEEP_SESSIONS, ROWS)).await?;
    app.with_store(move |store| store.forget_cuts(now - KEEP_CUTS)).await?;
    Ok(())
}

/// Seals the audit log each second, on a thread of its own: the requests do not wait for it. What a crash left unsealed is
/// adopted once, when whoever else may have written it has had the time to seal it.
async fn keep_sealing(app: Arc<App>) {
    let started = app.clock.now();
    // From when on: asked before this process seals anything of its own, which would hide what is asked for.
    let mut since = None;
    let mut round = 0_u32;
    loop {
        tokio::time::sleep(SEALING).await;
        let (sealing, known, adopts) = (app.clone(), since, round == ADOPTION);
        let done = tokio::task::spawn_blocking(move || seal_once(&sealing, known, adopts.then_some(started)));
        match done.await {
            Ok(Ok(from)) => {
                since = Some(from);
                round = round.saturating_add(1);
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the audit log is not sealed for now");
            }
            Err(error) => tracing::error!(%error, "sealing the audit log panicked"),
        }
    }
}

/// One round, which adopts what was written before `until` where that is given. Tells from when on there may be something
/// to adopt.
fn seal_once(
    app: &App,
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
) -> Result<OffsetDateTime, StoreError> {
    let since = match since {
        Some(since) => since,
        None => app.store.unsealed_since()?,
    };
    // First: an adoption that fails must not stop this.
    app.seal_audit()?;
    if let Some(until) = until
        && let Err(error) = adopt(app, since, until)
    {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "what an earlier run left unsealed stays so until the next start, and reads as unsealed");
    }
    Ok(since)
}

/// Seals what an earlier run wrote and did not seal.
fn adopt(app: &App, since: OffsetDateTime, until: OffsetDateTime) -> Result<(), StoreError> {
    let found = app.store.adopt_unsealed(since, until)?;
    if found > 0 {
        tracing::warn!(entries = found, "entries that an earlier run left unsealed are sealed now");
    }
    app.seal_audit()?;
    app.store.note_adopted(until)
}

/// Shows the first administrator's password, once, to whoever started the server; never through the log.
fn announce(password: &str) {
    let name = first_start::NAME;
    let text =
        format!("\nFirst start. Sign in as `{name}` with this password; it is not shown again:\n\n    {password}\n\n");
    // A closed standard error only means that nobody is reading.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
