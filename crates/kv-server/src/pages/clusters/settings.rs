//! Settings, Clusters: those that are registered, and the dialogs that register and remove one.
//!
//! What opens a cluster comes in by a form and never out again.

use super::{probe, target};
use crate::{
    caller::Caller,
    cluster::{ClusterAccess, KubeconfigSource},
    failure::Failure,
    operations::{add_cluster, list_clusters, remove_cluster},
    pages::{
        form::Form,
        kept::keep,
        layout::{Page, Place},
        parts::{self, Dialog, Field},
        reader::Reader,
        settings::{code_first, done_at},
        texts::said,
    },
    problem::Problem,
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, ResponseError, http::StatusCode, web::Path};
use kv_authz::{
    Denied,
    action::{AddCluster, OwnAction, RemoveCluster},
    audit::Event,
};
use kv_store::ClusterRecord;
use maud::{Markup, html};

const SETTINGS: &str = "/settings/clusters";

/// The clusters, for those who may do an act with them.
async fn known_to<A: OwnAction>(caller: &Caller, about: Event) -> Result<Vec<ClusterRecord>, Failure> {
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

fn settings_page(
    reader: &Reader,
    clusters: &[ClusterRecord],
    dialog: Option<Markup>,
    status: StatusCode,
) -> HttpResponse {
    let t = &reader.texts.clusters;
    let may_remove = reader.may::<RemoveCluster>();
    let add = || html! { a.btn.primary href="/settings/clusters/new" { (t.add) } };
    let row = |cluster: &ClusterRecord| {
        html! {
            tr {
                th scope="row" { a href={ "/clusters/" (cluster.name) } { (cluster.name) } }
                td data-label=(t.server) { code.dim { (cluster.server) } }
                td data-label=(t.health) { (probe(reader, &cluster.name)) }
                td.dim data-label=(t.added) { (parts::day(cluster.created_at)) }
                td.do {
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
                    table {
                        caption.sr { (t.settings_about) }
                        thead {
                            tr {
                                @for name in [t.name, t.server, t.health, t.added] { th scope="col" { (name) } }
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

/// What is wrong with what was typed.
#[derive(Default)]
struct Wrong {
    name: Option<String>,
    kubeconfig: Option<String>,
    all: Option<String>,
}

/// Shows the dialog that registers a cluster.
///
/// # Errors
/// [`Failure`].
pub async fn new(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterAdd, target());
    no_query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    if let Some(first) = code_first::<AddCluster>(&caller, &request).await? {
        return Ok(first);
    }
    let clusters = known_to::<AddCluster>(&caller, Event::ClusterAdd).await?;
    let dialog = add_dialog(&reader, reader.kept.as_ref(), &Wrong::default());
    Ok(settings_page(&reader, &clusters, Some(dialog), StatusCode::OK))
}

/// Registers a cluster.
///
/// # Errors
/// [`Failure`].
pub async fn create(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterAdd, target());
    no_query(&request)?;
    form.only(&["name", "kubeconfig", "context", "impersonate"], &[])?;
    keep(&request, &form, &["name", "context", "impersonate"]);
    let context = Some(form.text("context").trim()).filter(|context| !context.is_empty());
    let refused = |error| Failure::invalid("invalid_cluster", format!("The cluster is refused: {error}."));
    let made = caller
        .act(Event::ClusterAdd, target(), async |view| {
            // Who may not register any, learns nothing of what would be wrong with this one.
            let acting = caller.acting(view);
            acting.authorize::<AddCluster>(target())?;
            let yaml = form.text("kubeconfig").as_bytes();
            let access = ClusterAccess::from_kubeconfig(yaml, context, &KubeconfigSource::Uploaded).map_err(refused)?;
            add_cluster::add_cluster(&acting, form.text("name").trim(), &access, form.ticked("impersonate")).await
        })
        .await;
    let failure = match made {
        Ok(_) => return Ok(done_at(SETTINGS, "cluster-added")),
        Err(failure) => failure,
    };
    let words = || Problem::new(&failure, "").detail;
    let wrong = match failure.code() {
        "invalid_name" | "name_taken" => Wrong { name: Some(words()), ..Wrong::default() },
        "invalid_cluster" => Wrong { kubeconfig: Some(words()), ..Wrong::default() },
        _ if failure.status() == 422 => Wrong { all: Some(words()), ..Wrong::default() },
        _ => return Err(failure),
    };
    let reader = Reader::new(&caller, &request)?;
    let clusters = known_to::<AddCluster>(&caller, Event::ClusterAdd).await?;
    let dialog = add_dialog(&reader, Some(&form), &wrong);
    let status = failure.status_code();
    Ok(settings_page(&reader, &clusters, Some(dialog), status))
}

fn add_dialog(reader: &Reader, typed: Option<&Form>, wrong: &Wrong) -> Markup {
    let t = &reader.texts.clusters;
    let value = |name| typed.map_or("", |form| form.text(name));
    let name = Field {
        name: "name",
        label: t.name,
        value: value("name"),
        hint: t.name_hint,
        error: wrong.name.as_deref(),
        first: true,
        longest: Some(63),
        ..Field::default()
    };
    let context = Field {
        name: "context",
        label: t.context,
        value: value("context"),
        hint: t.context_hint,
        optional: true,
        ..Field::default()
    };
    let error = wrong.kubeconfig.as_deref();
    // A kubeconfig is a secret: it is not sent back, even to whoever has just sent it.
    let hint = if typed.is_some() { t.again } else { t.kubeconfig_hint };
    let fields = html! {
        @if let Some(words) = &wrong.all { (parts::alert(words)) }
        (name)
        div.field {
            label for="kubeconfig" { (t.kubeconfig) }
            textarea #kubeconfig name="kubeconfig" required rows="8" autocomplete="off" spellcheck="false"
                aria-invalid=[error.map(|_| "true")] aria-describedby=[parts::described("kubeconfig", hint, error)] {}
            (parts::below("kubeconfig", hint, error))
        }
        (context)
        label.check {
            input type="checkbox" name="impersonate" value="yes" checked[!value("impersonate").is_empty()];
            span { (t.impersonate) }
        }
    };
    Dialog {
        title: t.add_title,
        lead: html! { (t.add_about) },
        fields,
        action: "/settings/clusters/new",
        cancel: SETTINGS,
        button: t.add,
        busy: t.adding,
        danger: false,
    }
    .markup(reader)
}

/// Shows the dialog that removes a cluster.
///
/// # Errors
/// [`Failure`]: 404 for a cluster the reader may not know of.
pub async fn ask_to_remove(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterRemove, target());
    no_query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    let here = format!("{SETTINGS}/{path}/remove");
    if let Some(first) = code_first::<RemoveCluster>(&caller, &request).await? {
        return Ok(first);
    }
    let clusters = known_to::<RemoveCluster>(&caller, Event::ClusterRemove).await?;
    if !clusters.iter().any(|cluster| cluster.name == *path) {
        return Err(Failure::NotFound { what: "cluster" });
    }
    let t = &reader.texts.clusters;
    let dialog = Dialog {
        title: &said(t.remove_title, &path),
        lead: html! { (t.remove_about) },
        fields: html! {},
        action: &here,
        cancel: SETTINGS,
        button: t.remove,
        busy: t.removing,
        danger: true,
    };
    Ok(settings_page(&reader, &clusters, Some(dialog.markup(&reader)), StatusCode::OK))
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
