//! Users: made, found, disabled, assigned. Passwords come here as PHC strings only.

use crate::{
    audit::{self, Occasion},
    authority::{bump, load_assignments, read_role},
    basis::{ActError, Basis, Never, confirm},
    error::{Result, StoreError},
    page::{Page, PageRequest},
    row::{bytes, id, maybe_time, micros, text, time},
    schema::{api_keys, assignments, sessions, users},
    store::Store,
};
use ::time::OffsetDateTime;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, dsl::count_star};
use kv_authz::{
    Action, Assignment, Assignments, ClusterScope, NamespaceScope, Permit, Role, UserId,
    audit::{Detail, Fact, Finish},
};
use uuid::Uuid;

/// A user about to be stored.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Their id.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their role's name.
    pub role: String,
    /// The hash of their password as a PHC string; without one nobody can sign in as them.
    pub password_hash: Option<String>,
}

/// A stored user.
#[derive(Debug, Clone)]
pub struct UserRecord {
    /// Their id.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their role.
    pub role: Role,
    /// When they were made.
    pub created_at: OffsetDateTime,
    /// Since when they are disabled.
    pub disabled_at: Option<OffsetDateTime>,
    /// What they are assigned.
    pub assignments: Assignments,
}

/// What signing in needs to know of a user.
#[derive(Clone)]
pub struct SignIn {
    /// The user.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// The hash of their password, if they have one.
    pub password_hash: Option<String>,
    /// Whether they may sign in at all.
    pub disabled: bool,
    /// The version of their rights.
    pub version: i64,
}

/// Why a user was not made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserRefused {
    /// The name is taken.
    #[error("the name is taken")]
    NameTaken,
    /// There is no such user.
    #[error("there is no such user")]
    NoSuchUser,
}

type Columns = (Vec<u8>, String, String, i64, Option<i64>);

impl Store {
    /// Stores a user.
    ///
    /// # Errors
    /// [`ActError::Refused`] where the name is taken.
    pub fn create_user<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        user: &NewUser,
        occasion: &Occasion,
    ) -> Result<(), ActError<UserRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let inserted = diesel::insert_into(users::table)
                .values((
                    users::id.eq(bytes(user.id)),
                    users::name.eq(&user.name),
                    users::role.eq(&user.role),
                    users::password_hash.eq(&user.password_hash),
                    users::created_at.eq(micros(occasion.now)),
                    users::version.eq(1),
                    users::keys_made.eq(0),
                ))
                .execute(conn)
                .map_err(StoreError::from);
            match inserted {
                Err(StoreError::Conflict) => return Err(ActError::Refused(UserRefused::NameTaken)),
                other => other?,
            };
            let facts = Detail::none().with(Fact::ObjectId, user.id.to_string()).with(Fact::After, &*user.role);
            audit::insert_act(conn, permit, occasion, Finish::with_status(201).because(facts))?;
            Ok(())
        })
    }

    /// Whether there is any user yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_users(&self) -> Result<bool> {
        self.read(|conn| Ok(users::table.select(count_star()).first::<i64>(conn)? > 0))
    }

    /// A user by name; deleted ones are gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find_user(&self, name: &str) -> Result<Option<UserRecord>> {
        self.user(|| users::table.filter(users::name.eq(text(name))).into_boxed())
    }

    /// A user by id; deleted ones are gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find_user_by_id(&self, user: UserId) -> Result<Option<UserRecord>> {
        self.user(|| users::table.filter(users::id.eq(bytes(user))).into_boxed())
    }

    fn user<'a>(
        &self,
        query: impl Fn() -> users::BoxedQuery<'a, crate::backend::MultiBackend>,
    ) -> Result<Option<UserRecord>> {
        self.read(|conn| {
            let row = query()
                .filter(users::deleted_at.is_null())
                .select((users::id, users::name, users::role, users::created_at, users::disabled_at))
                .first::<Columns>(conn)
                .optional()?;
            row.map(|row| record(conn, row)).transpose()
        })
    }

    /// The users, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list_users(&self, page: PageRequest) -> Result<Page<UserRecord>> {
        self.read(|conn| {
            let rows: Vec<Columns> = users::table
                .filter(users::deleted_at.is_null())
                .filter(users::id.lt(page.below()))
                .order(users::id.desc())
                .limit(page.rows())
                .select((users::id, users::name, users::role, users::created_at, users::disabled_at))
                .load(conn)?;
            let items = rows.into_iter().map(|row| record(conn, row)).collect::<Result<Vec<_>>>()?;
            Ok(page.page(items, |user| user.id.uuid()))
        })
    }

    /// What signing in as `name` needs; deleted users are gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sign_in(&self, name: &str) -> Result<Option<SignIn>> {
        self.read(|conn| {
            let row = users::table
                .filter(users::name.eq(text(name)))
                .filter(users::deleted_at.is_null())
                .select((users::id, users::name, users::password_hash, users::disabled_at, users::version))
                .first::<(Vec<u8>, String, Option<String>, Option<i64>, i64)>(conn)
                .optional()?;
            row.map(|(user, name, password_hash, disabled, version)| {
                Ok(SignIn { id: id(&user)?, name, password_hash, disabled: disabled.is_some(), version })
            })
            .transpose()
        })
    }

    /// Disables a user, ends their sessions and revokes their keys, so that enabling them again revives none.
    ///
    /// # Errors
    /// [`ActError::Refused`] where there is no such user.
    pub fn disable_user<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        user: UserId,
        occasion: &Occasion,
    ) -> Result<(), ActError<UserRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let row = bytes(user);
            let there = users::table.filter(users::id.eq(&row)).filter(users::deleted_at.is_null());
            let now = micros(occasion.now);
            let found = diesel::update(there).set(users::version.eq(users::version + 1)).execute(conn)?;
            if found == 0 {
                return Err(ActError::Refused(UserRefused::NoSuchUser));
            }
            // The old state in the filter: the first time stands.
            diesel::update(there.filter(users::disabled_at.is_null())).set(users::disabled_at.eq(now)).execute(conn)?;
            let live = api_keys::table.filter(api_keys::user_id.eq(&row)).filter(api_keys::revoked_at.is_null());
            let revoked = diesel::update(live)
                .set((
                    api_keys::revoked_at.eq(now),
                    api_keys::revoked_by.eq(&permit.actor().user),
                    api_keys::revoke_reason.eq("owner disabled"),
                ))
                .execute(conn)?;
            let open = sessions::table.filter(sessions::user_id.eq(&row)).filter(sessions::ended_at.is_null());
            diesel::update(open).set(sessions::ended_at.eq(now)).execute(conn)?;
            let facts = Detail::none().with(Fact::After, format!("disabled, {revoked} keys revoked"));
            audit::insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            Ok(())
        })
    }

    /// Gives a user these assignments in place of those for the same cluster.
    ///
    /// # Errors
    /// [`ActError::Refused`] where there is no such user.
    pub fn assign_user<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        user: UserId,
        (id, line): (Uuid, &Assignment),
        occasion: &Occasion,
    ) -> Result<(), ActError<UserRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let row = bytes(user);
            bump(conn, user)?;
            let there: i64 = users::table
                .filter(users::id.eq(&row))
                .filter(users::deleted_at.is_null())
                .select(count_star())
                .first(conn)?;
            if there == 0 {
                return Err(ActError::Refused(UserRefused::NoSuchUser));
            }
            let cluster = match line.cluster {
                ClusterScope::Every => None,
                ClusterScope::One(cluster) => Some(bytes(cluster)),
            };
            let theirs = assignments::table.filter(assignments::user_id.eq(&row));
            match &cluster {
                None => diesel::delete(theirs.filter(assignments::cluster_id.is_null())).execute(conn)?,
                Some(cluster) => diesel::delete(theirs.filter(assignments::cluster_id.eq(cluster))).execute(conn)?,
            };
            let namespaces = match &line.namespaces {
                NamespaceScope::All => None,
                NamespaceScope::Named(names) => serde_json::to_string(names).ok(),
            };
            let facts = Detail::none().with(
                Fact::After,
                format!(
                    "{} {}",
                    permit.target().cluster.as_deref().unwrap_or("every cluster"),
                    namespaces.as_deref().unwrap_or("all namespaces")
                ),
            );
            diesel::insert_into(assignments::table)
                .values((
                    assignments::id.eq(bytes(id)),
                    assignments::user_id.eq(&row),
                    assignments::cluster_id.eq(cluster),
                    assignments::namespaces.eq(namespaces),
                ))
                .execute(conn)?;
            audit::insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            Ok(())
        })
    }

    /// Replaces the hash of a user's password by one of the same password, made with newer parameters.
    ///
    /// # Errors
    /// [`ActError`].
    pub fn rehash_password(&self, user: UserId, old: &str, new: &str) -> Result<(), ActError<Never>> {
        self.write(|conn| {
            let unchanged = users::table.filter(users::id.eq(bytes(user))).filter(users::password_hash.eq(old));
            diesel::update(unchanged).set(users::password_hash.eq(new)).execute(conn)?;
            Ok(())
        })
    }
}

fn record(conn: &mut crate::backend::AnyConn, (user, name, role, created, disabled): Columns) -> Result<UserRecord> {
    Ok(UserRecord {
        id: id(&user)?,
        name,
        role: read_role(&role),
        created_at: time(created)?,
        disabled_at: maybe_time(disabled)?,
        assignments: load_assignments(conn, &user)?,
    })
}
