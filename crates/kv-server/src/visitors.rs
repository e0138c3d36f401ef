//! Visitors: who they are by address, and how often they may come. For addresses that nobody has authenticated yet.
//!
//! The address is the socket's, or what a proxy says that the operator named. The table of buckets has a fixed size: however
//! many addresses come, none is forgotten to make room, and none is let in for having been forgotten.

use crate::{
    cluster::Networks,
    limit::{Exhausted, RateLimit},
};
use actix_web::http::header::HeaderMap;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

/// Attempts to prove who one is from one address: as often as a person mistypes, no oftener.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// Buckets; eight bytes each.
const BUCKETS: usize = 1 << 20;

/// The address a request comes from: the socket's, or, where that is a proxy the operator named, the last one in its
/// `X-Forwarded-For` that is none of them.
#[must_use]
pub fn address(socket: Option<IpAddr>, headers: &HeaderMap, proxies: &Networks) -> Option<IpAddr> {
    let socket = socket?.to_canonical();
    if !proxies.contain(socket) {
        return Some(socket);
    }
    let fields: Vec<&str> = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    let mut seen = socket;
    for written in fields.iter().rev().flat_map(|field| field.split(',').rev()) {
        // What is no address ends what can be believed.
        let Ok(address) = written.trim().parse::<IpAddr>() else { break };
        seen = address.to_canonical();
        if !proxies.contain(seen) {
            break;
        }
    }
    Some(seen)
}

/// Whether the client speaks TLS with the proxy before us, by the word of a proxy the operator named: one
/// `X-Forwarded-Proto` that says `https` and nothing else.
#[must_use]
pub fn behind_tls(socket: Option<IpAddr>, headers: &HeaderMap, proxies: &Networks) -> bool {
    let mut said = headers.get_all("x-forwarded-proto");
    let https = said.next().is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"));
    https && said.next().is_none() && socket.is_some_and(|socket| proxies.contain(socket.to_canonical()))
}

/// A fixed number of buckets.
struct Table(Box<[InMemoryState]>);

impl StateStore for Table {
    type Key = usize;

    fn measure_and_replace<T, F, E>(&self, key: &usize, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0[*key % self.0.len()].measure_and_replace(&NotKeyed::NonKey, f)
    }
}

/// How often addresses come.
pub struct Visitors {
    limiter: RateLimiter<usize, Table, DefaultClock>,
    /// Two buckets an address: whoever shares one with a stranger hardly shares the other with one too.
    hashers: [RandomState; 2],
    clock: DefaultClock,
}

impl fmt::Debug for Visitors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Visitors")
    }
}

impl Default for Visitors {
    fn default() -> Self {
        let table = Table((0..BUCKETS).map(|_| InMemoryState::default()).collect());
        let clock = DefaultClock::default();
        let limiter = RateLimiter::new(Quota::per_minute(PER_MINUTE), table, clock.clone());
        Self { limiter, hashers: [RandomState::new(), RandomState::new()], clock }
    }
}

impl Visitors {
    /// Takes one attempt from an address's buckets; IPv6 by its /64, which is one household.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn take(&self, address: IpAddr) -> Result<(), Exhausted> {
        let household = household(address);
        // Both are asked, so that neither spares what the other has taken.
        let [one, other] = self.hashers.each_ref().map(|hasher| {
            let bucket = usize::try_from(hasher.hash_one(household) % BUCKETS as u64).unwrap_or(0);
            self.limiter.check_key(&bucket)
        });
        match (one, other) {
            (Err(one), Err(other)) => {
                let now = self.clock.now();
                let retry_after = one.wait_time_from(now).min(other.wait_time_from(now));
                let limit = RateLimit::On { per_minute: PER_MINUTE, burst: PER_MINUTE };
                Err(Exhausted { retry_after, limit })
            }
            _ => Ok(()),
        }
    }
}

fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use std::net::Ipv4Addr;

    #[test]
    fn attack_210_an_ipv6_household_shares_a_bucket() {
        let at = |text: &str| household(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    #[test]
    fn three_hundred_thousand_addresses_make_nobody_forgotten() {
        let visitors = Visitors::default();
        let mine = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let passed = (0..200).filter(|_| visitors.take(mine).is_ok()).count();
        assert!((30..=32).contains(&passed), "{passed}");
        for n in 0..300_000_u32 {
            // Whoever comes once, passes.
            assert!(visitors.take(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))).is_ok());
        }
        assert!(visitors.take(mine).is_err(), "what I have taken is not forgotten");
        // And of addresses that never came, hardly one is turned away.
        let strangers = (0..10_000_u32).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + n)));
        let turned_away = strangers.filter(|&stranger| visitors.take(stranger).is_err()).count();
        assert_eq!(turned_away, 0);
    }

    #[test]
    fn attack_194_tls_is_the_word_of_named_proxies_alone() {
        let proxies = Networks::new(["10.0.0.0/8"]).unwrap();
        let behind = |socket: &str, fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_str(field).unwrap());
            }
            behind_tls(Some(socket.parse().unwrap()), &headers, &proxies)
        };
        assert!(behind("10.0.0.1", &["https"]) && behind("::ffff:10.0.0.1", &["HTTPS"]));
        assert!(!behind("192.0.2.1", &["https"]), "anybody can write it");
        for fields in [&[][..], &["http"], &["https, http"], &["https", "https"], &["https", "http"], &[""]] {
            assert!(!behind("10.0.0.1", fields), "{fields:?}");
        }
    }

    #[test]
    fn attack_194_only_named_proxies_are_believed() {
        let proxies = Networks::new(["10.0.0.0/8"]).unwrap();
        let from = |socket: &str, fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_str(field).unwrap());
            }
            address(Some(socket.parse().unwrap()), &headers, &proxies).unwrap().to_string()
        };
        for (socket, fields, found) in [
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            // What the client wrote itself stands before what the proxies saw.
            ("10.0.0.1", &["127.0.0.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["127.0.0.1", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, nonsense, 10.0.0.3"], "10.0.0.3"),
            ("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            assert_eq!(from(socket, fields), found, "{socket} {fields:?}");
        }
    }
}
