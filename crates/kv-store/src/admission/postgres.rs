//! Admission on PostgreSQL: `admit.sql`, one autocommit statement for the whole batch, prepared once a connection.

use super::{Decision, EntryEnd, Request, Verdict, reason};
use crate::{
    audit::Row,
    basis::Credential,
    error::{Result, StoreError},
    print::{Item, Kind, Print},
    row::{self, bytes},
    schema::api_keys,
};
use diesel::{
    ExpressionMethods, PgConnection, QueryDsl, RunQueryDsl,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary, Bool, Nullable, Text},
};
use std::collections::HashSet;

/// The columns of a batch, one array each, in the order of the statement's parameters.
#[derive(Default)]
struct Batch {
    kind: Vec<i64>,
    credential: Vec<Vec<u8>>,
    user_version: Vec<i64>,
    clusters_version: Vec<Option<i64>>,
    role_version: Vec<Option<i64>>,
    audited: Vec<bool>,
    id: Vec<Vec<u8>>,
    user_id: Vec<Option<Vec<u8>>>,
    user_name: Vec<String>,
    agent: Vec<String>,
    key_id: Vec<Option<Vec<u8>>>,
    action: Vec<&'static str>,
    resource: Vec<String>,
    resource_name: Vec<Option<String>>,
    cluster: Vec<Option<String>>,
    namespace: Vec<Option<String>>,
    ip: Vec<Option<String>>,
    user_agent: Vec<String>,
    request_id: Vec<String>,
    count: Vec<i64>,
    status_code: Vec<Option<i64>>,
    outcome: Vec<Option<&'static str>>,
    detail: Vec<String>,
    /// What is to be sealed of each, as far as it is known before.
    prints: Vec<Print>,
}

impl Batch {
    fn push(&mut self, request: &Request) {
        let (kind, credential) = match request.basis.map(|basis| basis.credential) {
            None => (0, Vec::new()),
            Some(Credential::Key(id)) => (1, bytes(id)),
            Some(Credential::Session(id)) => (2, bytes(id)),
        };
        self.kind.push(kind);
        self.credential.push(credential);
        self.user_version.push(request.basis.map_or(0, |basis| basis.user_version));
        self.clusters_version.push(request.basis.and_then(|basis| basis.clusters_version));
        self.role_version.push(request.basis.and_then(|basis| basis.role_version));
        self.audited.push(request.audited);
        let row = Row::of(request);
        self.prints.push(row.print_of_acts(row.action));
        self.id.push(row.id);
        self.user_id.push(row.user_id);
        self.user_name.push(row.user_name);
        self.agent.push(row.agent);
        self.key_id.push(row.key_id);
        self.action.push(row.action);
        self.resource.push(row.resource);
        self.resource_name.push(row.resource_name);
        self.cluster.push(row.cluster);
        self.namespace.push(row.namespace);
        self.ip.push(row.ip);
        self.user_agent.push(row.user_agent);
        self.request_id.push(row.request_id);
        self.count.push(row.count);
        self.status_code.push(row.status_code);
        self.outcome.push(row.outcome);
        self.detail.push(row.detail);
    }
}

impl Query for Batch {
    type SqlType = (BigInt, Text, BigInt, Bool);
}

impl QueryId for Batch {
    // The text never varies, so that it is prepared once.
    type QueryId = Batch;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for &Batch {}

/// The statement without its `$n`: Diesel writes each placeholder itself, in order.
const ADMIT: &str = include_str!("admit.sql");

impl QueryFragment<Pg> for Batch {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        let mut pieces = Pieces::of(ADMIT);
        macro_rules! bind {
            ($($field:ident: $sql:ty,)+) => {$(
                out.push_sql(pieces.next());
                out.push_bind_param::<Array<$sql>, _>(&self.$field)?;
            )+};
        }
        bind! {
            kind: BigInt, credential: Binary, user_version: BigInt, clusters_version: Nullable<BigInt>, role_version: Nullable<BigInt>,
            audited: Bool,
            id: Binary, user_id: Nullable<Binary>, user_name: Text, agent: Text, key_id: Nullable<Binary>, action: Text,
            resource: Text, resource_name: Nullable<Text>, cluster: Nullable<Text>, namespace: Nullable<Text>,
            ip: Nullable<Text>, user_agent: Text, request_id: Text, count: BigInt, status_code: Nullable<BigInt>,
            outcome: Nullable<Text>, detail: Text,
        }
        out.push_sql(pieces.rest());
        Ok(())
    }
}

/// The text of a statement between its placeholders.
struct Pieces(&'static str);

impl Pieces {
    fn of(sql: &'static str) -> Self {
        Self(sql)
    }

    fn next(&mut self) -> &'static str {
        let (piece, rest) = self.0.split_once('$').unwrap_or((self.0, ""));
        self.0 = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        piece
    }

    fn rest(self) -> &'static str {
        self.0
    }
}

pub(super) fn admit(conn: &mut PgConnection, requests: &[Request]) -> Result<(Vec<Decision>, Vec<Item>)> {
    let mut batch = Batch::default();
    requests.iter().for_each(|request| batch.push(request));
    let rows: Vec<(i64, String, i64, bool)> = (&batch).load(conn)?;
    if rows.len() != requests.len() {
        return Err(StoreError::Unreadable { what: "verdict" });
    }
    let (mut decisions, mut written) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let prints = std::mem::take(&mut batch.prints);
    for (n, ((_, text, now, newly_expired), print)) in rows.into_iter().zip(prints).enumerate() {
        if newly_expired {
            mark_expired(conn, &requests[n], now)?;
        }
        let verdict = match text.as_str() {
            "admitted" => Verdict::Admitted,
            "stale" => Verdict::Stale,
            refused => Verdict::Refused(reason(refused)),
        };
        let print = match verdict {
            Verdict::Admitted if requests[n].audited => {
                Some(print.of_end(now, batch.status_code[n], batch.outcome[n], &batch.detail[n]))
            }
            // As the statement writes it.
            Verdict::Refused(_) => {
                Some(print.of_end(now, Some(401), Some("denied"), &format!("{{\"reason\":\"{text}\"}}")))
            }
            Verdict::Admitted | Verdict::Stale => None,
        };
        written.extend(print.map(|print| Item::printed(Kind::Entry, now, &batch.id[n], print)));
        decisions.push(Decision { verdict, at: row::time(now)? });
    }
    Ok((decisions, written))
}

/// So that no clock set back revives a key that was seen expired. A statement of its own, for it is rare, and two
/// batches that lock several keys each could block one another.
fn mark_expired(conn: &mut PgConnection, request: &Request, now: i64) -> Result<()> {
    let Some(Credential::Key(id)) = request.basis.map(|basis| basis.credential) else { return Ok(()) };
    let key = api_keys::table.filter(api_keys::id.eq(bytes(id))).filter(api_keys::expired_seen_at.is_null());
    diesel::update(key).set(api_keys::expired_seen_at.eq(now)).execute(conn)?;
    Ok(())
}

#[derive(Default)]
struct Ends {
    entry_id: Vec<Vec<u8>>,
    entry_at: Vec<i64>,
    status_code: Vec<i64>,
    outcome: Vec<&'static str>,
    detail: Vec<String>,
    at: i64,
}

impl Query for Ends {
    type SqlType = Binary;
}

impl QueryId for Ends {
    type QueryId = Ends;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for &Ends {}

impl QueryFragment<Pg> for Ends {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        out.push_sql("INSERT INTO audit_outcomes (entry_id, entry_at, status_code, outcome, detail, at) SELECT r.*, ");
        out.push_bind_param::<BigInt, _>(&self.at)?;
        out.push_sql("::bigint FROM unnest(");
        out.push_bind_param::<Array<Binary>, _>(&self.entry_id)?;
        out.push_sql("::bytea[], ");
        out.push_bind_param::<Array<BigInt>, _>(&self.entry_at)?;
        out.push_sql("::bigint[], ");
        out.push_bind_param::<Array<BigInt>, _>(&self.status_code)?;
        out.push_sql("::bigint[], ");
        out.push_bind_param::<Array<Text>, _>(&self.outcome)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Text>, _>(&self.detail)?;
        out.push_sql("::text[]) AS r ON CONFLICT DO NOTHING RETURNING entry_id");
        Ok(())
    }
}

pub(super) fn end_entries(conn: &mut PgConnection, ends: &[EntryEnd], now: i64) -> Result<Vec<Item>> {
    let mut batch = Ends { at: now, ..Ends::default() };
    for end in ends {
        batch.entry_id.push(bytes(end.entry));
        batch.entry_at.push(row::micros(end.entry_at));
        batch.status_code.push(i64::from(end.finish.status));
        batch.outcome.push(end.finish.outcome.as_str());
        batch.detail.push(crate::audit::facts(&end.finish.detail));
    }
    // Those that had an end already are not among them.
    let ended: HashSet<Vec<u8>> = (&batch).load(conn)?.into_iter().collect();
    let written = (0..ends.len()).filter(|&n| ended.contains(&batch.entry_id[n])).map(|n| {
        let (id, at) = (&batch.entry_id[n], batch.entry_at[n]);
        let told = (batch.status_code[n], batch.outcome[n], &*batch.detail[n]);
        Item::printed(Kind::Outcome, at, id, crate::audit::print_of_outcome(id, at, now, told))
    });
    Ok(written.collect())
}
