//! A visit: a request by somebody who is still to prove who they are. What signing in and renewing a session have in common:
//! the limits on attempts, and the record.

use crate::{agent, app::App, failure::Failure, logging};
use kv_authz::{
    Actor, EntryId, UserId,
    audit::{Detail, Entry, Event, Finish, Origin, Target},
};
use kv_store::{SignIn, admission::Request};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use time::Duration;

/// From where somebody has signed in this lately, strangers' failures do not keep them out.
const FAMILIAR: Duration = Duration::days(90);

/// A visit.
#[derive(Debug)]
pub struct Visit<'a> {
    /// The application.
    pub app: &'a Arc<App>,
    /// The request's id, and its entry's.
    pub id: EntryId,
    /// Where it comes from.
    pub origin: Origin,
    /// What a session that begins is given.
    pub means: Means,
}

/// What a session is carried by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A client's two tokens.
    Tokens,
    /// A browser's cookie.
    Cookie,
}

/// Whose attempts are counted together.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// Passwords for this name.
    Name(&'a str),
    /// This user's own password, shown in a session of theirs.
    Password(UserId),
    /// Codes of this user's second factor.
    Factor(UserId),
}

impl Whose<'_> {
    /// The digest under which they are counted: names that nobody has may be passwords typed in the wrong place.
    pub(super) fn digest(self, place: &str) -> Vec<u8> {
        let hash = Sha256::new().chain_update(place.as_bytes()).chain_update([0]);
        match self {
            Self::Name(name) => hash.chain_update(b"name").chain_update(name.as_bytes()),
            Self::Password(user) => hash.chain_update(b"password").chain_update(user.uuid().as_bytes()),
            Self::Factor(user) => hash.chain_update(b"factor").chain_update(user.uuid().as_bytes()),
        }
        .finalize()
        .to_vec()
    }
}

impl Visit<'_> {
    /// Takes one from the address's bucket.
    ///
    /// # Errors
    /// [`Failure::Limited`].
    pub fn limit(&self) -> Result<(), Failure> {
        match self.origin.ip {
            Some(address) => self.app.visitors.take(address).map_err(Failure::Limited),
            None => Ok(()),
        }
    }

    /// What attempts count under. An address that its owner is known at has a count of its own, so that nobody keeps them
    /// away from there by failing elsewhere.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn subject(&self, whose: Whose<'_>, user: Option<UserId>) -> Result<Vec<u8>, Failure> {
        let Some(ip) = self.origin.ip.map(|ip| ip.to_string()) else { return Ok(whose.digest("")) };
        // Asked for nobody as well: it takes as long.
        let (user, place, since) = (user.unwrap_or(UserId::NIL), ip.clone(), self.app.clock.now() - FAMILIAR);
        let familiar = self.app.with_store(move |store| store.has_signed_in_from(user, &place, since)).await?;
        Ok(whose.digest(if familiar { &ip } else { "" }))
    }

    /// Counts an attempt as failed before it is looked at.
    ///
    /// # Errors
    /// [`Failure::Throttled`] after too many.
    pub async fn count_attempt(&self, subject: Vec<u8>) -> Result<(), Failure> {
        count_attempt(self.app, subject).await
    }

    /// Forgets the failures, for their owner has come.
    pub async fn forget_failures(&self, subject: Vec<u8>) {
        forget_failures(self.app, subject).await;
    }

    /// The entry of this visit.
    #[must_use]
    pub fn entry(&self, event: Event, user: Option<&SignIn>) -> Entry {
        let actor = match user {
            Some(user) => Actor {
                user_id: Some(user.id),
                user: user.name.clone(),
                agent: match self.means {
                    Means::Tokens => agent::client(&self.origin.user_agent),
                    Means::Cookie => agent::BROWSER.into(),
                },
                key_id: None,
            },
            None => Actor::anonymous(),
        };
        let (target, origin) = (Target::of("sessions"), self.origin.clone());
        Entry { id: self.id, actor, event, target, origin, detail: Detail::none() }
    }

    /// Puts on record how the visit ended, where nothing else does.
    ///
    /// # Errors
    /// [`Failure::Unavailable`].
    pub async fn report(&self, event: Event, user: Option<&SignIn>, finish: Finish) -> Result<(), Failure> {
        let entry = self.entry(event, user);
        let request = Request { entry, basis: None, finish: Some(finish), count: 1, audited: true };
        let batcher = self.app.batcher()?;
        batcher.admit(request, None).await?;
        Ok(())
    }
}

/// The same for codes of somebody's second factor, wherever they are shown.
pub(super) fn factor_subject(user: UserId) -> Vec<u8> {
    Whose::Factor(user).digest("")
}

/// Counts an attempt as failed before it is looked at.
pub(super) async fn count_attempt(app: &Arc<App>, subject: Vec<u8>) -> Result<(), Failure> {
    let now = app.clock.now();
    let counted = app.with_store(move |store| store.count_attempt(&subject, now)).await?;
    counted.map_err(|soon| Failure::Throttled { wait: soon.wait })
}

/// Forgets the failures, for their owner has come. It comes after what they came for was done, so that nothing is said to
/// have failed if this does: then they wait a little the next time.
pub(super) async fn forget_failures(app: &Arc<App>, subject: Vec<u8>) {
    if let Err(error) = app.with_store(move |store| store.forget_failures(&subject)).await {
        tracing::warn!(error = logging::whole(&error), "failed attempts were not forgotten");
    }
}
