//! API keys: made, listed, revoked. Plaintext never comes here, only digests.

use crate::{
    audit::Occasion,
    backend::AnyConn,
    basis::{ActError, Basis, Credential, Never, confirm},
    cuts::{self, Cut},
    error::Result,
    page::{Page, PageRequest},
    row::{self, bytes, id, maybe_time, micros},
    schema::{api_key_uses, api_keys, users},
    store::Store,
    user_changes::stay_revoked,
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, JoinOnDsl, NullableExpressionMethods, OptionalExtension,
    QueryDsl, RunQueryDsl,
    dsl::{case_when, count, count_star},
    sql_types::BigInt,
};
use kv_authz::{
    Action, KeyId, KeyState, Permit, UserId,
    audit::{Detail, Fact, Finish},
};
use kv_keys::{KeyDigest, KeyPrefix};
use time::{Duration, OffsetDateTime};

/// A key about to be stored.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub owner: UserId,
    /// Its name.
    pub name: String,
    /// Its shown start.
    pub prefix: KeyPrefix,
    /// Its digest.
    pub digest: KeyDigest,
    /// When it ends, if ever.
    pub expires_at: Option<OffsetDateTime>,
}

/// A stored key. The digest stays in the database.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub owner: UserId,
    /// Its name.
    pub name: String,
    /// Its shown start.
    pub prefix: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends, if ever.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was first refused as expired.
    pub expired_seen_at: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was last used, give or take a few seconds.
    pub last_used_at: Option<OffsetDateTime>,
    /// From where.
    pub last_used_ip: Option<String>,
}

impl KeyRecord {
    /// The key's state at `now`; `window` before its expiry it counts as expiring.
    #[must_use]
    pub fn state(&self, now: OffsetDateTime, window: Duration) -> KeyState {
        match self.expired_seen_at {
            Some(_) if self.revoked_at.is_none() => KeyState::Expired,
            _ => KeyState::at(now, self.revoked_at, self.expires_at, window),
        }
    }
}

/// Which keys to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyFilter {
    /// Those not revoked, expired ones included.
    #[default]
    NotRevoked,
    /// Those that count.
    Live,
    /// Those not revoked whose time is over.
    Expired,
    /// The revoked ones.
    Revoked,
    /// All.
    All,
}

/// How many keys of a user are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCounts {
    /// Those that count.
    pub live: i64,
    /// Those not revoked whose time is over.
    pub expired: i64,
    /// The revoked ones.
    pub revoked: i64,
}

/// Why a key was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// A live key of this user has the name.
    #[error("a live key of this user has the name")]
    NameTaken,
    /// The user has as many live keys as they may.
    #[error("the user has as many live keys as they may")]
    LimitReached,
    /// There is no such user, or they are disabled.
    #[error("there is no such user, or they are disabled")]
    NoOwner,
}

/// Why a key was not revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such key")]
pub struct NoSuchKey;

impl Store {
    /// Stores a key. Its owner's row is locked first, so that `limit` and the name hold under any concurrency.
    ///
    /// # Errors
    /// [`ActError::Refused`] with the reason; nothing is stored then.
    pub fn create_key<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        key: &NewKey,
        limit: u32,
        occasion: &Occasion,
    ) -> Result<(), ActError<KeyRefused>> {
        self.write(|conn| {
            let owner = bytes(key.owner);
            let locked = users::table
                .filter(users::id.eq(&owner))
                .filter(users::disabled_at.is_null().and(users::deleted_at.is_null()));
            if diesel::update(locked).set(users::keys_made.eq(users::keys_made + 1)).execute(conn)? == 0 {
                return Err(ActError::Refused(KeyRefused::NoOwner));
            }
            confirm(conn, basis, occasion.now)?;
            let now = micros(occasion.now);
            let live = || {
                api_keys::table
                    .filter(api_keys::user_id.eq(&owner))
                    .filter(api_keys::revoked_at.is_null().and(api_keys::expired_seen_at.is_null()))
                    .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(now)))
            };
            let namesakes: i64 = live().filter(api_keys::name.eq(&key.name)).select(count_star()).first(conn)?;
            if namesakes > 0 {
                return Err(ActError::Refused(KeyRefused::NameTaken));
            }
            let count: i64 = live().select(count_star()).first(conn)?;
            if count >= i64::from(limit) {
                return Err(ActError::Refused(KeyRefused::LimitReached));
            }
            diesel::insert_into(api_keys::table)
                .values((
                    api_keys::id.eq(bytes(key.id)),
                    api_keys::user_id.eq(&owner),
                    api_keys::name.eq(&key.name),
                    api_keys::prefix.eq(key.prefix.as_str()),
                    api_keys::digest.eq(key.digest.to_bytes().to_vec()),
                    api_keys::created_at.eq(now),
                    api_keys::expires_at.eq(key.expires_at.map(micros)),
                ))
                .execute(conn)?;
            let facts = Detail::none().with(Fact::ObjectId, key.id.to_string()).with(
                Fact::After,
                format!(
                    "{} {}",
                    key.prefix,
                    key.expires_at.map_or("never expires".into(), |end| format!("expires {end}"))
                ),
            );
            self.insert_act(conn, permit, occasion, Finish::with_status(201).because(facts))?;
            Ok(())
        })
    }

    /// Revokes a key of `owner`. Once is enough: the first time stands, and later calls succeed without effect.
    ///
    /// # Errors
    /// [`ActError::Refused`] where that user has no such key.
    pub fn revoke_key<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        owner: UserId,
        key: KeyId,
        reason: Option<&str>,
        occasion: &Occasion,
    ) -> Result<(), ActError<NoSuchKey>> {
        self.write(|conn| {
            let theirs =
                || api_keys::table.filter(api_keys::id.eq(bytes(key))).filter(api_keys::user_id.eq(bytes(owner)));
            confirm(conn, basis, occasion.now)?;
            let first = diesel::update(theirs().filter(api_keys::revoked_at.is_null()))
                .set(revocation(permit, reason, occasion))
                .execute(conn)?;
            // Were it revoked with its owner, it is now for itself: enabling them does not revive it.
            diesel::update(theirs()).set(api_keys::revoked_with_owner_at.eq(None::<i64>)).execute(conn)?;
            let name: Option<String> = theirs().select(api_keys::name).first(conn).optional()?;
            let Some(name) = name else { return Err(ActError::Refused(NoSuchKey)) };
            let facts = Detail::none()
                .with(Fact::ObjectId, key.to_string())
                .with(Fact::Owner, owner.to_string())
                .with(Fact::After, format!("{name} {}", if first == 1 { "revoked" } else { "was revoked before" }));
            let facts = reason.map_or(facts.clone(), |reason| facts.with(Fact::Reason, reason));
            self.insert_act(conn, permit, occasion, Finish::with_status(204).because(facts))?;
            cuts::note(conn, Cut::Credential(Credential::Key(key)), occasion.now)?;
            Ok(())
        })
    }

    /// Revokes every key of a user that is not revoked, and tells which.
    ///
    /// # Errors
    /// [`ActError`].
    pub fn revoke_all_keys<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        owner: UserId,
        reason: Option<&str>,
        occasion: &Occasion,
    ) -> Result<Vec<KeyId>, ActError<Never>> {
        self.write(|conn| {
            let theirs =
                || api_keys::table.filter(api_keys::user_id.eq(bytes(owner))).filter(api_keys::revoked_at.is_null());
            confirm(conn, basis, occasion.now)?;
            // Held, so that no key is made between looking and revoking.
            let user = users::table.filter(users::id.eq(bytes(owner)));
            diesel::update(user).set(users::keys_made.eq(users::keys_made)).execute(conn)?;
            let keys: Vec<Vec<u8>> = theirs().select(api_keys::id).load(conn)?;
            diesel::update(theirs()).set(revocation(permit, reason, occasion)).execute(conn)?;
            stay_revoked(conn, &bytes(owner))?;
            let facts = Detail::none()
                .with(Fact::Owner, owner.to_string())
                .with(Fact::After, format!("{} keys revoked", keys.len()));
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            cuts::note(conn, Cut::User(owner), occasion.now)?;
            Ok(keys.iter().map(|bytes| id(bytes)).collect::<Result<_>>()?)
        })
    }

    /// A user's keys, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list_keys(
        &self,
        owner: UserId,
        filter: KeyFilter,
        page: PageRequest,
        now: OffsetDateTime,
    ) -> Result<Page<KeyRecord>> {
        self.read(|conn| page_of_keys(conn, owner, filter, page, now))
    }

    /// The same, and how many keys the user has in each state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn survey_keys(
        &self,
        owner: UserId,
        filter: KeyFilter,
        page: PageRequest,
        now: OffsetDateTime,
    ) -> Result<(Page<KeyRecord>, KeyCounts)> {
        self.read(|conn| Ok((page_of_keys(conn, owner, filter, page, now)?, count_keys(conn, owner, now)?)))
    }

    /// One key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find_key(&self, key: KeyId) -> Result<Option<KeyRecord>> {
        self.read(|conn| {
            api_keys::table
                .left_join(api_key_uses::table.on(api_key_uses::key_id.eq(api_keys::id)))
                .filter(api_keys::id.eq(bytes(key)))
                .select(columns!())
                .first::<Columns>(conn)
                .optional()?
                .map(record)
                .transpose()
        })
    }
}

fn page_of_keys(
    conn: &mut AnyConn,
    owner: UserId,
    filter: KeyFilter,
    page: PageRequest,
    now: OffsetDateTime,
) -> Result<Page<KeyRecord>> {
    let at = micros(now);
    let mut query = api_keys::table
        .left_join(api_key_uses::table.on(api_key_uses::key_id.eq(api_keys::id)))
        .filter(api_keys::user_id.eq(bytes(owner)))
        .filter(api_keys::id.lt(page.below()))
        .order(api_keys::id.desc())
        .limit(page.rows())
        .select(columns!())
        .into_boxed();
    query = match filter {
        KeyFilter::All => query,
        KeyFilter::Revoked => query.filter(api_keys::revoked_at.is_not_null()),
        KeyFilter::NotRevoked => query.filter(api_keys::revoked_at.is_null()),
        KeyFilter::Live => query
            .filter(api_keys::revoked_at.is_null())
            .filter(api_keys::expired_seen_at.is_null())
            .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(at))),
        KeyFilter::Expired => query
            .filter(api_keys::revoked_at.is_null())
            .filter(api_keys::expired_seen_at.is_not_null().or(api_keys::expires_at.le(at))),
    };
    let rows: Vec<Columns> = query.load(conn)?;
    let items = rows.into_iter().map(record).collect::<Result<Vec<_>>>()?;
    Ok(page.page(items, |key| key.id.uuid()))
}

fn count_keys(conn: &mut AnyConn, owner: UserId, now: OffsetDateTime) -> Result<KeyCounts> {
    // In Diesel's own words, for what is told in SQL is prepared anew each time.
    let over = api_keys::expired_seen_at.is_not_null().or(api_keys::expires_at.le(micros(now)));
    let expired = count(case_when(api_keys::revoked_at.is_null().and(over), 1.into_sql::<BigInt>()));
    let theirs = api_keys::table.filter(api_keys::user_id.eq(bytes(owner)));
    let (all, revoked, expired): (i64, i64, i64) =
        theirs.select((count_star(), count(api_keys::revoked_at), expired)).get_result(conn)?;
    Ok(KeyCounts { live: all - revoked - expired, expired, revoked })
}

type Revocation = (
    diesel::dsl::Eq<api_keys::revoked_at, i64>,
    diesel::dsl::Eq<api_keys::revoked_by, String>,
    diesel::dsl::Eq<api_keys::revoke_reason, Option<String>>,
);

fn revocation<A: Action>(permit: &Permit<A>, reason: Option<&str>, occasion: &Occasion) -> Revocation {
    (
        api_keys::revoked_at.eq(micros(occasion.now)),
        api_keys::revoked_by.eq(row::text(&permit.actor().user).into_owned()),
        api_keys::revoke_reason.eq(reason.map(|reason| row::text(reason).into_owned())),
    )
}

macro_rules! columns {
    () => {
        (
            api_keys::id,
            api_keys::user_id,
            api_keys::name,
            api_keys::prefix,
            api_keys::created_at,
            api_keys::expires_at,
            api_keys::expired_seen_at,
            api_keys::revoked_at,
            api_key_uses::last_used_at.nullable(),
            api_key_uses::last_used_ip.nullable(),
        )
    };
}
use columns;

type Columns =
    (Vec<u8>, Vec<u8>, String, String, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<String>);

fn record(row: Columns) -> Result<KeyRecord> {
    let (key, owner, name, prefix, created, expires, seen, revoked, used, used_ip) = row;
    Ok(KeyRecord {
        id: id(&key)?,
        owner: id(&owner)?,
        name,
        prefix,
        created_at: row::time(created)?,
        expires_at: maybe_time(expires)?,
        expired_seen_at: maybe_time(seen)?,
        revoked_at: maybe_time(revoked)?,
        last_used_at: maybe_time(used)?,
        last_used_ip: used_ip,
    })
}
