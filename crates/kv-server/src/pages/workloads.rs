//! Work: the namespaces of a cluster and what runs in them, read from the cluster itself as the reader may see it, with the
//! two things that are done most, scaling and restarting.
//!
//! Nothing is kept: every page is what the cluster says at that moment.

use super::{
    form::Form,
    layout::{Page, Place},
    parts::{self, Dialog, Tone},
    reader::Reader,
    settings::done_at,
    texts::{Clusters, said},
};
use crate::{
    api::input::{Body, query},
    caller::Caller,
    failure::Failure,
    operations::kubernetes::{self as upstream, AnswerBody, Piece, Wanted, reach_cluster},
    paths::is_plain,
    routes::no_query,
    upstreams::Upstreams,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Path},
};
use kv_authz::{Permission, Resource, Verb, kubernetes::KubernetesVerb, role::Scope};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Objects on a page.
const A_PAGE: u32 = 50;
/// The most replicas asked for here.
const MOST: u32 = 10_000;

/// What is shown of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Deployments,
    StatefulSets,
    DaemonSets,
    Pods,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Deployments, Self::StatefulSets, Self::DaemonSets, Self::Pods];

    fn plural(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::StatefulSets => "statefulsets",
            Self::DaemonSets => "daemonsets",
            Self::Pods => "pods",
        }
    }

    fn name(self, t: &Clusters) -> &'static str {
        match self {
            Self::Deployments => t.deployments,
            Self::StatefulSets => t.statefulsets,
            Self::DaemonSets => t.daemonsets,
            Self::Pods => t.pods,
        }
    }

    fn of(plural: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|kind| kind.plural() == plural);
        found.ok_or(Failure::NotFound { what: "kind of workload" })
    }

    fn scales(self) -> bool {
        matches!(self, Self::Deployments | Self::StatefulSets)
    }

    fn restarts(self) -> bool {
        self != Self::Pods
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Shown {
    kind: Kind,
    #[serde(rename = "continue")]
    token: Option<String>,
}

/// What a cluster answers, whole.
async fn ask(caller: &Caller, upstreams: &Upstreams, wanted: Wanted) -> Result<Value, Failure> {
    let answer = reach_cluster(caller, upstreams, wanted).await?;
    let bytes = match answer.body {
        AnswerBody::Whole(bytes) => bytes,
        AnswerBody::Flowing { mut pieces, .. } => {
            let mut bytes = Vec::new();
            loop {
                match pieces.recv().await {
                    Some(Piece::Data(piece)) => bytes.extend_from_slice(&piece),
                    Some(Piece::End) => break Bytes::from(bytes),
                    None => return Err(broken_off()),
                }
            }
        }
    };
    serde_json::from_slice(&bytes).map_err(|_| broken_off())
}

fn broken_off() -> Failure {
    let detail = "The cluster's answer broke off. Try again.".into();
    Failure::Upstream { status: 502, code: "cluster_unreachable", detail, source: None }
}

async fn list(
    caller: &Caller,
    upstreams: &Upstreams,
    cluster: &str,
    (namespace, resource): (Option<&str>, &str),
    token: Option<&str>,
) -> Result<Value, Failure> {
    let mut pairs = form_urlencoded::Serializer::new(format!("limit={A_PAGE}"));
    if let Some(token) = token {
        pairs.append_pair("continue", token);
    }
    let place = upstream::Place::Ours {
        namespace: namespace.map(str::to_owned),
        resource: resource.to_owned(),
        name: None,
        part: None,
    };
    let query = pairs.finish();
    let wanted =
        Wanted { cluster: cluster.to_owned(), place, verb: KubernetesVerb::List, query, body: Body::default() };
    ask(caller, upstreams, wanted).await
}

/// What went wrong at the cluster is said on the page; everything else is a failure of the page.
fn unanswered(result: Result<Value, Failure>) -> Result<(Value, Option<String>, StatusCode), Failure> {
    match result {
        Ok(list) => Ok((list, None, StatusCode::OK)),
        Err(Failure::Upstream { detail, status, .. }) => {
            Ok((Value::Null, Some(detail), StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)))
        }
        Err(failure) => Err(failure),
    }
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn age(reader: &Reader, object: &Value) -> Markup {
    match OffsetDateTime::parse(text(object, "/metadata/creationTimestamp"), &Rfc3339) {
        Ok(at) => parts::distance(reader.texts, at, reader.now),
        Err(_) => html! {},
    }
}

/// Shows the namespaces of a cluster.
///
/// # Errors
/// [`Failure`]: 404 for a cluster the reader may not know of.
pub async fn namespaces(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Failure> {
    let shown: Shown = query(&request)?;
    let found = list(&caller, &upstreams, &path, (None, "namespaces"), shown.token.as_deref()).await;
    let (found, trouble, status) = unanswered(found)?;
    let reader = Reader::new(&caller, &request)?;
    let t = &reader.texts.clusters;
    let here = format!("/clusters/{path}");
    let row = |object: &Value| {
        let (name, phase) = (text(object, "/metadata/name"), text(object, "/status/phase"));
        let tone = if phase == "Active" { Tone::Good } else { Tone::Warning };
        html! {
            tr {
                // What a cluster calls its things is its own word: it leads nowhere but to one thing in it.
                th scope="row" {
                    @if is_plain(name) { a href={ (here) "/namespaces/" (name) } { (name) } } @else { (name) }
                }
                td data-label=(t.state) { @if !phase.is_empty() { (parts::pill(tone, phase)) } }
                td.dim data-label=(t.age) { (age(&reader, object)) }
            }
        }
    };
    let page = Page {
        reader: &reader,
        place: Place::Clusters,
        title: &path,
        over: html! { a href="/clusters" { (t.title) } },
        about: html! {},
        actions: html! {},
        main: html! {
            @if let Some(words) = &trouble { (parts::alert(words)) }
            @else if items(&found).is_empty() { div.empty { h2 { (t.no_namespaces) } } }
            @else {
                div.table {
                    table {
                        caption.sr { (t.namespaces) }
                        thead { tr { @for name in [t.namespace, t.state, t.age] { th scope="col" { (name) } } } }
                        tbody { @for object in items(&found) { (row(object)) } }
                    }
                }
                (more(&reader, &found, &format!("{here}?")))
            }
        },
        dialog: None,
        status,
    };
    Ok(page.answer())
}

fn more(reader: &Reader, list: &Value, address: &str) -> Markup {
    let token = text(list, "/metadata/continue");
    let pair = form_urlencoded::Serializer::new(String::new()).append_pair("continue", token).finish();
    html! {
        @if !token.is_empty() {
            p.pager { a.btn.small href={ (address) (pair) } rel="next" { (reader.texts.nav.more) } }
        }
    }
}

/// Shows what runs in a namespace.
///
/// # Errors
/// [`Failure`].
pub async fn workloads(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Failure> {
    let shown: Shown = query(&request)?;
    let (cluster, namespace) = path.into_inner();
    page(&caller, &upstreams, &request, &Seen { cluster: &cluster, namespace: &namespace, shown: &shown }, None).await
}

/// What lies over a page, and how it is answered then.
type Over<'a> = (&'a dyn Fn(&Reader) -> Markup, StatusCode);

/// Which page of which namespace.
struct Seen<'a> {
    cluster: &'a str,
    namespace: &'a str,
    shown: &'a Shown,
}

/// The page, with what lies over it and how it is answered then.
async fn page(
    caller: &Caller,
    upstreams: &Upstreams,
    request: &HttpRequest,
    seen: &Seen<'_>,
    over: Option<Over<'_>>,
) -> Result<HttpResponse, Failure> {
    let Seen { cluster, namespace, shown } = *seen;
    let place = (Some(namespace), shown.kind.plural());
    let found = list(caller, upstreams, cluster, place, shown.token.as_deref()).await;
    let (found, trouble, status) = unanswered(found)?;
    let reader = Reader::new(caller, request)?;
    let t = &reader.texts.clusters;
    let here = format!("/clusters/{cluster}/namespaces/{namespace}");
    let tabs = Kind::ALL.map(|kind| (kind.name(t), format!("{here}?kind={}", kind.plural()), kind == shown.kind));
    let page = Page {
        reader: &reader,
        place: Place::Clusters,
        title: namespace,
        over: html! { a href="/clusters" { (t.title) } " / " a href={ "/clusters/" (cluster) } { (cluster) } },
        about: html! { (t.workloads_about) },
        actions: html! {},
        main: html! {
            (parts::tabs(t.kind, &tabs))
            @if let Some(words) = &trouble { (parts::alert(words)) }
            @else if items(&found).is_empty() { div.empty { h2 { (t.nothing) } } }
            @else {
                (table(&reader, shown.kind, items(&found), &here))
                (more(&reader, &found, &format!("{here}?kind={}&", shown.kind.plural())))
            }
        },
        // Who may not do it, is not asked.
        dialog: over.filter(|_| may_write(&reader, shown.kind)).map(|(dialog, _)| dialog(&reader)),
        status: over.map_or(status, |(_, status)| status),
    };
    Ok(page.answer())
}

fn table(reader: &Reader, kind: Kind, objects: &[Value], here: &str) -> Markup {
    let t = &reader.texts.clusters;
    let may_write = may_write(reader, kind);
    html! {
        div.table {
            table {
                caption.sr { (kind.name(t)) }
                thead {
                    tr {
                        @for name in [t.name, t.ready, t.image, t.age] { th scope="col" { (name) } }
                        @if may_write && kind.restarts() { th scope="col" { span.sr { (t.actions) } } }
                    }
                }
                tbody {
                    @for object in objects {
                        @let name = text(object, "/metadata/name");
                        @let place = format!("{here}/{}/{name}", kind.plural());
                        tr {
                            th scope="row" { (name) }
                            td data-label=(t.ready) { (ready(t, kind, object)) }
                            td data-label=(t.image) { @for image in images(kind, object) { code.dim { (image) } " " } }
                            td.dim.nowrap data-label=(t.age) { (age(reader, object)) }
                            @if may_write && kind.restarts() {
                                td.do { @if is_plain(name) { (actions(reader, kind, object, &place)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whether the reader's role lets them change such workloads. Where, the cluster's answer has said already.
fn may_write(reader: &Reader, kind: Kind) -> bool {
    let group = if kind == Kind::Pods { "" } else { "apps" };
    let write = Permission::new(Resource::kubernetes(kind.plural(), group), Verb::Write);
    reader.principal.owner().is_some_and(|owner| owner.holds(&write, Scope::Namespace))
}

fn ready(t: &Clusters, kind: Kind, object: &Value) -> Markup {
    let (ready, wanted) = match kind {
        Kind::Deployments | Kind::StatefulSets => {
            (number(object, "/status/readyReplicas"), number(object, "/spec/replicas"))
        }
        Kind::DaemonSets => (number(object, "/status/numberReady"), number(object, "/status/desiredNumberScheduled")),
        Kind::Pods => {
            let phase = text(object, "/status/phase");
            let tone = match phase {
                "Running" | "Succeeded" => Tone::Good,
                "Failed" => Tone::Bad,
                _ => Tone::Warning,
            };
            return parts::pill(tone, phase);
        }
    };
    let tone = match wanted {
        0 => Tone::Plain,
        _ if ready >= wanted => Tone::Good,
        _ => Tone::Warning,
    };
    parts::pill(tone, &format!("{}{wanted}", said(t.ready_of, ready)))
}

fn images(kind: Kind, object: &Value) -> Vec<&str> {
    let containers = if kind == Kind::Pods { "/spec/containers" } else { "/spec/template/spec/containers" };
    let containers = object.pointer(containers).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    containers.iter().map(|container| text(container, "/image")).collect()
}

fn actions(reader: &Reader, kind: Kind, object: &Value, place: &str) -> Markup {
    let t = &reader.texts.clusters;
    let name = text(object, "/metadata/name");
    html! {
        @if kind.scales() {
            form method="post" action={ (place) "/scale" } {
                (super::layout::hidden(reader))
                input name="replicas" type="number" min="0" max=(MOST) required value=(number(object, "/spec/replicas"))
                    aria-label=(said(t.replicas_of, name));
                button.btn.small data-busy=(t.scaling) { (t.scale) span.sr { " " (name) } }
            }
            " "
        }
        a.btn.small href={ (place) "/restart" } aria-label=(said(t.restart_named, name)) { (t.restart) }
    }
}

mod change;

pub use change::{ask_to_restart, ask_to_scale, restart, scale};
