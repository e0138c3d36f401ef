//! The effect of a request: sent, in a task of its own, and put on record as it ended. A client that hangs up neither stops
//! what is half done nor loses its outcome; a revocation does stop it, and waits for it.

use super::{
    Answer, AnswerBody, Plan, Work,
    flow::{self, Flow},
    sentence,
    wanted::Goal,
    workload::Running,
};
use crate::{
    admission::{Guard, Interruption},
    broken::Rule,
    caller::Caller,
    cluster::{
        Call, ClusterRefusal, Namespace, ObjectPath, Opened, UpstreamError, UpstreamPath, UpstreamQuery, mask, union,
    },
    failure::Failure,
    pending::Begun,
    upstreams::{Connection, failure as unanswered},
};
use actix_web::web::Bytes;
use kv_authz::{
    ClusterId, EntryId, Subresource, Unusable,
    audit::{Detail, Fact, Finish, Outcome},
    kubernetes::{KubernetesVerb, Reach},
};
use kv_store::points::Point;
use std::{
    borrow::Cow,
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};
use tokio::sync::oneshot;

/// Sends, and gives the answer as soon as there is one: whole, or as it flows.
pub(super) async fn effect(caller: &Caller, work: Work) -> Result<Answer, Failure> {
    let (guard, id): (Guard, EntryId) = (guard(caller), caller.id());
    let (tell, told) = oneshot::channel();
    drop(actix_web::rt::spawn(async move {
        // The plan stays to the end: with it goes the place of a stream.
        let Work { connection, plan, begun } = work;
        // What takes several calls reads first, and changes nothing until then.
        let writing = Cell::new(plan.task.is_none());
        Point::Admitted.reached();
        // The effect gate: looked at before the first byte, and at every step after.
        let sent = guard.unless_revoked(send(&connection, &plan, id, &writing)).await;
        Point::ClusterAnswered.reached();
        let read_only = plan.goal.is_read() || !writing.get();
        let answered = match sent {
            Ok(Ok(Sent::Flowing(status, content_type, flow))) => {
                let (pieces, words, rest) = flow.start(&connection.streaming());
                let body = AnswerBody::Flowing { pieces, last_words: plan.is_watch().then_some(words) };
                // Nobody waits for it any more if this fails; then the flow finds no reader either.
                drop(tell.send(Ok(Answer { status, content_type: content_type.into(), body })));
                return begun.end(rest.run(&guard, read_only).await);
            }
            Ok(Ok(Sent::Whole(answer))) => Ok(Ok(answer)),
            Ok(Err(error)) => Ok(Err(error)),
            Err(why) => Err(why),
        };
        drop(tell.send(finish(answered, read_only, plan.native, begun)));
    }));
    told.await.map_err(|error| Failure::internal("a request to a cluster", error))?
}

/// What ends the work together with its credential.
fn guard(caller: &Caller) -> Guard {
    let app = caller.app();
    match app.config.broken.leaves_out(Rule::EffectGate) {
        true => app.in_flight.enter_asker(ClusterId::NIL),
        false => caller.guard().clone(),
    }
}

/// Puts on record how work ended, and gives what its caller is told.
pub(super) fn finish(
    sent: Result<Result<Answer, SendError>, Interruption>,
    read_only: bool,
    native: bool,
    begun: Begun,
) -> Result<Answer, Failure> {
    let (result, finish) = conclude(sent, read_only, native);
    begun.end(finish);
    result
}

/// That nobody knows whether it was done.
pub(super) fn unknown(status: u16, why: &str) -> Finish {
    Finish { outcome: Outcome::Unknown, status, detail: Detail::none().with(Fact::Unknown, why) }
}

/// How work ended that its credential's end cut off.
pub(super) fn cut(why: Interruption, read_only: bool) -> Finish {
    match (read_only, why) {
        (true, _) => Failure::from(why).finish(),
        (false, Interruption::Refused(Unusable::Expired)) => unknown(401, "expired while the cluster was working"),
        (false, Interruption::Refused(_)) => unknown(401, "revoked while the cluster was working"),
        (false, Interruption::Unconfirmed) => unknown(503, "the lease ran out while the cluster was working"),
    }
}

/// What the caller is told, and what the record says.
fn conclude(
    sent: Result<Result<Answer, SendError>, Interruption>,
    read_only: bool,
    native: bool,
) -> (Result<Answer, Failure>, Finish) {
    match sent {
        Err(why) => (Err(why.into()), cut(why, read_only)),
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
        Ok(Err(SendError::Failed(failure, done))) => {
            let finish = refused_finish(&failure, done, read_only);
            (Err(failure), finish)
        }
        Ok(Err(SendError::Refused(refusal, done))) => {
            let failure = refused(&refusal);
            let finish = refused_finish(&failure, done, read_only);
            match native {
                true => (Ok(Answer::json(refusal.status.as_u16(), refusal.as_status())), finish),
                false => (Err(failure), finish),
            }
        }
    }
}

fn refused_finish(failure: &Failure, done: Done, read_only: bool) -> Finish {
    let finish = failure.finish();
    match done {
        // Not there, conflicting, not valid: nobody denied anything but who said 403.
        Done::No if failure.status() != 403 => Finish { outcome: Outcome::Failed, ..finish },
        Done::Yes => Finish { outcome: Outcome::Succeeded, ..finish },
        Done::Unknown if !read_only => unknown(failure.status(), "the cluster failed while working"),
        Done::No | Done::Unknown => finish,
    }
}

/// What came of a call.
enum Sent {
    /// The answer is there.
    Whole(Answer),
    /// Its head is.
    Flowing(u16, String, Flow),
}

pub(super) enum SendError {
    Unanswered(UpstreamError),
    /// The cluster said no.
    Refused(Box<ClusterRefusal>, Done),
    /// We did.
    Failed(Failure, Done),
}

impl From<UpstreamError> for SendError {
    fn from(error: UpstreamError) -> Self {
        Self::Unanswered(error)
    }
}

/// Whether the cluster did what it was asked, though the caller gets no answer of its.
pub(super) enum Done {
    No,
    Yes,
    Unknown,
}

impl Plan {
    fn is_watch(&self) -> bool {
        matches!(&self.goal, Goal::Object(path) if path.verb() == KubernetesVerb::Watch)
    }

    fn is_proxied(&self) -> bool {
        matches!(&self.goal, Goal::Object(path) if path.subresource() == Some(&Subresource::Proxy))
    }

    /// The call as decided.
    pub(super) fn call(&self, id: EntryId) -> Call {
        let call = match &self.goal {
            Goal::Object(path) => Call::object(path, &self.query),
            // The first call of several.
            Goal::Workload { object, .. } => Call::object(&object.to_read(), &UpstreamQuery::default()),
            Goal::Document(document) => Call::get(UpstreamPath::document(document, &self.query)),
        };
        self.dress(call, id)
    }

    /// The same, of a part of it.
    pub(super) fn part(&self, path: &ObjectPath, query: &UpstreamQuery, id: EntryId) -> Call {
        self.dress(Call::object(path, query), id)
    }

    fn dress(&self, call: Call, id: EntryId) -> Call {
        let call = call.with_audit_id(id.uuid()).accepting(self.accept.clone()).with_identity(self.identity.as_ref());
        match &self.body {
            Some((content_type, body)) => call.with_body(content_type, body.clone()),
            None => call,
        }
    }

    /// Reads a refusal of the cluster's, as this caller may know it.
    pub(super) async fn refused(&self, connection: &Connection, opened: Opened) -> SendError {
        let answer = match connection.whole(opened).await {
            Ok(answer) => answer,
            Err(error) => return error.into(),
        };
        let done = if answer.status.is_server_error() { Done::Unknown } else { Done::No };
        let refusal = ClusterRefusal::of(answer.status, &answer.body);
        // The cluster may quote the object, values and all.
        SendError::Refused(Box::new(if self.mask { refusal.without_quotes() } else { refusal }), done)
    }
}

async fn send(connection: &Connection, plan: &Plan, id: EntryId, writing: &Cell<bool>) -> Result<Sent, SendError> {
    if let (Goal::Workload { object, revisions }, Some(task)) = (&plan.goal, &plan.task) {
        let running = Running { connection, plan, id, object, revisions, writing };
        return running.run(task).await.map(Sent::Whole);
    }
    match (&plan.reach, &plan.goal) {
        (Reach::Namespaces(namespaces), Goal::Object(path)) if plan.is_watch() => {
            let mut parts = Vec::new();
            for (path, query) in split(plan, path, namespaces)? {
                parts.push(open(connection, plan, plan.part(&path, &query, id)).await?);
            }
            let content_type = "application/json".to_owned();
            Ok(Sent::Flowing(200, content_type, Flow::events(parts, plan.mask, true)))
        }
        (Reach::Namespaces(namespaces), Goal::Object(path)) => {
            let whole = several(connection, plan, path, namespaces, id);
            let whole = tokio::time::timeout(connection.limits.time, whole).await;
            whole.unwrap_or(Err(SendError::Unanswered(UpstreamError::Timeout))).map(Sent::Whole)
        }
        _ => one(connection, plan, id).await,
    }
}

/// Opens the answer to a call, if it is none that refuses.
pub(super) async fn open(connection: &Connection, plan: &Plan, call: Call) -> Result<Opened, SendError> {
    let opened = connection.upstream.open(call, connection.limits.time).await?;
    if opened.status.as_u16() >= 400 && !plan.is_proxied() {
        return Err(plan.refused(connection, opened).await);
    }
    Ok(opened)
}

/// The answer to a call, whole.
pub(super) async fn whole(connection: &Connection, plan: &Plan, opened: Opened) -> Result<Bytes, SendError> {
    if !opened.is_json() {
        return Err(UpstreamError::NotKubernetes.into());
    }
    let body = connection.whole(opened).await?.body;
    match plan.mask {
        false => Ok(body),
        // What cannot be masked is not shown.
        true => mask::mask_answer(&body)
            .map(Bytes::from)
            .map_err(|error| SendError::Failed(Failure::internal("masking a Secret", error), Done::Yes)),
    }
}

async fn one(connection: &Connection, plan: &Plan, id: EntryId) -> Result<Sent, SendError> {
    let opened = open(connection, plan, plan.call(id)).await?;
    let status = opened.status.as_u16();
    if plan.is_watch() && plan.mask {
        return Ok(Sent::Flowing(status, "application/json".into(), Flow::events(vec![opened], true, false)));
    }
    if plan.mask || !plan.goal.is_read() && !plan.is_proxied() {
        return Ok(Sent::Whole(Answer::json(status, whole(connection, plan, opened).await?)));
    }
    let content_type = flow::content_type(&opened, plan.is_proxied()).ok_or(UpstreamError::NotKubernetes)?;
    let follows = plan.query.follows();
    let began = match follows {
        true => flow::Beginning::Flowing(Flow::follow(opened)),
        false => flow::begin(opened, &connection.streaming()).await?,
    };
    Ok(match began {
        flow::Beginning::Whole(body) => {
            Sent::Whole(Answer { status, content_type: Cow::Owned(content_type), body: AnswerBody::Whole(body) })
        }
        flow::Beginning::Flowing(flow) => Sent::Flowing(status, content_type, flow),
    })
}

/// The paths and queries of which a list or watch across namespaces is made, for someone who has some of them.
fn split(
    plan: &Plan,
    path: &ObjectPath,
    namespaces: &BTreeSet<String>,
) -> Result<Vec<(ObjectPath, UpstreamQuery)>, SendError> {
    let each = namespaces.iter().map(|name| {
        // A namespace whose name was stored cannot be malformed; if it is, nothing is asked.
        let namespace = Namespace::parse(name)
            .map_err(|error| SendError::Failed(Failure::internal("reading an assigned namespace", error), Done::No))?;
        Ok(match path.within(namespace.clone()) {
            Some(path) if plan.is_watch() => (path, plan.query.clone()),
            Some(path) => (path, plan.query.of_part()),
            None => (path.clone(), plan.query.only_namespace(&namespace)),
        })
    });
    each.collect()
}

/// A list across namespaces for someone who has some of them: each asked for by itself, so that nothing of the others
/// can be in the answer, not even their number.
async fn several(
    connection: &Connection,
    plan: &Plan,
    path: &ObjectPath,
    namespaces: &BTreeSet<String>,
    id: EntryId,
) -> Result<Answer, SendError> {
    let mut parts = BTreeMap::new();
    for ((path, query), name) in split(plan, path, namespaces)?.into_iter().zip(namespaces) {
        let opened = open(connection, plan, plan.part(&path, &query, id)).await?;
        parts.insert(name.clone(), whole(connection, plan, opened).await?);
    }
    let served = path.served();
    let part_of = if served.namespaced() { union::PartOf::Namespace } else { union::PartOf::Namespaces };
    let body = union::merge(served.kind(), &served.api_version(), part_of, &parts).map_err(|error| {
        SendError::Failed(Failure::internal("putting a cluster's lists together", error), Done::Unknown)
    })?;
    Ok(Answer::json(200, body))
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
