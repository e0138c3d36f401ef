//! How long a revocation takes until it is answered, with several servers on one database: each revokes keys in turn, and
//! every server is asked at that very instant whether it still takes the key.

use super::{
    place::{Database, Place},
    process::Server,
    refusals::Connection,
    system::{Interrupt, Pins},
};
use crate::error::{Done, TaskError};
use std::time::Duration;

/// Servers on PostgreSQL; a SQLite file has one.
const SERVERS: usize = 3;
/// Revocations that are timed. Each uses a key up.
const EACH: usize = 300;

/// What came out.
#[derive(Debug)]
pub(super) struct Revoked {
    /// How long each took, the quickest first.
    pub(super) took: Vec<Duration>,
    /// Keys that a server took after they were revoked, and answers other than those expected.
    pub(super) wrong: u64,
}

/// Times revocations by the keys themselves, the last ones of the database first.
pub(super) fn measure(
    place: &Place,
    pins: &Pins,
    database: &Database,
    notify: bool,
    interrupt: &Interrupt,
) -> Done<Revoked> {
    let mut settings = database.environment.clone();
    // Whoever tries revoked keys has the same address as everybody else.
    settings.push(("KUBEVISION_UNKNOWN_RATE_LIMIT", "off".to_owned()));
    settings.push(("KUBEVISION_REPLICAS__NOTIFY", notify.to_string()));
    let count = if database.name == "sqlite" { 1 } else { SERVERS };
    let servers = (0..count).map(|_| Server::ready_with(place, pins, &settings)).collect::<Done<Vec<_>>>()?;
    let mut connections = servers.iter().map(|server| Connection::open(server.address)).collect::<Done<Vec<_>>>()?;
    let each = if notify { EACH } else { EACH / 10 };
    let offset = if notify { 0 } else { EACH };
    let mut revoked = Revoked { took: Vec::with_capacity(each), wrong: 0 };
    for (n, request) in database.requests.iter().rev().skip(offset).take(each).enumerate() {
        interrupt.check()?;
        let revoke = revocation(request)?;
        // In every server's cache.
        for connection in &mut connections {
            let (_, status) = connection.ask(request)?;
            revoked.wrong += u64::from(status != 200);
        }
        let (took, status) = connections[n % count].ask(&revoke)?;
        revoked.wrong += u64::from(status != 204);
        revoked.took.push(took);
        for connection in &mut connections {
            let (_, status) = connection.ask(request)?;
            revoked.wrong += u64::from(status != 401);
        }
    }
    for server in servers {
        server.stop()?;
    }
    revoked.took.sort();
    Ok(revoked)
}

/// The request by which a key ends itself.
fn revocation(request: &[u8]) -> Done<Vec<u8>> {
    let text = std::str::from_utf8(request).map_err(|error| TaskError::because("reading a request", error))?;
    let (_, rest) = text.split_once(" HTTP/1.1").ok_or_else(|| TaskError::new("a request has no first line"))?;
    Ok(format!("DELETE /api/v1/api-keys/current HTTP/1.1{rest}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_itself_by_the_same_head() {
        let request = b"GET /api/v1/clusters HTTP/1.1\r\nhost: h\r\nauthorization: ApiKey k\r\n\r\n";
        let revoke = String::from_utf8(revocation(request).unwrap()).unwrap();
        assert_eq!(revoke, "DELETE /api/v1/api-keys/current HTTP/1.1\r\nhost: h\r\nauthorization: ApiKey k\r\n\r\n");
        assert!(revocation(b"nothing").is_err());
    }
}
