//! Sign in: a password, and for those who have one a second factor in a second step. Unknown user, wrong password, disabled
//! user: the same answer in the same time.

use super::{
    prove::{self, Shown},
    visit::{Means, Visit, Whose},
};
use crate::{
    auth::{
        AccessToken, Passwords,
        opaque::{Kind, Opaque},
    },
    failure::Failure,
};
use kv_authz::{
    SessionId, UserId,
    audit::{Detail, Event, Fact, Finish},
};
use kv_store::{ActError, Challenge, NewSession, SignIn};
use secrecy::{ExposeSecret, SecretString};
use time::{Duration, OffsetDateTime};

/// How long a session lasts without being renewed.
pub const SESSION_LIFETIME: Duration = Duration::hours(12);
/// How long a password that was accepted waits for the second factor.
const CHALLENGE_LIFETIME: Duration = Duration::minutes(5);
/// Decisions on one attempt before a user who keeps changing is told to try again.
const DECISIONS: u32 = 3;

/// What signing in gives.
#[derive(Debug)]
pub enum SignedIn {
    /// A session of a client.
    Session(Tokens),
    /// A session of a browser: its cookie.
    Cookie(SecretString),
    /// The second factor is asked for; this names the sign-in until it is shown.
    SecondFactorRequired(SecretString),
}

/// The tokens of a session.
#[derive(Debug)]
pub struct Tokens {
    /// To be sent with requests.
    pub access: AccessToken,
    /// To renew the session with, once.
    pub refresh: SecretString,
}

/// Signs in with a password.
///
/// # Errors
/// [`Failure`]: 401 `invalid_credentials`, 429 for an address that tries too often or a name that failed too often.
pub async fn sign_in(visit: &Visit<'_>, username: &str, password: SecretString) -> Result<SignedIn, Failure> {
    visit.limit()?;
    if password.expose_secret().len() > Passwords::MAX {
        return Err(Failure::invalid("password_too_long", "A password has at most 1024 bytes."));
    }
    visit.app.passwords.expect_turn()?;
    let mut user = find(visit, username).await?;
    // A name that nobody has is throttled like any other.
    let subject = visit.subject(Whose::Name(username), user.as_ref().map(|user| user.id)).await?;
    visit.count_attempt(subject.clone()).await?;
    for _ in 0..DECISIONS {
        match decide(visit, user.as_ref(), &password).await {
            // They have changed since they were read: what they are now says whether they come in, and why not.
            Err(Failure::Unauthorized { .. } | Failure::Stale) => user = find(visit, username).await?,
            Ok(signed_in) => {
                visit.forget_failures(subject).await;
                return Ok(signed_in);
            }
            failed => return failed,
        }
    }
    Err(Failure::Stale)
}

async fn find(visit: &Visit<'_>, username: &str) -> Result<Option<SignIn>, Failure> {
    let wanted = username.to_owned();
    visit.app.with_store(move |store| store.sign_in(&wanted)).await
}

/// Decides on a password as the user was read.
async fn decide(visit: &Visit<'_>, user: Option<&SignIn>, password: &SecretString) -> Result<SignedIn, Failure> {
    let hash = user.and_then(|user| user.password_hash.as_deref());
    let matches = visit.app.passwords.check(password.clone(), hash).await?;
    let Some(user) = user.filter(|user| matches && !user.disabled) else {
        return refuse(visit, user).await;
    };
    renew_hash(visit, user, password.clone()).await?;
    match user.has_second_factor {
        true => challenge(visit, user).await,
        false => begin(visit, user).await,
    }
}

/// Shows the second factor for a password that was accepted.
///
/// # Errors
/// [`Failure`]: 401 for a token that does not count, 401 `invalid_code`, 429 after too many wrong codes.
pub async fn show_second_factor(visit: &Visit<'_>, token: &SecretString, shown: Shown) -> Result<SignedIn, Failure> {
    let app = visit.app;
    visit.limit()?;
    let now = app.clock.now();
    let digest = Opaque::digest(Kind::Challenge, token).ok_or_else(no_challenge)?;
    let agent = visit.origin.user_agent.clone();
    let challenge = app.with_store(move |store| store.find_challenge(&digest, &agent, now)).await?;
    let challenge = challenge.ok_or_else(no_challenge)?;
    let user = challenge.user;
    let found = app.with_store(move |store| store.sign_in_by_id(user)).await?;
    let found = found.filter(|found| !found.disabled).ok_or_else(no_challenge)?;
    let proof = match prove::prove(app, user, &shown).await {
        Ok(proof) => proof,
        Err(failure) => return Err(wrong_code(visit, &found, failure).await),
    };
    let (session, signed_in) = new_session(visit, user, challenge.user_version, Some(now))?;
    let entry = visit.entry(Event::AuthLogin, Some(&found));
    let begun =
        app.with_store(move |store| store.begin_session_by_factor((&challenge, &proof), &session, &entry, now)).await;
    match begun {
        Ok(()) => {
            prove::forget_failures(app, user).await;
            Ok(signed_in)
        }
        Err(Failure::Unauthorized { .. } | Failure::Stale) => Err(changed_meanwhile(visit, user).await),
        Err(failure) => Err(wrong_code(visit, &found, failure).await),
    }
}

/// A wrong code is a refused sign-in, and on record as one; other failures are what they are.
async fn wrong_code(visit: &Visit<'_>, user: &SignIn, failure: Failure) -> Failure {
    if failure.code() != Failure::wrong_code().code() {
        return failure;
    }
    let refused = Failure::Invalid { status: 401, code: "invalid_code", detail: Failure::wrong_code().to_string() };
    let detail = Detail::none().with(Fact::Code, refused.code()).with(Fact::Reason, "wrong code");
    match visit.report(Event::AuthLogin, Some(user), Finish::with_status(401).because(detail)).await {
        Ok(()) => refused,
        Err(unavailable) => unavailable,
    }
}

/// The user has changed since their password was checked, so that the sign-in begins anew. On record with what they are now.
async fn changed_meanwhile(visit: &Visit<'_>, user: UserId) -> Failure {
    let found = match visit.app.with_store(move |store| store.sign_in_by_id(user)).await {
        Ok(found) => found,
        Err(failure) => return failure,
    };
    let reason = match &found {
        None => "user deleted",
        Some(user) if user.disabled => "user disabled",
        Some(_) => "user changed since the password was checked",
    };
    let detail = Detail::none().with(Fact::Code, no_challenge().code()).with(Fact::Reason, reason);
    match visit.report(Event::AuthLogin, found.as_ref(), Finish::with_status(401).because(detail)).await {
        Ok(()) => no_challenge(),
        Err(unavailable) => unavailable,
    }
}

fn no_challenge() -> Failure {
    Failure::Invalid {
        status: 401,
        code: "invalid_mfa_token",
        detail: "The `mfa_token` is not known, was used, is over, or is another client's. Sign in again.".into(),
    }
}

async fn challenge(visit: &Visit<'_>, user: &SignIn) -> Result<SignedIn, Failure> {
    let app = visit.app;
    let now = app.clock.now();
    let token = Opaque::draw(Kind::Challenge, &app.random)?;
    let challenge = Challenge {
        digest: token.digest,
        user: user.id,
        user_version: user.version,
        user_agent: visit.origin.user_agent.clone(),
        expires_at: now + CHALLENGE_LIFETIME,
    };
    let entry = visit.entry(Event::AuthChallenge, Some(user));
    app.with_store(move |store| store.begin_challenge(&challenge, &entry, now)).await?;
    Ok(SignedIn::SecondFactorRequired(token.text))
}

async fn begin(visit: &Visit<'_>, user: &SignIn) -> Result<SignedIn, Failure> {
    let (session, signed_in) = new_session(visit, user.id, user.version, None)?;
    let (entry, now) = (visit.entry(Event::AuthLogin, Some(user)), visit.app.clock.now());
    visit
        .app
        .with_store(move |store| -> Result<(), ActError<_>> { store.begin_session(&session, &entry, now) })
        .await?;
    Ok(signed_in)
}

fn new_session(
    visit: &Visit<'_>,
    user: UserId,
    user_version: i64,
    factor_shown_at: Option<OffsetDateTime>,
) -> Result<(NewSession, SignedIn), Failure> {
    let app = visit.app;
    let now = app.clock.now();
    let kind = match visit.means {
        Means::Tokens => Kind::Refresh,
        Means::Cookie => Kind::Cookie,
    };
    let token = Opaque::draw(kind, &app.random)?;
    let id: SessionId = app.random.id(now)?;
    let session =
        NewSession { id, user, user_version, expires_at: now + SESSION_LIFETIME, factor_shown_at, token: token.digest };
    let signed_in = match visit.means {
        Means::Tokens => SignedIn::Session(Tokens { access: access_token(visit, user, id, now)?, refresh: token.text }),
        Means::Cookie => SignedIn::Cookie(token.text),
    };
    Ok((session, signed_in))
}

/// An access token of a session.
///
/// # Errors
/// [`Failure::Internal`].
pub(super) fn access_token(
    visit: &Visit<'_>,
    user: UserId,
    session: SessionId,
    now: OffsetDateTime,
) -> Result<AccessToken, Failure> {
    let app = visit.app;
    let token = app.tokens.sign(user, session, app.random.id(now)?, now);
    token.map_err(|error| Failure::internal("signing a token", error))
}

/// A hash that was made with other parameters is made anew, now that the password is at hand.
async fn renew_hash(visit: &Visit<'_>, user: &SignIn, password: SecretString) -> Result<(), Failure> {
    let Some(old) = user.password_hash.clone().filter(|hash| Passwords::is_outdated(hash)) else { return Ok(()) };
    let (id, new) = (user.id, visit.app.passwords.hash(password).await?);
    visit.app.with_store(move |store| store.rehash_password(id, &old, &new)).await
}

/// Puts the refusal on record, then answers. A name nobody has is not kept: people type passwords there.
async fn refuse(visit: &Visit<'_>, user: Option<&SignIn>) -> Result<SignedIn, Failure> {
    let refused = Failure::Invalid {
        status: 401,
        code: "invalid_credentials",
        detail: "The name or the password is wrong, or the account is disabled.".into(),
    };
    let reason = match user {
        None => "unknown user",
        Some(user) if user.disabled => "user disabled",
        Some(_) => "wrong password",
    };
    let detail = Detail::none().with(Fact::Code, refused.code()).with(Fact::Reason, reason);
    visit.report(Event::AuthLogin, user, Finish::with_status(401).because(detail)).await?;
    Err(refused)
}
