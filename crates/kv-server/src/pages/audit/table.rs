//! The entries as they are shown: one a row, and one of them with all that it says.
//!
//! Nothing is loaded here, and nothing in an entry is taken for markup.

use super::HERE;
use crate::pages::{
    parts::{self, Tone},
    reader::Reader,
    texts::said,
};
use kv_authz::audit::Outcome;
use kv_store::AuditRecord;
use maud::{Markup, html};

/// The table.
pub(super) fn table(reader: &Reader, entries: &[AuditRecord]) -> Markup {
    let t = &reader.texts.audit;
    html! {
        div.table {
            table.dense {
                caption.sr { (t.caption) }
                thead {
                    tr {
                        @for name in [t.time, t.user, t.agent, t.action, t.resource, t.place, t.status, t.outcome] {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody { @for entry in entries { (row(reader, entry)) } }
            }
        }
    }
}

fn row(reader: &Reader, entry: &AuditRecord) -> Markup {
    let t = &reader.texts.audit;
    html! {
        tr {
            td.nowrap data-label=(t.time) {
                a.mono href={ (HERE) "/" (entry.id) } { (parts::stamp(entry.at)) }
            }
            td data-label=(t.user) { b { (entry.user) } }
            td data-label=(t.agent) { span.mono { (entry.agent) } }
            td data-label=(t.action) { (entry.action) }
            td data-label=(t.resource) {
                (entry.resource)
                @if let Some(name) = &entry.resource_name { " " span.dim { (name) } }
            }
            td.dim data-label=(t.place) { (place(entry)) }
            td.mono data-label=(t.status) { @if let Some(status) = entry.status_code { (status) } }
            td data-label=(t.outcome) {
                (outcome(entry.outcome))
                @if entry.count > 1 { small { "× " (entry.count) } }
            }
        }
    }
}

fn place(entry: &AuditRecord) -> Markup {
    html! {
        @if let Some(cluster) = &entry.cluster { (cluster) }
        @if entry.cluster.is_some() && entry.namespace.is_some() { " / " }
        @if let Some(namespace) = &entry.namespace { (namespace) }
    }
}

fn outcome(outcome: Outcome) -> Markup {
    let tone = match outcome {
        Outcome::Succeeded => Tone::Good,
        Outcome::Denied | Outcome::Unknown => Tone::Warning,
        Outcome::Failed => Tone::Bad,
    };
    parts::pill(tone, outcome.as_str())
}

/// All that an entry says.
pub(super) fn facts(reader: &Reader, entry: &AuditRecord) -> Markup {
    let t = &reader.texts.audit;
    let code = |text: &str| html! { code { (text) } };
    let rows = [
        (t.time, html! { span.mono { (parts::exact(entry.at)) } }),
        (t.outcome, outcome(entry.outcome)),
        (
            t.user,
            if entry.user.is_empty() {
                html! { span.dim { (t.nobody) } }
            } else {
                html! { (entry.user) }
            },
        ),
        (t.agent, code(&entry.agent)),
        (t.key, entry.key_id.map_or(html! {}, |key| code(&key.to_string()))),
        (t.action, code(&entry.action)),
        (t.resource, code(&entry.resource)),
        (t.name, entry.resource_name.as_deref().map_or(html! {}, code)),
        (t.place, place(entry)),
        (t.status, entry.status_code.map_or(html! {}, |status| code(&status.to_string()))),
        (
            t.count,
            if entry.count > 1 {
                html! { (said(t.count_what, entry.count)) }
            } else {
                html! {}
            },
        ),
        (t.address, entry.ip.as_deref().map_or(html! {}, code)),
        (t.client, code(&entry.user_agent)),
        (t.request, code(&entry.request_id)),
        (t.entry, code(&entry.id.to_string())),
    ];
    html! {
        dl.facts {
            @for (name, value) in rows.iter().filter(|(_, value)| !value.0.is_empty() && value.0 != "<code></code>") {
                div { dt { (name) } dd { (value) } }
            }
            // What the entry says besides, by the names it says it under.
            @for (name, value) in &entry.detail { div { dt { (name) } dd { (value) } } }
        }
    }
}
