//! Authorisation: from a principal and an act to a [`Permit`] or a [`Denied`]. Pure; the only place that makes permits.
//!
//! Nothing here looks anything up: who the principal is and what they hold was established before.

use crate::{
    action::{Action, Demand, Line, OwnAction, Rule},
    audit::{Event, Target},
    permission::Permission,
    principal::{Actor, Principal, SecondFactor},
    role::{Role, Scope},
};
use std::{collections::BTreeSet, marker::PhantomData};
use time::{Duration, OffsetDateTime};

/// What the operator has settled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether a key may do what `users:*`, `rbac:manage` and the like allow its owner (`api_keys.allow_administration`).
    pub keys_may_administer: bool,
    /// Who must have a second factor. Keys are not asked.
    pub second_factor: SecondFactorFor,
}

/// Who must have a second factor before they may do anything but set one up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SecondFactorFor {
    /// Nobody must.
    #[default]
    Nobody,
    /// Everybody.
    Everybody,
    /// Whoever has one of these roles.
    Roles(BTreeSet<String>),
}

impl SecondFactorFor {
    /// Whether people of the role must have one.
    #[must_use]
    pub fn includes(&self, role: &Role) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Roles(names) => names.contains(role.name()),
        }
    }
}

/// How long a code that was shown counts for what asks for a recent one.
pub const RECENT: Duration = Duration::minutes(5);

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
    /// The person must set up a second factor first: 403.
    #[error("second_factor_enrolment_required")]
    EnrolmentRequired,
    /// The person has a second factor and must show it first: 403.
    #[error("second_factor_code_required")]
    CodeRequired,
    /// The caller would give what they do not hold, or govern somebody who holds more: 403.
    #[error("beyond the caller's own rights: {0}")]
    Exceeds(String),
}

/// Decides on an act.
///
/// # Errors
/// [`Denied`], never for the operator.
pub fn authorize<A: OwnAction>(
    principal: &Principal,
    target: Target,
    policy: &Policy,
    now: OffsetDateTime,
) -> Result<Permit<A>, Denied> {
    let line = A::line();
    decide(principal, &line, policy, now)?;
    Ok(Permit::granted(principal.actor(), line.event, target))
}

/// Decides on an act that needs no [`Permit`]: one that only shows what the caller may see anyway.
///
/// # Errors
/// [`Denied`], never for the operator.
pub fn may<A: OwnAction>(principal: &Principal, policy: &Policy, now: OffsetDateTime) -> Result<(), Denied> {
    decide(principal, &A::line(), policy, now)
}

/// Whether the line of the table lets the principal pass.
///
/// # Errors
/// [`Denied`].
pub fn decide(principal: &Principal, line: &Line, policy: &Policy, now: OffsetDateTime) -> Result<(), Denied> {
    let Some(owner) = principal.owner() else {
        return Ok(());
    };
    if line.demand != Demand::Enrolment {
        enrolled(principal, policy)?;
    }
    let (needed, narrowed) = match &line.rule {
        Rule::Anyone => (None, false),
        Rule::Interactive => (None, principal.is_api_key()),
        Rule::Operator => return Err(Denied::OperatorOnly),
        Rule::Holds(atom) => (Some(atom), false),
        Rule::InPerson(atom) => (Some(atom), principal.is_api_key()),
        Rule::Administration(atom) => (Some(atom), principal.is_api_key() && !policy.keys_may_administer),
    };
    if narrowed {
        return Err(Denied::InteractiveSessionRequired);
    }
    if let Some(missing) = needed.filter(|atom| !owner.holds(atom, Scope::Cluster)) {
        return Err(Denied::Forbidden { missing: missing.clone() });
    }
    if line.demand == Demand::RecentCode && !has_shown_code(principal, now) {
        return Err(Denied::CodeRequired);
    }
    Ok(())
}

/// Whether the person has a second factor, where the operator requires one of them.
///
/// # Errors
/// [`Denied::EnrolmentRequired`].
pub(crate) fn enrolled(principal: &Principal, policy: &Policy) -> Result<(), Denied> {
    match principal {
        Principal::Session { owner, factor: SecondFactor::Missing, .. }
            if policy.second_factor.includes(&owner.role) =>
        {
            Err(Denied::EnrolmentRequired)
        }
        _ => Ok(()),
    }
}

/// Whether a recent code was shown, by those who could show one.
pub(crate) fn has_shown_code(principal: &Principal, now: OffsetDateTime) -> bool {
    match principal {
        Principal::Session { factor: SecondFactor::Enrolled { shown_at }, .. } => {
            shown_at.is_some_and(|shown| now - shown <= RECENT)
        }
        _ => true,
    }
}
