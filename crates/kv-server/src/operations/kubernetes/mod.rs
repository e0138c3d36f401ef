//! Do something in a cluster: find out what is meant (`wanted`), decide, put the intent on disk, send (`effect`), let the
//! answer flow (`flow`) or carry messages (`tunnel`), and say how it ended. What takes several calls is in `workload`, what
//! somebody may do at all is answered in `review`.
//!
//! What is authorised and what is sent are the same value. Nothing is sent for a credential that has been revoked, and
//! whatever was begun is put on record even if its client is gone.

mod effect;
mod flow;
mod review;
mod revisions;
mod tunnel;
mod wanted;
mod workload;

pub use flow::{FlowLimits, LastWords, Piece, Pieces};
pub use review::{is_review, review};
pub use tunnel::{Offer, Tunnel, open_tunnel, refuse_spdy};
pub use wanted::{Place, Wanted};
pub use workload::workload_verb;

use crate::{
    admission::Reaching,
    api::input::Body,
    caller::Caller,
    cluster::{Accept, Identity, ObjectPath, UpstreamQuery, body, mask},
    failure::Failure,
    pending::Begun,
    streams::Stream,
    upstreams::{Connection, Upstreams},
    view::View,
};
use actix_web::web::Bytes;
use kv_authz::{
    Subresource,
    audit::Detail,
    kubernetes::{self, Allowed, KubernetesVerb, Reach, authorize_kubernetes},
};
use std::{borrow::Cow, rc::Rc};
use wanted::{Found, Goal};

/// The cluster's answer as the caller may see it.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its media type.
    pub content_type: Cow<'static, str>,
    /// Its body.
    pub body: AnswerBody,
}

/// A body that is there, or still to come.
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// Piece by piece.
    Flowing {
        /// The pieces.
        pieces: Pieces,
        /// What is said when it is cut, where something is.
        last_words: Option<LastWords>,
    },
}

impl Answer {
    fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: Cow::Borrowed("application/json"), body: AnswerBody::Whole(body.into()) }
    }
}

/// What was decided, ready to be sent.
struct Plan {
    goal: Goal,
    query: UpstreamQuery,
    reach: Reach,
    mask: bool,
    accept: Accept,
    body: Option<(String, Bytes)>,
    native: bool,
    /// What is to be done, where it takes several calls.
    task: Option<workload::Task>,
    /// Whom every call of the request is made as.
    identity: Option<Identity>,
    /// The place of a stream, for as long as it is open.
    _stream: Option<Stream>,
}

/// Work that was admitted.
struct Work {
    connection: Rc<Connection>,
    plan: Plan,
    begun: Begun,
}

/// Does it.
///
/// # Errors
/// [`Failure`]: 400, 406, 415 or 422 for what cannot be meant, 403 or 404 for what may not be done, 429 for one stream too
/// many, 502 or 504 where the cluster does not answer, and the cluster's own refusals of what was not asked natively.
pub async fn reach_cluster(caller: &Caller, upstreams: &Upstreams, wanted: Wanted) -> Result<Answer, Failure> {
    let work = begin(caller, upstreams, &wanted).await?;
    effect::effect(caller, work).await
}

/// Decides, and puts the intent on disk.
async fn begin(caller: &Caller, upstreams: &Upstreams, wanted: &Wanted) -> Result<Work, Failure> {
    let part = wanted.part();
    let event = kubernetes::event(wanted.verb, part.as_ref());
    caller.about(event, wanted.about());
    let query = wanted.upstream_query()?;
    let Found { id, name, connection, goal } = wanted::find(caller, upstreams, wanted).await?;
    let app = caller.app();
    let stream = match query.follows() || part.as_ref().is_some_and(Subresource::connects) {
        true => Some(place(caller)?),
        false => None,
    };
    let decide = async |view: &View| {
        // The name may mean another cluster by now; the connection is to the one that was asked.
        if wanted::cluster_id(view, &name)? != id {
            return Err(Failure::Stale);
        }
        let target = goal.target(id, &name);
        let Allowed { reach, mask_secrets, .. } =
            authorize_kubernetes(&view.principal, &target, app.policy(), app.clock.now())?;
        if reach != Reach::AsAsked && query.wants_initial_events() {
            return Err(Failure::unprocessable(
                "initial_events_refused",
                "Across several namespaces a watch cannot begin with what there is. List first, then watch.",
            ));
        }
        let identity = view.identity_in(id)?;
        let accept = wanted.accept(mask_secrets || reach != Reach::AsAsked || !goal.is_read())?;
        let body = match &goal {
            Goal::Object(path) => checked_body(&wanted.body, path, mask_secrets)?,
            // The body says what to do, and is not sent.
            Goal::Workload { .. } => None,
            Goal::Document(_) => none(&wanted.body)?,
        };
        let task = workload::task(wanted.verb, &wanted.body, app.clock.now())?;
        let reveals = target.is_secret() && target.is_read() && !mask_secrets;
        let detail = if reveals { view.bypassed_second_factor() } else { Detail::none() };
        // Before it is admitted: either that sees the rights taken away, or who takes them sees this.
        let named_as = view.named_as(identity.as_ref());
        let shows = target.is_secret() && !mask_secrets;
        caller.guard().reaches(Reaching { target, reach: reach.clone(), reveals: shows, named_as });
        let plan = Plan {
            goal: goal.clone(),
            query: query.clone(),
            reach,
            mask: mask_secrets,
            accept,
            body,
            native: wanted.place.is_native(),
            task,
            identity,
            _stream: None,
        };
        Ok((plan, detail))
    };
    let mut audited = goal.target(id, &name).audited();
    if let Some(name) = wanted::created_name(wanted, &goal) {
        audited.name = Some(name);
    }
    let (plan, begun) = caller.begin(goal.is_read(), event, audited, decide).await?;
    Ok(Work { connection, plan: Plan { _stream: stream, ..plan }, begun })
}

/// A place for one more stream of the caller's.
fn place(caller: &Caller) -> Result<Stream, Failure> {
    let app = caller.app();
    let most = app.config.clusters.max_streams_per_user;
    app.streams.open(caller.rights().id, most).ok_or_else(|| Failure::Invalid {
        status: 429,
        code: "too_many_streams",
        detail: format!("You have {most} streams open, as many as you may: watches, followed logs, tunnels. End one."),
    })
}

fn none(body: &Body) -> Result<Option<(String, Bytes)>, Failure> {
    match body.bytes.is_empty() {
        true => Ok(None),
        false => Err(Failure::invalid("unexpected_body", "This request takes no body.")),
    }
}

/// The body of a write, checked against the path and, for Secrets, against what the caller was shown.
fn checked_body(body: &Body, path: &ObjectPath, masked: bool) -> Result<Option<(String, Bytes)>, Failure> {
    let proxied = path.subresource() == Some(&Subresource::Proxy);
    match path.verb() {
        // What runs there has its own idea of a body.
        _ if proxied && body.bytes.is_empty() => return Ok(None),
        _ if proxied => return Ok(Some((body.media_type.clone(), body.bytes.clone()))),
        KubernetesVerb::Create | KubernetesVerb::Update | KubernetesVerb::Patch => {}
        KubernetesVerb::Delete | KubernetesVerb::DeleteCollection if !body.bytes.is_empty() => {}
        _ => return none(body),
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
    Ok(Some((checked.content_type().to_owned(), body.bytes.clone())))
}

/// A message of a deeper room as a sentence.
fn sentence(message: &dyn std::fmt::Display) -> String {
    let text = message.to_string();
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
