//! Whether the time of a refusal tells why (attack 29): keys nobody has, revoked ones, expired ones and those of a disabled
//! owner, in random order over one connection.

use super::{
    http,
    system::{Interrupt, Random},
};
use crate::error::{Done, TaskError, Tried};
use kv_keys::{ApiKey, Environment};
use std::{
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Refusals of each kind that are timed.
const EACH: usize = 2_500;
/// Refusals before, of all kinds.
const WARM_UP: usize = 400;
/// Keys that nobody has.
const UNKNOWN: usize = 512;

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody has it.
    Unknown,
    /// It was revoked.
    Revoked,
    /// It has expired.
    Expired,
    /// Its owner is disabled.
    OwnerDisabled,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::OwnerDisabled => "owner disabled",
        })
    }
}

/// Keys of each kind.
pub(super) type Refused = Vec<(Kind, Vec<String>)>;

/// What the times are.
#[derive(Debug)]
pub(super) struct Told {
    /// Each kind's median and 99th percentile.
    pub(super) kinds: Vec<(Kind, Duration, Duration)>,
    /// Between the quickest and the slowest median, as a share of the median of all.
    pub(super) gap: f64,
    /// The same between two random halves of one kind: what is noise.
    pub(super) noise: f64,
    /// Answers other than 401.
    pub(super) wrong: u64,
}

/// Well-formed keys that nobody has.
pub(super) fn unknown_keys() -> Done<Vec<String>> {
    let mut random = kv_server::clock::Random::system();
    let make = |_| ApiKey::generate(Environment::Live, &mut random).map(|key| key.expose().to_owned());
    (0..UNKNOWN).map(make).collect::<Result<_, _>>().tried("making keys nobody has")
}

/// Times them.
pub(super) fn measure(address: SocketAddr, refused: &Refused, interrupt: &Interrupt) -> Done<Told> {
    let requests: Vec<Vec<Vec<u8>>> = refused
        .iter()
        .map(|(_, keys)| keys.iter().map(|key| http::get(address, "/api/v1/clusters", Some(key))).collect())
        .collect();
    let mut random = Random::new(29);
    let mut order: Vec<usize> = (0..EACH * refused.len()).map(|n| n % refused.len()).collect();
    random.shuffle(&mut order);
    let warm_up: Vec<usize> = (0..WARM_UP).map(|n| n % refused.len()).collect();

    let mut connection = Connection::open(address)?;
    let mut times: Vec<Vec<Duration>> = refused.iter().map(|_| Vec::with_capacity(EACH)).collect();
    let mut wrong = 0;
    for (n, kind) in warm_up.into_iter().chain(order).enumerate() {
        interrupt.check()?;
        let choice = &requests[kind][random.below(requests[kind].len())];
        let (took, status) = connection.ask(choice)?;
        wrong += u64::from(status != 401);
        if n >= WARM_UP {
            times[kind].push(took);
        }
    }
    let (even, odd): (Vec<_>, Vec<_>) = times.first().into_iter().flatten().enumerate().partition(|(n, _)| n % 2 == 0);
    let half = |half: Vec<(usize, &Duration)>| median(&mut half.into_iter().map(|(_, &took)| took).collect::<Vec<_>>());
    let halves = [half(even), half(odd)];
    let all = median(&mut times.concat());
    let kinds: Vec<_> = refused
        .iter()
        .zip(&mut times)
        .map(|(&(kind, _), times)| {
            times.sort();
            (kind, times[times.len() / 2], times[times.len() * 99 / 100])
        })
        .collect();
    let medians: Vec<Duration> = kinds.iter().map(|&(_, median, _)| median).collect();
    Ok(Told { gap: spread(&medians, all), noise: spread(&halves, all), kinds, wrong })
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn spread(medians: &[Duration], all: Duration) -> f64 {
    let (Some(&low), Some(&high)) = (medians.iter().min(), medians.iter().max()) else { return 0.0 };
    (high - low).as_secs_f64() / all.as_secs_f64()
}

/// A connection that asks one thing after the other.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Done<Self> {
        let stream = TcpStream::connect(address).tried("connecting to the server")?;
        stream.set_nodelay(true).tried("setting up a connection")?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).tried("setting up a connection")?;
        Ok(Self { stream, buffer: vec![0; 8 * 1024] })
    }

    /// From the first byte sent to the last received, and the status.
    pub(super) fn ask(&mut self, request: &[u8]) -> Done<(Duration, u16)> {
        let sent = Instant::now();
        self.stream.write_all(request).tried("sending a request")?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).tried("reading an answer")?;
            if read == 0 {
                return Err(TaskError::new("the server closed the connection"));
            }
            filled += read;
            if let Some(answer) = http::scan(&self.buffer[..filled])? {
                return Ok((sent.elapsed(), answer.status));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_between_the_outermost_medians() {
        let ms = Duration::from_millis;
        assert!((spread(&[ms(10), ms(12), ms(11)], ms(10)) - 0.2).abs() < 1e-9);
        assert_eq!(median(&mut [ms(3), ms(1), ms(2)]), ms(2));
    }
}
