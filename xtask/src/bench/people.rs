//! People beside keys: whether a session is as fast as a key, and whether a flood of sign-ins slows keys down.

use super::{
    http,
    latencies::Latencies,
    process::Server,
    system::{self, Interrupt},
};
use crate::error::{Done, TaskError, Tried};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Sign-ins a second in a flood.
const FLOOD: u32 = 200;
/// Twice as many as the server lets wait for their turn, so that the flood does not ebb while they do.
const FLOODERS: u32 = 128;
/// Requests a second that are timed beside it: well below what the server can do, so that waiting is what shows.
const HONEST: u32 = 200;
/// How long a look at either lasts.
const WINDOW: Duration = Duration::from_secs(4);
/// Looks at each of the two, in turn: one in which the machine itself stood still does not decide.
const LOOKS: usize = 3;
/// How long a flood has to swell before it is looked at.
const SWELL: Duration = Duration::from_secs(1);
/// The password of `admin` in these databases.
pub(super) const PASSWORD: &str = "only-for-the-benchmark-1";

/// Times of requests with keys, alone and beside a flood.
#[derive(Debug)]
pub(super) struct Beside {
    /// The 99th percentile alone, the median of all looks.
    pub(super) alone: Duration,
    /// The same beside the flood.
    pub(super) beside: Duration,
    /// What is told of the flood.
    pub(super) flood: String,
    /// Answers to keys other than 200, and to the flood other than it should have had.
    pub(super) wrong: u64,
}

/// A request of the administrator's session, signed in for it.
pub(super) fn session_request(server: &Server) -> Done<Rc<Vec<Vec<u8>>>> {
    let token = token(server)?;
    let host = server.address;
    let request = format!(
        "GET /api/v1/clusters HTTP/1.1\r\nhost: {host}\r\nuser-agent: kv-bench/1\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    Ok(Rc::new(vec![request.into_bytes()]))
}

/// An access token of the administrator's.
pub(super) fn token(server: &Server) -> Done<String> {
    let answer = post(server.address, "/api/v1/auth/login", &json!({"username": "admin", "password": PASSWORD}), None)?;
    let token = answer["access_token"].as_str().ok_or_else(|| TaskError::new("signing in gave no token"))?;
    Ok(token.to_owned())
}

/// One POST on a connection of its own, its answer as JSON.
fn post(address: SocketAddr, path: &str, body: &Value, from: Option<u32>) -> Done<Value> {
    let body = body.to_string();
    let from = from.map(|n| format!("x-forwarded-for: {}\r\n", std::net::Ipv4Addr::from_bits(0x0a00_0000 | n)));
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         {}content-length: {}\r\n\r\n{body}",
        from.unwrap_or_default(),
        body.len()
    );
    let mut stream = TcpStream::connect(address).tried("connecting to the server")?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).tried("setting up a connection")?;
    stream.write_all(head.as_bytes()).tried("sending a request")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).tried("reading an answer")?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).tried("reading an answer")
}

/// Times keys alone and beside a flood, in turn. `flood` begins one, and gives what ends it.
pub(super) fn beside<E: FnOnce() -> Done>(
    server: &Server,
    requests: &Rc<Vec<Vec<u8>>>,
    interrupt: &Interrupt,
    mut flood: impl FnMut() -> E,
) -> Done<Beside> {
    let (mut wrong, mut alone, mut beside) = (0, Vec::new(), Vec::new());
    for _ in 0..LOOKS {
        alone.push(honest(server.address, requests, &mut wrong, interrupt)?);
        let end = flood();
        thread::sleep(SWELL);
        let looked = honest(server.address, requests, &mut wrong, interrupt);
        end()?;
        beside.push(looked?);
    }
    let median = |mut looks: Vec<Duration>| {
        looks.sort_unstable();
        looks[LOOKS / 2]
    };
    Ok(Beside { alone: median(alone), beside: median(beside), flood: String::new(), wrong })
}

/// Times keys alone and beside a flood of sign-ins with wrong passwords, each from another address and for another name.
/// The server must believe this machine about addresses.
pub(super) fn flood(server: &Server, requests: &Rc<Vec<Vec<u8>>>, interrupt: &Interrupt) -> Done<Beside> {
    let (told, mut next) = (Arc::new(Answers::default()), 0);
    let mut flooded = beside(server, requests, interrupt, || {
        let stop = Arc::new(AtomicBool::new(false));
        let flooders: Vec<_> = (0..FLOODERS).map(|lane| flooder(server.address, next + lane, &stop, &told)).collect();
        // Names and addresses that none of the last look had.
        next += 1_000 * FLOODERS;
        move || {
            stop.store(true, Ordering::Relaxed);
            flooders.into_iter().try_for_each(|one| one.join().map_err(|_| TaskError::new("a flooder panicked")))
        }
    })?;
    let a_second = |count: &AtomicU64| count.load(Ordering::Relaxed) / (LOOKS as u64 * (WINDOW + SWELL).as_secs());
    let (sign_ins, looked_at) = (a_second(&told.all), a_second(&told.looked_at));
    flooded.flood = format!("{sign_ins} sign-ins a second, {looked_at} looked at");
    Ok(flooded)
}

#[derive(Debug, Default)]
struct Answers {
    all: AtomicU64,
    looked_at: AtomicU64,
}

/// One of those who make the flood: signs in again and again at its pace, until it is told to stop.
fn flooder(address: SocketAddr, first: u32, stop: &Arc<AtomicBool>, told: &Arc<Answers>) -> thread::JoinHandle<()> {
    let (stop, told) = (stop.clone(), told.clone());
    thread::spawn(move || {
        let between = Duration::from_secs(1) * FLOODERS / FLOOD;
        let (mut due, mut n) = (Instant::now() + between * (first % FLOODERS) / FLOODERS, first);
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            due += between;
            n += FLOODERS;
            let body = json!({"username": format!("nobody-{n}"), "password": "a wrong one"});
            if let Ok(answer) = post(address, "/api/v1/auth/login", &body, Some(n)) {
                told.all.fetch_add(1, Ordering::Relaxed);
                told.looked_at.fetch_add(u64::from(answer["status"] == 401), Ordering::Relaxed);
            }
        }
    })
}

/// Requests at a steady pace on one connection; each is timed from when it was due, so that what waits is not forgiven. Gives
/// the 99th percentile.
fn honest(address: SocketAddr, requests: &[Vec<u8>], wrong: &mut u64, interrupt: &Interrupt) -> Done<Duration> {
    let mut random = system::Random::new(7);
    let mut stream = TcpStream::connect(address).tried("connecting to the server")?;
    stream.set_nodelay(true).tried("setting up a connection")?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).tried("setting up a connection")?;
    let mut latencies = Latencies::new();
    let (mut buffer, began) = (vec![0; 8 * 1024], Instant::now());
    let mut due = began;
    while began.elapsed() < WINDOW {
        interrupt.check()?;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(&requests[random.below(requests.len())]).tried("sending a request")?;
        let mut filled = 0;
        let answer = loop {
            let read = stream.read(&mut buffer[filled..]).tried("reading an answer")?;
            if read == 0 {
                return Err(TaskError::new("the server closed a connection"));
            }
            filled += read;
            if let Some(answer) = http::scan(&buffer[..filled])? {
                break answer;
            }
        };
        *wrong += u64::from(answer.status != 200);
        latencies.count(due.elapsed());
        due += Duration::from_secs(1) / HONEST;
    }
    Ok(latencies.quantile(0.99))
}
