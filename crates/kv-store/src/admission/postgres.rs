//! Admission on PostgreSQL: one autocommit statement for the whole batch, prepared once a connection. `admit.sql` judges and
//! writes; where everything is known, `admit_known.sql` writes, and judges nobody. It says so where it did not hold.

use super::{Decision, EntryEnd, Request, Standings, Verdict, reason};
use crate::{
    audit::Row,
    basis::Credential,
    error::{Result, StoreError},
    print::{Item, Kind},
    row::{self, bytes},
    schema::api_keys,
};
use diesel::{
    ExpressionMethods, OptionalExtension, PgConnection, QueryDsl, RunQueryDsl,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::{self, Output, ToSql, WriteTuple},
    sql_types::{Array, BigInt, Binary, Bool, Nullable, SqlType, Text},
};
use kv_authz::Unusable;
use std::{borrow::Cow, collections::HashSet};

/// The type of a request in the statement. Rows of it are sent in their binary form, so its columns never change: a
/// statement that needs others gets a type of its own, and servers of both versions go on beside each other.
#[derive(SqlType)]
#[diesel(postgres_type(name = "admission_line"))]
struct AdmissionLine;

/// A version that no user has: what was read elsewhere is not what this primary would have said.
const NEVER: i64 = -1;

/// A request, as the statement takes it.
#[derive(Debug)]
struct Line<'a> {
    kind: i64,
    credential: &'a [u8],
    user_version: i64,
    clusters_version: Option<i64>,
    role_version: Option<i64>,
    good_until: Option<i64>,
    audited: bool,
    row: Row<'a>,
}

impl<'a> Line<'a> {
    fn of(request: &'a Request, standings: &Standings) -> Self {
        let (kind, credential) = match request.basis.as_ref().map(|basis| &basis.credential) {
            None => (0, &[][..]),
            Some(Credential::Key(id)) => (1, id.as_bytes()),
            Some(Credential::Session(id)) => (2, id.as_bytes()),
        };
        Self {
            kind,
            credential,
            user_version: request.basis.map_or(0, |basis| match standings.are_of(&basis) {
                true => basis.user_version,
                false => NEVER,
            }),
            clusters_version: request.basis.and_then(|basis| basis.clusters_version),
            role_version: request.basis.and_then(|basis| basis.role_version),
            good_until: request.basis.as_ref().and_then(|basis| standings.good_until(basis)),
            audited: request.audited,
            row: Row::of(request),
        }
    }
}

impl ToSql<AdmissionLine, Pg> for Line<'_> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        #[rustfmt::skip]
        type Columns = (
            BigInt, Binary, BigInt, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, Bool,
            Binary, Nullable<Binary>, Text, Text, Nullable<Binary>, Text,
            Text, Nullable<Text>, Nullable<Text>, Nullable<Text>,
            Nullable<Text>, Text, Text, BigInt, Nullable<BigInt>, Nullable<Text>, Text,
        );
        let row = &self.row;
        WriteTuple::<Columns>::write_tuple(
            &(
                self.kind,
                self.credential,
                self.user_version,
                self.clusters_version,
                self.role_version,
                self.good_until,
                self.audited,
                row.id,
                row.user_id,
                &*row.user_name,
                &*row.agent,
                row.key_id,
                row.action,
                &*row.resource,
                row.resource_name.as_deref(),
                row.cluster.as_deref(),
                row.namespace.as_deref(),
                row.ip.as_deref(),
                &*row.user_agent,
                &*row.request_id,
                row.count,
                row.status_code,
                row.outcome,
                &*row.detail,
            ),
            &mut out.reborrow(),
        )
    }
}

/// A batch, in its order.
struct Batch<'a> {
    lines: Vec<Line<'a>>,
    /// At which number of standings the lines are good until then.
    revision: i64,
}

/// Of the batch: no place, the time, how many were known and are admitted, the number of standings. Of each of the others: its
/// place, the verdict, the time, until when the credential is good.
type Judged = (Option<i64>, String, i64, Option<i64>, Option<i64>);

impl Query for Batch<'_> {
    type SqlType = (Nullable<BigInt>, Text, BigInt, Nullable<BigInt>, Nullable<BigInt>);
}

impl QueryId for Batch<'_> {
    // The text never varies, so that it is prepared once.
    type QueryId = Batch<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for &Batch<'_> {}

const ADMIT: &str = include_str!("admit.sql");
const ADMIT_KNOWN: &str = include_str!("admit_known.sql");

/// A statement up to a parameter, which Diesel writes itself; what comes after it stays.
fn up_to<'a>(statement: &mut &'a str, parameter: &str) -> &'a str {
    let (before, after) = statement.split_once(parameter).unwrap_or((statement, ""));
    *statement = after;
    before
}

impl QueryFragment<Pg> for Batch<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        let mut rest = ADMIT;
        out.push_sql(up_to(&mut rest, "$1"));
        out.push_bind_param::<Array<AdmissionLine>, _>(&self.lines)?;
        out.push_sql(up_to(&mut rest, "$2"));
        out.push_bind_param::<BigInt, _>(&self.revision)?;
        out.push_sql(rest);
        Ok(())
    }
}

/// A batch of which everything is known.
struct Known<'a> {
    batch: &'a Batch<'a>,
    /// Until when all of it is good.
    until: i64,
    /// The version of the list of clusters that requests rest on, if any does.
    clusters: Option<i64>,
}

impl<'a> Known<'a> {
    /// None where something is not known, or requests rest on different lists.
    fn of(batch: &'a Batch<'a>) -> Option<Self> {
        let mut known = Self { batch, until: i64::MAX, clusters: None };
        for line in batch.lines.iter().filter(|line| line.kind != 0) {
            known.until = known.until.min(line.good_until?);
            if let Some(version) = line.clusters_version
                && *known.clusters.get_or_insert(version) != version
            {
                return None;
            }
        }
        Some(known)
    }
}

impl Query for Known<'_> {
    type SqlType = BigInt;
}

impl QueryId for Known<'_> {
    type QueryId = Known<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for &Known<'_> {}

impl QueryFragment<Pg> for Known<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        let mut rest = ADMIT_KNOWN;
        out.push_sql(up_to(&mut rest, "$1"));
        out.push_bind_param::<BigInt, _>(&self.batch.revision)?;
        out.push_sql(up_to(&mut rest, "$2"));
        out.push_bind_param::<BigInt, _>(&self.until)?;
        out.push_sql(up_to(&mut rest, "$3"));
        out.push_bind_param::<Nullable<BigInt>, _>(&self.clusters)?;
        out.push_sql(up_to(&mut rest, "$4"));
        out.push_bind_param::<Array<AdmissionLine>, _>(&self.batch.lines)?;
        out.push_sql(rest);
        Ok(())
    }
}

pub(super) fn admit(
    conn: &mut PgConnection,
    standings: &mut Standings,
    requests: &[Request],
) -> Result<(Vec<Decision>, Vec<Item>)> {
    let lines = requests.iter().map(|request| Line::of(request, standings)).collect();
    let batch = Batch { lines, revision: standings.revision() };
    let held: Option<i64> = match Known::of(&batch) {
        Some(known) => (&known).get_result(conn).optional()?,
        None => None,
    };
    let (now, revision, places) = match held {
        Some(now) => (now, batch.revision, vec![None; requests.len()]),
        None => places((&batch).load(conn)?, requests.len())?,
    };
    standings.at(revision);
    let (mut decisions, mut written) = (Vec::with_capacity(requests.len()), Vec::with_capacity(requests.len()));
    for ((line, request), place) in batch.lines.iter().zip(requests).zip(places) {
        let verdict = match place.as_ref().map(|(verdict, until)| (verdict.as_str(), until)) {
            None if line.kind == 0 || line.good_until.is_some() => Verdict::Admitted,
            None => return Err(StoreError::Unreadable { what: "verdict" }),
            Some(("admitted", until)) => {
                if let (Some(basis), &Some(until)) = (&request.basis, until) {
                    standings.note(basis, until);
                }
                Verdict::Admitted
            }
            Some(("stale", _)) => Verdict::Stale,
            Some(("newly_expired", _)) => {
                mark_expired(conn, request, now)?;
                Verdict::Refused(Unusable::Expired)
            }
            Some((refused, _)) => Verdict::Refused(reason(refused)),
        };
        let print = match verdict {
            Verdict::Admitted if request.audited => Some(line.row.print(now)),
            // As the statement writes it.
            Verdict::Refused(reason) => {
                let detail = format!("{{\"reason\":\"{reason}\"}}");
                Some(line.row.print_of_acts().of_end(now, Some(401), Some("denied"), &detail))
            }
            Verdict::Admitted | Verdict::Stale => None,
        };
        written.extend(print.map(|print| Item::printed(Kind::Entry, now, line.row.id, print)));
        decisions.push(Decision { verdict, at: row::time(now)?, lasts: standings.lasts(request, verdict, now) });
    }
    Ok((decisions, written))
}

/// What the statement says of a place, where that was not known before: the verdict, and until when the credential is good.
type Said = Option<(String, Option<i64>)>;

/// The time, the number of standings, and what is said of each place. Each is either among the known, which are counted, or has
/// a row: nobody is admitted for want of one.
fn places(rows: Vec<Judged>, requests: usize) -> Result<(i64, i64, Vec<Said>)> {
    let unreadable = StoreError::Unreadable { what: "verdict" };
    let (mut of_all, mut places, mut said) = (None, vec![None; requests], 0);
    for (place, verdict, now, number, revision) in rows {
        let Some(place) = place else {
            of_all = Some((now, number, revision));
            continue;
        };
        let place = usize::try_from(place - 1).ok().and_then(|place| places.get_mut(place));
        match place {
            Some(place @ None) => *place = Some((verdict, number)),
            _ => return Err(unreadable),
        }
        said += 1;
    }
    match of_all {
        Some((now, Some(known), Some(revision))) if usize::try_from(known) == Ok(requests - said) => {
            Ok((now, revision, places))
        }
        _ => Err(unreadable),
    }
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
    detail: Vec<Cow<'static, str>>,
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 5;

    /// The row that stands for all of the batch, of which so many were known.
    fn of_all(known: i64) -> Judged {
        (None, String::new(), NOW, Some(known), Some(7))
    }

    fn of(place: i64) -> Judged {
        (Some(place), "admitted".to_owned(), NOW, Some(9), None)
    }

    #[test]
    fn each_request_is_known_or_has_a_row() {
        let (now, revision, said) = places(vec![of(2), of_all(2)], 3).unwrap();
        assert_eq!((now, revision), (NOW, 7));
        assert_eq!(said, [None, Some(("admitted".to_owned(), Some(9))), None]);
    }

    #[test]
    fn nobody_is_admitted_by_an_answer_that_leaves_someone_out_or_says_something_twice() {
        for (rows, why) in [
            (vec![of(2), of_all(1)], "one is neither known nor has a row"),
            (vec![of(2), of_all(3)], "there are more known than places left"),
            (vec![of(2), of(2), of_all(1)], "two rows for a place"),
            (vec![of(0), of_all(2)], "there is no such place"),
            (vec![of(4), of_all(2)], "nor this one"),
            (vec![of(1), of(2), of(3)], "nothing is said of all"),
        ] {
            assert!(places(rows, 3).is_err(), "{why}");
        }
    }
}
