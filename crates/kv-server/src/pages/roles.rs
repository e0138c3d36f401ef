//! Settings, Roles: what each role holds, side by side.
//!
//! What a role holds is asked of the role; no table of it is here.

use super::{
    layout::{Page, Place},
    parts::{self, Tone},
    reader::Reader,
    texts::{Roles, said},
};
use crate::{caller::Caller, failure::Failure, operations::roles, routes::no_query};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use kv_authz::{
    Permission, Resource, Role, Verb,
    action::{CreateRole, ListRoles, OwnAction},
    audit::Target,
    role::Scope,
};
use kv_store::RoleRecord;
use maud::{Markup, html};
use std::borrow::Cow;

pub mod edit;
mod sheet;

/// Where the roles are.
const HERE: &str = "/settings/roles";
/// The kinds of Kubernetes objects that are looked at most, those that live in a namespace first.
const KINDS: [(&str, Scope); 20] = [
    ("pods", Scope::Namespace),
    ("deployments", Scope::Namespace),
    ("statefulsets", Scope::Namespace),
    ("daemonsets", Scope::Namespace),
    ("replicasets", Scope::Namespace),
    ("jobs", Scope::Namespace),
    ("cronjobs", Scope::Namespace),
    ("services", Scope::Namespace),
    ("ingresses", Scope::Namespace),
    ("networkpolicies", Scope::Namespace),
    ("configmaps", Scope::Namespace),
    ("secrets", Scope::Namespace),
    ("persistentvolumeclaims", Scope::Namespace),
    ("horizontalpodautoscalers", Scope::Namespace),
    ("serviceaccounts", Scope::Namespace),
    ("events", Scope::Namespace),
    ("namespaces", Scope::Cluster),
    ("nodes", Scope::Cluster),
    ("persistentvolumes", Scope::Cluster),
    ("storageclasses", Scope::Cluster),
];
/// Of KubeVision's own resources, those that are read, written and deleted.
const OWN: [Resource; 2] = [Resource::Clusters, Resource::Users];
/// What most resources are asked for.
const VERBS: [Verb; 3] = [Verb::Read, Verb::Write, Verb::Delete];

/// The rows of the matrix: what is spoken of, and where it lives.
fn rows() -> impl Iterator<Item = (Resource, Scope)> {
    let kinds = KINDS.into_iter().map(|(plural, scope)| (Resource::Kubernetes(Cow::Borrowed(plural)), scope));
    kinds.chain(OWN.into_iter().map(|resource| (resource, Scope::Cluster)))
}

/// The atoms that stand for themselves, where they count, and what they are for.
fn atoms(t: &Roles) -> [(Permission, Scope, &'static str); 6] {
    let kind = |plural| Resource::Kubernetes(Cow::Borrowed(plural));
    [
        (Permission::new(kind("pods"), Verb::Logs), Scope::Namespace, t.logs),
        (Permission::new(kind("pods"), Verb::Exec), Scope::Namespace, t.exec),
        (Permission::new(kind("secrets"), Verb::Reveal), Scope::Namespace, t.reveal),
        (Permission::new(Resource::Audit, Verb::Read), Scope::Cluster, t.audit),
        (Permission::new(Resource::ApiKeys, Verb::Manage), Scope::Cluster, t.manage_keys),
        (Permission::new(Resource::Rbac, Verb::Manage), Scope::Cluster, t.manage_rights),
    ]
}

/// What a row is called.
fn row_name(t: &Roles, resource: &Resource) -> Markup {
    match resource {
        Resource::Kubernetes(plural) => html! { code { (plural) } },
        own => html! { (said(t.of_kubevision, own.as_str())) },
    }
}

/// Where a custom role is. One may be called as the page that makes them.
fn address(name: &str) -> String {
    if name == "new" { format!("{HERE}/{name}/edit") } else { format!("{HERE}/{name}") }
}

fn target() -> Target {
    Target::of("roles")
}

/// Shows the roles.
///
/// # Errors
/// [`Failure`].
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let event = ListRoles::line().event;
    caller.about(event, target());
    no_query(&request)?;
    let custom = caller.observe(event, target(), async |view| roles::list_roles(&caller.acting(view)).await).await?;
    let reader = Reader::new(&caller, &request)?;
    let custom = custom.into_iter().map(role);
    let all: Vec<_> = Role::BUILT_IN.into_iter().chain(custom).collect();
    let t = &reader.texts.roles;
    let page = Page {
        reader: &reader,
        place: Place::Roles,
        title: t.title,
        over: html! { (reader.texts.nav.settings) },
        about: html! { (t.about) },
        actions: html! {
            @if reader.may::<CreateRole>() { a.btn.primary href={ (HERE) "/new" } { (t.new) } }
        },
        main: html! {
            (matrix(t, &all))
            p.hint.legend { (said(t.legend, Role::BUILT_IN.len())) }
        },
        dialog: None,
        status: StatusCode::OK,
    };
    Ok(page.answer())
}

/// A custom role as kv-authz knows it.
fn role(record: RoleRecord) -> Role {
    Role::Custom { id: record.id, name: record.name, grants: record.grants }
}

fn matrix(t: &Roles, roles: &[Role]) -> Markup {
    html! {
        div.table.scroll tabindex="0" role="region" aria-labelledby="matrix-title" {
            table {
                caption #matrix-title.sr { (t.matrix) }
                thead {
                    tr {
                        th scope="col" { (t.resource) }
                        @for role in roles {
                            th scope="col" {
                                @match role {
                                    Role::Custom { name, .. } => a href=(address(name)) { (name) },
                                    _ => (role.name()),
                                }
                            }
                        }
                    }
                }
                tbody {
                    @for (resource, scope) in rows() {
                        tr {
                            th scope="row" { (row_name(t, &resource)) }
                            @for role in roles { td { (held(t, role, &resource, scope)) } }
                        }
                    }
                    @for (atom, scope, name) in atoms(t) {
                        tr {
                            th scope="row" { (name) }
                            @for role in roles {
                                td {
                                    @if role.holds(&atom, scope) { (parts::pill(Tone::Good, t.yes)) }
                                    @else { span.dim { (t.no) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a role holds of a resource: letters for the eye, words for the ear.
fn held(t: &Roles, role: &Role, resource: &Resource, scope: Scope) -> Markup {
    let held = VERBS.map(|verb| role.holds(&Permission::new(resource.clone(), verb), scope));
    let letters = [t.read_letter, t.write_letter, t.delete_letter];
    let words: Vec<_> =
        [t.read, t.write, t.delete].into_iter().zip(held).filter_map(|(word, held)| held.then_some(word)).collect();
    html! {
        span.rwd aria-hidden="true" {
            @for (letter, held) in letters.into_iter().zip(held) {
                @if held { b { (letter) } } @else { i { "·" } }
            }
        }
        span.sr { @if words.is_empty() { (t.nothing) } @else { (words.join(", ")) } }
    }
}
