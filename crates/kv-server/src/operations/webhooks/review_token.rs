//! Whose is this token? A key of ours that lives, of an owner who may know of the cluster, is named. Nothing else is: no
//! session, no dead key, nobody else's token, and all of them alike.

use super::{ATTEMPTS, Asker, entry, record};
use crate::{admission::Interruption, auth::Presented, cluster::Identity, failure::Failure, operations::visit::Visit};
use kv_authz::{
    Actor, Denied, UserId,
    audit::{Detail, Event, Fact, Finish},
};
use kv_keys::ApiKey;
use kv_store::{
    Credential,
    admission::{Request, Verdict},
};
use secrecy::{ExposeSecret, SecretString};

/// The owner of a key, as the cluster shall know them.
#[derive(Debug)]
pub struct Named {
    /// User, groups and extra fields.
    pub identity: Identity,
    /// The owner's id.
    pub user: UserId,
}

/// Looks whose token it is.
///
/// # Errors
/// [`Failure`], where it could not be found out or put on record. Then the cluster must let nobody in.
pub async fn review_token(visit: &Visit<'_>, asker: &Asker, token: &SecretString) -> Result<Option<Named>, Failure> {
    let app = visit.app;
    let target = || asker.target("tokens");
    let Ok(key) = ApiKey::parse(token.expose_secret(), app.config.environment) else {
        return nobody(visit, asker).await;
    };
    let presented = Presented::Key(key.digest());
    drop(key);
    for attempt in 0..ATTEMPTS {
        let found =
            if attempt == 0 { app.authorities.get(&presented).await } else { app.authorities.reload(&presented).await };
        let Some(authority) = found? else { return nobody(visit, asker).await };
        // Before admission: either that sees a revocation, or the revocation waits for this answer.
        let guard = app.in_flight.enter(authority.credential, authority.owner.id);
        let clusters = if attempt == 0 { app.clusters().await? } else { app.reload_clusters().await? };
        let principal = authority.principal("");
        let known =
            clusters.clusters.iter().any(|cluster| cluster.id == asker.id) && authority.owner.reach(asker.id).is_some();
        let named = if known { Some(Identity::of(&principal)?) } else { None };
        let finish = match &named {
            Some(_) => Finish::with_status(200),
            None => Failure::from(Denied::Hidden).finish(),
        };
        let entry = entry(visit, principal.actor(), Event::KubernetesTokenReview, target());
        let basis = Some(authority.basis(&clusters));
        let request = Request { entry, basis, finish: Some(finish), count: 1, audited: true };
        let decision = app.batcher()?.admit(request, None).await?;
        match decision.verdict {
            Verdict::Admitted => {
                if let Credential::Key(key) = authority.credential {
                    app.uses.note(key, decision.at, visit.origin.ip);
                }
                let named = named.map(|identity| Named { identity, user: authority.owner.id });
                return match guard.interruption() {
                    None => Ok(named),
                    Some(Interruption::Refused(_)) => Ok(None),
                    Some(why @ Interruption::Unconfirmed) => Err(why.into()),
                };
            }
            Verdict::Refused(_) => {
                app.authorities.forget(&presented);
                return Ok(None);
            }
            Verdict::Stale => {}
        }
    }
    Err(Failure::Stale)
}

/// A token that is nobody's here.
async fn nobody(visit: &Visit<'_>, asker: &Asker) -> Result<Option<Named>, Failure> {
    let entry = entry(visit, Actor::anonymous(), Event::KubernetesTokenReview, asker.target("tokens"));
    let why = Detail::none().with(Fact::Reason, "no key of ours");
    record(visit, entry, Finish::with_status(401).because(why)).await?;
    Ok(None)
}
