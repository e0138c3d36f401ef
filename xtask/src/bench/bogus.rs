//! A flood of keys that nobody has, on one core with everything else: what it does to those who have one.

use super::{
    http,
    people::{LOOKS, honest, median},
    process::Server,
    system::{self, Interrupt},
};
use crate::error::{Done, TaskError, Tried};
use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

/// Requests a second that are offered.
const OFFERED: u32 = 20_000;
/// Those who offer them; each waits for its answer, so that more are offered than the server turns away only if it is slow.
const FLOODERS: u32 = 512;

/// Times of requests with keys, alone and beside a flood of bogus ones.
#[derive(Debug)]
pub(super) struct Bogus {
    /// The 99th percentile alone, the median of all looks.
    pub(super) alone: Duration,
    /// The same beside the flood.
    pub(super) beside: Duration,
    /// Bogus requests a second that were answered.
    pub(super) refused: u64,
    /// Answers to keys other than 200, and to bogus ones other than 401.
    pub(super) wrong: u64,
}

/// Times keys alone and beside a flood of these.
pub(super) fn flood(
    server: &Server,
    requests: &Rc<Vec<Vec<u8>>>,
    bogus: &[Vec<u8>],
    interrupt: &Interrupt,
) -> Done<Bogus> {
    let (mut wrong, mut alone, mut beside) = (0, Vec::new(), Vec::new());
    let (told, mut seconds) = (Arc::new(Answers::default()), 0.0);
    for _ in 0..LOOKS {
        alone.push(honest(server.address, requests, &mut wrong, interrupt)?);
        let stop = Arc::new(AtomicBool::new(false));
        let flooders = {
            let (address, bogus, stop, told) = (server.address, bogus.to_vec(), stop.clone(), told.clone());
            thread::spawn(move || flooders(address, bogus, &stop, &told))
        };
        thread::sleep(Duration::from_secs(1));
        let (before, began) = (told.refused.load(Ordering::Relaxed), Instant::now());
        let looked = honest(server.address, requests, &mut wrong, interrupt);
        seconds += began.elapsed().as_secs_f64();
        told.looked.fetch_add(told.refused.load(Ordering::Relaxed) - before, Ordering::Relaxed);
        stop.store(true, Ordering::Relaxed);
        flooders.join().map_err(|_| TaskError::new("a flooder panicked"))??;
        beside.push(looked?);
    }
    Ok(Bogus {
        alone: median(alone),
        beside: median(beside),
        refused: (told.looked.load(Ordering::Relaxed) as f64 / seconds) as u64,
        wrong: wrong + told.wrong.load(Ordering::Relaxed),
    })
}

#[derive(Debug, Default)]
struct Answers {
    refused: AtomicU64,
    /// Of them, those while somebody looked.
    looked: AtomicU64,
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
        stream.write_all(&bogus[random.below(bogus.len())]).await.tried("sending a request")?;
        let mut filled = 0;
        let answer = loop {
            let read = stream.read(&mut buffer[filled..]).await.tried("reading an answer")?;
            if read == 0 {
                return Err(TaskError::new("the server closed a connection in the middle of the flood"));
            }
            filled += read;
            if let Some(answer) = http::scan(&buffer[..filled])? {
                break answer;
            }
        };
        told.refused.fetch_add(1, Ordering::Relaxed);
        told.wrong.fetch_add(u64::from(answer.status != 401), Ordering::Relaxed);
    }
    Ok(())
}
