//! What a server under test leaves out on purpose, so that whoever looks for its breaches is seen to find them: one rule, and
//! with it what it is there for.
//!
//! Never a setting. As released, without debug assertions, there is nothing to leave out, and each question is answered no
//! before it is asked.

use crate::{app::App, pending::Begun};
use kv_authz::{EntryId, audit::Finish};
use kv_store::admission::{Decision, Request, Verdict};
use std::sync::Arc;

/// A rule that a promise stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// What admission refuses goes no further.
    Admission,
    /// What was taken away is ended where it runs.
    Cuts,
    /// Whoever takes away waits for every server.
    WaitForServers,
    /// A lease that is not renewed runs out.
    LeaseRunsOut,
    /// What is sent to a cluster ends with the credential that it is sent for.
    EffectGate,
    /// A revocation is committed before it is answered.
    CommitBeforeAnswer,
    /// What is done is on record.
    Entries,
    /// An entry has one end.
    OneEnd,
    /// An outcome is written when there is one.
    OutcomeComesLast,
    /// Who reads on is asked for again when a number has moved.
    Numbers,
    /// Who cannot be confirmed is not refused, but told to come again.
    SilenceIsNoRefusal,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Admission,
        Self::Cuts,
        Self::WaitForServers,
        Self::LeaseRunsOut,
        Self::EffectGate,
        Self::CommitBeforeAnswer,
        Self::Entries,
        Self::OneEnd,
        Self::OutcomeComesLast,
        Self::Numbers,
        Self::SilenceIsNoRefusal,
    ];
}

/// Which one is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Broken {
    #[cfg(debug_assertions)]
    without: Option<Rule>,
}

impl Broken {
    /// A server that does without one.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn without(rule: Rule) -> Self {
        Self { without: Some(rule) }
    }

    /// Whether it is this one.
    #[inline]
    #[must_use]
    #[cfg_attr(not(debug_assertions), expect(clippy::unused_self, reason = "there is nothing to look at"))]
    pub fn leaves_out(self, rule: Rule) -> bool {
        #[cfg(debug_assertions)]
        return self.without == Some(rule);
        #[cfg(not(debug_assertions))]
        {
            _ = rule;
            false
        }
    }

    /// A request as it is brought to admission.
    #[inline]
    pub(crate) fn request(self, request: Request) -> Request {
        Request { audited: request.audited && !self.leaves_out(Rule::Entries), ..request }
    }

    /// What admission has said of it.
    #[inline]
    pub(crate) fn decision(self, app: &Arc<App>, id: EntryId, decision: Decision) -> Decision {
        let Decision { verdict, at, .. } = decision;
        if self.leaves_out(Rule::OneEnd) && verdict == Verdict::Admitted {
            Begun::new(app, Some((id, at))).end(Finish::with_status(503));
        }
        match self.leaves_out(Rule::Admission) {
            true => Decision { verdict: Verdict::Admitted, ..decision },
            false => decision,
        }
    }
}
