//! Rate buckets that replicas share: one row a user, from which a replica takes a few requests at a time and spends them by
//! itself. The arithmetic is that of the generic cell rate algorithm, by the database's clock; PostgreSQL alone, for SQLite
//! has one server.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    row::bytes,
    store::Store,
};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Binary},
};
use kv_authz::UserId;
use std::time::Duration;

/// A bucket's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Requests a minute.
    pub per_minute: u32,
    /// Requests at once.
    pub burst: u32,
}

/// What was taken from a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Requests that may be made.
    pub granted: u32,
    /// Requests that are left for whoever comes next.
    pub left: u32,
    /// Where nothing was granted: when the next request is.
    pub wait: Duration,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    granted: i64,
    #[diesel(sql_type = BigInt)]
    available: i64,
    #[diesel(sql_type = BigInt)]
    wait: i64,
}

/// $1 whose, $2 how many are wanted, $3 the burst, $4 the microseconds that one request takes. A bucket that two replicas
/// make at once has both their takings in it.
const TAKE: &str = "\
WITH clock AS MATERIALIZED (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now), \
old AS MATERIALIZED (SELECT tat FROM rate_buckets WHERE user_id = $1 FOR UPDATE), \
base AS MATERIALIZED (SELECT now, greatest(coalesce((SELECT tat FROM old), 0), now) AS tat FROM clock), \
taken AS MATERIALIZED ( \
    SELECT now, tat, (now + $3 * $4 - tat) / $4 AS available, \
        greatest(0, least($2, (now + $3 * $4 - tat) / $4)) AS granted FROM base \
), written AS ( \
    INSERT INTO rate_buckets AS b (user_id, tat) SELECT $1, tat + granted * $4 FROM taken \
    ON CONFLICT (user_id) DO UPDATE \
    SET tat = greatest(excluded.tat, b.tat + (SELECT granted * $4 FROM taken)) \
) \
SELECT granted, greatest(available - granted, 0) AS available, \
    greatest(tat + $4 - now - $3 * $4, 0) AS wait FROM taken";

impl Store {
    /// Whether buckets are shared with other servers.
    #[must_use]
    pub fn shares_buckets(&self) -> bool {
        !self.url().is_sqlite()
    }

    /// Takes up to `wanted` requests from a user's bucket.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is taken then, or it is lost.
    pub fn take_from_bucket(&self, user: UserId, wanted: u32, terms: Terms) -> Result<Taken> {
        let each = i64::from(60_000_000 / terms.per_minute.max(1)).max(1);
        let (user, wanted, burst) = (bytes(user), i64::from(wanted), i64::from(terms.burst));
        self.read(|conn| {
            let AnyConn::Pg(pg) = conn else { return Err(StoreError::Setup("SQLite shares no buckets".into())) };
            let row: Row = sql_query(TAKE)
                .bind::<Binary, _>(&user)
                .bind::<BigInt, _>(wanted)
                .bind::<BigInt, _>(burst)
                .bind::<BigInt, _>(each)
                .get_result(pg)?;
            let count = |value: i64| u32::try_from(value).unwrap_or(0);
            let wait = Duration::from_micros(u64::try_from(row.wait).unwrap_or(0));
            Ok(Taken { granted: count(row.granted), left: count(row.available), wait })
        })
    }
}
