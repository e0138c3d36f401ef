//! The load: connections kept open, one request each at a time, a random key a request. One thread, so that it can be
//! kept off the server's cores.
//!
//! Every answer must be the expected one; others are counted and never timed.

use super::{
    http,
    latencies::Latencies,
    system::{self, Interrupt},
};
use crate::error::{Done, TaskError, Tried};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::LocalSet};

/// The least a server is warmed up. It goes on until every key was used once.
const WARM_UP: Duration = Duration::from_secs(2);
/// The most.
const WARM_UP_LIMIT: Duration = Duration::from_secs(30);
/// Longer than any head and body here.
const ANSWER: usize = 128 * 1024;

/// What is to be done.
pub(super) struct Load<'a> {
    /// To whom.
    pub(super) address: SocketAddr,
    /// The server's process.
    pub(super) pid: u32,
    /// The requests, from which each is drawn.
    pub(super) requests: &'a Rc<Vec<Vec<u8>>>,
    /// How many at a time.
    pub(super) connections: usize,
    /// For how long, after the warm-up.
    pub(super) seconds: Duration,
    /// The status of every answer.
    pub(super) expected: u16,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Measured {
    /// From the first byte sent to the last received.
    pub(super) latencies: Latencies,
    /// Answers other than the expected one, warm-up included.
    pub(super) wrong: u64,
    /// The first of them.
    pub(super) example: Option<String>,
    /// How long was measured.
    pub(super) window: Duration,
    /// How much of a core the server used; PostgreSQL's own share is not in it.
    pub(super) server_cpu: f64,
    /// How much of a core the load used. Near 1 it was the load that was slow, not the server.
    pub(super) load_cpu: f64,
}

impl Measured {
    /// Answers a second.
    pub(super) fn per_second(&self) -> f64 {
        self.latencies.total() as f64 / self.window.as_secs_f64()
    }

    /// What an answer costs the server, in seconds of a processor.
    pub(super) fn cpu_each(&self) -> f64 {
        self.server_cpu / self.per_second()
    }
}

struct Window {
    from: Instant,
    until: Instant,
    cpu: (f64, f64),
}

struct Shared {
    requests: Rc<Vec<Vec<u8>>>,
    pid: u32,
    seconds: Duration,
    expected: u16,
    began: Instant,
    next: Cell<usize>,
    window: RefCell<Option<Window>>,
    latencies: RefCell<Latencies>,
    wrong: Cell<u64>,
    example: RefCell<Option<String>>,
}

impl Load<'_> {
    /// Does it.
    pub(super) fn run(&self, interrupt: &Interrupt) -> Done<Measured> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().tried("starting a runtime")?;
        let shared = Rc::new(Shared {
            requests: self.requests.clone(),
            pid: self.pid,
            seconds: self.seconds,
            expected: self.expected,
            began: Instant::now(),
            next: Cell::new(0),
            window: RefCell::new(None),
            latencies: RefCell::new(Latencies::new()),
            wrong: Cell::new(0),
            example: RefCell::new(None),
        });
        let limit = WARM_UP_LIMIT + self.seconds + Duration::from_secs(15);
        let work = async {
            let clients: Vec<_> = (0..self.connections)
                .map(|n| tokio::task::spawn_local(client(self.address, shared.clone(), n as u64 + 1)))
                .collect();
            for client in clients {
                client.await.tried("a connection's task")??;
            }
            Ok::<_, TaskError>(())
        };
        LocalSet::new().block_on(&runtime, async {
            tokio::select! {
                done = work => done,
                stopped = interrupt.heard() => stopped,
                () = tokio::time::sleep(limit) => Err(TaskError::new("the server answers too slowly to be measured")),
            }
        })?;
        shared.measured(self.pid)
    }
}

impl Shared {
    /// Every key in turn while warming up, then a random one.
    fn pick(&self, random: &mut system::Random) -> &[u8] {
        let next = self.next.get();
        self.next.set(next + 1);
        let last = self.requests.len();
        &self.requests[if next < last { next } else { random.below(last) }]
    }

    /// Counts an answer; says whether there is to be another request.
    fn count(&self, sent: Instant, now: Instant, answer: &[u8], status: u16) -> Done<bool> {
        if status != self.expected {
            self.wrong.set(self.wrong.get() + 1);
            self.example.borrow_mut().get_or_insert_with(|| String::from_utf8_lossy(answer).into_owned());
        }
        let mut window = self.window.borrow_mut();
        let Some(window) = &*window else {
            let warming = now - self.began;
            if warming > WARM_UP_LIMIT || (warming > WARM_UP && self.next.get() > self.requests.len()) {
                *window = Some(Window { from: now, until: now + self.seconds, cpu: cpu(self.pid)? });
            }
            return Ok(true);
        };
        if now >= window.until {
            return Ok(false);
        }
        if status == self.expected && sent >= window.from {
            self.latencies.borrow_mut().count(now - sent);
        }
        Ok(true)
    }

    fn measured(&self, pid: u32) -> Done<Measured> {
        let window = self.window.take().ok_or_else(|| TaskError::new("nothing was measured"))?;
        let (server, load) = cpu(pid)?;
        // The clients end with the window, but for the last answers.
        let took = window.from.elapsed().as_secs_f64();
        Ok(Measured {
            latencies: self.latencies.replace(Latencies::new()),
            wrong: self.wrong.get(),
            example: self.example.take(),
            window: window.until - window.from,
            server_cpu: (server - window.cpu.0) / took,
            load_cpu: (load - window.cpu.1) / took,
        })
    }
}

/// Seconds of a processor that the server and this process have used.
fn cpu(pid: u32) -> Done<(f64, f64)> {
    Ok((system::cpu_seconds(pid)?, system::cpu_seconds(std::process::id())?))
}

async fn client(address: SocketAddr, shared: Rc<Shared>, seed: u64) -> Done {
    let mut random = system::Random::new(seed);
    let mut stream = TcpStream::connect(address).await.tried("connecting to the server")?;
    stream.set_nodelay(true).tried("setting up a connection")?;
    let mut buffer = vec![0; ANSWER];
    loop {
        let sent = Instant::now();
        let answer = http::ask(&mut stream, shared.pick(&mut random), &mut buffer).await?;
        if !shared.count(sent, Instant::now(), &buffer[..answer.length], answer.status)? {
            return Ok(());
        }
    }
}
