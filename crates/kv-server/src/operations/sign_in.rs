//! Sign in with a password. Unknown user, wrong password, disabled user: the same answer in the same time.

use crate::{
    app::App,
    auth::{AccessToken, Passwords, Tokens},
    failure::Failure,
};
use kv_authz::{
    Actor, EntryId,
    audit::{Detail, Entry, Event, Fact, Finish, Origin, Target},
};
use kv_store::{ActError, NewSession, SignIn, admission::Request};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use time::Duration;

/// How long a session lasts without being renewed.
const SESSION_LIFETIME: Duration = Duration::hours(12);

/// Signs in.
///
/// # Errors
/// [`Failure`]: 401 `invalid_credentials`, 429 for an address that tries too often.
pub async fn sign_in(
    app: &Arc<App>,
    id: EntryId,
    origin: Origin,
    username: &str,
    password: SecretString,
) -> Result<AccessToken, Failure> {
    if let Some(address) = origin.ip {
        app.limiter.take_sign_in(address).map_err(Failure::Limited)?;
    }
    if password.expose_secret().len() > Passwords::MAX {
        return Err(Failure::invalid("password_too_long", "A password has at most 1024 bytes."));
    }
    let wanted = username.to_owned();
    let user = app.with_store(move |store| store.sign_in(&wanted)).await?;
    let hash = user.as_ref().and_then(|user| user.password_hash.as_deref());
    let matches =
        app.passwords.check(password, hash).await.map_err(|error| Failure::internal("checking a password", error))?;
    match &user {
        Some(user) if matches && !user.disabled => match begin(app, id, origin.clone(), user).await {
            Err(Failure::Unauthorized { .. } | Failure::Stale) => refuse(app, id, origin, Some(user)).await,
            done => done,
        },
        other => refuse(app, id, origin, other.as_ref()).await,
    }
}

async fn begin(app: &Arc<App>, id: EntryId, origin: Origin, user: &SignIn) -> Result<AccessToken, Failure> {
    let now = app.clock.now();
    let session = NewSession {
        id: app.random.id(now)?,
        user: user.id,
        user_version: user.version,
        expires_at: now + SESSION_LIFETIME,
    };
    let entry = entry(id, origin, Some(user));
    let token = app
        .tokens
        .sign(user.id, session.id, app.random.id(now)?, now)
        .map_err(|error| Failure::internal("signing a token", error))?;
    app.with_store(move |store| -> Result<(), ActError<_>> { store.begin_session(&session, &entry, now) }).await?;
    debug_assert!(Tokens::LIFETIME <= SESSION_LIFETIME);
    Ok(token)
}

/// Puts the refusal on record, then answers. A name nobody has is not kept: people type passwords there.
async fn refuse(app: &Arc<App>, id: EntryId, origin: Origin, user: Option<&SignIn>) -> Result<AccessToken, Failure> {
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
    let request = Request {
        entry: entry(id, origin, user),
        basis: None,
        finish: Some(Finish::with_status(401).because(detail)),
        count: 1,
        audited: true,
    };
    let batcher = app.batcher().ok_or(Failure::Unavailable { step: "admission has stopped", source: None })?;
    batcher.admit(request).await?;
    Err(refused)
}

fn entry(id: EntryId, origin: Origin, user: Option<&SignIn>) -> Entry {
    let actor = match user {
        Some(user) => Actor {
            user_id: Some(user.id),
            user: user.name.clone(),
            agent: crate::agent::client(&origin.user_agent),
            key_id: None,
        },
        None => Actor::anonymous(),
    };
    Entry { id, actor, event: Event::AuthLogin, target: Target::of("sessions"), origin, detail: Detail::none() }
}
