//! Writing audit entries, begun or finished. Insert only: nothing here changes or deletes an entry.

use crate::{
    admission::{EntryEnd, Request},
    backend::AnyConn,
    error::Result,
    fixed::fixed,
    print::{Item, Kind, Print},
    row::{bytes, micros, text},
    schema::{audit_entries, audit_outcomes},
    store::Store,
};
use diesel::{
    ExpressionMethods, PgConnection, RunQueryDsl, SqliteConnection,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use kv_authz::{
    EntryId, KeyId, Permit, Unusable, UserId,
    audit::{Detail, Entry, Fact, Finish, Origin, Outcome},
};
use std::borrow::Cow;
use time::OffsetDateTime;

/// What an act of the store needs to put itself on record, beside its permit.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// The entry's id.
    pub id: EntryId,
    /// Where the request came from.
    pub origin: Origin,
    /// When.
    pub now: OffsetDateTime,
}

/// The columns of an entry, as both databases store them; borrowed from the entry, for there is one a request.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) user_id: Option<&'a [u8]>,
    pub(crate) user_name: Cow<'a, str>,
    pub(crate) agent: Cow<'a, str>,
    pub(crate) key_id: Option<&'a [u8]>,
    pub(crate) action: &'a str,
    pub(crate) resource: Cow<'a, str>,
    pub(crate) resource_name: Option<Cow<'a, str>>,
    pub(crate) cluster: Option<Cow<'a, str>>,
    pub(crate) namespace: Option<Cow<'a, str>>,
    pub(crate) ip: Option<Cow<'a, str>>,
    pub(crate) user_agent: Cow<'a, str>,
    pub(crate) request_id: Cow<'a, str>,
    pub(crate) count: i64,
    pub(crate) status_code: Option<i64>,
    pub(crate) outcome: Option<&'a str>,
    pub(crate) detail: Cow<'a, str>,
}

/// Facts as stored.
pub(crate) fn facts(detail: &Detail) -> Cow<'static, str> {
    if detail.is_empty() {
        return "{}".into();
    }
    // A map of text to text always has a JSON form.
    serde_json::to_string(detail).unwrap_or_default().replace("\\u0000", "\\ufffd").into()
}

fixed! {
    /// A row into the log, on SQLite. PostgreSQL has the admission statement for most of them.
    InsertEntry,
    "INSERT INTO audit_entries (id, at, user_id, user_name, agent, key_id, action, resource, resource_name, cluster, \
     namespace, ip, user_agent, request_id, count, status_code, outcome, detail) VALUES (" (
        id: Binary = &'a [u8],
        at: BigInt = i64,
        user_id: Nullable<Binary> = Option<&'a [u8]>,
        user_name: Text = &'a str,
        agent: Text = &'a str,
        key_id: Nullable<Binary> = Option<&'a [u8]>,
        action: Text = &'a str,
        resource: Text = &'a str,
        resource_name: Nullable<Text> = Option<&'a str>,
        cluster: Nullable<Text> = Option<&'a str>,
        namespace: Nullable<Text> = Option<&'a str>,
        ip: Nullable<Text> = Option<&'a str>,
        user_agent: Text = &'a str,
        request_id: Text = &'a str,
        count: BigInt = i64,
        status_code: Nullable<BigInt> = Option<i64>,
        outcome: Nullable<Text> = Option<&'a str>,
        detail: Text = &'a str,
    ) ")"
}

impl<'a> Row<'a> {
    pub(crate) fn of(request: &'a Request) -> Self {
        Self::new(&request.entry, request.finish.as_ref(), request.count)
    }

    fn new(entry: &'a Entry, finish: Option<&'a Finish>, count: u32) -> Self {
        let detail = match finish {
            Some(finish) if !finish.detail.is_empty() => facts(&entry.detail_with(finish)),
            _ => facts(&entry.detail),
        };
        Self {
            id: entry.id.as_bytes(),
            user_id: entry.actor.user_id.as_ref().map(UserId::as_bytes),
            user_name: text(&entry.actor.user),
            agent: text(&entry.actor.agent),
            key_id: entry.actor.key_id.as_ref().map(KeyId::as_bytes),
            action: entry.event.as_str(),
            resource: text(&entry.target.resource),
            resource_name: entry.target.name.as_deref().map(text),
            cluster: entry.target.cluster.as_deref().map(text),
            namespace: entry.target.namespace.as_deref().map(text),
            ip: entry.origin.ip.map(|ip| ip.to_string().into()),
            user_agent: text(&entry.origin.user_agent),
            request_id: text(&entry.origin.request_id),
            count: i64::from(count),
            status_code: finish.map(|finish| i64::from(finish.status)),
            outcome: finish.map(|finish| finish.outcome.as_str()),
            detail,
        }
    }

    /// The print of the row as it will be stored at this time.
    pub(crate) fn print(&self, at: i64) -> Print {
        self.print_of_acts().of_end(at, self.status_code, self.outcome, &self.detail)
    }

    /// The print of what admission leaves as it is.
    pub(crate) fn print_of_acts(&self) -> Print {
        Print::begin(Kind::Entry)
            .bytes(Some(self.id))
            .bytes(self.user_id)
            .text(Some(&self.user_name))
            .text(Some(&self.agent))
            .bytes(self.key_id)
            .text(Some(self.action))
            .text(Some(&self.resource))
            .text(self.resource_name.as_deref())
            .text(self.cluster.as_deref())
            .text(self.namespace.as_deref())
            .text(self.ip.as_deref())
            .text(Some(&self.user_agent))
            .text(Some(&self.request_id))
            .number(Some(self.count))
    }

    fn insert(&self, conn: &mut AnyConn, at: i64) -> Result<()> {
        match conn {
            AnyConn::Pg(pg) => self.insert_on_postgres(pg, at),
            AnyConn::Sqlite(sqlite) => self.insert_on_sqlite(sqlite, at),
        }
    }

    fn insert_on_sqlite(&self, conn: &mut SqliteConnection, at: i64) -> Result<()> {
        InsertEntry {
            id: self.id,
            at,
            user_id: self.user_id,
            user_name: &self.user_name,
            agent: &self.agent,
            key_id: self.key_id,
            action: self.action,
            resource: &self.resource,
            resource_name: self.resource_name.as_deref(),
            cluster: self.cluster.as_deref(),
            namespace: self.namespace.as_deref(),
            ip: self.ip.as_deref(),
            user_agent: &self.user_agent,
            request_id: &self.request_id,
            count: self.count,
            status_code: self.status_code,
            outcome: self.outcome,
            detail: &self.detail,
        }
        .execute(conn)?;
        Ok(())
    }

    fn insert_on_postgres(&self, conn: &mut PgConnection, at: i64) -> Result<()> {
        diesel::insert_into(audit_entries::table)
            .values((
                audit_entries::id.eq(self.id),
                audit_entries::at.eq(at),
                audit_entries::user_id.eq(self.user_id),
                audit_entries::user_name.eq(&*self.user_name),
                audit_entries::agent.eq(&*self.agent),
                audit_entries::key_id.eq(self.key_id),
                audit_entries::action.eq(self.action),
                audit_entries::resource.eq(&*self.resource),
                audit_entries::resource_name.eq(self.resource_name.as_deref()),
                audit_entries::cluster.eq(self.cluster.as_deref()),
                audit_entries::namespace.eq(self.namespace.as_deref()),
                audit_entries::ip.eq(self.ip.as_deref()),
                audit_entries::user_agent.eq(&*self.user_agent),
                audit_entries::request_id.eq(&*self.request_id),
                audit_entries::count.eq(self.count),
                audit_entries::status_code.eq(self.status_code),
                audit_entries::outcome.eq(self.outcome),
                audit_entries::detail.eq(&*self.detail),
            ))
            .execute(conn)?;
        Ok(())
    }
}

/// Writes the entry of an admitted request, and gives what is to be sealed of it.
pub(crate) fn insert(conn: &mut AnyConn, request: &Request, now: i64) -> Result<Item> {
    insert_row(conn, &Row::of(request), now)
}

fn insert_row(conn: &mut AnyConn, row: &Row<'_>, now: i64) -> Result<Item> {
    let item = Item::printed(Kind::Entry, now, row.id, row.print(now));
    row.insert(conn, now)?;
    Ok(item)
}

/// Writes the entry of a refused request, finished at once.
pub(crate) fn insert_refusal(conn: &mut AnyConn, request: &Request, reason: Unusable, now: i64) -> Result<Item> {
    let entry = Entry { detail: Detail::none(), ..request.entry.clone() };
    let finish =
        Finish { outcome: Outcome::Denied, status: 401, detail: Detail::none().with(Fact::Reason, reason.to_string()) };
    insert_row(conn, &Row::new(&entry, Some(&finish), request.count), now)
}

impl Store {
    /// Writes the finished entry of an act on the store's own objects, in the act's transaction. The actor, the event and
    /// the target are the permit's.
    pub(crate) fn insert_act<A: kv_authz::Action>(
        &self,
        conn: &mut AnyConn,
        permit: &Permit<A>,
        occasion: &Occasion,
        finish: Finish,
    ) -> Result<()> {
        let entry = Entry {
            id: occasion.id,
            actor: permit.actor().clone(),
            event: permit.event(),
            target: permit.target().clone(),
            origin: occasion.origin.clone(),
            detail: Detail::none(),
        };
        self.insert_finished(conn, &entry, finish, occasion.now)
    }

    /// Writes an entry together with its end.
    pub(crate) fn insert_finished(
        &self,
        conn: &mut AnyConn,
        entry: &Entry,
        finish: Finish,
        now: OffsetDateTime,
    ) -> Result<()> {
        Row::new(entry, Some(&finish), 1).insert(conn, micros(now))?;
        // Read again when it is sealed: whether it will be committed is not known yet.
        self.ledger().note(Item::unread(Kind::Entry, micros(now), entry.id));
        Ok(())
    }
}

/// The print of an outcome as it will be stored.
pub(crate) fn print_of_outcome(
    entry: &[u8],
    entry_at: i64,
    at: i64,
    (status, outcome, detail): (i64, &str, &str),
) -> Print {
    Print::begin(Kind::Outcome).bytes(Some(entry)).number(Some(entry_at)).of_end(
        at,
        Some(status),
        Some(outcome),
        detail,
    )
}

/// Writes the end of an entry, unless it has one, and gives what is to be sealed of it.
pub(crate) fn insert_outcome(conn: &mut AnyConn, end: &EntryEnd, now: i64) -> Result<Option<Item>> {
    let (id, entry_at, detail) = (bytes(end.entry), micros(end.entry_at), facts(&end.finish.detail));
    let told = (i64::from(end.finish.status), end.finish.outcome.as_str(), &*detail);
    let item = Item::printed(Kind::Outcome, entry_at, &id, print_of_outcome(&id, entry_at, now, told));
    let written = diesel::insert_into(audit_outcomes::table)
        .values((
            audit_outcomes::entry_id.eq(&id),
            audit_outcomes::entry_at.eq(entry_at),
            audit_outcomes::at.eq(now),
            audit_outcomes::status_code.eq(i64::from(end.finish.status)),
            audit_outcomes::outcome.eq(end.finish.outcome.as_str()),
            audit_outcomes::detail.eq(&detail),
        ))
        .execute(conn)
        .map_err(crate::StoreError::from);
    match written {
        Ok(_) => Ok(Some(item)),
        Err(crate::StoreError::Conflict) => Ok(None),
        Err(error) => Err(error),
    }
}
