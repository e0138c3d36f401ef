//! May this user do this? Only where the user is one of ours, known by the key that named them: the key is asked for at the
//! database once more, and its owner's rights decide as they are now.
//!
//! Of others we have no opinion; the cluster's other rules decide.

use super::{ATTEMPTS, Asker, Attributes, Question, entry, question::resource_name, record};
use crate::{
    admission::{Guard, Interruption},
    auth::Authority,
    cluster::Identity,
    failure::Failure,
    operations::visit::Visit,
    upstreams::Upstreams,
};
use kv_authz::{
    Actor, Denied, KeyId,
    audit::{Detail, Entry, Event, Fact, Finish, Target},
};
use kv_store::{
    ClusterList,
    admission::{Request, Verdict},
};

/// What discovery, schemas and the version are served under.
const DOCUMENTS: [&str; 4] = ["/api", "/apis", "/openapi", "/version"];

/// A question.
#[derive(Debug, Default)]
pub struct Asked {
    /// The user's name in the cluster.
    pub user: String,
    /// Their id; empty if it is not told.
    pub uid: String,
    /// The id of the key by which they were named; none for who was not named by us.
    pub key: Option<String>,
    /// The objects it is about.
    pub resource: Option<Attributes>,
    /// The address it is about, and the verb.
    pub address: Option<(String, String)>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opinion {
    /// They may.
    Allowed,
    /// They may not, whatever other rules say.
    Denied(String),
    /// Others decide.
    None(&'static str),
}

/// Answers a question.
///
/// # Errors
/// [`Failure`], where it could not be decided or put on record. Then the cluster must let nobody do it.
pub async fn review_access(
    visit: &Visit<'_>,
    upstreams: &Upstreams,
    (asker, asking): (&Asker, &Guard),
    asked: &Asked,
) -> Result<Opinion, Failure> {
    let Some(key) = asked.key.as_ref().filter(|_| asked.user.starts_with(Identity::PREFIX)) else {
        return without_key(visit, asker, asked, Opinion::None("not a user of KubeVision's")).await;
    };
    let Ok(key) = key.parse::<KeyId>() else {
        return without_key(visit, asker, asked, no_such_key()).await;
    };
    for attempt in 0..ATTEMPTS {
        let found = visit.app.with_store(move |store| store.key_authority_by_id(key)).await?;
        let Some(authority) = found.map(Authority::from) else {
            return without_key(visit, asker, asked, no_such_key()).await;
        };
        let clusters = if attempt == 0 { visit.app.clusters().await? } else { visit.app.reload_clusters().await? };
        match decide(visit, upstreams, (asker, asking), asked, &authority, &clusters).await? {
            Some(opinion) => return Ok(opinion),
            None => continue,
        }
    }
    Err(Failure::Stale)
}

fn no_such_key() -> Opinion {
    Opinion::Denied("the key is none, or not this user's".into())
}

/// Decides on the rights as read. `None`: they have changed.
async fn decide(
    visit: &Visit<'_>,
    upstreams: &Upstreams,
    (asker, asking): (&Asker, &Guard),
    asked: &Asked,
    authority: &Authority,
    clusters: &ClusterList,
) -> Result<Option<Opinion>, Failure> {
    let app = visit.app;
    // Before admission: either that sees a revocation, or the revocation waits for this answer.
    let guard = app.in_flight.enter(authority.credential, authority.owner.id);
    let principal = authority.principal("");
    let (mut detail, mut target) = told(asker, asked);
    let belongs = Identity::of(&principal)?.user() == asked.user
        && (asked.uid.is_empty() || asked.uid == authority.owner.id.to_string());
    let known =
        clusters.clusters.iter().any(|cluster| cluster.id == asker.id) && authority.owner.reach(asker.id).is_some();
    let decided = match (&asked.resource, &asked.address) {
        _ if !belongs => Err(Refused::NotTheirs),
        _ if !known => Err(Refused::By(Denied::Hidden)),
        (Some(attributes), _) => {
            let looking = lives_in_namespaces(visit, upstreams, asker, (asked, attributes), authority, clusters);
            // The cluster may be asked on the way: for no longer than the key and the token of the question are good.
            let namespaced = match asking.unless_revoked(guard.unless_revoked(looking)).await {
                Ok(Ok(known)) => match known? {
                    Known::Yes(namespaced) => namespaced,
                    Known::Stale => return Ok(None),
                    Known::Refused => return Ok(Some(no_such_key())),
                },
                // The key is gone: admission says so, and puts it on record.
                Ok(Err(Interruption::Refused(_))) => false,
                Err(why @ Interruption::Refused(_)) => return Err(asker_refused(visit, asker, asked, why).await?),
                Ok(Err(why)) | Err(why) => return Err(why.into()),
            };
            match Question::read(asker, attributes, namespaced) {
                None => Err(Refused::NoWord),
                Some(question) => {
                    target = question.target.audited();
                    let shows = question.decide(&principal, app.policy(), app.clock.now());
                    shows.map(|shows| (Opinion::Allowed, shows)).map_err(Refused::By)
                }
            }
        }
        (None, Some((path, verb))) if verb == "get" && is_document(path) => Ok((Opinion::Allowed, false)),
        (None, _) => Ok((Opinion::None("only documents of what is served are decided on"), false)),
    };
    let (opinion, finish) = match decided {
        Ok((opinion, reveals)) => {
            if reveals {
                detail.add(Fact::SecondFactor, "bypassed by key");
            }
            (opinion, Finish::with_status(200))
        }
        Err(Refused::By(denied)) => {
            let failure = Failure::from(denied);
            let missing = failure.missing().map(|atom| format!("missing {atom}"));
            (Opinion::Denied(missing.unwrap_or_else(|| "no such object".into())), failure.finish())
        }
        Err(other) => {
            let why = if matches!(other, Refused::NoWord) { "not known here" } else { "the key is not this user's" };
            (Opinion::Denied(why.into()), Finish::with_status(403).because(Detail::none().with(Fact::Reason, why)))
        }
    };
    let entry = Entry { detail, ..entry(visit, principal.actor(), Event::KubernetesAccessReview, target) };
    let basis = Some(authority.basis(clusters));
    let request = Request { entry, basis, finish: Some(finish), count: 1, audited: true };
    let verdict = app.batcher()?.admit(request, None).await?.verdict;
    match (verdict, guard.interruption()) {
        (Verdict::Stale, _) => Ok(None),
        (Verdict::Admitted, None) => Ok(Some(opinion)),
        (Verdict::Admitted, Some(why @ Interruption::Unconfirmed)) => Err(why.into()),
        (Verdict::Admitted, Some(Interruption::Refused(_))) | (Verdict::Refused(_), _) => Ok(Some(no_such_key())),
    }
}

enum Refused {
    /// The rules say no.
    By(Denied),
    /// There is no rule.
    NoWord,
    /// The key names somebody else.
    NotTheirs,
}

/// A question behind which no key of ours is found.
async fn without_key(visit: &Visit<'_>, asker: &Asker, asked: &Asked, opinion: Opinion) -> Result<Opinion, Failure> {
    let (detail, target) = told(asker, asked);
    let (status, why) = match &opinion {
        Opinion::None(why) => (200, *why),
        _ => (403, "no such key"),
    };
    let entry = entry(visit, Actor::anonymous(), Event::KubernetesAccessReview, target);
    record(visit, entry, Finish::with_status(status).because(detail.with(Fact::Reason, why))).await?;
    Ok(opinion)
}

/// The failure of a question whose own token was taken away meanwhile, once that is on record.
async fn asker_refused(visit: &Visit<'_>, asker: &Asker, asked: &Asked, why: Interruption) -> Result<Failure, Failure> {
    let (detail, target) = told(asker, asked);
    let entry = entry(visit, Actor::anonymous(), Event::KubernetesAccessReview, target);
    let failure = Failure::from(why);
    let finish = Finish::with_status(failure.status()).because(detail.with(Fact::Code, failure.code()));
    record(visit, entry, finish).await?;
    Ok(failure)
}

/// What the record says of a question, whatever comes of it.
fn told(asker: &Asker, asked: &Asked) -> (Detail, Target) {
    let clipped = |text: &str| (!text.is_empty()).then(|| kv_authz::audit::clip(text, 253).0.to_owned());
    match (&asked.resource, &asked.address) {
        (Some(about), _) => {
            let part = if about.subresource.is_empty() { String::new() } else { format!("/{}", about.subresource) };
            let group = if about.group.is_empty() { String::new() } else { format!(".{}", about.group) };
            let target = Target {
                name: clipped(&about.name),
                namespace: clipped(&about.namespace),
                ..asker.target(&clipped(&format!("{}{group}{part}", about.resource)).unwrap_or_default())
            };
            (Detail::none().with(Fact::Method, &*about.verb), target)
        }
        (None, Some((path, verb))) => {
            let target = Target { name: clipped(path), ..asker.target("addresses") };
            (Detail::none().with(Fact::Method, &**verb), target)
        }
        (None, None) => (Detail::none(), asker.target("")),
    }
}

fn is_document(path: &str) -> bool {
    let below =
        |document: &str| path.strip_prefix(document).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    DOCUMENTS.iter().any(|document| below(document))
}

/// Whether something is known of the cluster, for a key that lives.
enum Known {
    Yes(bool),
    Refused,
    Stale,
}

/// Whether a collection asked about in no namespace is of objects that live in some. The cluster is asked what it serves if
/// that is not known, once the key was confirmed; if it does not say, the objects are taken for such as live in none, which
/// fewer may see.
async fn lives_in_namespaces(
    visit: &Visit<'_>,
    upstreams: &Upstreams,
    asker: &Asker,
    (asked, attributes): (&Asked, &Attributes),
    authority: &Authority,
    clusters: &ClusterList,
) -> Result<Known, Failure> {
    let is_collection = attributes.namespace.is_empty() && matches!(attributes.verb.as_str(), "list" | "watch");
    let Some(resource) = resource_name(attributes).filter(|_| is_collection) else { return Ok(Known::Yes(false)) };
    let Ok(connection) = upstreams.connection(asker.id, clusters).await else { return Ok(Known::Yes(false)) };
    let known = || connection.known(|discovery| discovery.find(&resource).cloned());
    let served = match known() {
        Some(served) => Some(served),
        None => {
            let (detail, target) = told(asker, asked);
            let actor = authority.principal("").actor();
            let entry = Entry { detail, ..entry(visit, actor, Event::KubernetesAccessReview, target) };
            let basis = Some(authority.basis(clusters));
            let request = Request { entry, basis, finish: None, count: 1, audited: false };
            match visit.app.batcher()?.admit(request, None).await?.verdict {
                Verdict::Admitted => {}
                Verdict::Refused(_) => return Ok(Known::Refused),
                Verdict::Stale => return Ok(Known::Stale),
            }
            // One that does not answer is as good as one that serves nothing of the kind.
            connection.discover().await.ok().and_then(|()| known())
        }
    };
    let namespaced =
        |served: crate::cluster::Served| served.namespaced() && served.group().as_str() == attributes.group;
    Ok(Known::Yes(served.is_some_and(namespaced)))
}
