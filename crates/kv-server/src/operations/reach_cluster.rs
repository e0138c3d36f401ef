//! Do something in a cluster: find out what is meant, decide, put the intent on disk, send, and say how it ended.
//!
//! What is authorised and what is sent are the same value. Nothing is sent for a credential that has been revoked, and
//! whatever was begun is put on record even if its client is gone.

use crate::{
    admission::{Guard, Reaching},
    api::input::Body,
    caller::{Begun, Caller},
    cluster::{
        Call, ClusterName, ClusterRefusal, Identity, Namespace, ObjectName, ObjectPath, PathError, ResourceName,
        UpstreamError, UpstreamQuery, body, mask, union,
    },
    failure::Failure,
    upstreams::{Connection, Upstreams, failure as unanswered},
    view::View,
};
use kv_authz::{
    ClusterId, EntryId, Unusable,
    audit::{Detail, Fact, Finish, Outcome, Target},
    kubernetes::{Allowed, KubernetesVerb, Reach, authorize_kubernetes},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// What is asked for, as it stood in the request.
#[derive(Debug)]
pub struct Wanted {
    /// The cluster's name.
    pub cluster: String,
    /// The namespace, if the path named one.
    pub namespace: Option<String>,
    /// The resource's plural, or `plural.group`.
    pub resource: String,
    /// The object's name, if the path named one.
    pub name: Option<String>,
    /// What shall be done.
    pub verb: KubernetesVerb,
    /// The raw query.
    pub query: String,
    /// The body.
    pub body: Body,
}

/// The cluster's answer as the caller may see it.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
}

/// What was decided, ready to be sent.
struct Plan {
    path: ObjectPath,
    query: UpstreamQuery,
    reach: Reach,
    mask: bool,
    body: Option<(&'static str, Vec<u8>)>,
    /// Whom every call of the request is made as.
    identity: Option<Identity>,
}

/// Does it.
///
/// # Errors
/// [`Failure`]: 400, 415 or 422 for what cannot be meant, 403 or 404 for what may not be done, 502 or 504 where the
/// cluster does not answer, and the cluster's own refusals.
pub async fn reach_cluster(caller: &Caller, upstreams: &Upstreams, wanted: Wanted) -> Result<Answer, Failure> {
    let event = wanted.verb.event();
    // As far as it is known before the cluster was asked what it serves.
    let shown = |text: &str| kv_authz::audit::clip(text, 253).0.to_owned();
    caller.about(
        event,
        Target {
            resource: shown(&wanted.resource),
            name: wanted.name.as_deref().map(shown),
            cluster: Some(shown(&wanted.cluster)),
            namespace: wanted.namespace.as_deref().map(shown),
        },
    );
    let invalid = |error: &dyn std::fmt::Display| Failure::invalid("malformed_path", sentence(error));
    let cluster = ClusterName::parse(&wanted.cluster).map_err(|error| invalid(&error))?;
    let resource = ResourceName::parse(&wanted.resource).map_err(|error| invalid(&error))?;
    let namespace = wanted.namespace.as_deref().map(Namespace::parse).transpose().map_err(|error| invalid(&error))?;
    let query = UpstreamQuery::parse(wanted.verb, &wanted.query)
        .map_err(|error| Failure::invalid("malformed_query", sentence(&error)))?;

    let (id, connection, served) = discover(caller, upstreams, &cluster, namespace.as_ref(), &resource).await?;
    let name = wanted.name.as_deref().map(|name| ObjectName::parse(name, served.group().as_str()));
    let name = name.transpose().map_err(|error| invalid(&error))?;
    let path = ObjectPath::new(&served, namespace, name, wanted.verb).map_err(|error| match error {
        PathError::VerbNotServed => {
            Failure::Invalid { status: 405, code: "method_not_allowed", detail: sentence(&error) }
        }
        _ => invalid(&error),
    })?;

    let decide = async |view: &View| {
        // The name may mean another cluster by now; the connection is to the one that was asked.
        if cluster_id(view, &cluster)? != id {
            return Err(Failure::Stale);
        }
        let target = path.target(id, &cluster);
        let app = caller.app();
        let Allowed { reach, mask_secrets, .. } =
            authorize_kubernetes(&view.principal, &target, app.policy(), app.clock.now())?;
        let identity = view.identity_in(id)?;
        let body = checked_body(&wanted.body, &path, mask_secrets)?;
        let reveals = target.is_secret() && wanted.verb.is_read() && !mask_secrets;
        let detail = if reveals { view.bypassed_second_factor() } else { Detail::none() };
        // Before it is admitted: either that sees the rights taken away, or who takes them sees this.
        caller.guard().reaches(Reaching { target, reveals });
        let plan = Plan { path: path.clone(), query: query.clone(), reach, mask: mask_secrets, body, identity };
        Ok((plan, detail))
    };
    let mut audited = path.target(id, &cluster).audited();
    if wanted.verb == KubernetesVerb::Create {
        // Named by its body alone.
        let checked = body::check(&wanted.body.bytes, Some(&wanted.body.media_type), &path).ok();
        audited.name = checked.and_then(|checked| checked.object_name().map(shown));
    }
    let (plan, begun) = caller.begin(wanted.verb.is_read(), event, audited, decide).await?;
    effect(caller, connection, plan, begun).await
}

/// Which cluster a name means to this caller; one they may not know is none.
fn cluster_id(view: &View, name: &ClusterName) -> Result<ClusterId, Failure> {
    let found = view.clusters.clusters.iter().find(|cluster| cluster.name == name.as_str());
    let id = found.ok_or(Failure::NotFound { what: "cluster" })?.id;
    match view.principal.owner() {
        Some(owner) if owner.reach(id).is_none() => Err(Failure::NotFound { what: "cluster" }),
        _ => Ok(id),
    }
}

/// What the cluster serves under the resource's name. If the cluster must be asked, the credential is confirmed before:
/// nothing goes there for a dead one, not even a question of our own.
async fn discover(
    caller: &Caller,
    upstreams: &Upstreams,
    cluster: &ClusterName,
    namespace: Option<&Namespace>,
    resource: &ResourceName,
) -> Result<(ClusterId, Rc<Connection>, crate::cluster::Served), Failure> {
    let reachable = async |view: &View| {
        let id = cluster_id(view, cluster)?;
        let known = |scope: &kv_authz::NamespaceScope| namespace.is_none_or(|name| scope.contains(name.as_str()));
        match view.principal.owner().and_then(|owner| owner.reach(id)) {
            Some(scope) if !known(&scope) => Err(Failure::Denied(kv_authz::Denied::Hidden)),
            _ => Ok((id, upstreams.connection(id, &view.clusters).await?)),
        }
    };
    // A refusal on rights as last read may be out of date: what was granted meanwhile counts at once.
    if let Ok((id, connection)) = caller.peek(&reachable).await
        && let Some(served) = connection.known(resource)
    {
        return Ok((id, connection, served));
    }
    let (id, connection) = caller.confirm(&reachable).await?;
    let served = connection.find(resource).await?;
    Ok((id, connection, served))
}

/// The body of a write, checked against the path and, for Secrets, against what the caller was shown.
fn checked_body(body: &Body, path: &ObjectPath, masked: bool) -> Result<Option<(&'static str, Vec<u8>)>, Failure> {
    if !matches!(path.verb(), KubernetesVerb::Create | KubernetesVerb::Update | KubernetesVerb::Patch) {
        if body.bytes.is_empty() {
            return Ok(None);
        }
        return Err(Failure::invalid("unexpected_body", "This request takes no body."));
    }
    let checked = body::check(&body.bytes, Some(&body.media_type), path).map_err(|error| {
        let (status, code) = match error {
            body::BodyError::Unsupported => (415, "unsupported_media_type"),
            body::BodyError::TooLarge => (413, "body_too_large"),
            _ => (400, "malformed_body"),
        };
        Failure::Invalid { status, code, detail: sentence(&error) }
    })?;
    if path.served().is_secret() {
        if mask::would_store_mask(checked.value()) {
            return Err(Failure::unprocessable(
                "masked_value",
                "The body holds masked values, which would overwrite the real ones. Leave out what you do not change.",
            ));
        }
        if masked && mask::would_reveal(&checked) {
            return Err(Failure::unprocessable(
                "revealing_patch",
                "With masked Secrets a JSON patch may only add, remove and replace.",
            ));
        }
    }
    Ok(Some((checked.content_type(), body.bytes.to_vec())))
}

/// Sends, in a task of its own: a client that hangs up neither stops what is half done nor loses its outcome. A
/// revocation does stop it, and waits for it.
async fn effect(caller: &Caller, connection: Rc<Connection>, plan: Plan, begun: Begun) -> Result<Answer, Failure> {
    let (guard, id): (Guard, EntryId) = (caller.guard().clone(), caller.id());
    let task = actix_web::rt::spawn(async move {
        let read_only = plan.path.verb().is_read();
        // The effect gate: looked at before the first byte, and at every step after.
        let sent = guard.unless_revoked(send(&connection, &plan, id)).await;
        let (result, finish) = conclude(sent, read_only);
        begun.end(finish);
        result
    });
    task.await.map_err(|error| Failure::internal("a request to a cluster", error))?
}

/// What the caller is told, and what the record says.
fn conclude(sent: Result<Result<Answer, SendError>, Unusable>, read_only: bool) -> (Result<Answer, Failure>, Finish) {
    let unknown = |status, why: &str| Finish {
        outcome: Outcome::Unknown,
        status,
        detail: Detail::none().with(Fact::Unknown, why),
    };
    match sent {
        Err(reason) => {
            let ended = Failure::Unauthorized { reason: Some(reason) };
            let finish = match (read_only, reason) {
                (true, _) => ended.finish(),
                (false, Unusable::Expired) => unknown(401, "expired while the cluster was working"),
                (false, _) => unknown(401, "revoked while the cluster was working"),
            };
            (Err(ended), finish)
        }
        Ok(Ok(answer)) => {
            let finish = Finish::with_status(answer.status);
            (Ok(answer), finish)
        }
        Ok(Err(SendError::Unanswered(error))) => {
            let nothing_done = read_only || error.nothing_was_sent();
            let failure = unanswered(error);
            let finish = match nothing_done {
                true => failure.finish(),
                false => unknown(failure.status(), "the cluster did not say"),
            };
            (Err(failure), finish)
        }
        Ok(Err(SendError::Refused(failure, done))) => {
            let finish = failure.finish();
            let finish = match done {
                // Not there, conflicting, not valid: nobody denied anything but who said 403.
                Done::No if failure.status() != 403 => Finish { outcome: Outcome::Failed, ..finish },
                Done::Yes => Finish { outcome: Outcome::Succeeded, ..finish },
                Done::Unknown if !read_only => unknown(failure.status(), "the cluster failed while working"),
                Done::No | Done::Unknown => finish,
            };
            (Err(failure), finish)
        }
    }
}

enum SendError {
    Unanswered(UpstreamError),
    Refused(Failure, Done),
}

/// Whether the cluster did what it was asked, though the caller gets no answer of its.
enum Done {
    No,
    Yes,
    Unknown,
}

async fn send(connection: &Connection, plan: &Plan, id: EntryId) -> Result<Answer, SendError> {
    match &plan.reach {
        Reach::AsAsked => one(connection, plan, &plan.path, &plan.query, id).await,
        Reach::Namespaces(namespaces) => {
            let whole = tokio::time::timeout(connection.limits.time, several(connection, plan, namespaces, id));
            whole.await.unwrap_or(Err(SendError::Unanswered(UpstreamError::Timeout)))
        }
    }
}

async fn one(
    connection: &Connection,
    plan: &Plan,
    path: &ObjectPath,
    query: &UpstreamQuery,
    id: EntryId,
) -> Result<Answer, SendError> {
    let mut call = Call::object(path, query).with_audit_id(id.uuid()).with_identity(plan.identity.as_ref());
    if let Some((content_type, body)) = &plan.body {
        call = call.with_body(content_type, body.clone());
    }
    let answer = connection.upstream.send(call, connection.limits).await.map_err(SendError::Unanswered)?;
    if answer.status.as_u16() >= 400 {
        let done = if answer.status.is_server_error() { Done::Unknown } else { Done::No };
        let mut refusal = ClusterRefusal::of(answer.status, &answer.body);
        if plan.mask {
            // The cluster may quote the object, values and all.
            refusal.message = "the cluster refused the request; what it said may quote masked values".into();
        }
        return Err(SendError::Refused(refused(&refusal), done));
    }
    let body = match plan.mask {
        false => answer.body.to_vec(),
        // What cannot be masked is not shown.
        true => mask::mask_answer(&answer.body)
            .map_err(|error| SendError::Refused(Failure::internal("masking a Secret", error), Done::Yes))?,
    };
    Ok(Answer { status: answer.status.as_u16(), body })
}

/// A list across namespaces for someone who has some of them: each asked for by itself, so that nothing of the others
/// can be in the answer, not even their number.
async fn several(
    connection: &Connection,
    plan: &Plan,
    namespaces: &BTreeSet<String>,
    id: EntryId,
) -> Result<Answer, SendError> {
    let internal = |step| SendError::Refused(Failure::Internal { step, source: None }, Done::Unknown);
    let namespaced = plan.path.served().namespaced();
    let mut parts = BTreeMap::new();
    for name in namespaces {
        // A namespace whose name was stored cannot be malformed; if it is, nothing is asked.
        let namespace = Namespace::parse(name).map_err(|_| internal("reading an assigned namespace"))?;
        let (path, query) = match plan.path.within(namespace.clone()) {
            Some(path) => (path, plan.query.of_part()),
            None => (plan.path.clone(), plan.query.only_namespace(&namespace)),
        };
        parts.insert(name.clone(), one(connection, plan, &path, &query, id).await?.body);
    }
    let served = plan.path.served();
    let part_of = if namespaced { union::PartOf::Namespace } else { union::PartOf::Namespaces };
    let body = union::merge(served.kind(), &served.api_version(), part_of, &parts)
        .map_err(|_| internal("putting a cluster's lists together"))?;
    Ok(Answer { status: 200, body })
}

fn refused(refusal: &ClusterRefusal) -> Failure {
    let status = refusal.status.as_u16();
    let detail = sentence(&refusal.message);
    match status {
        403 => Failure::ClusterDenied { detail },
        502 => Failure::Upstream { status, code: "cluster_failed", detail, source: None },
        503 => Failure::Upstream { status, code: "cluster_busy", detail, source: None },
        404 => Failure::Invalid { status, code: "not_found", detail },
        409 => Failure::Conflict { code: "cluster_conflict", detail },
        _ => Failure::Invalid { status, code: "cluster_refused", detail },
    }
}

/// A message of a deeper room as a sentence.
fn sentence(message: &dyn std::fmt::Display) -> String {
    let text = message.to_string();
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
