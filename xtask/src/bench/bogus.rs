//! A flood of keys that nobody has, on one core with everything else: what it does to those who have one.

use super::{
    http,
    people::{Beside, beside},
    process::Server,
    system::{self, Interrupt},
};
use crate::error::{Done, TaskError, Tried};
use std::{
    cell::Cell,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::LocalSet};

/// Requests a second that are offered.
const OFFERED: u32 = 20_000;
/// Those who offer them; each waits for its answer, so that more are offered than the server turns away only if it is slow.
const FLOODERS: u32 = 1_024;

/// Times keys alone and beside a flood of these.
pub(super) fn flood(
    server: &Server,
    requests: &Rc<Vec<Vec<u8>>>,
    bogus: &[Vec<u8>],
    interrupt: &Interrupt,
) -> Done<Beside> {
    let (told, took) = (Arc::new(Answers::default()), Cell::new(Duration::ZERO));
    let mut flooded = beside(server, requests, interrupt, || {
        let (stop, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let flooders = {
            let (address, bogus, stop, told) = (server.address, bogus.to_vec(), stop.clone(), told.clone());
            thread::spawn(move || flooders(address, bogus, &stop, &told))
        };
        let took = &took;
        move || {
            took.set(took.get() + began.elapsed());
            stop.store(true, Ordering::Relaxed);
            flooders.join().map_err(|_| TaskError::new("a flooder panicked"))?
        }
    })?;
    flooded.wrong += told.wrong.load(Ordering::Relaxed);
    let a_second = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / took.get().as_secs_f64();
    let (refused, turned_away) = (a_second(&told.refused), a_second(&told.turned_away));
    flooded.flood = format!("{refused:.0} a second refused, {turned_away:.0} not looked at");
    Ok(flooded)
}

/// A request as a proxy hands it on that stands before the server.
pub(super) fn from(mut request: Vec<u8>, address: Ipv4Addr) -> Vec<u8> {
    request.truncate(request.len().saturating_sub(2));
    request.extend_from_slice(format!("x-forwarded-for: {address}\r\n\r\n").as_bytes());
    request
}

#[derive(Debug, Default)]
struct Answers {
    refused: AtomicU64,
    /// Told that too many came from their address.
    turned_away: AtomicU64,
    wrong: AtomicU64,
}

fn flooders(address: SocketAddr, bogus: Vec<Vec<u8>>, stop: &Arc<AtomicBool>, told: &Arc<Answers>) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().tried("starting a runtime")?;
    let bogus = Rc::new(bogus);
    LocalSet::new().block_on(&runtime, async {
        let each = |n| tokio::task::spawn_local(flooder(address, n, bogus.clone(), stop.clone(), told.clone()));
        let all: Vec<_> = (0..FLOODERS).map(each).collect();
        for flooder in all {
            flooder.await.tried("a flooder's task")??;
        }
        Ok(())
    })
}

/// One of those who make the flood, at its pace. What it could not send in time it does not send later.
async fn flooder(
    address: SocketAddr,
    n: u32,
    bogus: Rc<Vec<Vec<u8>>>,
    stop: Arc<AtomicBool>,
    told: Arc<Answers>,
) -> Done {
    let mut random = system::Random::new(u64::from(n));
    let mut stream = TcpStream::connect(address).await.tried("connecting to the server")?;
    stream.set_nodelay(true).tried("setting up a connection")?;
    let between = Duration::from_secs(1) * FLOODERS / OFFERED;
    let mut pace = tokio::time::interval_at(tokio::time::Instant::now() + between * n / FLOODERS, between);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut buffer = vec![0; 4 * 1024];
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let answer = http::ask(&mut stream, &bogus[random.below(bogus.len())], &mut buffer).await?;
        let count = match answer.status {
            401 => &told.refused,
            429 => &told.turned_away,
            _ => &told.wrong,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
