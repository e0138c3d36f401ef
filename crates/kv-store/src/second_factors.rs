//! Second factors: set up, brought into force, shown, given up; and the recovery codes beside them. Secrets come here
//! sealed and codes hashed. Each time step and each code is accepted once, however many try at the same instant.

use crate::{
    audit::Occasion,
    authority::bump,
    backend::AnyConn,
    basis::{ActError, Basis, confirm},
    cuts::{self, Cut},
    error::Result,
    row::{bytes, id, micros},
    schema::{login_challenges, recovery_codes, second_factors, sessions},
    sessions::end_all,
    store::Store,
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, dsl::count_star};
use kv_authz::{
    Action, Permit, SessionId, UserId,
    audit::{Detail, Fact, Finish},
};

/// A second factor as it is stored.
#[derive(Clone)]
pub struct FactorRecord {
    /// The secret, sealed for its user.
    pub sealed: Vec<u8>,
    /// Whether it is in force, and not only set up.
    pub enabled: bool,
    /// Codes of this step and earlier ones are used up.
    pub last_step: i64,
    /// Recovery codes that are left.
    pub recovery_codes: u64,
}

impl std::fmt::Debug for FactorRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FactorRecord").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// What was shown, found right, and is not accepted yet.
#[derive(Clone)]
pub enum Proof {
    /// A code of this time step (RFC 6238).
    Step(i64),
    /// A recovery code, by its hash.
    RecoveryCode(String),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Proof {
    /// How the audit log calls it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Step(_) => "code",
            Self::RecoveryCode(_) => "recovery code",
        }
    }
}

/// Why nothing was done about a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FactorRefused {
    /// It is in force already.
    #[error("a second factor is in force")]
    Enabled,
    /// There is none, or it is not in force.
    #[error("there is no second factor")]
    Missing,
    /// The step or code was accepted before, by whoever was faster.
    #[error("the code was used")]
    Used,
    /// The challenge was used, is over, or is for another client.
    #[error("the challenge does not count")]
    NoChallenge,
}

impl Store {
    /// A user's second factor, if they have one or have begun to set one up.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn second_factor(&self, user: UserId) -> Result<Option<FactorRecord>> {
        self.read(|conn| {
            let row: Option<(Vec<u8>, Option<i64>, i64)> = second_factors::table
                .find(bytes(user))
                .select((second_factors::sealed, second_factors::enabled_at, second_factors::last_step))
                .get_result(conn)
                .optional()?;
            let Some((sealed, enabled, last_step)) = row else { return Ok(None) };
            let left: i64 = recovery_codes::table
                .filter(recovery_codes::user_id.eq(bytes(user)))
                .filter(recovery_codes::used_at.is_null())
                .select(count_star())
                .get_result(conn)?;
            let recovery_codes = u64::try_from(left).unwrap_or(0);
            Ok(Some(FactorRecord { sealed, enabled: enabled.is_some(), last_step, recovery_codes }))
        })
    }

    /// Every sealed secret, by its row.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn sealed_second_factors(&self) -> Result<Vec<(uuid::Uuid, Vec<u8>)>> {
        self.read(|conn| {
            let columns = (second_factors::user_id, second_factors::sealed);
            let rows: Vec<(Vec<u8>, Vec<u8>)> = second_factors::table.select(columns).load(conn)?;
            rows.into_iter().map(|(row, sealed)| Ok((id(&row)?, sealed))).collect()
        })
    }

    /// Keeps a secret sealed anew, if it is still the one that was read, and tells whether it was.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn reseal_second_factor(&self, user: uuid::Uuid, old: &[u8], new: &[u8]) -> Result<usize> {
        self.write(|conn| {
            let row = second_factors::table
                .filter(second_factors::user_id.eq(bytes(user)))
                .filter(second_factors::sealed.eq(old));
            Ok(diesel::update(row).set(second_factors::sealed.eq(new)).execute(conn)?)
        })
    }

    /// Keeps a secret that is not in force yet, in place of an earlier one that never was.
    ///
    /// # Errors
    /// [`ActError::Refused`] where one is in force.
    pub fn set_up_factor<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (user, sealed): (UserId, &[u8]),
        occasion: &Occasion,
    ) -> Result<(), ActError<FactorRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let theirs = || second_factors::table.find(bytes(user));
            diesel::delete(theirs().filter(second_factors::enabled_at.is_null())).execute(conn)?;
            if theirs().select(second_factors::last_step).get_result::<i64>(conn).optional()?.is_some() {
                return Err(ActError::Refused(FactorRefused::Enabled));
            }
            diesel::insert_into(second_factors::table)
                .values((
                    second_factors::user_id.eq(bytes(user)),
                    second_factors::sealed.eq(sealed),
                    second_factors::last_step.eq(0),
                ))
                .execute(conn)?;
            self.insert_act(conn, permit, occasion, Finish::with_status(200))?;
            Ok(())
        })
    }

    /// Brings a second factor into force by a first code of the secret that is sealed as `checked`, with the hashes of its
    /// recovery codes. The session counts as having shown it; the user's other sessions, which never did, end.
    ///
    /// # Errors
    /// [`ActError::Refused`]; [`ActError::Stale`] where another secret has taken the place of the one that was checked.
    pub fn enable_factor<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (user, session): (UserId, SessionId),
        (checked, step, hashes): (&[u8], i64, &[String]),
        occasion: &Occasion,
    ) -> Result<(), ActError<FactorRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let now = micros(occasion.now);
            let set_up = second_factors::table
                .filter(second_factors::user_id.eq(bytes(user)))
                .filter(second_factors::sealed.eq(checked))
                .filter(second_factors::enabled_at.is_null());
            let enabled = diesel::update(set_up)
                .set((second_factors::enabled_at.eq(now), second_factors::last_step.eq(step)))
                .execute(conn)?;
            if enabled == 0 {
                return Err(not_enabled(conn, user)?);
            }
            replace_codes(conn, user, hashes)?;
            bump(conn, user)?;
            show(conn, session, now)?;
            let facts = others_ended(end_all(conn, (user, Some(session)), &permit.actor().user, occasion.now)?);
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            cuts::note(conn, Cut::User(user), occasion.now)?;
            Ok(())
        })
    }

    /// Gives a second factor up, on a proof that one has it. The user's sessions but `session` end.
    ///
    /// # Errors
    /// [`ActError::Refused`].
    pub fn disable_factor<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (user, session, proof): (UserId, SessionId, &Proof),
        occasion: &Occasion,
    ) -> Result<(), ActError<FactorRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            accept(conn, user, proof, micros(occasion.now))?;
            forget_factor(conn, user)?;
            let facts = others_ended(end_all(conn, (user, Some(session)), &permit.actor().user, occasion.now)?);
            let facts = facts.with(Fact::SecondFactor, proof.name());
            self.insert_act(conn, permit, occasion, Finish::with_status(204).because(facts))?;
            cuts::note(conn, Cut::User(user), occasion.now)?;
            Ok(())
        })
    }

    /// Gives a user new recovery codes in place of all they had, on a proof.
    ///
    /// # Errors
    /// [`ActError::Refused`].
    pub fn renew_recovery_codes<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (user, proof, hashes): (UserId, &Proof, &[String]),
        occasion: &Occasion,
    ) -> Result<(), ActError<FactorRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            accept(conn, user, proof, micros(occasion.now))?;
            replace_codes(conn, user, hashes)?;
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(by(proof)))?;
            Ok(())
        })
    }

    /// Notes that a session has shown its user's second factor.
    ///
    /// # Errors
    /// [`ActError::Refused`].
    pub fn show_factor<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (user, session, proof): (UserId, SessionId, &Proof),
        occasion: &Occasion,
    ) -> Result<(), ActError<FactorRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let now = micros(occasion.now);
            accept(conn, user, proof, now)?;
            show(conn, session, now)?;
            // What every replica remembers of the session is read again.
            bump(conn, user)?;
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(by(proof)))?;
            cuts::note(conn, Cut::User(user), occasion.now)?;
            Ok(())
        })
    }
}

fn others_ended(sessions: usize) -> Detail {
    Detail::none().with(Fact::After, format!("{sessions} other sessions ended"))
}

pub(crate) fn by(proof: &Proof) -> Detail {
    Detail::none().with(Fact::SecondFactor, proof.name())
}

/// Uses a proof up, or refuses it because somebody did before. The old state is in the filter.
pub(crate) fn accept(conn: &mut AnyConn, user: UserId, proof: &Proof, now: i64) -> Result<(), ActError<FactorRefused>> {
    let accepted = match proof {
        Proof::Step(step) => {
            let later = second_factors::table
                .filter(second_factors::user_id.eq(bytes(user)))
                .filter(second_factors::enabled_at.is_not_null())
                .filter(second_factors::last_step.lt(step));
            diesel::update(later).set(second_factors::last_step.eq(step)).execute(conn)?
        }
        Proof::RecoveryCode(hash) => {
            let code = recovery_codes::table
                .filter(recovery_codes::user_id.eq(bytes(user)))
                .filter(recovery_codes::hash.eq(hash))
                .filter(recovery_codes::used_at.is_null());
            diesel::update(code).set(recovery_codes::used_at.eq(now)).execute(conn)?
        }
    };
    if accepted == 1 { Ok(()) } else { Err(ActError::Refused(FactorRefused::Used)) }
}

/// Why nothing was enabled.
fn not_enabled(conn: &mut AnyConn, user: UserId) -> Result<ActError<FactorRefused>> {
    let there = second_factors::table.find(bytes(user)).select(second_factors::enabled_at);
    Ok(match there.get_result::<Option<i64>>(conn).optional()? {
        None => ActError::Refused(FactorRefused::Missing),
        Some(Some(_)) => ActError::Refused(FactorRefused::Enabled),
        Some(None) => ActError::Stale,
    })
}

fn show(conn: &mut AnyConn, session: SessionId, now: i64) -> Result<()> {
    diesel::update(sessions::table.find(bytes(session))).set(sessions::factor_shown_at.eq(now)).execute(conn)?;
    Ok(())
}

fn replace_codes(conn: &mut AnyConn, user: UserId, hashes: &[String]) -> Result<()> {
    diesel::delete(recovery_codes::table.filter(recovery_codes::user_id.eq(bytes(user)))).execute(conn)?;
    for hash in hashes {
        diesel::insert_into(recovery_codes::table)
            .values((recovery_codes::user_id.eq(bytes(user)), recovery_codes::hash.eq(hash)))
            .execute(conn)?;
    }
    Ok(())
}

/// Takes a user's second factor away, and everything that waits for it.
pub(crate) fn forget_factor(conn: &mut AnyConn, user: UserId) -> Result<()> {
    let owner = bytes(user);
    diesel::delete(recovery_codes::table.filter(recovery_codes::user_id.eq(&owner))).execute(conn)?;
    diesel::delete(second_factors::table.filter(second_factors::user_id.eq(&owner))).execute(conn)?;
    diesel::delete(login_challenges::table.filter(login_challenges::user_id.eq(&owner))).execute(conn)?;
    bump(conn, user)
}
