//! Authority: what a credential stands for, with the versions it was read at, ready to be cached.
//!
//! The version is read before the rights it speaks of. A change in between leaves an old version on newer rights, which
//! admission finds stale; never a new version on older rights.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    row::{bytes, id, maybe_time, time},
    schema::{api_keys, assignments, refresh_tokens, roles, second_factors, sessions, users},
    store::Store,
};
use ::time::OffsetDateTime;
use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use kv_authz::{
    Assignment, Assignments, ClusterScope, KeyId, NamespaceScope, Owner, Role, RoleId, SecondFactor, SessionId, UserId,
};
use kv_keys::KeyDigest;
use std::{collections::HashMap, sync::Arc};

/// The columns of the role joined to a user.
macro_rules! role_columns {
    () => {
        (
            crate::schema::roles::name.nullable(),
            crate::schema::roles::grants.nullable(),
            crate::schema::roles::deleted_at.nullable(),
            crate::schema::roles::version.nullable(),
        )
    };
}
pub(crate) use role_columns;

/// What an API key stands for.
#[derive(Debug, Clone)]
pub struct KeyAuthority {
    /// The key.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// When it expires, if ever.
    pub expires_at: Option<OffsetDateTime>,
    /// Whose rights it has.
    pub owner: Arc<Owner>,
    /// The version of those rights.
    pub user_version: i64,
    /// The version of the owner's role, if it is a custom one.
    pub role_version: Option<i64>,
    /// The primary it was read from, for [`Basis::timeline`](crate::Basis::timeline).
    pub timeline: i64,
}

/// What a session stands for.
#[derive(Debug, Clone)]
pub struct SessionAuthority {
    /// The session.
    pub id: SessionId,
    /// The person.
    pub owner: Arc<Owner>,
    /// The version of their rights.
    pub user_version: i64,
    /// The version of their role, if it is a custom one.
    pub role_version: Option<i64>,
    /// The primary it was read from, for [`Basis::timeline`](crate::Basis::timeline).
    pub timeline: i64,
    /// Their second factor. A code shown later than this says makes only refusals out of date.
    pub factor: SecondFactor,
    /// When it ends by itself, unless it is renewed.
    pub expires_at: OffsetDateTime,
}

/// Whose an assignment is, its cluster and its namespaces.
type AssignmentColumns = (Vec<u8>, Option<Vec<u8>>, Option<String>);

type OwnerColumns = (Vec<u8>, String, String, i64);

/// A user's role as it is stored: its text in the user's row, and the custom role's own row.
pub(crate) type RoleColumns = (Option<String>, Option<String>, Option<i64>, Option<i64>);

impl Store {
    /// The authority of a key by its digest, whatever the state of the key; admission judges that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn key_authority(&self, digest: &KeyDigest) -> Result<Option<KeyAuthority>> {
        let timeline = self.timeline();
        self.read(|conn| key_authority(conn, &digest.to_bytes(), timeline))
    }

    /// The authority of a key by its id, for who was told the id and not the key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn key_authority_by_id(&self, key: KeyId) -> Result<Option<KeyAuthority>> {
        let timeline = self.timeline();
        self.read(|conn| {
            let row = api_keys::table.filter(api_keys::id.eq(bytes(key)));
            let digest: Option<Vec<u8>> = row.select(api_keys::digest).get_result(conn).optional()?;
            digest.map_or(Ok(None), |digest| key_authority(conn, &digest, timeline))
        })
    }

    /// The authority of a session, whatever its state; admission judges that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn session_authority(&self, session: SessionId) -> Result<Option<SessionAuthority>> {
        let timeline = self.timeline();
        self.read(|conn| session_authority(conn, session, timeline))
    }

    /// The authority of a session by the digest of one of its opaque tokens, whatever the state of either.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn session_authority_by_token(&self, digest: &[u8]) -> Result<Option<SessionAuthority>> {
        let timeline = self.timeline();
        self.read(|conn| {
            let token = refresh_tokens::table.find(digest).select(refresh_tokens::session_id);
            let session: Option<Vec<u8>> = token.get_result(conn).optional()?;
            session.map_or(Ok(None), |session| session_authority(conn, id(&session)?, timeline))
        })
    }

    /// What these users hold now, in two statements however many they are; who is deleted is left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rights_of(&self, wanted: &[UserId]) -> Result<Vec<Arc<Owner>>> {
        let wanted: Vec<Vec<u8>> = wanted.iter().map(|&user| bytes(user)).collect();
        self.read(|conn| {
            let rows: Vec<(Vec<u8>, String, String, RoleColumns)> = users::table
                .left_join(roles::table.on(roles::id.eq(users::role)))
                .filter(users::id.eq_any(&wanted))
                .filter(users::deleted_at.is_null())
                .select((users::id, users::name, users::role, role_columns!()))
                .load(conn)?;
            let lines: Vec<AssignmentColumns> = assignments::table
                .filter(assignments::user_id.eq_any(&wanted))
                .order(assignments::id)
                .select((assignments::user_id, assignments::cluster_id, assignments::namespaces))
                .load(conn)?;
            let mut assigned: HashMap<Vec<u8>, Vec<_>> = HashMap::new();
            for (user, cluster, namespaces) in lines {
                assigned.entry(user).or_default().push((cluster, namespaces));
            }
            let owners = rows.into_iter().map(|(user, name, role, columns)| {
                let role = read_role(&role, columns)?;
                let assignments = read_assignments(assigned.remove(&user).unwrap_or_default())?;
                Ok(Arc::new(Owner { id: id(&user)?, name, role, assignments }))
            });
            owners.collect()
        })
    }
}

fn session_authority(conn: &mut AnyConn, session: SessionId, timeline: i64) -> Result<Option<SessionAuthority>> {
    let row = sessions::table
        .inner_join(users::table.left_join(roles::table.on(roles::id.eq(users::role))))
        .left_join(second_factors::table.on(second_factors::user_id.eq(sessions::user_id)))
        .filter(sessions::id.eq(bytes(session)))
        .select((
            (users::id, users::name, users::role, users::version),
            role_columns!(),
            (second_factors::enabled_at.nullable(), sessions::factor_shown_at, sessions::expires_at),
        ))
        .get_result::<(OwnerColumns, RoleColumns, (Option<i64>, Option<i64>, i64))>(conn)
        .optional()?;
    let Some((columns, role, (enabled_at, shown_at, expires_at))) = row else { return Ok(None) };
    let role_version = role.3;
    let (owner, user_version) = owner(conn, columns, role)?;
    let factor = match enabled_at {
        None => SecondFactor::Missing,
        Some(_) => SecondFactor::Enrolled { shown_at: maybe_time(shown_at)? },
    };
    let expires_at = time(expires_at)?;
    Ok(Some(SessionAuthority { id: session, owner, user_version, role_version, timeline, factor, expires_at }))
}

fn key_authority(conn: &mut AnyConn, digest: &[u8], timeline: i64) -> Result<Option<KeyAuthority>> {
    let row = api_keys::table
        .inner_join(users::table.left_join(roles::table.on(roles::id.eq(users::role))))
        .filter(api_keys::digest.eq(digest))
        .select((
            api_keys::id,
            api_keys::name,
            api_keys::expires_at,
            (users::id, users::name, users::role, users::version),
            role_columns!(),
        ))
        .get_result::<(Vec<u8>, String, Option<i64>, OwnerColumns, RoleColumns)>(conn)
        .optional()?;
    let Some((key, name, expires_at, columns, role)) = row else {
        // As many reads as for a key that somebody has: the time does not tell them apart.
        load_assignments(conn, &[])?;
        return Ok(None);
    };
    let role_version = role.3;
    let (owner, user_version) = owner(conn, columns, role)?;
    let expires_at = maybe_time(expires_at)?;
    Ok(Some(KeyAuthority { id: id(&key)?, name, expires_at, owner, user_version, role_version, timeline }))
}

fn owner(
    conn: &mut AnyConn,
    (user, name, role, version): OwnerColumns,
    columns: RoleColumns,
) -> Result<(Arc<Owner>, i64)> {
    let role = read_role(&role, columns)?;
    let owner = Owner { id: id(&user)?, name, role, assignments: load_assignments(conn, &user)? };
    Ok((Arc::new(owner), version))
}

/// A user's role. One that is not known or deleted holds nothing.
pub(crate) fn read_role(text: &str, (name, grants, deleted, _): RoleColumns) -> Result<Role> {
    if let Some(role) = Role::built_in(text) {
        return Ok(role);
    }
    let id = text.parse().unwrap_or(RoleId::NIL);
    let grants = match (grants, deleted) {
        (Some(json), None) => serde_json::from_str(&json).map_err(|_| StoreError::Unreadable { what: "role" })?,
        _ => Vec::new(),
    };
    Ok(Role::Custom { id, name: name.unwrap_or_else(|| text.to_owned()), grants })
}

/// The assignments of a user.
pub(crate) fn load_assignments(conn: &mut AnyConn, user: &[u8]) -> Result<Assignments> {
    let rows = assignments::table
        .filter(assignments::user_id.eq(user))
        .order(assignments::id)
        .select((assignments::cluster_id, assignments::namespaces))
        .load(conn)?;
    read_assignments(rows)
}

/// Assignments as they are stored.
pub(crate) fn read_assignments(rows: Vec<(Option<Vec<u8>>, Option<String>)>) -> Result<Assignments> {
    let lines = rows.into_iter().map(|(cluster, namespaces)| {
        Ok(Assignment {
            cluster: match cluster {
                None => ClusterScope::Every,
                Some(bytes) => ClusterScope::One(id(&bytes)?),
            },
            namespaces: match namespaces {
                None => NamespaceScope::All,
                Some(json) => NamespaceScope::Named(
                    serde_json::from_str(&json).map_err(|_| StoreError::Unreadable { what: "assignment" })?,
                ),
            },
        })
    });
    Ok(Assignments::new(lines.collect::<Result<_>>()?))
}

/// Makes everything decided on a user's rights so far stale.
pub(crate) fn bump(conn: &mut AnyConn, user: UserId) -> Result<()> {
    let user = users::table.filter(users::id.eq(bytes(user)));
    diesel::update(user).set(users::version.eq(users::version + 1)).execute(conn)?;
    Ok(())
}
