//! Sessions: renewed by whoever holds their refresh token, listed and ended by their owner or an administrator.

use super::{
    Acting, Ending,
    sign_in::{SESSION_LIFETIME, Tokens, access_token},
    visit::Visit,
};
use crate::{
    auth::opaque::{Kind, Opaque},
    failure::Failure,
    replicas,
};
use kv_authz::{
    Principal, SessionId, UserId,
    action::{EndOwnSession, EndUserSessions, ListOwnSessions, ListUserSessions},
    audit::{Detail, Event, Fact, Finish, Target},
};
use kv_store::{Credential, Page, PageRequest, Renewal, Renewed, SessionRecord};
use secrecy::SecretString;

/// Renews a session. The token that was sent is used up; sent once more after ten seconds it ends the session, for then
/// somebody else has it too. A renewal is an attempt of its address, and a request of its owner like any other.
///
/// # Errors
/// [`Failure`]: 401 `invalid_refresh_token`, 429 for an address or an owner that comes too often.
pub async fn renew_session(visit: &Visit<'_>, token: &SecretString) -> Result<Tokens, Failure> {
    let app = visit.app;
    let refused = || Failure::Invalid {
        status: 401,
        code: "invalid_refresh_token",
        detail: "The refresh token is not known, was used, or its session is over. Sign in again.".into(),
    };
    // Before anything is read or written: whoever has no token must not keep the database busy.
    visit.limit()?;
    let sent = Opaque::digest(Kind::Refresh, token).ok_or_else(refused)?;
    limit_owner(visit, sent.clone()).await?;
    let now = app.clock.now();
    let next = Opaque::draw(Kind::Refresh, &app.random)?;
    let renewal = Renewal { sent, next: next.digest, expires_at: now + SESSION_LIFETIME };
    let entry = visit.entry(Event::AuthRefresh, None);
    let actor = kv_authz::Actor { agent: crate::agent::client(&visit.origin.user_agent), ..entry.actor.clone() };
    let entry = kv_authz::audit::Entry { actor, ..entry };
    match app.with_store(move |store| store.renew_session(&renewal, &entry, now)).await? {
        Renewed::Renewed { id, user } => Ok(Tokens { access: access_token(visit, user, id, now)?, refresh: next.text }),
        // Whatever runs in it ends with it; the refusal is on record already.
        Renewed::Reused { .. } => {
            replicas::settled(app).await;
            Err(refused())
        }
        Renewed::Refused { owner, reason } => {
            let mut detail = Detail::none().with(Fact::Code, refused().code()).with(Fact::Reason, reason.to_string());
            if let Some((id, _)) = owner {
                detail.add(Fact::Owner, id.to_string());
            }
            visit.report(Event::AuthRefresh, None, Finish::with_status(401).because(detail)).await?;
            Err(refused())
        }
    }
}

/// Takes a renewal from the bucket of whoever the token is, once that is known. Who is over the limit is on record, as with
/// any other request.
async fn limit_owner(visit: &Visit<'_>, sent: Vec<u8>) -> Result<(), Failure> {
    let app = visit.app;
    let Some(owner) = app.with_store(move |store| store.refresh_owner(&sent)).await? else { return Ok(()) };
    let Err(refused) = app.limiter.take(&owner).await else { return Ok(()) };
    let failure = Failure::from(refused);
    if let Failure::Limited(_) = &failure {
        let finish =
            Finish::with_status(failure.status()).because(failure.facts().with(Fact::Owner, owner.id.to_string()));
        visit.report(Event::RequestLimit, None, finish).await?;
    }
    Err(failure)
}

/// The caller's own sessions, and the one that is calling.
///
/// # Errors
/// [`Failure`]: 403 to keys.
pub async fn list_own_sessions(
    acting: &Acting<'_>,
    page: PageRequest,
) -> Result<(Page<SessionRecord>, Option<SessionId>), Failure> {
    acting.authorize::<ListOwnSessions>(Target::of("sessions"))?;
    let Principal::Session { id, owner, .. } = acting.principal else {
        return Err(Failure::NotFound { what: "session" });
    };
    Ok((list(acting, owner.id, page).await?, Some(*id)))
}

/// Another user's sessions.
///
/// # Errors
/// [`Failure`]: 403 without `users:read`, 404 for a user there is not.
pub async fn list_user_sessions(
    acting: &Acting<'_>,
    user: UserId,
    page: PageRequest,
) -> Result<Page<SessionRecord>, Failure> {
    acting.authorize::<ListUserSessions>(Target::of("sessions"))?;
    acting.find_user(user).await?;
    list(acting, user, page).await
}

/// One of the caller's own sessions; none that is over.
///
/// # Errors
/// [`Failure`]: 403 to keys.
pub async fn find_own_session(acting: &Acting<'_>, session: SessionId) -> Result<Option<SessionRecord>, Failure> {
    acting.authorize::<ListOwnSessions>(Target::of("sessions"))?;
    let owner = acting.principal.owner().ok_or(Failure::NotFound { what: "session" })?.id;
    find(acting, owner, session).await
}

/// One of another user's sessions; none that is over.
///
/// # Errors
/// [`Failure`]: 403 without `users:read`.
pub async fn find_user_session(
    acting: &Acting<'_>,
    user: UserId,
    session: SessionId,
) -> Result<Option<SessionRecord>, Failure> {
    acting.authorize::<ListUserSessions>(Target::of("sessions"))?;
    find(acting, user, session).await
}

async fn find(acting: &Acting<'_>, user: UserId, session: SessionId) -> Result<Option<SessionRecord>, Failure> {
    let now = acting.occasion.now;
    acting.app.with_store(move |store| store.find_session(user, session, now)).await
}

async fn list(acting: &Acting<'_>, user: UserId, page: PageRequest) -> Result<Page<SessionRecord>, Failure> {
    let now = acting.occasion.now;
    acting.app.with_store(move |store| store.list_sessions(user, page, now)).await
}

/// Ends a session of one's own, and what it has running.
///
/// # Errors
/// [`Failure`]: 403 to keys, 404 for a session that is not one's own.
pub async fn end_own_session(acting: &Acting<'_>, session: SessionId) -> Result<(), Failure> {
    let permit = acting.authorize::<EndOwnSession>(Target::of("sessions"))?;
    let owner = acting.principal.owner().ok_or(Failure::NotFound { what: "session" })?.id;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting.may_end(Credential::Session(session));
    acting.app.with_store(move |store| store.end_session(&permit, basis.as_ref(), (owner, session), &occasion)).await?;
    acting.settle().await;
    Ok(())
}

/// Ends every session of one's own but the one that is calling, and tells how many went on.
///
/// # Errors
/// [`Failure`]: 403 to keys.
pub async fn end_other_sessions(acting: &Acting<'_>) -> Result<usize, Failure> {
    let permit = acting.authorize::<EndOwnSession>(Target::of("sessions"))?;
    let Principal::Session { id, owner, .. } = acting.principal else {
        return Err(Failure::NotFound { what: "session" });
    };
    let (theirs, basis, occasion) = ((owner.id, Some(*id)), acting.basis, acting.occasion.clone());
    let ended =
        acting.app.with_store(move |store| store.end_sessions(&permit, basis.as_ref(), theirs, &occasion)).await?;
    acting.settle().await;
    Ok(ended)
}

/// Ends one session of a user, or all of them, and tells how many went on.
///
/// # Errors
/// [`Failure`]: 403 without `users:write` or a recent code, 404 for a user or session there is not.
pub async fn end_user_sessions(
    acting: &Acting<'_>,
    user: UserId,
    session: Option<SessionId>,
) -> Result<usize, Failure> {
    acting.authorize::<EndUserSessions>(Target::of("sessions"))?;
    let name = acting.find_user(user).await?.name;
    let permit = acting.authorize::<EndUserSessions>(Target::of("sessions").named(name))?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    match session {
        Some(session) => {
            acting.may_end(Credential::Session(session));
            acting
                .app
                .with_store(move |store| store.end_session(&permit, basis.as_ref(), (user, session), &occasion))
                .await?;
            acting.settle().await;
            Ok(1)
        }
        None => {
            acting.may_end_those_of(user, Ending::Sessions);
            let ended = acting
                .app
                .with_store(move |store| store.end_sessions(&permit, basis.as_ref(), (user, None), &occasion))
                .await?;
            acting.settle().await;
            Ok(ended)
        }
    }
}
