//! Reads what is left when a run is over: what the cluster has seen, and what the database holds.

use crate::history::{Effect, Entry};
use kv_tests::{Cluster, Direction, Link, TestDatabase};

/// The number of a request, which its path has between two x.
fn serial(path: &str) -> Option<u64> {
    path.split('x').find_map(|part| part.parse().ok())
}

/// What the cluster has seen, with the connections that it came by.
pub(crate) fn effects<'a>(cluster: &Cluster, links: impl Iterator<Item = &'a Link>) -> Vec<Effect> {
    let carried: Vec<_> = links.flat_map(Link::carried).collect();
    let seen = cluster.seen().into_iter().map(|seen| {
        // The last that had this address by then: addresses come again.
        let by = carried.iter().filter(|one| one.onward() == Some(seen.from) && one.began <= seen.at);
        let by = by.max_by_key(|one| one.began);
        Effect {
            serial: serial(&seen.path),
            entry: seen.header("audit-id").unwrap_or_default().to_owned(),
            line: seen.line(),
            at: seen.at,
            carried: by.map(|one| (one.clone(), one.given(Direction::ToServer))),
        }
    });
    seen.collect()
}

/// The audit log.
pub(crate) fn entries(database: &TestDatabase) -> Vec<Entry> {
    let query = "SELECT e.request_id || '|' || e.action || '|' \
         || coalesce(CAST(coalesce(o.status_code, e.status_code) AS TEXT), '') || '|' \
         || coalesce(o.outcome, e.outcome, 'unknown') || '|' \
         || (CASE WHEN e.outcome IS NULL THEN 0 ELSE 1 END + CASE WHEN o.entry_id IS NULL THEN 0 ELSE 1 END) || '|' \
         || CAST(e.at AS TEXT) || ' ' || e.detail AS value \
         FROM audit_entries e LEFT JOIN audit_outcomes o ON o.entry_id = e.id AND o.entry_at = e.at";
    let entry = |row: Option<String>| {
        let row = row.expect("no column is NULL");
        let mut parts = row.splitn(6, '|').map(str::to_owned);
        let mut next = || parts.next().expect("six columns");
        let (request_id, action, status, outcome) = (next(), next(), next().parse().ok(), next());
        let (outcomes, detail) = (next().parse().expect("a number"), next());
        Entry { request_id, action, status, outcome, outcomes, detail }
    };
    database.texts(query).into_iter().map(entry).collect()
}

/// The ids of the keys that are revoked, and of the sessions that are over.
pub(crate) fn revoked(database: &TestDatabase) -> Vec<String> {
    let hex = if database.url.is_sqlite() { "lower(hex(id))" } else { "encode(id, 'hex')" };
    let query = format!(
        "SELECT {hex} AS value FROM api_keys WHERE revoked_at IS NOT NULL \
         UNION ALL SELECT {hex} AS value FROM sessions WHERE ended_at IS NOT NULL"
    );
    database.texts(&query).into_iter().flatten().collect()
}
