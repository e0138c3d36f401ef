//! Operations: one act a file, called alike by REST, by pages and by the operator's tasks. No HTTP types: an operation
//! takes values, decides with kv-authz, and returns values or a failure.

pub mod add_cluster;
pub mod assign_user;
pub mod create_api_key;
pub mod create_user;
pub mod disable_user;
pub mod first_start;
pub mod list_api_keys;
pub mod list_clusters;
pub mod list_users;
pub mod reach_cluster;
pub mod read_audit;
pub mod remove_cluster;
pub mod revoke_api_key;
pub mod sign_in;
pub mod sign_out;

use crate::{admission::Guard, app::App, clock::RandomError, failure::Failure};
use kv_authz::{EntryId, Principal, UserId, audit::Origin};
use kv_store::{Basis, Credential, Occasion};
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

    /// Ends everything else a credential is doing, and returns when it has ended.
    pub async fn cut(&self, credential: Credential) {
        if let Some(guard) = &self.guard {
            guard.exempt(credential);
        }
        self.app.in_flight.cut(credential).await;
    }

    /// The same for all of a user's keys.
    pub async fn cut_keys(&self, user: UserId) {
        if let Some(guard) = self.guard.as_ref().filter(|_| self.principal.is_api_key()) {
            guard.exempt_user(user);
        }
        self.app.in_flight.cut_keys(user).await;
    }

    /// The same for all of a user's credentials.
    pub async fn cut_user(&self, user: UserId) {
        if let Some(guard) = &self.guard {
            guard.exempt_user(user);
        }
        self.app.in_flight.cut_user(user).await;
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
