//! Users: made and found. Passwords come here as PHC strings only. What changes in a user is in `user_changes`.

use crate::{
    audit::Occasion,
    authority::{RoleColumns, load_assignments, read_role, role_columns},
    backend::AnyConn,
    basis::{ActError, Basis, confirm},
    error::{Result, StoreError},
    row::{bytes, id, maybe_time, micros, text, time},
    schema::{roles, second_factors, users},
    store::Store,
};
use ::time::OffsetDateTime;
use diesel::{
    ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, dsl::count_star,
};
use kv_authz::{
    Action, Assignments, Permit, Role, UserId,
    audit::{Detail, Fact, Finish},
};

/// A role as users hold it: a built-in one by its name, another by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRole(pub(crate) String);

impl From<&Role> for StoredRole {
    fn from(role: &Role) -> Self {
        Self(match role {
            Role::Custom { id, .. } => id.to_string(),
            built_in => built_in.name().to_owned(),
        })
    }
}

/// A user about to be stored.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Their id.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their role, as it is stored.
    pub role: StoredRole,
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
    /// Whether a second factor is in force.
    pub has_second_factor: bool,
    /// What an act on them is decided on.
    pub read: UserAsRead,
}

/// A user as they were when it was decided what may be done to them, by the versions of their rights. An act that finds
/// them changed since is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserAsRead {
    pub(crate) id: UserId,
    pub(crate) version: i64,
    pub(crate) role_version: Option<i64>,
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
    /// Whether a second factor is asked for.
    pub has_second_factor: bool,
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
    /// Nobody would be left to administer.
    #[error("the last administrator stays one")]
    LastAdmin,
    /// The user has no such assignment.
    #[error("there is no such assignment")]
    NoSuchAssignment,
}

pub(crate) type UserColumns = (Vec<u8>, String, (String, i64), i64, Option<i64>, RoleColumns, Option<i64>);

macro_rules! user_columns {
    () => {
        (
            users::id,
            users::name,
            (users::role, users::version),
            users::created_at,
            users::disabled_at,
            role_columns!(),
            second_factors::enabled_at.nullable(),
        )
    };
}

pub(crate) use user_columns;

macro_rules! sign_in_columns {
    () => {
        (
            users::id,
            users::name,
            users::password_hash,
            users::disabled_at,
            users::version,
            second_factors::enabled_at.nullable(),
        )
    };
}

impl Store {
    /// Stores a user, and tells how they are now.
    ///
    /// # Errors
    /// [`ActError::Refused`] where the name is taken.
    pub fn create_user<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        user: &NewUser,
        occasion: &Occasion,
    ) -> Result<UserRecord, ActError<UserRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let inserted = diesel::insert_into(users::table)
                .values((
                    users::id.eq(bytes(user.id)),
                    users::name.eq(&user.name),
                    users::role.eq(&user.role.0),
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
            let facts = Detail::none().with(Fact::ObjectId, user.id.to_string()).with(Fact::After, &*user.role.0);
            self.insert_act(conn, permit, occasion, Finish::with_status(201).because(facts))?;
            // In the same transaction: read again later, that could fail, and the answer would be that nothing was done.
            Ok(by_id(conn, user.id)?.ok_or(StoreError::Unreadable { what: "user" })?)
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
        self.read(|conn| {
            let row = users::table
                .left_join(roles::table.on(roles::id.eq(users::role)))
                .left_join(second_factors::table.on(second_factors::user_id.eq(users::id)))
                .filter(users::name.eq(text(name)))
                .filter(users::deleted_at.is_null())
                .select(user_columns!())
                .get_result::<UserColumns>(conn)
                .optional()?;
            row.map(|row| record(conn, row)).transpose()
        })
    }

    /// A user by id; deleted ones are gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find_user_by_id(&self, user: UserId) -> Result<Option<UserRecord>> {
        self.read(|conn| by_id(conn, user))
    }

    /// What signing in as `name` needs; deleted users are gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sign_in(&self, name: &str) -> Result<Option<SignIn>> {
        self.read(|conn| {
            let row = users::table
                .left_join(second_factors::table.on(second_factors::user_id.eq(users::id)))
                .filter(users::name.eq(text(name)))
                .filter(users::deleted_at.is_null())
                .select(sign_in_columns!())
                .get_result::<SignInColumns>(conn)
                .optional()?;
            row.map(sign_in).transpose()
        })
    }

    /// The same for a user who is known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sign_in_by_id(&self, user: UserId) -> Result<Option<SignIn>> {
        self.read(|conn| {
            let row = users::table
                .left_join(second_factors::table.on(second_factors::user_id.eq(users::id)))
                .filter(users::id.eq(bytes(user)))
                .filter(users::deleted_at.is_null())
                .select(sign_in_columns!())
                .get_result::<SignInColumns>(conn)
                .optional()?;
            row.map(sign_in).transpose()
        })
    }
}

fn by_id(conn: &mut AnyConn, user: UserId) -> Result<Option<UserRecord>> {
    let row = users::table
        .left_join(roles::table.on(roles::id.eq(users::role)))
        .left_join(second_factors::table.on(second_factors::user_id.eq(users::id)))
        .filter(users::id.eq(bytes(user)))
        .filter(users::deleted_at.is_null())
        .select(user_columns!())
        .get_result::<UserColumns>(conn)
        .optional()?;
    row.map(|row| record(conn, row)).transpose()
}

/// Holds a user until the end of the transaction, as they were read, for an act that changes them: nobody else's act on
/// them or on their role gets in between, and everything decided on their rights so far is stale.
pub(crate) fn hold(conn: &mut AnyConn, read: &UserAsRead) -> Result<(), ActError<UserRefused>> {
    let row = bytes(read.id);
    let there = users::table.filter(users::id.eq(&row)).filter(users::deleted_at.is_null());
    if diesel::update(there).set(users::version.eq(users::version + 1)).execute(conn)? == 0 {
        return Err(ActError::Refused(UserRefused::NoSuchUser));
    }
    let (role, version): (String, i64) = there.select((users::role, users::version)).get_result(conn)?;
    let role_version = match read.role_version {
        None => None,
        Some(_) => hold_role(conn, &role)?,
    };
    if (version, role_version) == (read.version + 1, read.role_version) { Ok(()) } else { Err(ActError::Stale) }
}

/// Holds a custom role until the end of the transaction, and tells its version.
pub(crate) fn hold_role(conn: &mut AnyConn, role: &str) -> Result<Option<i64>> {
    let row = roles::table.filter(roles::id.eq(role));
    // Writing a row, even with its own value, locks it on PostgreSQL.
    diesel::update(row).set(roles::version.eq(roles::version)).execute(conn)?;
    Ok(row.select(roles::version).get_result(conn).optional()?)
}

type SignInColumns = (Vec<u8>, String, Option<String>, Option<i64>, i64, Option<i64>);

fn sign_in((user, name, password_hash, disabled, version, factor): SignInColumns) -> Result<SignIn> {
    let (disabled, has_second_factor) = (disabled.is_some(), factor.is_some());
    Ok(SignIn { id: id(&user)?, name, password_hash, disabled, version, has_second_factor })
}

/// A user as they were read, with what they are assigned.
pub(crate) fn record(
    conn: &mut AnyConn,
    (user, name, (role, version), created, disabled, columns, factor): UserColumns,
) -> Result<UserRecord> {
    let read = UserAsRead { id: id(&user)?, version, role_version: columns.3 };
    Ok(UserRecord {
        id: read.id,
        read,
        name,
        role: read_role(&role, columns)?,
        created_at: time(created)?,
        disabled_at: maybe_time(disabled)?,
        assignments: load_assignments(conn, &user)?,
        has_second_factor: factor.is_some(),
    })
}
