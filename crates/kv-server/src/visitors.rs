//! Visitors: who they are by address, and how often they may come. For addresses that nobody has authenticated yet.
//!
//! The address is the socket's, or what a proxy says that the operator named.

use crate::{buckets::Buckets, cluster::Networks, limit::Exhausted};
use actix_web::http::header::{HeaderMap, X_FORWARDED_FOR, X_FORWARDED_PROTO};
use std::{net::IpAddr, num::NonZeroU32};

/// Attempts to prove who one is from one address: as often as a person mistypes, no oftener.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// Buckets.
const BUCKETS: usize = 1 << 20;

/// The address a request comes from: the socket's, or, where that is a proxy the operator named, the last one in its
/// `X-Forwarded-For` that is none of them.
#[must_use]
pub fn address(socket: Option<IpAddr>, headers: &HeaderMap, proxies: &Networks) -> Option<IpAddr> {
    let socket = socket?.to_canonical();
    if !proxies.contain(socket) {
        return Some(socket);
    }
    let fields: Vec<&str> = headers.get_all(X_FORWARDED_FOR).filter_map(|value| value.to_str().ok()).collect();
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
    // Asked first: of most requests nothing is believed, and their headers need not be looked through.
    if !socket.is_some_and(|socket| proxies.contain(socket.to_canonical())) {
        return false;
    }
    let mut said = headers.get_all(X_FORWARDED_PROTO);
    said.next().is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https")) && said.next().is_none()
}

/// How often addresses come.
#[derive(Debug)]
pub struct Visitors(Buckets);

impl Default for Visitors {
    fn default() -> Self {
        Self(Buckets::new(BUCKETS, PER_MINUTE, PER_MINUTE))
    }
}

impl Visitors {
    /// Takes one attempt from an address's buckets.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn take(&self, address: IpAddr) -> Result<(), Exhausted> {
        self.0.take(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

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
