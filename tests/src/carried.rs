//! What one connection over a link was given by each of its ends: what the link has taken, and what still waits in its
//! socket. Read at any instant, this is what the ends have written, however late the link's thread comes to it.
//!
//! Nothing is carried here.

use crate::link::Direction;
use std::{
    io,
    net::{SocketAddr, TcpStream as Socket},
    os::fd::AsFd,
    sync::{Mutex, OnceLock},
    time::Instant,
};
use tokio::net::TcpStream;

/// One end.
#[derive(Debug, Default)]
struct End {
    taken: u64,
    /// The same socket once more, to look at what waits in it.
    socket: Option<Socket>,
}

impl End {
    fn of(stream: &TcpStream) -> Self {
        Self { taken: 0, socket: stream.as_fd().try_clone_to_owned().ok().map(Socket::from) }
    }

    fn given(&self) -> u64 {
        let mut buffer = [0; 16 * 1024];
        let waits = self.socket.as_ref().map_or(0, |socket| socket.peek(&mut buffer).unwrap_or(0));
        self.taken + waits as u64
    }
}

/// A connection over a link.
#[derive(Debug)]
pub struct Carried {
    /// Whoever connected.
    pub from: SocketAddr,
    /// When the link took it.
    pub began: Instant,
    onward: OnceLock<SocketAddr>,
    ended: OnceLock<Instant>,
    client: Mutex<End>,
    server: Mutex<End>,
}

impl Carried {
    pub(crate) fn from(from: SocketAddr, client: &TcpStream) -> Self {
        Self {
            from,
            began: Instant::now(),
            onward: OnceLock::new(),
            ended: OnceLock::new(),
            client: Mutex::new(End::of(client)),
            server: Mutex::default(),
        }
    }

    pub(crate) fn reaches(&self, server: &TcpStream) {
        *self.server.lock().unwrap() = End::of(server);
        if let Ok(address) = server.local_addr() {
            let _ = self.onward.set(address);
        }
    }

    /// Takes what there is, and counts it, so that nobody sees it twice or not at all.
    pub(crate) fn take(&self, direction: Direction, read: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        let mut end = self.giver(direction).lock().unwrap();
        let read = read()?;
        end.taken += read as u64;
        Ok(read)
    }

    pub(crate) fn lets_go_of_the_server(&self) {
        self.server.lock().unwrap().socket = None;
    }

    pub(crate) fn end(&self) {
        self.client.lock().unwrap().socket = None;
        self.server.lock().unwrap().socket = None;
        let _ = self.ended.set(Instant::now());
    }

    fn giver(&self, direction: Direction) -> &Mutex<End> {
        match direction {
            Direction::ToServer => &self.client,
            Direction::ToClient => &self.server,
        }
    }

    /// How many bytes its end has written for this direction, so far.
    ///
    /// # Panics
    /// If the link's thread has panicked.
    #[must_use]
    pub fn given(&self, direction: Direction) -> u64 {
        self.giver(direction).lock().unwrap().given()
    }

    /// As whom the server sees it, once it was reached.
    #[must_use]
    pub fn onward(&self) -> Option<SocketAddr> {
        self.onward.get().copied()
    }

    /// When it was over.
    #[must_use]
    pub fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }
}
