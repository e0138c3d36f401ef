//! Clusters: those assigned to the reader, and how each is.
//!
//! What opens a cluster is nowhere here.

use super::{
    layout::{Page, Place},
    parts::{self, Tone},
    reader::Reader,
    workloads,
};
use crate::{
    api::api_keys::{EffectivePermissions, permissions},
    caller::Caller,
    failure::Failure,
    operations::{
        list_clusters,
        show_cluster::{self, Health},
    },
    routes::no_query,
    upstreams::Upstreams,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use kv_authz::{
    action::AddCluster,
    audit::{Event, Target},
};
use kv_store::ClusterRecord;
use maud::{Markup, html};

pub mod add;
pub mod settings;

fn target() -> Target {
    Target::of("clusters")
}

/// A cluster's name, which leads to its namespaces if the reader may see any of them.
fn name_of(reader: &Reader, cluster: &ClusterRecord) -> Markup {
    let leads = reader.principal.owner().is_some_and(|owner| workloads::has_page(owner, cluster.id));
    html! {
        @if leads { a href={ "/clusters/" (cluster.name) } { (cluster.name) } } @else { (cluster.name) }
    }
}

/// The clusters the reader may know of, and their rights there.
async fn known(caller: &Caller) -> Result<(Vec<ClusterRecord>, EffectivePermissions), Failure> {
    let app = caller.app();
    caller
        .observe(Event::ClusterList, target(), async |view| {
            let found = list_clusters::list_clusters(view, app.policy(), app.clock.now())?;
            let owner = view.principal.owner().ok_or(Failure::NotFound { what: "user" })?;
            Ok((found.into_iter().cloned().collect(), permissions(owner, view)))
        })
        .await
}

/// Shows the clusters one works in.
///
/// # Errors
/// [`Failure`].
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterList, target());
    no_query(&request)?;
    let (clusters, rights) = known(&caller).await?;
    let reader = Reader::new(&caller, &request)?;
    let t = &reader.texts.clusters;
    let row = |cluster: &ClusterRecord| {
        html! {
            tr {
                th scope="row" { (name_of(&reader, cluster)) }
                td data-label=(t.role) { (rights.role) }
                td.dim data-label=(t.namespaces) { (namespaces(t.all, &rights, &cluster.name)) }
                td.probed data-label=(t.health) { (probe(&reader, &cluster.name)) }
            }
        }
    };
    let page = Page {
        reader: &reader,
        place: Place::Clusters,
        title: t.title,
        over: html! { (reader.texts.nav.work) },
        about: html! { (t.about) },
        actions: html! {},
        main: html! {
            @if clusters.is_empty() {
                div.empty {
                    @if reader.may::<AddCluster>() {
                        h2 { (t.none_registered) }
                        p { (t.none_registered_what) }
                        a.btn.primary href="/settings/clusters/new" { (t.add) }
                    } @else {
                        h2 { (t.none) }
                        p { (t.none_what) }
                    }
                }
            } @else {
                div.table {
                    table.assigned {
                        caption.sr { (t.about) }
                        thead {
                            tr { @for name in [t.name, t.role, t.namespaces, t.health] { th scope="col" { (name) } } }
                        }
                        tbody { @for cluster in &clusters { (row(cluster)) } }
                    }
                }
            }
        },
        dialog: None,
        status: StatusCode::OK,
    };
    Ok(page.answer())
}

/// Where the rights count in a cluster.
fn namespaces(all: &str, rights: &EffectivePermissions, cluster: &str) -> String {
    let here = rights.assignments.iter().filter(|line| line.cluster.as_deref().is_none_or(|name| name == cluster));
    let mut names = Vec::new();
    for line in here {
        match &line.namespaces {
            None => return all.to_owned(),
            Some(some) => names.extend(some.iter().cloned()),
        }
    }
    names.sort();
    names.dedup();
    names.join(", ")
}

/// How a cluster is: asked once the page is there, or by following the link.
fn probe(reader: &Reader, cluster: &str) -> Markup {
    let t = &reader.texts.clusters;
    html! {
        a.pill href={ "/clusters/" (cluster) "/health" } data-probe={ "/clusters/" (cluster) "/health" }
            data-failed=(t.not_reached) { (t.check) }
    }
}

/// Shows how one cluster is. The word for it is marked, for the script that asks this of each cluster of a list.
///
/// # Errors
/// [`Failure`]: 404 for a cluster the reader may not know of.
pub async fn health(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterShow, target().named(&*path));
    no_query(&request)?;
    let (cluster, health) = show_cluster::show_cluster(&caller, &upstreams, &path).await?;
    let reader = Reader::new(&caller, &request)?;
    let t = &reader.texts.clusters;
    let (tone, word, more) = match health {
        Health::Healthy { version } => (Tone::Good, t.healthy, version),
        Health::Unhealthy { detail, .. } => (Tone::Bad, t.unhealthy, detail),
    };
    let page = Page {
        reader: &reader,
        place: Place::Clusters,
        title: &cluster.name,
        over: html! { a href="/clusters" { (t.title) } },
        about: html! {},
        actions: html! { a.btn href={ "/clusters/" (cluster.name) "/health" } { (t.check_again) } },
        main: html! {
            dl.facts {
                div { dt { (t.health) } dd { span data-found { (parts::pill(tone, word)) " " small { (more) } } } }
                div { dt { (t.checked) } dd { (parts::moment(reader.now)) } }
            }
        },
        dialog: None,
        status: StatusCode::OK,
    };
    Ok(page.answer())
}
