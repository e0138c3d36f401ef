//! Reading the audit log: filtered, paged, each entry with its end. An entry without one reads `unknown`.

use crate::{
    error::{Result, StoreError},
    page::{Page, PageRequest},
    row::{bytes, id, micros, text, time},
    schema::{audit_entries, audit_outcomes},
    store::Store,
};
use ::time::OffsetDateTime;
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, RunQueryDsl};
use kv_authz::{
    EntryId, KeyId, UserId,
    audit::{Event, Outcome},
};
use std::collections::BTreeMap;

/// Which entries to read. Every field given must match.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// The entry itself.
    pub id: Option<EntryId>,
    /// The user's name at the time.
    pub user: Option<String>,
    /// The key's name at the time, or the client.
    pub agent: Option<String>,
    /// The key.
    pub key_id: Option<KeyId>,
    /// The event.
    pub action: Option<Event>,
    /// The kind of object.
    pub resource: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The HTTP status answered.
    pub status: Option<u16>,
    /// Not before this time.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
}

/// An entry with its end.
#[derive(Debug, Clone)]
pub struct AuditRecord {
    /// Its id.
    pub id: EntryId,
    /// When, by the database's clock.
    pub at: OffsetDateTime,
    /// Who.
    pub user_id: Option<UserId>,
    /// Their name at the time.
    pub user: String,
    /// The key's name at the time, or the client.
    pub agent: String,
    /// The key.
    pub key_id: Option<KeyId>,
    /// What was done.
    pub action: String,
    /// To which kind of object.
    pub resource: String,
    /// Its name.
    pub resource_name: Option<String>,
    /// Its cluster.
    pub cluster: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// The status answered; none while the outcome is unknown.
    pub status_code: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// Facts.
    pub detail: BTreeMap<String, String>,
    /// The client's address.
    pub ip: Option<String>,
    /// The client's own word for itself.
    pub user_agent: String,
    /// The request.
    pub request_id: String,
    /// How many alike the entry stands for.
    pub count: u64,
}

type Columns = (
    (Vec<u8>, i64, Option<Vec<u8>>, String, String, Option<Vec<u8>>),
    (String, String, Option<String>, Option<String>, Option<String>),
    (Option<String>, String, String, i64),
    (Option<i64>, Option<String>, String),
    (Option<i64>, Option<String>, Option<String>),
);

/// The entries with their ends.
macro_rules! with_ends {
    () => {
        audit_entries::table.left_join(
            audit_outcomes::table
                .on(audit_outcomes::entry_id.eq(audit_entries::id).and(audit_outcomes::entry_at.eq(audit_entries::at))),
        )
    };
}

/// A query with the filters that are given: whatever it selects, it is of entries with their ends.
macro_rules! filtered {
    ($query:expr, $filter:expr) => {{
        let mut query = $query;
        equal! {
            query,
            id: $filter.id.map(bytes),
            user_name: $filter.user.as_deref().map(text),
            agent: $filter.agent.as_deref().map(text),
            key_id: $filter.key_id.map(bytes),
            action: $filter.action.map(Event::as_str),
            resource: $filter.resource.as_deref().map(text),
            cluster: $filter.cluster.as_deref().map(text),
            namespace: $filter.namespace.as_deref().map(text),
        }
        if let Some(since) = $filter.since {
            query = query.filter(audit_entries::at.ge(micros(since)));
        }
        if let Some(until) = $filter.until {
            query = query.filter(audit_entries::at.lt(micros(until)));
        }
        if let Some(status) = $filter.status.map(i64::from) {
            let own = audit_entries::status_code.eq(status).assume_not_null();
            let end = audit_outcomes::status_code.eq(status).assume_not_null();
            query = query.filter(own.or(audit_entries::outcome.is_null().and(end)));
        }
        if let Some(outcome) = $filter.outcome {
            let name = outcome.as_str();
            let own = audit_entries::outcome.eq(name).assume_not_null();
            let end = audit_outcomes::outcome.eq(name).assume_not_null();
            let open = audit_entries::outcome.is_null();
            query = match outcome {
                Outcome::Unknown => query.filter(own.or(open.and(audit_outcomes::entry_id.is_null().or(end)))),
                _ => query.filter(own.or(open.and(end))),
            };
        }
        query
    }};
}

macro_rules! equal {
    ($query:ident, $($column:ident: $value:expr),+ $(,)?) => {$(
        if let Some(value) = $value {
            $query = $query.filter(audit_entries::$column.eq(value));
        }
    )+};
}

impl Store {
    /// A page of entries, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read_audit(&self, filter: &AuditFilter, page: PageRequest) -> Result<Page<AuditRecord>> {
        self.read(|conn| {
            let query = with_ends!()
                .filter(audit_entries::id.lt(page.below()))
                .order(audit_entries::id.desc())
                .limit(page.rows())
                .select((
                    (
                        audit_entries::id,
                        audit_entries::at,
                        audit_entries::user_id,
                        audit_entries::user_name,
                        audit_entries::agent,
                        audit_entries::key_id,
                    ),
                    (
                        audit_entries::action,
                        audit_entries::resource,
                        audit_entries::resource_name,
                        audit_entries::cluster,
                        audit_entries::namespace,
                    ),
                    (audit_entries::ip, audit_entries::user_agent, audit_entries::request_id, audit_entries::count),
                    (audit_entries::status_code, audit_entries::outcome, audit_entries::detail),
                    (
                        audit_outcomes::status_code.nullable(),
                        audit_outcomes::outcome.nullable(),
                        audit_outcomes::detail.nullable(),
                    ),
                ))
                .into_boxed();
            let query = filtered!(query, filter);
            let rows: Vec<Columns> = query.load(conn)?;
            let items = rows.into_iter().map(record).collect::<Result<Vec<_>>>()?;
            Ok(page.page(items, |entry| entry.id.uuid()))
        })
    }

    /// How many entries there are, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count_audit(&self, filter: &AuditFilter, most: u16) -> Result<usize> {
        self.read(|conn| {
            let query = with_ends!().limit(i64::from(most)).select(audit_entries::id).into_boxed();
            let query = filtered!(query, filter);
            // Looked at no further than that: to count all of a long log takes as long as to read it.
            Ok(query.load::<Vec<u8>>(conn)?.len())
        })
    }
}

fn record((who, what, origin, own, end): Columns) -> Result<AuditRecord> {
    let (entry, at, user_id, user, agent, key_id) = who;
    let (action, resource, resource_name, cluster, namespace) = what;
    let (ip, user_agent, request_id, count) = origin;
    let (own_status, own_outcome, own_detail) = own;
    let (end_status, end_outcome, end_detail) = end;
    let unreadable = |what| move |_| StoreError::Unreadable { what };
    let mut detail: BTreeMap<String, String> = serde_json::from_str(&own_detail).map_err(unreadable("audit detail"))?;
    // An entry that was finished when it was written has its outcome; another one that arrives later is not its own.
    let (end_status, end_outcome, end_detail) =
        if own_outcome.is_some() { (None, None, None) } else { (end_status, end_outcome, end_detail) };
    if let Some(more) = end_detail {
        detail.extend(serde_json::from_str::<BTreeMap<String, String>>(&more).map_err(unreadable("audit detail"))?);
    }
    let outcome = end_outcome.or(own_outcome);
    Ok(AuditRecord {
        id: id(&entry)?,
        at: time(at)?,
        user_id: user_id.as_deref().map(id).transpose()?,
        user,
        agent,
        key_id: key_id.as_deref().map(id).transpose()?,
        action,
        resource,
        resource_name,
        cluster,
        namespace,
        status_code: end_status.or(own_status).and_then(|status| u16::try_from(status).ok()),
        outcome: outcome.map_or(Ok(Outcome::Unknown), |text| {
            text.parse().map_err(|_| StoreError::Unreadable { what: "outcome" })
        })?,
        detail,
        ip,
        user_agent,
        request_id,
        count: u64::try_from(count).unwrap_or(1),
    })
}
