//! Custom roles: made, changed, deleted. A deleted one keeps its row and holds nothing, for those who still have it; a
//! namesake made later is another role.

use crate::{
    audit::Occasion,
    authority::read_assignments,
    backend::AnyConn,
    basis::{ActError, Basis, confirm},
    cuts::{self, Cut},
    error::{Result, StoreError},
    row::{micros, text, time},
    schema::{assignments, roles, users},
    store::Store,
};
use ::time::OffsetDateTime;
use diesel::{ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl, dsl::count_star};
use kv_authz::{
    Action, Assignments, Pattern, Permit, RoleId,
    audit::{Detail, Fact, Finish},
};

/// A stored custom role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRecord {
    /// Its id.
    pub id: RoleId,
    /// Its name.
    pub name: String,
    /// What it holds.
    pub grants: Vec<Pattern>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// How many users have it.
    pub users: u64,
    /// What an act on it is decided on.
    pub read: RoleAsRead,
}

/// A role as it was when it was decided what may be done to it. An act that finds it changed since is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleAsRead {
    id: RoleId,
    version: i64,
}

/// What shall be different in a role.
#[derive(Debug, Clone, Default)]
pub struct RoleChange {
    /// Another name.
    pub name: Option<String>,
    /// Other grants, in place of all it has.
    pub grants: Option<Vec<Pattern>>,
}

/// Why a role was not made, changed or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoleRefused {
    /// The name is taken.
    #[error("a role of this name exists")]
    NameTaken,
    /// There is no such role.
    #[error("there is no such role")]
    NoSuchRole,
}

type Columns = (String, String, String, i64, i64);

fn written(grants: &[Pattern]) -> String {
    // A list of text always has a JSON form.
    serde_json::to_string(grants).unwrap_or_else(|_| "[]".into())
}

fn listed(grants: &[Pattern]) -> String {
    grants.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A name that is taken spoils a transaction of PostgreSQL, so it is looked for first; the index has the last word.
fn taken(conn: &mut AnyConn, name: &str, besides: &str) -> Result<bool> {
    let namesakes = roles::table
        .filter(roles::name.eq(name))
        .filter(roles::id.ne(besides))
        .filter(roles::deleted_at.is_null())
        .select(count_star());
    Ok(namesakes.get_result::<i64>(conn)? > 0)
}

fn named<T>(done: Result<T>) -> Result<T, ActError<RoleRefused>> {
    match done {
        Err(StoreError::Conflict) => Err(ActError::Refused(RoleRefused::NameTaken)),
        other => Ok(other?),
    }
}

impl Store {
    /// Stores a role, and tells how it is now.
    ///
    /// # Errors
    /// [`ActError::Refused`] where the name is taken.
    pub fn create_role<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (role, name, grants): (RoleId, &str, &[Pattern]),
        occasion: &Occasion,
    ) -> Result<RoleRecord, ActError<RoleRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let inserted = diesel::insert_into(roles::table)
                .values((
                    roles::id.eq(role.to_string()),
                    roles::name.eq(text(name)),
                    roles::grants.eq(written(grants)),
                    roles::created_at.eq(micros(occasion.now)),
                    roles::version.eq(1),
                ))
                .execute(conn);
            named(inserted.map_err(StoreError::from))?;
            let facts = Detail::none().with(Fact::ObjectId, role.to_string()).with(Fact::After, listed(grants));
            self.insert_act(conn, permit, occasion, Finish::with_status(201).because(facts))?;
            let made = (role.to_string(), text(name).into_owned(), written(grants), micros(occasion.now), 1);
            Ok(record(conn, made)?)
        })
    }

    /// Changes a role, for everybody who has it, from their next request on.
    ///
    /// # Errors
    /// [`ActError::Refused`].
    pub fn change_role<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        read: &RoleAsRead,
        change: &RoleChange,
        occasion: &Occasion,
    ) -> Result<(), ActError<RoleRefused>> {
        let id = read.id.to_string();
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let there = roles::table.filter(roles::id.eq(&id)).filter(roles::deleted_at.is_null());
            hold(conn, read)?;
            let before: String = roles::table.find(&id).select(roles::grants).get_result(conn)?;
            let before: Vec<Pattern> =
                serde_json::from_str(&before).map_err(|_| StoreError::Unreadable { what: "role" })?;
            if let Some(name) = &change.name {
                let name = text(name).into_owned();
                if taken(conn, &name, &id)? {
                    return Err(ActError::Refused(RoleRefused::NameTaken));
                }
                named(diesel::update(there).set(roles::name.eq(name)).execute(conn).map_err(StoreError::from))?;
            }
            if let Some(grants) = &change.grants {
                diesel::update(there).set(roles::grants.eq(written(grants))).execute(conn)?;
            }
            let mut facts = Detail::none().with(Fact::ObjectId, &*id).with(Fact::Before, listed(&before));
            if let Some(grants) = &change.grants {
                facts.add(Fact::After, listed(grants));
            }
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            cuts::note(conn, Cut::Role(read.id), occasion.now)?;
            Ok(())
        })
    }

    /// Deletes a role. Who still has it holds nothing from their next request on.
    ///
    /// # Errors
    /// [`ActError::Refused`] where there is none of this id.
    pub fn delete_role<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        read: &RoleAsRead,
        occasion: &Occasion,
    ) -> Result<(), ActError<RoleRefused>> {
        let id = read.id.to_string();
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let there = roles::table.filter(roles::id.eq(&id)).filter(roles::deleted_at.is_null());
            hold(conn, read)?;
            diesel::update(there).set(roles::deleted_at.eq(micros(occasion.now))).execute(conn)?;
            let facts = Detail::none().with(Fact::ObjectId, &*id);
            self.insert_act(conn, permit, occasion, Finish::with_status(204).because(facts))?;
            cuts::note(conn, Cut::Role(read.id), occasion.now)?;
            Ok(())
        })
    }

    /// Every role by name. There are few: people make them by hand.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list_roles(&self) -> Result<Vec<RoleRecord>> {
        self.read(|conn| {
            let rows: Vec<Columns> = roles::table
                .filter(roles::deleted_at.is_null())
                .order(roles::name)
                .select((roles::id, roles::name, roles::grants, roles::created_at, roles::version))
                .load(conn)?;
            rows.into_iter().map(|row| record(conn, row)).collect()
        })
    }

    /// What those who have a role are assigned, all of them together.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn role_reach(&self, role: RoleId) -> Result<Assignments> {
        self.read(|conn| {
            let theirs = assignments::table
                .inner_join(users::table.on(users::id.eq(assignments::user_id)))
                .filter(users::role.eq(role.to_string()))
                .filter(users::deleted_at.is_null())
                .select((assignments::cluster_id, assignments::namespaces))
                .load(conn)?;
            read_assignments(theirs)
        })
    }

    /// A role by its name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find_role(&self, name: &str) -> Result<Option<RoleRecord>> {
        self.read(|conn| {
            let row: Option<Columns> = roles::table
                .filter(roles::name.eq(text(name)))
                .filter(roles::deleted_at.is_null())
                .select((roles::id, roles::name, roles::grants, roles::created_at, roles::version))
                .get_result(conn)
                .optional()?;
            row.map(|row| record(conn, row)).transpose()
        })
    }
}

/// Holds a role until the end of the transaction, as it was read, for an act that changes it: everything decided on it so
/// far is stale.
fn hold(conn: &mut AnyConn, read: &RoleAsRead) -> Result<(), ActError<RoleRefused>> {
    let id = read.id.to_string();
    let there = roles::table.filter(roles::id.eq(&id)).filter(roles::deleted_at.is_null());
    if diesel::update(there).set(roles::version.eq(roles::version + 1)).execute(conn)? == 0 {
        return Err(ActError::Refused(RoleRefused::NoSuchRole));
    }
    let version: i64 = there.select(roles::version).get_result(conn)?;
    if version == read.version + 1 { Ok(()) } else { Err(ActError::Stale) }
}

fn record(conn: &mut AnyConn, (role, name, grants, created, version): Columns) -> Result<RoleRecord> {
    let holders = users::table.filter(users::role.eq(&role)).filter(users::deleted_at.is_null()).select(count_star());
    let unreadable = StoreError::Unreadable { what: "role" };
    let id = role.parse().map_err(|_| StoreError::Unreadable { what: "role" })?;
    Ok(RoleRecord {
        id,
        read: RoleAsRead { id, version },
        name,
        grants: serde_json::from_str(&grants).map_err(|_| unreadable)?,
        created_at: time(created)?,
        users: u64::try_from(holders.get_result::<i64>(conn)?).unwrap_or(0),
    })
}
