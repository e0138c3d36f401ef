//! List API keys: one's own, or another user's as an administrator; or look at the one that is calling.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{
    KeyId, KeyState, Principal, UserId,
    action::{ListApiKeys, ListUserApiKeys, ShowCurrentApiKey},
    audit::Target,
};
use kv_store::{KeyCounts, KeyFilter, KeyRecord, Page, PageRequest};

/// A key and the state it is in.
#[derive(Debug)]
pub struct Listed {
    /// The key.
    pub key: KeyRecord,
    /// Its state now.
    pub state: KeyState,
}

/// The caller's own keys.
///
/// # Errors
/// [`Failure`]: 403 to keys.
pub async fn list_api_keys(acting: Acting<'_>, filter: KeyFilter, page: PageRequest) -> Result<Page<Listed>, Failure> {
    acting.authorize::<ListApiKeys>(Target::of("api-keys"))?;
    let owner = acting.principal.owner().ok_or(Failure::NotFound { what: "user" })?.id;
    load(&acting, owner, filter, page).await
}

/// Another user's keys.
///
/// # Errors
/// [`Failure`]: 403 without `api-keys:manage`, 404 for a user there is not.
pub async fn list_user_api_keys(
    acting: Acting<'_>,
    user: UserId,
    filter: KeyFilter,
    page: PageRequest,
) -> Result<Page<Listed>, Failure> {
    acting.authorize::<ListUserApiKeys>(Target::of("api-keys"))?;
    let found = acting.app.with_store(move |store| store.find_user_by_id(user)).await?;
    found.ok_or(Failure::NotFound { what: "user" })?;
    load(&acting, user, filter, page).await
}

/// A page of keys, and how many there are beside it: what a page with tabs shows.
#[derive(Debug)]
pub struct Overview {
    /// The page.
    pub page: Page<Listed>,
    /// How many there are in each state.
    pub counts: KeyCounts,
}

/// The caller's own keys, counted.
///
/// # Errors
/// [`Failure`]: 403 to keys.
pub async fn survey_api_keys(acting: &Acting<'_>, filter: KeyFilter, page: PageRequest) -> Result<Overview, Failure> {
    acting.authorize::<ListApiKeys>(Target::of("api-keys"))?;
    let owner = acting.principal.owner().ok_or(Failure::NotFound { what: "user" })?.id;
    survey(acting, owner, filter, page).await
}

/// The keys of another user who was found already, counted.
///
/// # Errors
/// [`Failure`]: 403 without `api-keys:manage`.
pub async fn survey_user_api_keys(
    acting: &Acting<'_>,
    user: UserId,
    filter: KeyFilter,
    page: PageRequest,
) -> Result<Overview, Failure> {
    acting.authorize::<ListUserApiKeys>(Target::of("api-keys"))?;
    survey(acting, user, filter, page).await
}

async fn survey(acting: &Acting<'_>, owner: UserId, filter: KeyFilter, page: PageRequest) -> Result<Overview, Failure> {
    let now = acting.occasion.now;
    let (keys, counts) = acting.app.with_store(move |store| store.survey_keys(owner, filter, page, now)).await?;
    let page = Page { items: keys.items.into_iter().map(|key| listed(acting, key)).collect(), next: keys.next };
    Ok(Overview { page, counts })
}

/// One of the caller's own keys.
///
/// # Errors
/// [`Failure`]: 403 to keys, 404 for a key that is not one's own.
pub async fn show_api_key(acting: &Acting<'_>, key: KeyId) -> Result<Listed, Failure> {
    acting.authorize::<ListApiKeys>(Target::of("api-keys"))?;
    let owner = acting.principal.owner().ok_or(Failure::NotFound { what: "user" })?.id;
    find(acting, owner, key).await
}

/// One of another user's keys.
///
/// # Errors
/// [`Failure`]: 403 without `api-keys:manage`, 404 where the user has no such key.
pub async fn show_user_api_key(acting: &Acting<'_>, user: UserId, key: KeyId) -> Result<Listed, Failure> {
    acting.authorize::<ListUserApiKeys>(Target::of("api-keys"))?;
    find(acting, user, key).await
}

async fn find(acting: &Acting<'_>, owner: UserId, key: KeyId) -> Result<Listed, Failure> {
    let found = acting.app.with_store(move |store| store.find_key(key)).await?;
    let found = found.filter(|found| found.owner == owner).ok_or(Failure::NotFound { what: "API key" })?;
    Ok(listed(acting, found))
}

/// The key that is calling.
///
/// # Errors
/// [`Failure`]: 404 to sessions.
pub async fn show_current(acting: Acting<'_>) -> Result<Listed, Failure> {
    acting.authorize::<ShowCurrentApiKey>(Target::of("api-keys"))?;
    let Principal::ApiKey { id, .. } = *acting.principal else {
        return Err(Failure::NotFound { what: "current API key; you are signed in as a person" });
    };
    let found = acting.app.with_store(move |store| store.find_key(id)).await?;
    found.map(|key| listed(&acting, key)).ok_or(Failure::NotFound { what: "API key" })
}

async fn load(
    acting: &Acting<'_>,
    owner: UserId,
    filter: KeyFilter,
    page: PageRequest,
) -> Result<Page<Listed>, Failure> {
    let now = acting.occasion.now;
    let keys = acting.app.with_store(move |store| store.list_keys(owner, filter, page, now)).await?;
    Ok(Page { items: keys.items.into_iter().map(|key| listed(acting, key)).collect(), next: keys.next })
}

fn listed(acting: &Acting<'_>, key: KeyRecord) -> Listed {
    let state = key.state(acting.occasion.now, acting.app.config.api_keys.expiring_window());
    Listed { key, state }
}
