//! Authorisation: from a principal and an act to a [`Permit`] or a [`Denied`]. Pure; the only place that makes permits.
//!
//! Nothing here looks anything up: who the principal is and what they hold was established before.

use crate::{
    action::{Action, OwnAction, Rule},
    audit::{Event, Target},
    permission::Permission,
    principal::{Actor, Principal},
    role::Scope,
};
use std::marker::PhantomData;

/// What the operator has settled about keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether a key may do what `users:*`, `rbac:manage` and the like allow its owner (`api_keys.allow_administration`).
    pub keys_may_administer: bool,
}

/// The proof that an act was allowed, with the names under which it is audited. Cannot be made outside this crate.
#[derive(Debug)]
pub struct Permit<A> {
    actor: Actor,
    event: Event,
    target: Target,
    act: PhantomData<fn() -> A>,
}

impl<A: Action> Permit<A> {
    pub(crate) fn granted(actor: Actor, event: Event, target: Target) -> Self {
        Self { actor, event, target, act: PhantomData }
    }

    /// Who acts.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The act's name in the audit log.
    #[must_use]
    pub fn event(&self) -> Event {
        self.event
    }

    /// What is acted on.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }
}

/// Why an act is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The caller lacks an atom: 403.
    #[error("missing {missing}")]
    Forbidden {
        /// The atom.
        missing: Permission,
    },
    /// The caller may not know that the object exists: 404.
    #[error("hidden")]
    Hidden,
    /// No role allows it: 403.
    #[error("operator_only")]
    OperatorOnly,
    /// A key asked for what only a person may do: 403.
    #[error("interactive_session_required")]
    InteractiveSessionRequired,
}

/// Decides on an act.
///
/// # Errors
/// [`Denied`], never for the operator.
pub fn authorize<A: OwnAction>(principal: &Principal, target: Target, policy: Policy) -> Result<Permit<A>, Denied> {
    let line = A::line();
    decide(principal, &line.rule, policy)?;
    Ok(Permit::granted(principal.actor(), line.event, target))
}

/// Whether the rule lets the principal pass.
///
/// # Errors
/// [`Denied`].
pub fn decide(principal: &Principal, rule: &Rule, policy: Policy) -> Result<(), Denied> {
    let Some(owner) = principal.owner() else {
        return Ok(());
    };
    let (needed, narrowed) = match rule {
        Rule::Anyone => return Ok(()),
        Rule::Interactive if principal.is_api_key() => return Err(Denied::InteractiveSessionRequired),
        Rule::Interactive => return Ok(()),
        Rule::Operator => return Err(Denied::OperatorOnly),
        Rule::Holds(atom) => (atom, false),
        Rule::Administration(atom) => (atom, principal.is_api_key() && !policy.keys_may_administer),
    };
    if narrowed {
        return Err(Denied::InteractiveSessionRequired);
    }
    if owner.holds(needed, Scope::Cluster) { Ok(()) } else { Err(Denied::Forbidden { missing: needed.clone() }) }
}
