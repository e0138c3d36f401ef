//! Failures of operations, as the caller will be told and the audit log will know. No HTTP types here; `problem` turns
//! each into an answer, in one place.

use crate::{admission::Interruption, auth::PasswordError, clock::RandomError, limit::Exhausted, patience::Unanswered};
use kv_authz::{
    Denied, Permission, Unusable,
    audit::{Detail, Fact, Finish},
};
use kv_store::{ActError, StoreError};
use std::error::Error;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The credential is missing, malformed or dead. All look alike to the caller.
    #[error("the credential is refused")]
    Unauthorized {
        /// For the audit log alone.
        reason: Option<Unusable>,
    },
    /// The request cannot be understood: 400, 405, 413, 415 or 422, by its code.
    #[error("{detail}")]
    Invalid {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: &'static str,
        /// What to do about it.
        detail: String,
    },
    /// The caller may not do it.
    #[error("the caller may not do it: {0}")]
    Denied(Denied),
    /// The cluster itself refused.
    #[error("the cluster refused: {detail}")]
    ClusterDenied {
        /// The cluster's words, cleaned.
        detail: String,
    },
    /// There is no such object, or the caller may not know of it.
    #[error("no such {what}")]
    NotFound {
        /// The kind of object.
        what: &'static str,
    },
    /// The object is in a state that does not allow it.
    #[error("{detail}")]
    Conflict {
        /// The stable code.
        code: &'static str,
        /// What to do about it.
        detail: String,
    },
    /// Over the rate limit.
    #[error("over the rate limit")]
    Limited(Exhausted),
    /// Too many failed attempts to prove who one is.
    #[error("too many failed attempts")]
    Throttled {
        /// When the next one is looked at.
        wait: time::Duration,
    },
    /// The rights changed while deciding, time and again.
    #[error("the rights changed while deciding")]
    Stale,
    /// More people sign in right now than are looked at. Nothing was done.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The database is in trouble. Nothing was done.
    #[error("unavailable: {step}")]
    Unavailable {
        /// What was tried.
        step: &'static str,
        /// Why.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Whether the credential still counts cannot be known: this server lost touch with its database while it worked.
    #[error("the credential could not be confirmed while the request was handled")]
    Unconfirmed,
    /// The cluster did not do it: 502, 503 or 504, by its code.
    #[error("{detail}")]
    Upstream {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: &'static str,
        /// What is known.
        detail: String,
        /// Why.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// A defect, or damage.
    #[error("internal: {step}")]
    Internal {
        /// What was tried.
        step: &'static str,
        /// Why.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl Failure {
    /// A request that cannot be understood.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid { status: 400, code, detail: detail.into() }
    }

    /// A request that is understood and cannot be done as it is.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid { status: 422, code, detail: detail.into() }
    }

    /// A defect, or damage.
    pub fn internal(step: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Internal { step, source: Some(Box::new(source)) }
    }

    /// A code that is wrong, too old, or was used before: the caller learns not which.
    #[must_use]
    pub fn wrong_code() -> Self {
        Self::unprocessable("invalid_code", "The code is wrong, too old, or was used before. Take the next one.")
    }

    /// There is no second factor to show.
    #[must_use]
    pub fn no_second_factor() -> Self {
        Self::Conflict {
            code: "no_second_factor",
            detail: "You have no second factor in force. Set one up first.".into(),
        }
    }

    /// Whether the database is in trouble, and there is nothing to admit with; or the server is, and nothing was looked at.
    #[must_use]
    pub fn leaves_no_entry(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Busy)
    }

    /// Whether what was asked of the database may be done all the same, its entry written.
    #[must_use]
    pub fn may_be_done(&self) -> bool {
        let Self::Unavailable { source: Some(source), .. } = self else { return false };
        source.is::<Unanswered>() || source.downcast_ref::<StoreError>().is_some_and(StoreError::may_be_done)
    }

    /// The HTTP status it is answered with.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Unauthorized { .. } => 401,
            Self::Invalid { status, .. } | Self::Upstream { status, .. } => *status,
            Self::Denied(Denied::Hidden) | Self::NotFound { .. } => 404,
            Self::Denied(_) | Self::ClusterDenied { .. } => 403,
            Self::Conflict { .. } => 409,
            Self::Limited(_) | Self::Throttled { .. } => 429,
            Self::Stale | Self::Busy | Self::Unavailable { .. } | Self::Unconfirmed => 503,
            Self::Internal { .. } => 500,
        }
    }

    /// The stable code it is answered with.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized { .. } => "unauthorized",
            Self::Invalid { code, .. } | Self::Conflict { code, .. } | Self::Upstream { code, .. } => code,
            Self::Denied(Denied::Hidden) | Self::NotFound { .. } => "not_found",
            Self::Denied(Denied::InteractiveSessionRequired) => "interactive_session_required",
            Self::Denied(Denied::OperatorOnly) => "operator_only",
            Self::Denied(Denied::EnrolmentRequired) => "second_factor_enrolment_required",
            Self::Denied(Denied::CodeRequired) => "second_factor_code_required",
            Self::Denied(Denied::Exceeds(_)) => "exceeds_own_rights",
            Self::Denied(Denied::Forbidden { .. }) => "forbidden",
            Self::ClusterDenied { .. } => "cluster_forbidden",
            Self::Limited(_) => "rate_limited",
            Self::Throttled { .. } => "too_many_attempts",
            Self::Stale => "rights_changing",
            Self::Busy => "busy",
            Self::Unavailable { .. } => "unavailable",
            Self::Unconfirmed => "not_confirmed",
            Self::Internal { .. } => "internal",
        }
    }

    /// The atom that was missing.
    #[must_use]
    pub fn missing(&self) -> Option<&Permission> {
        match self {
            Self::Denied(Denied::Forbidden { missing }) => Some(missing),
            _ => None,
        }
    }

    /// Who refused, where somebody did.
    #[must_use]
    pub fn denied_by(&self) -> Option<&'static str> {
        match self {
            Self::Denied(Denied::Hidden) => None,
            Self::Denied(_) => Some("kubevision"),
            Self::ClusterDenied { .. } => Some("cluster"),
            _ => None,
        }
    }

    /// What the audit log keeps of it.
    #[must_use]
    pub fn facts(&self) -> Detail {
        let mut facts = Detail::none().with(Fact::Code, self.code());
        if let Some(missing) = self.missing() {
            facts.add(Fact::Missing, missing.to_string());
        }
        if let Some(who) = self.denied_by() {
            facts.add(Fact::DeniedBy, who);
        }
        if let Self::Unauthorized { reason: Some(reason) } = self {
            facts.add(Fact::Reason, reason.to_string());
        }
        facts
    }

    /// How the audit log says that a request ended with it.
    #[must_use]
    pub fn finish(&self) -> Finish {
        Finish::with_status(self.status()).because(self.facts())
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Interruption> for Failure {
    fn from(why: Interruption) -> Self {
        match why {
            Interruption::Refused(reason) => Self::Unauthorized { reason: Some(reason) },
            Interruption::Unconfirmed => Self::Unconfirmed,
        }
    }
}

impl From<Unanswered> for Failure {
    fn from(error: Unanswered) -> Self {
        Self::Unavailable { step: "waiting for the database", source: Some(Box::new(error)) }
    }
}

impl From<RandomError> for Failure {
    fn from(error: RandomError) -> Self {
        Self::internal("drawing random bytes", error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => {
                Self::Unavailable { step: "asking the database", source: Some(Box::new(error)) }
            }
            StoreError::Conflict | StoreError::Unreadable { .. } | StoreError::Setup(_) => {
                Self::internal("asking the database", error)
            }
        }
    }
}

impl<E: Into<Failure>> From<ActError<E>> for Failure {
    fn from(error: ActError<E>) -> Self {
        match error {
            ActError::Store(error) => error.into(),
            ActError::Unusable(reason) => Self::Unauthorized { reason: Some(reason) },
            ActError::Stale => Self::Stale,
            ActError::Refused(refused) => refused.into(),
        }
    }
}

impl From<crate::limit::Refused> for Failure {
    fn from(refused: crate::limit::Refused) -> Self {
        match refused {
            crate::limit::Refused::Exhausted(exhausted) => Self::Limited(exhausted),
            crate::limit::Refused::Store(error) => error.into(),
        }
    }
}

impl From<PasswordError> for Failure {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            other => Self::internal("hashing a password", other),
        }
    }
}

impl From<kv_store::Never> for Failure {
    fn from(never: kv_store::Never) -> Self {
        match never {}
    }
}

impl From<kv_store::NoSuchKey> for Failure {
    fn from(_: kv_store::NoSuchKey) -> Self {
        Self::NotFound { what: "API key" }
    }
}

impl From<kv_store::KeyRefused> for Failure {
    fn from(refused: kv_store::KeyRefused) -> Self {
        use kv_store::KeyRefused::{LimitReached, NameTaken, NoOwner};
        match refused {
            NameTaken => Self::Conflict {
                code: "name_taken",
                detail: "A live key of yours has this name. Choose another, or revoke that key first.".into(),
            },
            LimitReached => Self::Conflict {
                code: "too_many_keys",
                detail: "You have as many live keys as you may. Revoke one you no longer use.".into(),
            },
            NoOwner => Self::NotFound { what: "user" },
        }
    }
}

impl From<kv_store::UserRefused> for Failure {
    fn from(refused: kv_store::UserRefused) -> Self {
        use kv_store::UserRefused::{LastAdmin, NameTaken, NoSuchAssignment, NoSuchUser};
        let conflict = |code, detail: &str| Self::Conflict { code, detail: detail.into() };
        match refused {
            NameTaken => conflict("name_taken", "There is a user of this name."),
            NoSuchUser => Self::NotFound { what: "user" },
            LastAdmin => conflict(
                "last_administrator",
                "Nobody would be left to administer. Make somebody else an administrator first.",
            ),
            NoSuchAssignment => Self::NotFound { what: "assignment" },
        }
    }
}

impl From<kv_store::RoleRefused> for Failure {
    fn from(refused: kv_store::RoleRefused) -> Self {
        match refused {
            kv_store::RoleRefused::NameTaken => {
                Self::Conflict { code: "name_taken", detail: "There is a role of this name.".into() }
            }
            kv_store::RoleRefused::NoSuchRole => Self::NotFound { what: "role" },
        }
    }
}

impl From<kv_store::NoSuchSession> for Failure {
    fn from(_: kv_store::NoSuchSession) -> Self {
        Self::NotFound { what: "session" }
    }
}

impl From<kv_store::FactorRefused> for Failure {
    fn from(refused: kv_store::FactorRefused) -> Self {
        use kv_store::FactorRefused::{Enabled, Missing, NoChallenge, Used};
        match refused {
            Enabled => Self::Conflict {
                code: "second_factor_enabled",
                detail: "A second factor is in force. Disable it first, with a code of it.".into(),
            },
            Missing => Self::no_second_factor(),
            Used | NoChallenge => Self::wrong_code(),
        }
    }
}

impl From<crate::cluster::IdentityError> for Failure {
    fn from(error: crate::cluster::IdentityError) -> Self {
        Self::internal("naming a caller to a cluster", error)
    }
}

impl From<kv_store::ClusterRefused> for Failure {
    fn from(refused: kv_store::ClusterRefused) -> Self {
        match refused {
            kv_store::ClusterRefused::NameTaken => {
                Self::Conflict { code: "name_taken", detail: "A cluster of this name is registered.".into() }
            }
            kv_store::ClusterRefused::NoSuchCluster => Self::NotFound { what: "cluster" },
        }
    }
}
