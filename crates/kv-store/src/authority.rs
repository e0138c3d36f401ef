//! Authority: what a credential stands for, with the versions it was read at, ready to be cached.
//!
//! The version is read before the rights it speaks of. A change in between leaves an old version on newer rights, which
//! admission finds stale; never a new version on older rights.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    row::{bytes, id, maybe_time},
    schema::{api_keys, assignments, sessions, users},
    store::Store,
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use kv_authz::{Assignment, Assignments, ClusterScope, KeyId, NamespaceScope, Owner, Role, SessionId, UserId};
use kv_keys::KeyDigest;
use std::sync::Arc;
use time::OffsetDateTime;

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
}

type OwnerColumns = (Vec<u8>, String, String, i64);

impl Store {
    /// The authority of a key by its digest, whatever the state of the key; admission judges that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn key_authority(&self, digest: &KeyDigest) -> Result<Option<KeyAuthority>> {
        let digest = digest.to_bytes();
        self.read(|conn| {
            let row = api_keys::table
                .inner_join(users::table)
                .filter(api_keys::digest.eq(digest.as_slice()))
                .select((
                    api_keys::id,
                    api_keys::name,
                    api_keys::expires_at,
                    (users::id, users::name, users::role, users::version),
                ))
                .get_result::<(Vec<u8>, String, Option<i64>, OwnerColumns)>(conn)
                .optional()?;
            let Some((key, name, expires_at, columns)) = row else {
                // As many reads as for a key that somebody has: the time does not tell them apart.
                load_assignments(conn, &[])?;
                return Ok(None);
            };
            let (owner, user_version) = owner(conn, columns)?;
            Ok(Some(KeyAuthority { id: id(&key)?, name, expires_at: maybe_time(expires_at)?, owner, user_version }))
        })
    }

    /// The authority of a session, whatever its state; admission judges that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn session_authority(&self, session: SessionId) -> Result<Option<SessionAuthority>> {
        self.read(|conn| {
            let columns = sessions::table
                .inner_join(users::table)
                .filter(sessions::id.eq(bytes(session)))
                .select((users::id, users::name, users::role, users::version))
                .get_result::<OwnerColumns>(conn)
                .optional()?;
            let Some(columns) = columns else { return Ok(None) };
            let (owner, user_version) = owner(conn, columns)?;
            Ok(Some(SessionAuthority { id: session, owner, user_version }))
        })
    }
}

fn owner(conn: &mut AnyConn, (user, name, role, version): OwnerColumns) -> Result<(Arc<Owner>, i64)> {
    let owner = Owner { id: id(&user)?, name, role: read_role(&role), assignments: load_assignments(conn, &user)? };
    Ok((Arc::new(owner), version))
}

/// A role that is not known holds nothing: it may have been deleted, or the row is damaged.
pub(crate) fn read_role(name: &str) -> Role {
    Role::built_in(name).unwrap_or_else(|| Role::Custom { name: name.to_owned(), grants: Vec::new() })
}

/// The assignments of a user.
pub(crate) fn load_assignments(conn: &mut AnyConn, user: &[u8]) -> Result<Assignments> {
    let rows = assignments::table
        .filter(assignments::user_id.eq(user))
        .order(assignments::id)
        .select((assignments::cluster_id, assignments::namespaces))
        .load::<(Option<Vec<u8>>, Option<String>)>(conn)?;
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
