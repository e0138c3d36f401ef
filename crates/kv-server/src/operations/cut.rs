//! Mark what a cut ends: what is running here and may not go on, whichever server or task took the rights away. Judged by
//! what the database says now, so that what was given again meanwhile goes on.
//!
//! Nothing is taken here; the act that did has committed.

use crate::{
    admission::{Interruption, Marked, Reaching},
    app::App,
    broken::Rule,
    logging,
};
use kv_authz::{KeyId, Owner, Principal, Unusable, UserId, kubernetes::authorize_kubernetes};
use kv_store::{Credential, Cut};
use std::{collections::HashMap, sync::Arc};

/// How many users or sessions are asked about in one question.
const TOGETHER: usize = 256;
/// Why most of it ends.
const REVOKED: Interruption = Interruption::Refused(Unusable::Revoked);

/// Marks what is to end here. It has still to let go.
pub async fn mark(app: &Arc<App>, cut: Cut) -> Marked {
    if app.config.broken.leaves_out(Rule::Cuts) {
        return Marked::none();
    }
    match cut {
        Cut::Credential(credential) => app.in_flight.mark(REVOKED, |candidate, _| candidate == credential),
        Cut::User(user) => mark_dead(app, user).await.and(mark_beyond_rights(app, |whose| whose == user).await),
        Cut::Role(_) => mark_beyond_rights(app, |_| true).await,
        Cut::Cluster(cluster) => app.in_flight.mark_reaching(REVOKED, |_, what| what.target.cluster == cluster),
        Cut::Webhook(cluster) => app.in_flight.mark_asker(REVOKED, cluster),
        Cut::Everyone => app.in_flight.mark_all(REVOKED),
    }
}

/// Marks the requests of a user's credentials that are good no longer; of all, where the database does not say which.
async fn mark_dead(app: &Arc<App>, user: UserId) -> Marked {
    let running = app.in_flight.credentials_of(user);
    if running.is_empty() {
        return Marked::none();
    }
    let now = app.clock.now();
    match app.with_store(move |store| store.dead_among(user, &running, now)).await {
        Ok(dead) => app.in_flight.mark(REVOKED, |candidate: Credential, _| dead.contains(&candidate)),
        Err(error) => {
            tracing::warn!(
                error = logging::whole(&error),
                %user,
                "the credentials in use could not be looked at; all that runs with them has ended"
            );
            app.in_flight.mark(Interruption::Unconfirmed, |_, owner| owner == user)
        }
    }
}

/// Marks what the chosen users are doing in clusters and may do no longer; all of it, where their rights cannot be read.
async fn mark_beyond_rights(app: &Arc<App>, chosen: impl Fn(UserId) -> bool) -> Marked {
    let users: Vec<UserId> = app.in_flight.reaching_users().into_iter().filter(|&user| chosen(user)).collect();
    let mut marked = Marked::none();
    // Many in one question: the lease waits for the marks, and with one each it would run out.
    for some in users.chunks(TOGETHER) {
        marked = marked.and(mark_some_beyond_rights(app, some).await);
    }
    marked
}

async fn mark_some_beyond_rights(app: &Arc<App>, users: &[UserId]) -> Marked {
    let wanted = users.to_vec();
    let found = match app.with_store(move |store| store.rights_of(&wanted)).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(
                error = logging::whole(&error),
                ?users,
                "rights could not be read again; all that runs in clusters with them has ended"
            );
            return app.in_flight.mark_reaching(Interruption::Unconfirmed, |whose, _| users.contains(&whose));
        }
    };
    // As a key of theirs would be judged: nobody is asked for a code in the middle of a request.
    let principal = |owner: Arc<Owner>| Principal::ApiKey { id: KeyId::NIL, name: String::new(), owner };
    let mut principals: HashMap<UserId, Option<Principal>> = users.iter().map(|&user| (user, None)).collect();
    principals.extend(found.into_iter().map(|owner| (owner.id, Some(principal(owner)))));
    let now = app.clock.now();
    app.in_flight.mark_reaching(REVOKED, |whose, what: &Reaching| {
        principals.get(&whose).is_some_and(|principal| {
            principal.as_ref().is_none_or(|principal| {
                match authorize_kubernetes(principal, &what.target, app.policy(), now) {
                    Ok(allowed) => {
                        let role = principal.owner().map(|owner| owner.role.name());
                        !allowed.reach.covers(&what.reach)
                            || what.reveals && allowed.mask_secrets
                            || what.named_as.is_some() && what.named_as.as_deref() != role
                    }
                    Err(_) => true,
                }
            })
        })
    })
}

/// Marks what runs in sessions that are over and were not renewed, or of which the database does not say whether they were.
pub async fn mark_past(app: &Arc<App>) -> Marked {
    let now = app.clock.now();
    let past = app.in_flight.sessions_past(now);
    let mut marked = Marked::none();
    for some in past.chunks(TOGETHER) {
        let wanted = some.to_vec();
        let living = match app.with_store(move |store| store.living_among(&wanted, now)).await {
            Ok(living) => living,
            Err(error) => {
                tracing::warn!(
                    error = logging::whole(&error),
                    "sessions that may be over could not be looked at; what runs in them has ended"
                );
                let theirs =
                    |candidate, _| matches!(candidate, Credential::Session(session) if some.contains(&session));
                marked = marked.and(app.in_flight.mark(Interruption::Unconfirmed, theirs));
                continue;
            }
        };
        for &(session, end) in &living {
            app.in_flight.session_lasts(session, end);
        }
        let over = |candidate: Credential, _| match candidate {
            Credential::Session(session) => {
                some.contains(&session) && !living.iter().any(|(living, _)| *living == session)
            }
            Credential::Key(_) => false,
        };
        marked = marked.and(app.in_flight.mark(Interruption::Refused(Unusable::Expired), over));
    }
    marked
}
