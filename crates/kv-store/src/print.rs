//! Prints: what is kept of an audit row to know it again. A hash over its columns, and the row's place in a seal.

use crate::{
    audit::{Row, print_of_outcome},
    backend::AnyConn,
    error::Result,
    row::bytes,
    schema::{audit_entries, audit_outcomes},
};
use diesel::{OptionalExtension, QueryDsl, RunQueryDsl};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What kind of row is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Entry = 1,
    Outcome = 2,
}

/// A hash over a row's columns, each with its length, in a fixed order. Half of SHA-256 is kept.
#[derive(Clone)]
pub(crate) struct Print(
    /// What is hashed, gathered first: as many small updates cost more than the hash.
    Vec<u8>,
);

/// About as long as an entry's columns are.
const USUAL: usize = 512;

impl Print {
    pub(crate) fn begin(kind: Kind) -> Self {
        let mut columns = Vec::with_capacity(USUAL);
        columns.push(kind as u8);
        Self(columns)
    }

    pub(crate) fn bytes(mut self, value: Option<&[u8]>) -> Self {
        // Nothing is not the same as something empty.
        self.0.extend_from_slice(&value.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(value.unwrap_or_default());
        self
    }

    pub(crate) fn text(self, value: Option<&str>) -> Self {
        self.bytes(value.map(str::as_bytes))
    }

    pub(crate) fn number(self, value: Option<i64>) -> Self {
        self.bytes(value.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice))
    }

    /// What admission settles.
    pub(crate) fn of_end(self, at: i64, status: Option<i64>, outcome: Option<&str>, detail: &str) -> Self {
        self.number(Some(at)).number(status).text(outcome).text(Some(detail))
    }

    fn done(self) -> [u8; 16] {
        let hash = Sha256::digest(&self.0);
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        half
    }
}

/// A row that is to be sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    /// The time of the entry.
    pub(crate) at: i64,
    pub(crate) id: Uuid,
    /// Its print; none where it is still to be read.
    pub(crate) print: Option<[u8; 16]>,
}

impl Item {
    pub(crate) const SIZE: usize = 1 + 8 + 16 + 16;

    pub(crate) fn printed(kind: Kind, at: i64, id: &[u8], print: Print) -> Self {
        Self { kind, at, id: Uuid::from_slice(id).unwrap_or_default(), print: Some(print.done()) }
    }

    pub(crate) fn unread(kind: Kind, at: i64, id: impl Into<Uuid>) -> Self {
        Self { kind, at, id: id.into(), print: None }
    }

    pub(crate) fn write(&self, print: [u8; 16], out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.extend_from_slice(&self.at.to_be_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&print);
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (&[kind], rest) = bytes.split_first_chunk::<1>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let kind = match kind {
            1 => Kind::Entry,
            2 => Kind::Outcome,
            _ => return None,
        };
        let print = <[u8; 16]>::try_from(rest).ok()?;
        Some(Self { kind, at: i64::from_be_bytes(*at), id: Uuid::from_bytes(*id), print: Some(print) })
    }

    /// The print of the row as it is stored now; none if there is no such row.
    pub(crate) fn look(&self, conn: &mut AnyConn) -> Result<Option<[u8; 16]>> {
        Ok(match self.kind {
            Kind::Entry => entry_print(conn, self)?,
            Kind::Outcome => outcome_print(conn, self)?,
        })
    }
}

type EntryColumns = (
    (Option<Vec<u8>>, String, String, Option<Vec<u8>>, String, String),
    (Option<String>, Option<String>, Option<String>, Option<String>, String, String),
    (i64, Option<i64>, Option<String>, String),
);

fn entry_print(conn: &mut AnyConn, item: &Item) -> Result<Option<[u8; 16]>> {
    let id = bytes(item.id);
    let row: Option<EntryColumns> = audit_entries::table
        .find((&id, item.at))
        .select((
            (
                audit_entries::user_id,
                audit_entries::user_name,
                audit_entries::agent,
                audit_entries::key_id,
                audit_entries::action,
                audit_entries::resource,
            ),
            (
                audit_entries::resource_name,
                audit_entries::cluster,
                audit_entries::namespace,
                audit_entries::ip,
                audit_entries::user_agent,
                audit_entries::request_id,
            ),
            (audit_entries::count, audit_entries::status_code, audit_entries::outcome, audit_entries::detail),
        ))
        .get_result(conn)
        .optional()?;
    let Some((who, what, end)) = row else { return Ok(None) };
    let (user_id, user_name, agent, key_id, action, resource) = who;
    let (resource_name, cluster, namespace, ip, user_agent, request_id) = what;
    let (count, status_code, outcome, detail) = end;
    let row = Row {
        id: &id,
        user_id: user_id.as_deref(),
        user_name: user_name.into(),
        agent: agent.into(),
        key_id: key_id.as_deref(),
        action: &action,
        resource: resource.into(),
        resource_name: resource_name.map(Into::into),
        cluster: cluster.map(Into::into),
        namespace: namespace.map(Into::into),
        ip: ip.map(Into::into),
        user_agent: user_agent.into(),
        request_id: request_id.into(),
        count,
        status_code,
        outcome: outcome.as_deref(),
        detail: detail.into(),
    };
    Ok(Some(row.print(item.at).done()))
}

fn outcome_print(conn: &mut AnyConn, item: &Item) -> Result<Option<[u8; 16]>> {
    let id = bytes(item.id);
    let row: Option<(i64, i64, String, String)> = audit_outcomes::table
        .find((&id, item.at))
        .select((audit_outcomes::at, audit_outcomes::status_code, audit_outcomes::outcome, audit_outcomes::detail))
        .get_result(conn)
        .optional()?;
    Ok(row.map(|(at, status, outcome, detail)| print_of_outcome(&id, item.at, at, (status, &outcome, &detail)).done()))
}
