//! Operations: one act a file, called alike by REST, by pages and by the operator's tasks. No HTTP types: an operation
//! takes values, decides with kv-authz, and returns values or a failure.

pub mod add_cluster;
pub mod assign_user;
pub mod change_cluster;
pub mod change_user;
pub mod create_api_key;
pub mod create_user;
pub mod cut;
pub mod delete_user;
pub mod export_audit;
pub mod first_start;
pub mod get_kubeconfig;
pub mod kubernetes;
pub mod list_api_keys;
pub mod list_clusters;
pub mod list_users;
pub mod passwords;
pub mod prove;
pub mod purge_audit;
pub mod read_audit;
pub mod register_contexts;
pub mod remove_cluster;
pub mod reseal;
pub mod revoke_api_key;
pub mod roles;
pub mod second_factor;
pub mod sessions;
pub mod show_cluster;
pub mod show_oneself;
pub mod sign_in;
pub mod sign_out;
pub mod visit;
pub mod webhooks;

use crate::{admission::Guard, app::App, clock::RandomError, failure::Failure, replicas};
use kv_authz::{
    ClusterId, Denied, EntryId, Permit, Principal, Role, UserId,
    action::OwnAction,
    audit::{Origin, Target},
};
use kv_store::{Basis, ClusterRecord, Credential, Occasion, UserRecord};
use std::sync::Arc;

/// Who acts, on what basis, and for which entry of the audit log.
#[derive(Debug)]
pub struct Acting<'a> {
    /// The application.
    pub app: &'a Arc<App>,
    /// Who acts.
    pub principal: &'a Principal,
    /// What the database confirms; nothing for the operator.
    pub basis: Option<Basis>,
    /// The entry.
    pub occasion: Occasion,
    /// The request's own place among those in flight, if it is one.
    pub guard: Option<Guard>,
}

impl<'a> Acting<'a> {
    /// The operator, at a task of theirs.
    ///
    /// # Errors
    /// [`RandomError`] where no id can be drawn.
    pub fn operator(app: &'a Arc<App>) -> Result<Self, RandomError> {
        let now = app.clock.now();
        let id = app.random.id::<EntryId>(now)?;
        let origin = Origin::new(None, "xtask", id.to_string());
        Ok(Self {
            app,
            principal: &Principal::Operator,
            basis: None,
            occasion: Occasion { id, origin, now },
            guard: None,
        })
    }

    /// Decides on an act by kv-authz's table, as things are for this entry.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn authorize<A: OwnAction>(&self, target: Target) -> Result<Permit<A>, Denied> {
        kv_authz::authorize(self.principal, target, self.app.policy(), self.occasion.now)
    }

    /// A user by id, for an act that was authorised already.
    ///
    /// # Errors
    /// [`Failure::NotFound`] for a user there is not.
    pub async fn find_user(&self, user: UserId) -> Result<UserRecord, Failure> {
        let found = self.app.with_store(move |store| store.find_user_by_id(user)).await?;
        found.ok_or(Failure::NotFound { what: "user" })
    }

    /// A cluster by name, as the list has it now, for an act that was authorised already.
    ///
    /// # Errors
    /// [`Failure::NotFound`] for a cluster there is not, or that the caller may not know of.
    pub async fn find_cluster(&self, name: &str) -> Result<ClusterRecord, Failure> {
        let list = self.app.reload_clusters().await?;
        // Who may change or remove clusters may still not know of each.
        let known = |cluster: ClusterId| self.principal.owner().is_none_or(|owner| owner.reach(cluster).is_some());
        let found = list.clusters.iter().find(|cluster| cluster.name == name && known(cluster.id));
        found.cloned().ok_or(Failure::NotFound { what: "cluster" })
    }

    /// Lets the request that acts answer, though its own credential ends by the act. Said before the act is done: from its
    /// commit on, what runs with the credential is cut.
    pub fn may_end(&self, credential: Credential) {
        if let Some(guard) = &self.guard {
            guard.exempt(credential);
        }
    }

    /// The same for an act that may end credentials of a user, and of which kind. One of another kind goes on, so that who
    /// acts with it is cut by whatever else ends it.
    pub fn may_end_those_of(&self, user: UserId, which: Ending) {
        if let Some(guard) = &self.guard {
            guard.exempt_those_of(user, |credential| match (which, credential) {
                (Ending::Everything, _)
                | (Ending::Sessions, Credential::Session(_))
                | (Ending::Keys, Credential::Key(_)) => true,
                (Ending::Sessions | Ending::Keys, _) => false,
            });
        }
    }

    /// Waits until what the act took away has ended, on every server.
    pub async fn settle(&self) {
        replicas::settled(self.app).await;
    }
}

/// Which credentials of a user an act ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Sessions and keys.
    Everything,
    /// Sessions alone.
    Sessions,
    /// Keys alone.
    Keys,
}

/// A role by its name, built-in or custom.
///
/// # Errors
/// [`Failure::Invalid`] for one there is not.
pub async fn find_role(app: &Arc<App>, name: &str) -> Result<Role, Failure> {
    if let Some(role) = Role::built_in(name) {
        return Ok(role);
    }
    let wanted = name.to_owned();
    match app.with_store(move |store| store.find_role(&wanted)).await? {
        Some(role) => Ok(Role::Custom { id: role.id, name: role.name, grants: role.grants }),
        None => {
            let known: Vec<_> = Role::BUILT_IN.iter().map(|role| role.name().to_owned()).collect();
            let detail = format!("There is no such role. The built-in ones are {}.", known.join(", "));
            Err(Failure::unprocessable("unknown_role", detail))
        }
    }
}

/// A name people choose: trimmed, 1 to `max` characters, none of them invisible.
///
/// # Errors
/// [`Failure::Invalid`] that names the rule.
pub fn checked_name(name: &str, max: usize) -> Result<String, Failure> {
    let name = name.trim();
    let length = name.chars().count();
    if length == 0 || length > max {
        return Err(Failure::unprocessable("invalid_name", format!("A name has 1 to {max} characters.")));
    }
    if name.chars().any(is_invisible) {
        return Err(Failure::unprocessable(
            "invalid_name",
            "A name has no control characters and nothing that turns the direction of text.",
        ));
    }
    Ok(name.to_owned())
}

/// Control characters, and the marks that make text read otherwise than it is stored (Unicode TR 36).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use super::checked_name;

    #[test]
    fn attack_68_names_are_visible_text() {
        for name in
            ["a", " ci ", "github-actions-deploy", "émile 🦀", "<img onerror>", "=cmd|x", "../../", &"x".repeat(100)]
        {
            assert_eq!(checked_name(name, 100).unwrap(), name.trim());
        }
        for name in ["", "   ", "a\nb", "a\0b", "\u{202e}gpj", "a\u{200b}b", "\x1b[31m", "a\u{2028}b", &"x".repeat(101)]
        {
            assert!(checked_name(name, 100).is_err(), "{name:?}");
        }
    }
}
