//! Changes of users: role, disabled or not, password, second factor, deletion. Each ends what it must with it, in one
//! transaction, and there is always an administrator left.

use crate::{
    audit::Occasion,
    backend::AnyConn,
    basis::{ActError, Basis, Never, confirm},
    cuts::{self, Cut},
    error::Result,
    row::{bytes, id, micros, text},
    schema::{api_keys, assignments, revisions, users},
    second_factors::forget_factor,
    sessions::end_all,
    store::Store,
    users::{StoredRole, UserAsRead, UserRefused, hold},
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, dsl::count_star};
use kv_authz::{
    Action, Permit, Role, UserId,
    audit::{Detail, Fact, Finish},
};

/// What shall be different in a user.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// Another role.
    pub role: Option<StoredRole>,
    /// Disabled or enabled.
    pub disabled: Option<bool>,
    /// On enabling: whether the keys that were revoked by disabling are good again.
    pub restore_api_keys: bool,
}

/// What a change of a user did beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserChanged {
    /// Keys revoked.
    pub keys_revoked: usize,
    /// Keys good again.
    pub keys_restored: usize,
    /// Sessions ended.
    pub sessions_ended: usize,
}

impl Store {
    /// Changes a user's role, disables them or enables them. Disabling ends their sessions and revokes their keys, so that
    /// enabling them again revives none, unless it is asked for.
    ///
    /// # Errors
    /// [`ActError::Refused`]; nothing is changed then.
    pub fn change_user<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        read: &UserAsRead,
        change: &UserChange,
        occasion: &Occasion,
    ) -> Result<UserChanged, ActError<UserRefused>> {
        self.write(|conn| {
            hold_admins(conn)?;
            confirm(conn, basis, occasion.now)?;
            hold(conn, read)?;
            let row = bytes(read.id);
            let there = users::table.find(&row);
            let (role, disabled_at): (String, Option<i64>) =
                there.select((users::role, users::disabled_at)).get_result(conn)?;
            let mut facts = Detail::none().with(Fact::ObjectId, read.id.to_string());
            let mut done = UserChanged::default();
            if let Some(other) = &change.role {
                diesel::update(there).set(users::role.eq(&other.0)).execute(conn)?;
                facts = facts.with(Fact::Before, &*role).with(Fact::After, &*other.0);
            }
            match (change.disabled, disabled_at) {
                (Some(true), None) => {
                    done = disable(conn, &row, permit, occasion)?;
                    let (keys, sessions) = (done.keys_revoked, done.sessions_ended);
                    facts.add(Fact::After, format!("disabled, {keys} keys revoked, {sessions} sessions ended"));
                }
                (Some(false), Some(since)) => {
                    done = enable(conn, &row, since, change.restore_api_keys)?;
                    facts.add(Fact::After, format!("enabled, {} keys restored", done.keys_restored));
                }
                // The first time stands.
                (Some(_), _) => facts.add(Fact::After, "as before"),
                (None, _) => {}
            }
            keep_an_admin(conn, &role)?;
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            cuts::note(conn, Cut::User(read.id), occasion.now)?;
            Ok(done)
        })
    }

    /// Deletes a user: their keys are revoked and their sessions ended, and what they were assigned is gone. A namesake
    /// made later is somebody else.
    ///
    /// # Errors
    /// [`ActError::Refused`]; nothing is changed then.
    pub fn delete_user<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        read: &UserAsRead,
        occasion: &Occasion,
    ) -> Result<UserChanged, ActError<UserRefused>> {
        self.write(|conn| {
            hold_admins(conn)?;
            confirm(conn, basis, occasion.now)?;
            hold(conn, read)?;
            let (user, row) = (read.id, bytes(read.id));
            let there = users::table.find(&row);
            let role: String = there.select(users::role).get_result(conn)?;
            let done = end_credentials(conn, &row, "owner deleted", permit, occasion)?;
            forget_factor(conn, user)?;
            diesel::delete(assignments::table.filter(assignments::user_id.eq(&row))).execute(conn)?;
            diesel::update(there)
                .set((users::deleted_at.eq(micros(occasion.now)), users::password_hash.eq(None::<String>)))
                .execute(conn)?;
            keep_an_admin(conn, &role)?;
            let (keys, sessions) = (done.keys_revoked, done.sessions_ended);
            let facts = Detail::none()
                .with(Fact::ObjectId, user.to_string())
                .with(Fact::After, format!("deleted, {keys} keys revoked, {sessions} sessions ended"));
            self.insert_act(conn, permit, occasion, Finish::with_status(204).because(facts))?;
            cuts::note(conn, Cut::User(user), occasion.now)?;
            Ok(done)
        })
    }

    /// Gives a user another password. All their sessions end, and their keys with them if that is asked for. `read` is of
    /// no need for one's own: the basis speaks of the same user.
    ///
    /// # Errors
    /// [`ActError::Refused`] where there is no such user.
    pub fn set_password<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (user, read): (UserId, Option<&UserAsRead>),
        (hash, revoke_keys): (&str, bool),
        occasion: &Occasion,
    ) -> Result<UserChanged, ActError<UserRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            if let Some(read) = read {
                hold(conn, read)?;
            }
            let row = bytes(user);
            let there = users::table.filter(users::id.eq(&row)).filter(users::deleted_at.is_null());
            let set = diesel::update(there)
                .set((users::version.eq(users::version + 1), users::password_hash.eq(hash)))
                .execute(conn)?;
            if set == 0 {
                return Err(ActError::Refused(UserRefused::NoSuchUser));
            }
            let by = &permit.actor().user;
            let keys_revoked = match revoke_keys {
                true => {
                    stay_revoked(conn, &row)?;
                    revoke_keys_of(conn, &row, "password reset", by, occasion)?
                }
                false => 0,
            };
            let sessions_ended = end_all(conn, (user, None), by, occasion.now)?;
            let facts = Detail::none()
                .with(Fact::ObjectId, user.to_string())
                .with(Fact::After, format!("{keys_revoked} keys revoked, {sessions_ended} sessions ended"));
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            cuts::note(conn, Cut::User(user), occasion.now)?;
            Ok(UserChanged { keys_revoked, sessions_ended, keys_restored: 0 })
        })
    }

    /// Takes a user's second factor away, and ends their sessions.
    ///
    /// # Errors
    /// [`ActError::Refused`] where there is no such user.
    pub fn reset_second_factor<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        read: &UserAsRead,
        occasion: &Occasion,
    ) -> Result<UserChanged, ActError<UserRefused>> {
        let user = read.id;
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            hold(conn, read)?;
            forget_factor(conn, user)?;
            let sessions_ended = end_all(conn, (user, None), &permit.actor().user, occasion.now)?;
            let facts = Detail::none()
                .with(Fact::ObjectId, user.to_string())
                .with(Fact::After, format!("{sessions_ended} sessions ended"));
            self.insert_act(conn, permit, occasion, Finish::with_status(204).because(facts))?;
            cuts::note(conn, Cut::User(user), occasion.now)?;
            Ok(UserChanged { sessions_ended, ..UserChanged::default() })
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

/// One at a time: of two that each leave one administrator, together they would leave none.
fn hold_admins(conn: &mut AnyConn) -> Result<()> {
    diesel::update(revisions::table.find("admins")).set(revisions::version.eq(revisions::version + 1)).execute(conn)?;
    Ok(())
}

fn keep_an_admin(conn: &mut AnyConn, role: &str) -> Result<(), ActError<UserRefused>> {
    if role != Role::Admin.name() {
        return Ok(());
    }
    let left: i64 = users::table
        .filter(users::role.eq(Role::Admin.name()))
        .filter(users::disabled_at.is_null())
        .filter(users::deleted_at.is_null())
        .select(count_star())
        .get_result(conn)?;
    if left == 0 { Err(ActError::Refused(UserRefused::LastAdmin)) } else { Ok(()) }
}

fn disable<A: Action>(conn: &mut AnyConn, row: &[u8], permit: &Permit<A>, occasion: &Occasion) -> Result<UserChanged> {
    let now = micros(occasion.now);
    diesel::update(users::table.find(row)).set(users::disabled_at.eq(now)).execute(conn)?;
    let live = api_keys::table.filter(api_keys::user_id.eq(row)).filter(api_keys::revoked_at.is_null());
    diesel::update(live).set(api_keys::revoked_with_owner_at.eq(now)).execute(conn)?;
    end_credentials(conn, row, "owner disabled", permit, occasion)
}

/// Enables a user again. Of the keys that were revoked with them at `since`, those may come back that were not revoked by
/// anybody before.
fn enable(conn: &mut AnyConn, row: &[u8], since: i64, restore_keys: bool) -> Result<UserChanged> {
    diesel::update(users::table.find(row)).set(users::disabled_at.eq(None::<i64>)).execute(conn)?;
    let with_owner =
        api_keys::table.filter(api_keys::user_id.eq(row)).filter(api_keys::revoked_with_owner_at.eq(since));
    let keys_restored = match restore_keys {
        false => 0,
        true => diesel::update(with_owner)
            .set((
                api_keys::revoked_at.eq(None::<i64>),
                api_keys::revoked_by.eq(None::<String>),
                api_keys::revoke_reason.eq(None::<String>),
            ))
            .execute(conn)?,
    };
    // Asked once: a later enabling brings nothing more back.
    diesel::update(with_owner).set(api_keys::revoked_with_owner_at.eq(None::<i64>)).execute(conn)?;
    Ok(UserChanged { keys_restored, ..UserChanged::default() })
}

/// Revoked for themselves now: enabling their owner does not revive the keys that were revoked with them.
pub(crate) fn stay_revoked(conn: &mut AnyConn, owner: &[u8]) -> Result<()> {
    let theirs = api_keys::table.filter(api_keys::user_id.eq(owner));
    diesel::update(theirs).set(api_keys::revoked_with_owner_at.eq(None::<i64>)).execute(conn)?;
    Ok(())
}

/// Revokes a user's keys and ends their sessions.
fn end_credentials<A: Action>(
    conn: &mut AnyConn,
    row: &[u8],
    reason: &str,
    permit: &Permit<A>,
    occasion: &Occasion,
) -> Result<UserChanged> {
    let by = &permit.actor().user;
    Ok(UserChanged {
        keys_revoked: revoke_keys_of(conn, row, reason, by, occasion)?,
        sessions_ended: end_all(conn, (id(row)?, None), by, occasion.now)?,
        keys_restored: 0,
    })
}

fn revoke_keys_of(conn: &mut AnyConn, row: &[u8], reason: &str, by: &str, occasion: &Occasion) -> Result<usize> {
    let live = api_keys::table.filter(api_keys::user_id.eq(row)).filter(api_keys::revoked_at.is_null());
    Ok(diesel::update(live)
        .set((
            api_keys::revoked_at.eq(micros(occasion.now)),
            api_keys::revoked_by.eq(text(by)),
            api_keys::revoke_reason.eq(reason),
        ))
        .execute(conn)?)
}
