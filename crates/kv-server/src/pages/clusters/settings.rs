//! Settings, Clusters: those that are registered, and the dialogs that change and remove one.
//!
//! What opens a cluster is nowhere here.

use super::{name_of, probe, target};
use crate::{
    caller::Caller,
    failure::Failure,
    operations::{change_cluster, list_clusters, remove_cluster},
    pages::{
        form::Form,
        layout::{Page, Place},
        parts::{self, Dialog},
        reader::Reader,
        settings::{code_first, done_at, tick},
        texts::said,
    },
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Path};
use kv_authz::{
    Denied,
    action::{AddCluster, ChangeCluster, OwnAction, RemoveCluster},
    audit::Event,
};
use kv_store::ClusterRecord;
use maud::{Markup, html};

/// Where the settings of clusters are.
pub(super) const SETTINGS: &str = "/settings/clusters";

/// The clusters, for those who may do an act with them.
pub(super) async fn known_to<A: OwnAction>(caller: &Caller, about: Event) -> Result<Vec<ClusterRecord>, Failure> {
    let app = caller.app();
    caller
        .observe(about, target(), async |view| {
            match kv_authz::may::<A>(&view.principal, app.policy(), app.clock.now()) {
                // Where the code is asked for is not here.
                Ok(()) | Err(Denied::CodeRequired) => {}
                Err(denied) => return Err(denied.into()),
            }
            let found = list_clusters::list_clusters(view, app.policy(), app.clock.now())?;
            Ok(found.into_iter().cloned().collect())
        })
        .await
}

/// Shows the clusters that are registered.
///
/// # Errors
/// [`Failure`].
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterList, target());
    no_query(&request)?;
    // What registers one sees the addresses of those there are.
    let clusters = known_to::<AddCluster>(&caller, Event::ClusterList).await?;
    let reader = Reader::new(&caller, &request)?;
    Ok(settings_page(&reader, &clusters, None, StatusCode::OK))
}

/// The clusters, with what lies over them.
pub(super) fn settings_page(
    reader: &Reader,
    clusters: &[ClusterRecord],
    dialog: Option<Markup>,
    status: StatusCode,
) -> HttpResponse {
    let t = &reader.texts.clusters;
    let (may_change, may_remove) = (reader.may::<ChangeCluster>(), reader.may::<RemoveCluster>());
    let add = || html! { a.btn.primary href="/settings/clusters/new" { (t.add) } };
    let row = |cluster: &ClusterRecord| {
        html! {
            tr {
                th scope="row" { (name_of(reader, cluster)) small.mono.dim { (cluster.server) } }
                td.dim.nowrap data-label=(t.identity) { @if cluster.impersonate { (t.of_caller) } @else { (t.of_account) } }
                td.probed data-label=(t.health) { (probe(reader, &cluster.name)) }
                td.dim data-label=(t.added) { (parts::day(cluster.created_at)) }
                td.do {
                    @if may_change {
                        a.btn.small href={ (SETTINGS) "/" (cluster.name) "/change" }
                            aria-label=(said(t.change_named, &cluster.name)) { (t.change) }
                        " "
                    }
                    @if may_remove {
                        a.btn.small.risky href={ (SETTINGS) "/" (cluster.name) "/remove" }
                            aria-label=(said(t.remove_named, &cluster.name)) { (t.remove) }
                    }
                }
            }
        }
    };
    Page {
        reader,
        place: Place::ClusterSettings,
        title: t.title,
        over: html! { (reader.texts.nav.settings) },
        about: html! { (t.settings_about) },
        actions: if reader.may::<AddCluster>() {
            add()
        } else {
            html! {}
        },
        main: html! {
            @if clusters.is_empty() {
                div.empty { h2 { (t.none_registered) } p { (t.none_registered_what) } }
            } @else {
                div.table {
                    table.registered {
                        caption.sr { (t.settings_about) }
                        thead {
                            tr {
                                @for name in [t.name, t.identity, t.health, t.added] { th scope="col" { (name) } }
                                th scope="col" { span.sr { (t.actions) } }
                            }
                        }
                        tbody { @for cluster in clusters { (row(cluster)) } }
                    }
                }
            }
        },
        dialog,
        status,
    }
    .answer()
}

/// The clusters with a dialog about one of them, for those who may do an act with it.
async fn about_one<A: OwnAction>(
    caller: &Caller,
    request: &HttpRequest,
    name: &str,
    dialog: impl FnOnce(&Reader, &ClusterRecord) -> Markup,
) -> Result<HttpResponse, Failure> {
    let event = A::line().event;
    caller.about(event, target());
    no_query(request)?;
    let reader = Reader::new(caller, request)?;
    if let Some(first) = code_first::<A>(caller, request).await? {
        return Ok(first);
    }
    let clusters = known_to::<A>(caller, event).await?;
    let found = clusters.iter().find(|cluster| cluster.name == name);
    let dialog = dialog(&reader, found.ok_or(Failure::NotFound { what: "cluster" })?);
    Ok(settings_page(&reader, &clusters, Some(dialog), StatusCode::OK))
}

/// Shows the dialog that changes how a cluster is called.
///
/// # Errors
/// [`Failure`]: 404 for a cluster the reader may not know of.
pub async fn ask_to_change(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let dialog = |reader: &Reader, cluster: &ClusterRecord| {
        let t = &reader.texts.clusters;
        Dialog {
            title: &said(t.change_title, &cluster.name),
            lead: html! { (t.change_about) },
            fields: tick("impersonate", t.impersonate, cluster.impersonate),
            action: &format!("{SETTINGS}/{}/change", cluster.name),
            cancel: SETTINGS,
            button: t.save,
            busy: t.saving,
            danger: false,
        }
        .markup(reader)
    };
    about_one::<ChangeCluster>(&caller, &request, &path, dialog).await
}

/// Changes how a cluster is called.
///
/// # Errors
/// [`Failure`].
pub async fn change(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let target = target().named(&*path);
    caller.about(Event::ClusterChange, target.clone());
    no_query(&request)?;
    form.only(&["impersonate"], &[])?;
    caller
        .act(Event::ClusterChange, target, async |view| {
            change_cluster::change_cluster(&caller.acting(view), &path, form.ticked("impersonate")).await
        })
        .await?;
    Ok(done_at(SETTINGS, "cluster-changed"))
}

/// Shows the dialog that removes a cluster.
///
/// # Errors
/// [`Failure`]: 404 for a cluster the reader may not know of.
pub async fn ask_to_remove(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let dialog = |reader: &Reader, cluster: &ClusterRecord| {
        let t = &reader.texts.clusters;
        Dialog {
            title: &said(t.remove_title, &cluster.name),
            lead: html! { (t.remove_about) },
            fields: html! {},
            action: &format!("{SETTINGS}/{}/remove", cluster.name),
            cancel: SETTINGS,
            button: t.remove,
            busy: t.removing,
            danger: true,
        }
        .markup(reader)
    };
    about_one::<RemoveCluster>(&caller, &request, &path, dialog).await
}

/// Removes a cluster.
///
/// # Errors
/// [`Failure`].
pub async fn remove(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let target = target().named(&*path);
    caller.about(Event::ClusterRemove, target.clone());
    no_query(&request)?;
    form.only(&[], &[])?;
    caller
        .act(Event::ClusterRemove, target, async |view| {
            remove_cluster::remove_cluster(&caller.acting(view), &path).await
        })
        .await?;
    Ok(done_at(SETTINGS, "cluster-removed"))
}
