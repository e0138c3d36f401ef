//! Through the server to a real cluster, beside the same request straight to it: one object, a long list, many watches, and
//! how soon a thousand of them end.

mod client;

use super::{
    place::{Database, Place},
    process::Server,
    report::Bars,
    system::{Interrupt, Pins},
};
use crate::{
    error::{Done, TaskError, Tried},
    kube,
    output::progress,
};
use client::{Loaded, Way};
use http_body_util::BodyExt;
use serde_json::json;
use std::{
    fs,
    future::Future,
    time::{Duration, Instant},
};
use tokio::task::LocalSet;

/// Connections of the load.
const CONNECTIONS: usize = 16;
/// Turns of straight and through, so that neither has the better moments.
const TURNS: usize = 3;
/// Pods in the list; each has this many bytes of its own, so that the list is about 10 MB long.
const PODS: usize = 5_000;
const POD_BYTES: usize = 1_100;
/// Watches at once.
const WATCHES: usize = 2_000;
/// Watches that end together.
const CUT: usize = 1_000;
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const PODS_PATH: &str = "/api/v1/namespaces/default/pods";
const WATCH: &str = "/api/v1/namespaces/kube-public/configmaps?watch=true";

/// What was measured.
pub(super) struct Reached {
    pub(super) straight: f64,
    pub(super) through: f64,
    /// The middle of one connection alone, straight and through.
    pub(super) alone: (Duration, Duration),
    pub(super) commit: Duration,
    /// How long the list was, and how much more memory was resident at its most.
    pub(super) list: (usize, u64),
    /// Memory of a watch.
    pub(super) watch_kib: f64,
    /// How long a revocation took, and until the last of the streams was over.
    pub(super) cut: (Duration, Duration),
}

/// A cluster filled for it. Ends with this value.
pub(super) struct Prepared {
    cluster: Option<kube::Cluster>,
    straight: Way,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.take()
            && let Err(error) = cluster.stop()
        {
            progress(&format!("the cluster did not end: {error}"));
        }
    }
}

/// Brings a cluster up, on the servers' cores, and fills it.
pub(super) fn prepare(pins: &Pins) -> Done<Prepared> {
    pins.this_like_servers()?;
    let up = kube::up(&format!("bench-{}", std::process::id()), &[], &progress);
    pins.this_like_load()?;
    let cluster = up?;
    let folder = cluster.kubeconfig.parent().ok_or_else(|| TaskError::new("the cluster has no folder"))?.to_owned();
    let address = cluster.server.trim_start_matches("https://").parse().tried("reading the cluster's address")?;
    let ca = fs::read(folder.join("ca.crt")).tried("reading the cluster's CA")?;
    let tokens = fs::read_to_string(folder.join("tokens.csv")).tried("reading the cluster's token")?;
    let token = tokens.split(',').next().unwrap_or_default();
    let straight = Way::straight(address, &ca, token)?;
    let prepared = Prepared { cluster: Some(cluster), straight };
    run(async {
        progress(&format!("filling the cluster with {PODS} pods"));
        let labels = json!({"app": "web"});
        let container = json!([{"name": "c", "image": "example.invalid/c:1"}]);
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": container}}},
        });
        let mut connection = prepared.straight.open().await?;
        let collection = DEPLOYMENT.trim_end_matches("/web");
        expect(connection.whole("POST", collection, &deployment.to_string()).await?.0, 201)?;
        let makers: Vec<_> = (0..CONNECTIONS)
            .map(|lane| {
                let (way, container) = (prepared.straight.clone(), container.clone());
                tokio::task::spawn_local(async move {
                    let mut connection = way.open().await?;
                    for n in (lane..PODS).step_by(CONNECTIONS) {
                        let pod = json!({
                            "apiVersion": "v1", "kind": "Pod",
                            "metadata": {"name": format!("pod-{n}"), "annotations": {"filling": "x".repeat(POD_BYTES)}},
                            // Nobody's, so it stays as it is.
                            "spec": {"schedulerName": "nobody", "containers": container},
                        });
                        expect(connection.whole("POST", PODS_PATH, &pod.to_string()).await?.0, 201)?;
                    }
                    Ok::<_, TaskError>(())
                })
            })
            .collect();
        for maker in makers {
            maker.await.tried("filling the cluster")??;
        }
        Ok(())
    })?;
    Ok(prepared)
}

/// Measures a server on a database.
pub(super) fn measure(
    place: &Place,
    pins: &Pins,
    database: &Database,
    prepared: &Prepared,
    seconds: u64,
    interrupt: &Interrupt,
) -> Done<Reached> {
    let cluster = prepared.cluster.as_ref().ok_or_else(|| TaskError::new("there is no cluster"))?;
    let kubeconfig = cluster.kubeconfig.display().to_string();
    let task = |arguments: &[&str]| place.task(pins, database, interrupt, arguments);
    task(&["cluster", "add", "bench", "--kubeconfig", &kubeconfig])?;
    task(&["user", "create", "bench", "--role", "ops"])?;
    task(&["user", "assign", "bench", "--cluster", "bench"])?;
    let key = |name: &str| -> Done<String> {
        let told = task(&["key", "create", "--json", "--user", "bench", "--name", name])?;
        let told: serde_json::Value = serde_json::from_str(&told).tried("reading a key")?;
        told["key"].as_str().map(str::to_owned).ok_or_else(|| TaskError::new("no key was told"))
    };
    let (own, other) = (key("load")?, key("cut")?);
    let commit = place.durable_write()?;
    let server = Server::ready(place, pins, database)?;
    let (straight, through) = (&prepared.straight, Way::through(server.address, &own));
    let window = Duration::from_secs(seconds.clamp(1, 60));
    let name = database.name;
    let turns = |connections: usize| {
        let through = &through;
        async move {
            let mut both: Option<(Loaded, Loaded)> = None;
            for _ in 0..TURNS {
                interrupt.check()?;
                let there = client::load(straight, DEPLOYMENT, connections, window / TURNS as u32).await?;
                let here = client::load(through, DEPLOYMENT, connections, window / TURNS as u32).await?;
                both = Some(match both {
                    None => (there, here),
                    Some((before, after)) => (before.and(&there), after.and(&here)),
                });
            }
            both.ok_or_else(|| TaskError::new("nothing was measured"))
        }
    };
    let reached = run(async {
        progress(&format!("one object through {name}, and straight"));
        let loaded = turns(CONNECTIONS).await?;
        let alone = turns(1).await?;
        let middle = |loaded: &Loaded| loaded.latencies.quantile(0.5);

        progress(&format!("a list of {PODS} pods through {name}"));
        let before = server.resident_kib()?;
        server.forget_most()?;
        let (status, length) = through.open().await?.whole("GET", PODS_PATH, "").await?;
        expect(status, 200)?;
        let most = server.most_resident_kib()?.saturating_sub(before);

        progress(&format!("{WATCHES} watches through {name}"));
        let before = server.resident_kib()?;
        let watches = open_watches(&through, WATCHES).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let watch_kib = server.resident_kib()?.saturating_sub(before) as f64 / WATCHES as f64;
        drop(watches);
        tokio::time::sleep(Duration::from_secs(1)).await;

        progress(&format!("{CUT} watches cut on {name}"));
        let watches = open_watches(&Way::through(server.address, &other), CUT).await?;
        let cut = cut(&server, &other, watches).await?;
        Ok(Reached {
            straight: loaded.0.per_second(),
            through: loaded.1.per_second(),
            alone: (middle(&alone.0), middle(&alone.1)),
            commit,
            list: (length, most),
            watch_kib,
            cut,
        })
    })?;
    server.stop()?;
    Ok(reached)
}

type Watch = (client::Connection, hyper::Response<hyper::body::Incoming>);

/// Opens watches, each with its first event read.
async fn open_watches(way: &Way, count: usize) -> Done<Vec<Watch>> {
    let mut open = Vec::with_capacity(count);
    while open.len() < count {
        let some: Vec<_> = (0..20.min(count - open.len()))
            .map(|_| {
                let way = way.clone();
                tokio::task::spawn_local(async move {
                    let mut connection = way.open().await?;
                    let mut answer = connection.ask("GET", WATCH, "").await?;
                    expect(answer.status().as_u16(), 200)?;
                    answer.body_mut().frame().await;
                    Ok::<_, TaskError>((connection, answer))
                })
            })
            .collect();
        for one in some {
            open.push(one.await.tried("opening a watch")??);
        }
    }
    Ok(open)
}

/// Revokes the key of watches, and waits until each is over.
async fn cut(server: &Server, key: &str, watches: Vec<Watch>) -> Done<(Duration, Duration)> {
    let mut connection = Way::ours(server.address, key).open().await?;
    let began = Instant::now();
    let readers: Vec<_> = watches
        .into_iter()
        .map(|(connection, mut answer)| {
            tokio::task::spawn_local(async move {
                while let Some(Ok(_)) = answer.body_mut().frame().await {}
                drop(connection);
                Instant::now()
            })
        })
        .collect();
    let (status, _) = connection.whole("DELETE", "/api/v1/api-keys/current", "").await?;
    let revoked = began.elapsed();
    expect(status, 204)?;
    let mut last = began;
    for reader in readers {
        last = last.max(reader.await.tried("reading a watch")?);
    }
    Ok((revoked, last - began))
}

fn expect(status: u16, wanted: u16) -> Done {
    match status == wanted {
        true => Ok(()),
        false => Err(TaskError::new(format!("an answer was {status}, not {wanted}"))),
    }
}

fn run<T>(work: impl Future<Output = Done<T>>) -> Done<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().tried("starting a runtime")?;
    LocalSet::new().block_on(&runtime, work)
}

/// The least share of the direct speed; the most that one request alone may take longer, beside the commits; and so on.
const SHARE: f64 = 0.70;
const COMMITS: f64 = 1.5;
const BESIDE: Duration = Duration::from_micros(300);
const LIST_KIB: u64 = 16 * 1024;
const WATCH_KIB: f64 = 64.0;
const CUT_WITHIN: Duration = Duration::from_millis(100);

impl Bars {
    /// A real cluster through the server.
    pub(super) fn cluster(&mut self, name: &str, reached: &Reached) {
        let ratio = reached.through / reached.straight;
        self.bar(
            ratio >= SHARE,
            format!("{name}: one object through the server to straight"),
            format!("{ratio:.2} ({:.0} of {:.0} requests/s)", reached.through, reached.straight),
            format!(">= {SHARE:.2}"),
        );
        let (straight, through) = reached.alone;
        let most = straight + reached.commit.mul_f64(COMMITS) + BESIDE;
        self.bar(
            through <= most,
            format!("{name}: p50 of one alone"),
            format!("{through:.3?} ({straight:.3?} straight, a durable write {:.3?})", reached.commit),
            format!("<= {most:.3?}"),
        );
        let (length, kib) = reached.list;
        self.bar(
            kib < LIST_KIB,
            format!("{name}: memory for a list of {:.1} MB", length as f64 / 1e6),
            format!("{:.1} MiB", kib as f64 / 1024.0),
            "< 16 MiB".into(),
        );
        self.bar(
            reached.watch_kib < WATCH_KIB,
            format!("{name}: memory of each of {WATCHES} watches"),
            format!("{:.1} KiB", reached.watch_kib),
            "< 64 KiB".into(),
        );
        let (revoked, last) = reached.cut;
        self.bar(
            last <= CUT_WITHIN,
            format!("{name}: {CUT} idle watches cut"),
            format!("{last:.1?}, the revocation answered after {revoked:.1?}"),
            "<= 100 ms".into(),
        );
    }
}
