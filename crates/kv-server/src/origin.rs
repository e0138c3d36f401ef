//! Origins: where clients reach this server, as scheme, host and port, said by the operator or by the request itself.
//!
//! Never here: a path, a user name, a name that is looked up, or a text that is repaired.

use http::uri::Authority;
use std::{fmt, net::Ipv6Addr, str::FromStr};

/// Longer than any name (RFC 1035) with a port.
const LONGEST: usize = 255 + ":65535".len();

/// The text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address of the server is `https://` or `http://` with a host and, where need be, a port, and nothing more")]
pub struct MalformedOrigin;

/// `https://host[:port]` or `http://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// From what a request's `Host` field says, and whether it came over TLS.
    ///
    /// # Errors
    /// [`MalformedOrigin`].
    pub fn of_host(host: &str, over_tls: bool) -> Result<Self, MalformedOrigin> {
        let scheme = if over_tls { "https" } else { "http" };
        if is_host_and_port(host) { Ok(Self(format!("{scheme}://{host}"))) } else { Err(MalformedOrigin) }
    }

    /// Whether clients speak TLS to it.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl FromStr for Origin {
    type Err = MalformedOrigin;

    fn from_str(text: &str) -> Result<Self, MalformedOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(MalformedOrigin)?;
        let over_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(MalformedOrigin),
        };
        // As people copy it from their browsers.
        Self::of_host(rest.strip_suffix('/').unwrap_or(rest), over_tls)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_host_and_port(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let host = authority.host();
    let known = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_label),
    };
    let port = match text.strip_prefix(host) {
        Some("") => true,
        // No sign and no leading zero, which other readers may take for something else.
        Some(port) => authority.port_u16().is_some_and(|number| number > 0 && port == format!(":{number}")),
        None => false,
    };
    known && port && text.len() <= LONGEST
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (text, said) in [
            ("https://kubevision.example.com", "https://kubevision.example.com"),
            ("https://kubevision.example.com:8443/", "https://kubevision.example.com:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("https://kube_vision", "https://kube_vision"),
        ] {
            assert_eq!(text.parse::<Origin>().map(|origin| origin.to_string()), Ok(said.to_owned()), "{text}");
        }
        for text in [
            "",
            "kubevision.example.com",
            "https://",
            "https:///",
            "HTTPS://host",
            "ftp://host",
            "https://host/path",
            "https://host//",
            "https://host?q",
            "https://host#f",
            "https://user@host",
            "https://user:secret@host:1",
            "https://host:",
            "https://host:0",
            "https://host:080",
            "https://host:+80",
            "https://host:65536",
            "https://host:1:2",
            "https://a..b",
            "https://.host",
            "https://ho st",
            "https://ho\nst",
            "https://ho%73t",
            "https://h\u{f6}st",
            "https://[::1",
            "https://::1",
            "https://[::1%25eth0]",
            "https://[host]",
            &format!("https://{}", ["a"; 200].join(".")),
        ] {
            assert_eq!(text.parse::<Origin>(), Err(MalformedOrigin), "{text:?}");
        }
    }

    #[test]
    fn a_host_field_is_host_and_port() {
        assert_eq!(Origin::of_host("kv.example.com:8443", true).unwrap().to_string(), "https://kv.example.com:8443");
        assert!(!Origin::of_host("kv", false).unwrap().is_secure());
        for host in ["", "a/b", "https://a", "a,b", "a b", "a\\b", "a\"b", "a@b", "-:-", ":80"] {
            assert_eq!(Origin::of_host(host, true), Err(MalformedOrigin), "{host:?}");
        }
    }
}
