//! Work: the namespaces of a cluster and what runs in them, read from the cluster itself as the reader may see it, with the
//! two things that are done most, scaling and restarting.
//!
//! Nothing is kept: every page is what the cluster says at that moment.

use super::{
    layout::{self, Page, Place},
    parts::{self, Tone},
    reader::Reader,
    texts::{Clusters, said},
};
use crate::{api::input::query, caller::Caller, failure::Failure, paths::is_plain, upstreams::Upstreams};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use kv_authz::Verb;
use maud::{Markup, html};
use place::{Act, Kind, Space, Workload};
use read::{is_there, items, list, number, text, unanswered};
use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

mod change;
mod namespaces;
mod place;
mod read;

pub use change::{ask_to_restart, ask_to_scale, restart, scale};
pub(super) use namespaces::has_page;
pub use namespaces::namespaces;

/// The most replicas asked for here.
const MOST: u32 = 10_000;

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Shown {
    kind: Option<Kind>,
    #[serde(rename = "continue")]
    token: Option<String>,
}

fn age(reader: &Reader, object: &Value) -> Markup {
    match OffsetDateTime::parse(text(object, "/metadata/creationTimestamp"), &Rfc3339) {
        Ok(at) => parts::distance(reader.texts, at, reader.now),
        Err(_) => html! {},
    }
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
/// [`Failure`]: 404 for a cluster or namespace there is not, or that the reader may not know of.
pub async fn workloads(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Failure> {
    let shown: Shown = query(&request)?;
    let (cluster, namespace) = path.into_inner();
    let space = Space { cluster, namespace };
    // Who may see none of the kinds is refused the first of them.
    let first = || Kind::readable(&caller.rights()).next().unwrap_or(Kind::Deployments);
    let kind = shown.kind.unwrap_or_else(first);
    page(&caller, &upstreams, &request, &Seen { space: &space, kind, token: shown.token.as_deref() }, None).await
}

/// What lies over a page, and how it is answered then.
type Over<'a> = (&'a dyn Fn(&Reader) -> Markup, StatusCode);

/// Which page of which namespace.
#[derive(Clone, Copy)]
struct Seen<'a> {
    space: &'a Space,
    kind: Kind,
    token: Option<&'a str>,
}

/// The page, with what lies over it and how it is answered then.
async fn page(
    caller: &Caller,
    upstreams: &Upstreams,
    request: &HttpRequest,
    Seen { space, kind, token }: &Seen<'_>,
    over: Option<Over<'_>>,
) -> Result<HttpResponse, Failure> {
    let Space { cluster, namespace } = space;
    let found = list(caller, upstreams, cluster, (Some(namespace), kind.plural()), *token).await;
    let (found, trouble, status) = unanswered(found)?;
    // Kubernetes lists what is in a namespace that there is not, and finds nothing.
    if trouble.is_none() && token.is_none() && items(&found).is_empty() && namespaces::lists(&caller.rights()) {
        is_there(caller, upstreams, space).await?;
    }
    let reader = Reader::new(caller, request)?;
    let t = &reader.texts.clusters;
    let readable = reader.principal.owner().into_iter().flat_map(Kind::readable);
    let tabs: Vec<_> = readable.map(|one| (one.name(t), space.address_of(one), one == *kind)).collect();
    let up = Space::cluster_address(cluster);
    let page = Page {
        reader: &reader,
        place: Place::Clusters,
        title: namespace,
        over: html! { a href="/clusters" { (t.title) } " / " a href=(up) { (cluster) } },
        about: html! { (t.workloads_about) },
        actions: html! {},
        main: html! {
            (parts::tabs(t.kind, &tabs))
            @if let Some(words) = &trouble { (parts::alert(words)) }
            @else if items(&found).is_empty() { div.empty { h2 { (t.nothing) } } }
            @else {
                (table(&reader, space, *kind, items(&found)))
                (more(&reader, &found, &format!("{}&", space.address_of(*kind))))
            }
        },
        // Who may not do it, is not asked.
        dialog: over.filter(|_| may_write(&reader, *kind)).map(|(dialog, _)| dialog(&reader)),
        status: over.map_or(status, |(_, status)| status),
    };
    Ok(page.answer())
}

fn table(reader: &Reader, space: &Space, kind: Kind, objects: &[Value]) -> Markup {
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
                        tr {
                            th scope="row" { (name) }
                            td data-label=(t.ready) { (ready(t, kind, object)) }
                            td data-label=(t.image) { @for image in images(kind, object) { code.dim { (image) } " " } }
                            td.dim.nowrap data-label=(t.age) { (age(reader, object)) }
                            @if may_write && kind.restarts() {
                                td.do { @if is_plain(name) { (actions(reader, space, kind, object)) } }
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
    reader.principal.owner().is_some_and(|owner| kind.allows(owner, Verb::Write))
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

fn actions(reader: &Reader, space: &Space, kind: Kind, object: &Value) -> Markup {
    let t = &reader.texts.clusters;
    let name = text(object, "/metadata/name");
    let workload = Workload { space: space.clone(), kind, name: name.to_owned() };
    html! {
        @if kind.scales() {
            form method="post" action=(workload.address(Act::Scale)) {
                (layout::hidden(reader))
                input name="replicas" type="number" min="0" max=(MOST) required value=(number(object, "/spec/replicas"))
                    aria-label=(said(t.replicas_of, name));
                button.btn.small data-busy=(t.scaling) { (t.scale) span.sr { " " (name) } }
            }
            " "
        }
        a.btn.small href=(workload.address(Act::Restart)) aria-label=(said(t.restart_named, name)) { (t.restart) }
    }
}
