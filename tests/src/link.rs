//! A link between two of a test's parties that goes wrong when it is told to: a TCP proxy on loopback that passes, cuts, falls
//! silent, carries one way only, forgets one end, or delays.
//!
//! What is carried is never looked into, and never changed, reordered or lost: a silent link holds it back, as TCP does until
//! the network is whole again. How much each side has given it is counted at its sockets, taken or not yet taken.

use crate::{carried::Carried, postgres::address_of};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

/// Where bytes are going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From whoever connected.
    ToServer,
    /// To whoever connected.
    ToClient,
}

/// What a link does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Carries both ways.
    Pass,
    /// Resets what is open, and whatever is opened.
    Cut,
    /// Takes connections, keeps them, and carries nothing.
    BlackHole,
    /// Carries one way and holds the other back.
    Only(Direction),
    /// The server's end of what is open is gone, and the client is not told, ever; new connections are as in a black hole.
    HalfOpen,
    /// Carries both ways, each piece so much later, and one in fifty by the tail.
    Delay {
        /// The usual delay.
        usual: Duration,
        /// That of one piece in fifty.
        tail: Duration,
    },
}

/// A tail's share of the pieces.
const TAIL_EVERY: u64 = 50;

impl Manner {
    fn carries(self, direction: Direction) -> bool {
        match self {
            Self::Pass | Self::Delay { .. } => true,
            Self::Only(only) => only == direction,
            Self::Cut | Self::BlackHole | Self::HalfOpen => false,
        }
    }

    fn delay(self, piece: u64) -> Duration {
        match self {
            Self::Delay { tail, .. } if piece % TAIL_EVERY == TAIL_EVERY - 1 => tail,
            Self::Delay { usual, .. } => usual,
            _ => Duration::ZERO,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct State {
    manner: Manner,
    target: SocketAddr,
    /// How often what was open has been cut, and half of it forgotten.
    cuts: u64,
    halvings: u64,
}

#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    open: AtomicUsize,
    carried: Mutex<Vec<Arc<Carried>>>,
}

/// A link. Ends with this value, and with it whatever goes over it.
#[derive(Debug)]
pub struct Link {
    /// Where it is entered.
    pub address: SocketAddr,
    state: watch::Sender<State>,
    counts: Arc<Counts>,
    _end: oneshot::Sender<()>,
}

impl Link {
    /// A link that passes.
    ///
    /// # Panics
    /// Where there is no socket or thread for it.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (state, _) = watch::channel(State { manner: Manner::Pass, target, cuts: 0, halvings: 0 });
        let (end, ended) = oneshot::channel::<()>();
        let (counts, told) = (Arc::<Counts>::default(), state.subscribe());
        let counted = counts.clone();
        // A thread of its own: it must carry while the test's own threads are busy.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = listen(listener, told, counted) => {}
                }
            });
        });
        Self { address, state, counts, _end: end }
    }

    /// A link to the server of a PostgreSQL URL, and the URL that leads over it.
    ///
    /// # Panics
    /// Where the URL names no address.
    #[must_use]
    pub fn to_database(url: &str) -> (Self, String) {
        let address = address_of(url);
        let link = Self::to(address);
        let over = url.replace(&address.to_string(), &link.address.to_string());
        (link, over)
    }

    /// Does otherwise from now on.
    pub fn set(&self, manner: Manner) {
        self.state.send_modify(|state| {
            state.manner = manner;
            state.cuts += u64::from(manner == Manner::Cut);
            state.halvings += u64::from(manner == Manner::HalfOpen);
        });
    }

    /// Carries again.
    pub fn pass(&self) {
        self.set(Manner::Pass);
    }

    /// Resets what is open, and nothing else.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Takes new connections elsewhere; those that are open stay where they are.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state.send_modify(|state| state.target = target);
    }

    /// How many connections were made to it so far.
    #[must_use]
    pub fn made(&self) -> usize {
        self.counts.made.load(Ordering::Relaxed)
    }

    /// How many connections to it are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// Every connection that was made to it so far, in their order.
    ///
    /// # Panics
    /// If its thread has panicked.
    #[must_use]
    pub fn carried(&self) -> Vec<Arc<Carried>> {
        self.counts.carried.lock().unwrap().clone()
    }

    /// The last connection that was made to it from there.
    ///
    /// # Panics
    /// If its thread has panicked.
    #[must_use]
    pub fn carried_from(&self, client: SocketAddr) -> Option<Arc<Carried>> {
        self.counts.carried.lock().unwrap().iter().rev().find(|one| one.from == client).cloned()
    }
}

type Told = watch::Receiver<State>;

async fn listen(listener: std::net::TcpListener, told: Told, counts: Arc<Counts>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((client, from)) = listener.accept().await {
        counts.made.fetch_add(1, Ordering::Relaxed);
        counts.open.fetch_add(1, Ordering::Relaxed);
        let carried = Arc::new(Carried::from(from, &client));
        counts.carried.lock().unwrap().push(carried.clone());
        let (told, counts) = (told.clone(), counts.clone());
        tokio::spawn(async move {
            serve(client, told, &carried).await;
            counts.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn serve(mut client: TcpStream, mut told: Told, carried: &Carried) {
    let before = *told.borrow_and_update();
    let cut = before.manner == Manner::Cut || {
        let mut seen = told.clone();
        tokio::select! {
            _ = seen.wait_for(|now| now.cuts > before.cuts) => true,
            cut = between(&mut client, told, before, carried) => cut,
        }
    };
    if cut {
        // Dropped without lingering, a socket is reset.
        let _ = client.set_zero_linger();
    }
    carried.end();
}

/// Carries until both have said all they had to say. Whether the connection broke.
async fn between(client: &mut TcpStream, mut told: Told, before: State, carried: &Carried) -> bool {
    // Nobody is reached while nothing gets there.
    let Ok(target) = told.wait_for(|now| now.manner.carries(Direction::ToServer)).await.map(|now| now.target) else {
        return true;
    };
    let Ok(mut server) = TcpStream::connect(target).await else { return true };
    carried.reaches(&server);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let done = {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let up = carry(client_reads, server_writes, Direction::ToServer, told.clone(), carried);
        let down = carry(server_reads, client_writes, Direction::ToClient, told.clone(), carried);
        tokio::select! {
            done = async { tokio::try_join!(up, down) } => Some(done.is_err()),
            _ = told.wait_for(|now| now.halvings > before.halvings) => None,
        }
    };
    match done {
        Some(true) => {
            let _ = server.set_zero_linger();
            true
        }
        Some(false) => false,
        None => {
            carried.lets_go_of_the_server();
            drop(server);
            // What the client still says is lost, and it is told nothing.
            let _ = tokio::io::copy(client, &mut tokio::io::sink()).await;
            false
        }
    }
}

/// Carries one way until the end of what is said.
async fn carry(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    direction: Direction,
    told: Told,
    carried: &Carried,
) -> io::Result<()> {
    let (on, off) = mpsc::channel(64);
    tokio::try_join!(take(from, on, direction, told.clone(), carried), give(to, off, direction, told)).map(drop)
}

/// A piece, and when it is to arrive.
type Piece = (Instant, Vec<u8>);

async fn take(
    from: ReadHalf<'_>,
    on: mpsc::Sender<Piece>,
    direction: Direction,
    mut told: Told,
    carried: &Carried,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut number = 0;
    loop {
        ready(&mut told, direction).await?;
        from.readable().await?;
        let read = match carried.take(direction, || from.try_read(&mut buffer)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            read => read?,
        };
        let due = Instant::now() + told.borrow().manner.delay(number);
        if read == 0 || on.send((due, buffer[..read].to_vec())).await.is_err() {
            break;
        }
        number += 1;
    }
    Ok(())
}

async fn give(
    mut to: WriteHalf<'_>,
    mut off: mpsc::Receiver<Piece>,
    direction: Direction,
    mut told: Told,
) -> io::Result<()> {
    while let Some((due, piece)) = off.recv().await {
        sleep_until(due).await;
        // It may have been told otherwise while it was reading.
        ready(&mut told, direction).await?;
        to.write_all(&piece).await?;
    }
    ready(&mut told, direction).await?;
    to.shutdown().await
}

async fn ready(told: &mut Told, direction: Direction) -> io::Result<()> {
    told.wait_for(|now| now.manner.carries(direction)).await.map(drop).map_err(io::Error::other)
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
