//! The server: from a configuration to listening sockets, and from a signal back to silence.

mod sealing;

use crate::{
    admission::Replies,
    app::{App, StartError},
    clock::{Clock, Random},
    config::Config,
    failure::Failure,
    held, logging,
    metrics::Levels,
    operations::{
        first_start::{self, first_start},
        purge_audit::purge_audit,
        register_contexts::register_contexts,
    },
    replicas::{self, Membership},
    routes,
    tls::{self, Tls},
    upstreams::Upstreams,
};
use actix_web::{App as Web, HttpServer, web};
use kv_store::{Opener, admission::EntryEnd};
use secrecy::ExposeSecret;
use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

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
/// How long a stopping server writes what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(8);
/// How long the listeners of a server that is left may take to close.
const FAREWELL: Duration = Duration::from_secs(3);
/// Between two rounds of housekeeping.
const HOUSEKEEPING: Duration = Duration::from_secs(3);
/// Last uses written in one transaction.
const USES: usize = 200;
/// The most that are written in one round.
const USES_A_ROUND: usize = 3_000;
/// Between two attempts to begin anew.
const BETWEEN_STARTS: Duration = Duration::from_secs(1);
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

/// Runs a program around a server to its end. Nothing else is waited for: a call that the database never answers would keep
/// the process from ending.
pub fn to_its_end(program: impl Future<Output = ExitCode>) -> ExitCode {
    let system = actix_web::rt::System::new();
    let code = system.block_on(program);
    std::mem::forget(system);
    code
}

/// Runs a server until it is told to stop.
///
/// # Errors
/// [`StartError`].
pub async fn run(config: Config) -> Result<(), StartError> {
    let mut stop = pin!(stop_signal());
    let mut server = start(config.clone(), Clock::system(), Random::system()).await?;
    loop {
        tracing::info!(address = %server.address, database = ?server.app.store.url(), "serving");
        if server.app.config.tls().is_none() && !server.address.ip().is_loopback() {
            tracing::warn!(
                "plain HTTP beyond this machine: keys and passwords can be read on the way; \
                 set KUBEVISION_TLS_CERT and KUBEVISION_TLS_KEY, or put TLS in front"
            );
        }
        tokio::select! {
            () = &mut stop => break,
            () = replicas::silence(&server.app) => {}
        }
        tracing::error!(
            "the connections to the database are silent, and new ones are answered: they are left, and the server begins anew"
        );
        let outcomes = server.leave().await;
        let anew = async {
            loop {
                match start(config.clone(), Clock::system(), Random::system()).await {
                    Ok(server) => return server,
                    Err(error) => tracing::warn!(error = logging::whole(&error), "the server does not begin"),
                }
                tokio::time::sleep(BETWEEN_STARTS).await;
            }
        };
        server = tokio::select! {
            () = &mut stop => return Ok(()),
            server = anew => server,
        };
        outcomes.into_iter().for_each(|end| server.app.outcomes.push(end));
    }
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
            .app_data(Replies::of_this_thread())
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
    app.has_started();
    let metrics_handle = metrics.handle();
    drop(tokio::spawn(metrics));
    Ok(Running {
        address,
        metrics_address,
        handle: server.handle(),
        work: tokio::spawn(server),
        housekeeping: tokio::spawn(keep_house(app.clone(), tls)),
        sealing: tokio::spawn(sealing::keep_sealing(app.clone())),
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
        if tokio::time::timeout(LAST_WORDS, stopped(self.app)).await.is_err() {
            tracing::error!("the database does not answer; what was still to be written is not");
        }
    }

    /// Leaves everything where it is, with calls that will not be answered, and gives the outcomes that are not written. What
    /// began here has ended: its lease has run out.
    async fn leave(self) -> Vec<EntryEnd> {
        self.app.drain();
        self.housekeeping.abort();
        self.sealing.abort();
        for handle in [&self.handle, &self.metrics] {
            if tokio::time::timeout(FAREWELL, handle.stop(false)).await.is_err() {
                tracing::warn!("a listener does not end");
            }
        }
        self.membership.leave();
        let outcomes = self.app.outcomes.not_written();
        // Its threads end, should they be answered after all.
        drop(stopped(self.app));
        outcomes
    }
}

/// Stops an application, on a thread of its own, which keeps nothing from ending: what it waits for may never come.
fn stopped(app: Arc<App>) -> impl Future<Output = ()> {
    let (tell, told) = oneshot::channel();
    let stopping = std::thread::Builder::new().name("stopping".into()).spawn(move || {
        app.stop();
        // Nobody may be waiting.
        let _ = tell.send(());
    });
    async move {
        if stopping.is_err() || told.await.is_err() {
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
                tracing::warn!(error = logging::whole(&error), step, "housekeeping failed");
            }
        }
    }
}

/// Takes up what has changed in the files of keys and certificates.
fn read_again(app: &App, tls: Option<&Tls>) {
    if let Err(error) = app.reload_keys() {
        tracing::warn!(error = logging::whole(&error), "the key files cannot be read again");
    }
    match tls.map(Tls::take_up) {
        Some(Ok(true)) => tracing::info!("the TLS certificate was replaced; new connections get it"),
        Some(Err(error)) => {
            let error = logging::whole(&error);
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
