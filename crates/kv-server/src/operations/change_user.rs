//! Change a user: another role, disabled or enabled. What they may do no longer ends at once, what they are doing included.

use super::{Acting, Ending, find_role};
use crate::failure::Failure;
use kv_authz::{
    UserId,
    action::{ChangeRoleOfUser, ChangeUser},
    audit::Target,
    grant::{may_give_role, may_govern},
};
use kv_store::{StoredRole, UserChange, UserChanged};

/// What shall be different.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Another role, by its name.
    pub role: Option<String>,
    /// Disabled or enabled.
    pub disabled: Option<bool>,
    /// On enabling: whether the keys that disabling revoked are good again.
    pub restore_api_keys: bool,
}

/// Changes a user.
///
/// # Errors
/// [`Failure`]: 403 without `users:write` (and `rbac:manage` for the role), a recent code, or the rights the user holds or
/// shall hold; 404 for a user there is not, 409 for the last administrator, 422 for a role there is not.
pub async fn change_user(acting: &Acting<'_>, user: UserId, wanted: &Wanted) -> Result<UserChanged, Failure> {
    let users = || Target::of("users");
    // Asked first: who may not, learns nothing of the user.
    if wanted.role.is_some() {
        acting.authorize::<ChangeRoleOfUser>(users())?;
    }
    if wanted.disabled.is_some() || wanted.role.is_none() {
        acting.authorize::<ChangeUser>(users())?;
    }
    if wanted.restore_api_keys && wanted.disabled != Some(false) {
        return Err(Failure::unprocessable("not_enabling", "`restore_api_keys` goes with `disabled: false`."));
    }
    let found = acting.find_user(user).await?;
    may_govern(acting.principal, &found.role, &found.assignments)?;
    let role = match &wanted.role {
        None => None,
        Some(name) => {
            let role = find_role(acting.app, name).await?;
            may_give_role(acting.principal, &role)?;
            Some(StoredRole::from(&role))
        }
    };
    let takes_role = role.is_some();
    if wanted.disabled == Some(true) {
        acting.may_end_those_of(user, Ending::Everything);
    }
    let change = UserChange { role, disabled: wanted.disabled, restore_api_keys: wanted.restore_api_keys };
    let (basis, occasion, read) = (acting.basis, acting.occasion.clone(), found.read);
    let target = users().named(found.name);
    let done = if takes_role {
        let permit = acting.authorize::<ChangeRoleOfUser>(target)?;
        acting
            .app
            .with_store(move |store| store.change_user(&permit, basis.as_ref(), &read, &change, &occasion))
            .await?
    } else {
        let permit = acting.authorize::<ChangeUser>(target)?;
        acting
            .app
            .with_store(move |store| store.change_user(&permit, basis.as_ref(), &read, &change, &occasion))
            .await?
    };
    acting.settle().await;
    Ok(done)
}
