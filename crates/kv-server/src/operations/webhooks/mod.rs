//! Webhooks: a cluster asks whose a token is, and what its owner may do. For requests that go straight to the cluster.
//!
//! Each question comes with the cluster's webhook token, and leaves one entry. Never here: an answer from the cache alone,
//! a word on why a token or key is refused, a cluster that hears of another.

mod question;
mod review_access;
mod review_token;
mod token;

pub use question::{Attributes, Question};
pub use review_access::{Asked, Opinion, review_access};
pub use review_token::{Named, review_token};
pub use token::{make_webhook_token, remove_webhook_token};

use super::visit::Visit;
use crate::{
    admission::Guard,
    auth::opaque::{Kind, Opaque},
    failure::Failure,
};
use kv_authz::{
    Actor, ClusterId,
    audit::{Detail, Entry, Event, Fact, Finish, Target, clip},
};
use kv_store::admission::{Request, Verdict};
use secrecy::SecretString;

/// Decisions on one question before a cluster is told to ask again: the rights keep changing.
const ATTEMPTS: u32 = 4;

/// A cluster that asks, known by its webhook token.
#[derive(Debug)]
pub struct Asker {
    /// The cluster.
    pub id: ClusterId,
    /// Its name.
    pub name: String,
}

impl Asker {
    /// The cluster of this name, if the token is its own, and the place of its question in the registry, to be held
    /// until that is answered. Whoever fails takes from their address's bucket; who does not may ask as often as they have
    /// to.
    ///
    /// # Errors
    /// [`Failure`]: 401 for a token that is missing or wrong and for a cluster there is not, 429 after too many of them.
    pub async fn known_by(
        visit: &Visit<'_>,
        name: &str,
        token: Option<SecretString>,
    ) -> Result<(Self, Guard), Failure> {
        let digest = token.and_then(|token| Opaque::digest(Kind::Webhook, &token));
        if let Some(digest) = digest
            && let Some(found) = Self::of_token(visit, name, &digest).await?
        {
            return Ok(found);
        }
        visit.limit()?;
        let refused = Failure::Unauthorized { reason: None };
        let target = Target::of("clusters").named(clip(name, 253).0);
        let finish = Finish::with_status(401).because(Detail::none().with(Fact::Code, refused.code()));
        record(visit, entry(visit, Actor::anonymous(), Event::AuthRefuse, target), finish).await?;
        Err(refused)
    }

    async fn of_token(visit: &Visit<'_>, name: &str, digest: &[u8]) -> Result<Option<(Self, Guard)>, Failure> {
        let app = visit.app;
        let clusters = app.clusters().await?;
        let mut entered = clusters
            .clusters
            .iter()
            .find(|cluster| cluster.name == name)
            .map(|cluster| (cluster.id, app.in_flight.enter_asker(cluster.id)));
        for _ in 0..ATTEMPTS {
            // Entered before the token is looked at: either that sees it taken away, or who takes it away sees this.
            let (wanted, digest) = (name.to_owned(), digest.to_owned());
            let found = app.with_store(move |store| store.cluster_of_webhook(&wanted, &digest)).await?;
            match (found, entered) {
                (None, _) => return Ok(None),
                (Some(id), Some((known, guard))) if known == id => {
                    return Ok(Some((Self { id, name: name.to_owned() }, guard)));
                }
                // The name means another cluster by now.
                (Some(id), _) => entered = Some((id, app.in_flight.enter_asker(id))),
            }
        }
        Err(Failure::Stale)
    }

    /// The target of a question about no object.
    fn target(&self, resource: &str) -> Target {
        Target { cluster: Some(self.name.clone()), ..Target::of(resource) }
    }
}

/// The entry of a question.
fn entry(visit: &Visit<'_>, actor: Actor, event: Event, target: Target) -> Entry {
    Entry { id: visit.id, actor, event, target, origin: visit.origin.clone(), detail: Detail::none() }
}

/// Puts a question on record that no credential of ours stands behind.
async fn record(visit: &Visit<'_>, entry: Entry, finish: Finish) -> Result<(), Failure> {
    let request = Request { entry, basis: None, finish: Some(finish), count: 1, audited: true };
    match visit.app.batcher()?.admit(request, None).await?.verdict {
        Verdict::Admitted => Ok(()),
        Verdict::Refused(_) | Verdict::Stale => {
            Err(Failure::Internal { step: "putting a cluster's question on record", source: None })
        }
    }
}
