//! Make an API key: for oneself from a session, or for a user as the operator. The plaintext leaves here once.

use super::{Acting, checked_name};
use crate::failure::Failure;
use kv_authz::{
    KeyId, Permit, UserId,
    action::{CreateApiKey, IssueApiKey},
    audit::Target,
};
use kv_keys::ApiKey;
use kv_store::{Basis, NewKey, Occasion, points::Point};
use time::{Duration, OffsetDateTime};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The name.
    pub name: String,
    /// When it shall end; never if not given.
    pub expires_at: Option<OffsetDateTime>,
}

/// A key just made.
#[derive(Debug)]
pub struct Created {
    /// The key itself. This is the only time anyone sees it.
    pub key: ApiKey,
    /// Its id.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends.
    pub expires_at: Option<OffsetDateTime>,
}

/// The longest name, in characters.
pub const MAX_NAME: usize = 100;
/// The furthest expiry.
const MAX_LIFE: Duration = Duration::days(3653);

/// Makes a key for the caller.
///
/// # Errors
/// [`Failure`]: 403 to keys, 422 for the name or expiry, 409 for a taken name or too many keys.
pub async fn create_api_key(acting: Acting<'_>, wanted: &Wanted) -> Result<Created, Failure> {
    let permit = acting.authorize::<CreateApiKey>(target(wanted))?;
    let owner = acting.principal.owner().ok_or(Failure::NotFound { what: "user" })?.id;
    store(&acting, permit, owner, wanted).await
}

/// Makes a key for a user, as the operator.
///
/// # Errors
/// [`Failure`], as above, and 404 for a user there is not.
pub async fn issue_api_key(acting: Acting<'_>, owner: UserId, wanted: &Wanted) -> Result<Created, Failure> {
    let permit = acting.authorize::<IssueApiKey>(target(wanted))?;
    store(&acting, permit, owner, wanted).await
}

fn target(wanted: &Wanted) -> Target {
    Target::of("api-keys").named(wanted.name.trim())
}

async fn store<A: kv_authz::Action + 'static>(
    acting: &Acting<'_>,
    permit: Permit<A>,
    owner: UserId,
    wanted: &Wanted,
) -> Result<Created, Failure> {
    let app = acting.app;
    let name = checked_name(&wanted.name, MAX_NAME)?;
    let now = acting.occasion.now;
    if let Some(end) = wanted.expires_at {
        if end <= now {
            return Err(Failure::unprocessable("invalid_expiry", "`expires_at` must be in the future."));
        }
        if end > now + MAX_LIFE {
            return Err(Failure::unprocessable("invalid_expiry", "`expires_at` may be at most 10 years ahead."));
        }
    }
    let key = ApiKey::generate(app.config.environment, &mut app.random.clone())
        .map_err(|error| Failure::internal("generating a key", error))?;
    let new = NewKey {
        id: app.random.id(now)?,
        owner,
        name: name.clone(),
        prefix: key.prefix(),
        digest: key.digest(),
        expires_at: wanted.expires_at,
    };
    let id = new.id;
    let limit = app.config.api_keys.max_per_user;
    let (basis, occasion): (Option<Basis>, Occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.create_key(&permit, basis.as_ref(), &new, limit, &occasion)).await?;
    Point::KeyCommitted.reached();
    Ok(Created { key, id, name, created_at: now, expires_at: wanted.expires_at })
}
