//! The namespaces of a cluster: as the cluster lists them, or, for those whose role does not list them, the ones that are
//! assigned to them by name.
//!
//! What runs in them is not here.

use super::{
    age, more,
    place::{Kind, Space},
    read::{items, list, text, unanswered},
};
use crate::{
    api::input::query,
    caller::Caller,
    failure::Failure,
    operations::list_clusters::known_cluster,
    pages::{
        layout::{Page, Place},
        parts::{self, Tone},
        reader::Reader,
    },
    paths::is_plain,
    upstreams::Upstreams,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use kv_authz::{
    ClusterId, Denied, NamespaceScope, Owner, Permission, Resource, Verb,
    audit::{Event, Target},
    role::Scope,
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Shown {
    #[serde(rename = "continue")]
    token: Option<String>,
}

fn read_namespaces() -> Permission {
    Permission::new(Resource::kubernetes("namespaces", ""), Verb::Read)
}

/// Whether a role lists namespaces, of the clusters that are assigned.
pub(super) fn lists(owner: &Owner) -> bool {
    owner.holds(&read_namespaces(), Scope::Cluster)
}

/// Whether there is a page of a cluster's namespaces for somebody.
pub(in crate::pages) fn has_page(owner: &Owner, cluster: ClusterId) -> bool {
    lists(owner) || matches!(owner.reach(cluster), Some(NamespaceScope::Named(_)))
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
    if let Some(names) = assigned(&caller, &path).await? {
        let reader = Reader::new(&caller, &request)?;
        let rows = html! { @for name in &names { tr { (name_of(&reader, &path, name)) } } };
        let columns = [reader.texts.clusters.namespace];
        let main = table(&reader, &columns, &rows);
        return Ok(page(&reader, &path, main, StatusCode::OK));
    }
    let found = list(&caller, &upstreams, &path, (None, "namespaces"), shown.token.as_deref()).await;
    let (found, trouble, status) = unanswered(found)?;
    let reader = Reader::new(&caller, &request)?;
    let t = &reader.texts.clusters;
    let row = |object: &Value| {
        let phase = text(object, "/status/phase");
        let tone = if phase == "Active" { Tone::Good } else { Tone::Warning };
        html! {
            tr {
                (name_of(&reader, &path, text(object, "/metadata/name")))
                td data-label=(t.state) { @if !phase.is_empty() { (parts::pill(tone, phase)) } }
                td.dim data-label=(t.age) { (age(&reader, object)) }
            }
        }
    };
    let rows = html! { @for object in items(&found) { (row(object)) } };
    let main = html! {
        @if let Some(words) = &trouble { (parts::alert(words)) }
        @else if items(&found).is_empty() { div.empty { h2 { (t.no_namespaces) } } }
        @else {
            (table(&reader, &[t.namespace, t.state, t.age], &rows))
            (more(&reader, &found, &format!("{}?", Space::cluster_address(&path))))
        }
    };
    Ok(page(&reader, &path, main, status))
}

/// The namespaces that are assigned by name, for those who may not have the cluster list any. It is not asked.
async fn assigned(caller: &Caller, cluster: &str) -> Result<Option<BTreeSet<String>>, Failure> {
    if lists(&caller.rights()) {
        return Ok(None);
    }
    let app = caller.app();
    let about = Target::of("namespaces");
    let about = Target { cluster: Some(cluster.to_owned()), ..about };
    caller
        .observe(Event::KubernetesList, about, async |view| {
            let record = known_cluster(view, cluster, app.policy(), app.clock.now())?;
            match view.principal.owner() {
                // Granted meanwhile.
                Some(owner) if lists(owner) => Ok(None),
                Some(owner) => match owner.reach(record.id) {
                    Some(NamespaceScope::Named(names)) => Ok(Some(names)),
                    _ => Err(Denied::Forbidden { missing: read_namespaces() }.into()),
                },
                None => Ok(None),
            }
        })
        .await
}

/// What a cluster calls its things is its own word: it leads nowhere but to one thing in it, and only those who may see
/// something there.
fn name_of(reader: &Reader, cluster: &str, name: &str) -> Markup {
    let space = Space { cluster: cluster.to_owned(), namespace: name.to_owned() };
    let leads = is_plain(name) && reader.principal.owner().is_some_and(|owner| Kind::readable(owner).next().is_some());
    html! { th scope="row" { @if leads { a href=(space.address()) { (name) } } @else { (name) } } }
}

fn table(reader: &Reader, columns: &[&str], rows: &Markup) -> Markup {
    html! {
        div.table {
            table {
                caption.sr { (reader.texts.clusters.namespaces) }
                thead { tr { @for name in columns { th scope="col" { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

fn page(reader: &Reader, cluster: &str, main: Markup, status: StatusCode) -> HttpResponse {
    Page {
        reader,
        place: Place::Clusters,
        title: cluster,
        over: html! { a href="/clusters" { (reader.texts.clusters.title) } },
        about: html! {},
        actions: html! {},
        main,
        dialog: None,
        status,
    }
    .answer()
}
