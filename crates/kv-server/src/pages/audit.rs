//! Settings, Audit Logs: the entries with their filters, one entry, and the export that streams.
//!
//! Nothing is left out of an entry, and nothing in it is taken for markup.

use super::{
    layout::{Page, Place},
    parts::{self, Tone},
    reader::Reader,
    texts::said,
};
use crate::{
    api::{
        audit::stream,
        input::{id, page, query},
    },
    caller::Caller,
    failure::Failure,
    operations::{export_audit, read_audit::read_audit},
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Path};
use form_urlencoded::Serializer;
use kv_authz::audit::{Event, Outcome, Target};
use kv_store::{AuditFilter, AuditRecord, PageRequest};
use maud::{Markup, html};
use serde::Deserialize;
use time::{Duration, OffsetDateTime};

const HERE: &str = "/settings/audit-logs";

/// The filters as the page's form sends them: what is empty filters nothing.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Filters {
    user: String,
    agent: String,
    key_id: String,
    action: String,
    resource: String,
    cluster: String,
    namespace: String,
    outcome: String,
    status: String,
    since: Since,
    cursor: Option<String>,
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Format {
    Csv,
    Jsonl,
}

#[derive(Debug, Clone, Copy, Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Since {
    Hour,
    #[default]
    Day,
    Week,
    Month,
    Ever,
}

impl Since {
    fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Ever => "ever",
        }
    }

    fn time(self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let back = match self {
            Self::Hour => Duration::HOUR,
            Self::Day => Duration::DAY,
            Self::Week => Duration::WEEK,
            Self::Month => Duration::days(30),
            Self::Ever => return None,
        };
        Some(now - back)
    }
}

impl Filters {
    /// What to read, or which filter has a value that it cannot have.
    fn filter(&self, now: OffsetDateTime) -> Result<AuditFilter, &'static str> {
        let text = |value: &str| Some(value.trim()).filter(|value| !value.is_empty()).map(str::to_owned);
        Ok(AuditFilter {
            id: None,
            user: text(&self.user),
            agent: text(&self.agent),
            key_id: text(&self.key_id).map(|text| text.parse().map_err(|_| "key_id")).transpose()?,
            action: text(&self.action).map(|text| text.parse().map_err(|_| "action")).transpose()?,
            resource: text(&self.resource),
            cluster: text(&self.cluster),
            namespace: text(&self.namespace),
            outcome: text(&self.outcome).map(|text| text.parse().map_err(|_| "outcome")).transpose()?,
            status: text(&self.status).map(|text| text.parse().map_err(|_| "status")).transpose()?,
            since: self.since.time(now),
            until: None,
        })
    }

    /// The same filters at another address.
    fn address(&self, there: &str, more: Option<(&str, &str)>) -> String {
        let mut pairs = Serializer::new(String::new());
        for (name, value) in [
            ("user", self.user.as_str()),
            ("agent", &self.agent),
            ("key_id", &self.key_id),
            ("action", &self.action),
            ("resource", &self.resource),
            ("cluster", &self.cluster),
            ("namespace", &self.namespace),
            ("outcome", &self.outcome),
            ("status", &self.status),
            ("since", self.since.word()),
        ] {
            if !value.is_empty() {
                pairs.append_pair(name, value);
            }
        }
        if let Some((name, value)) = more {
            pairs.append_pair(name, value);
        }
        format!("{there}?{}", pairs.finish())
    }
}

fn target() -> Target {
    Target::of("audit-logs")
}

/// Shows the entries.
///
/// # Errors
/// [`Failure`]: 403 without `audit:read`.
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuditRead, target());
    let filters: Filters = query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    let page = page(None, filters.cursor.as_deref())?;
    let wanted = filters.filter(reader.now);
    // What cannot be is found nowhere; whether its reader may look is asked all the same.
    let filter = wanted.clone().unwrap_or_default();
    let page = if wanted.is_ok() { page } else { PageRequest::after(1, None).unwrap_or(page) };
    let found = caller
        .observe(Event::AuditRead, target(), async |view| read_audit(caller.acting(view), filter.clone(), page).await)
        .await?;
    let (entries, next) = if wanted.is_ok() { (found.items, found.next) } else { (Vec::new(), None) };
    let t = &reader.texts.audit;
    let status = if wanted.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let export = |format| filters.address("/settings/audit-logs/export", Some(("format", format)));
    let page = Page {
        reader: &reader,
        place: Place::Audit,
        title: t.title,
        over: html! { (reader.texts.nav.settings) },
        about: html! { (t.about) },
        actions: html! {
            a.btn href=(export("csv")) data-download=(t.preparing) { (t.export) }
            a.btn href=(export("jsonl")) data-download=(t.preparing) { (t.export_lines) }
        },
        main: html! {
            (form(&reader, &filters, wanted.err()))
            @if entries.is_empty() {
                div.empty { h2 { (t.none) } p { (t.none_what) } }
            } @else {
                (table(&reader, &entries))
            }
            nav.pager aria-label=(t.a_page) {
                span.hint { (t.a_page) }
                @if filters.cursor.is_some() { a.btn.small href=(filters.address(HERE, None)) rel="first" { (t.newest) } }
                @if let Some(next) = next {
                    a.btn.small href=(filters.address(HERE, Some(("cursor", &next.to_string())))) rel="next" { (t.older) }
                }
            }
        },
        dialog: None,
        status,
    };
    Ok(page.answer())
}

/// Exports what the filters find.
///
/// # Errors
/// [`Failure`]: 403 without `audit:read`.
pub async fn export(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuditExport, target());
    let filters: Filters = query(&request)?;
    let wrong = |name| Failure::invalid("malformed_query", format!("`{name}` is not a value it can have."));
    let filter = filters.filter(caller.app().clock.now()).map_err(wrong)?;
    let form = match filters.format {
        Some(Format::Csv) => (export_audit::Form::Csv, "text/csv; charset=utf-8", "audit-log.csv"),
        Some(Format::Jsonl) => (export_audit::Form::JsonLines, "application/jsonl", "audit-log.jsonl"),
        None => return Err(wrong("format")),
    };
    stream(caller, filter, form).await
}

/// Shows one entry.
///
/// # Errors
/// [`Failure`]: 403 without `audit:read`, 404 for an entry there is not.
pub async fn entry(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuditRead, target());
    no_query(&request)?;
    let filter = AuditFilter { id: Some(id(&path, "entry")?), ..AuditFilter::default() };
    let page = page(Some(1), None)?;
    let found = caller
        .observe(Event::AuditRead, target(), async |view| {
            let found = read_audit(caller.acting(view), filter.clone(), page).await?;
            found.items.into_iter().next().ok_or(Failure::NotFound { what: "entry" })
        })
        .await?;
    let reader = Reader::new(&caller, &request)?;
    let t = &reader.texts.audit;
    let of_key = found.key_id.map(|key| format!("{HERE}?key_id={key}&since=ever"));
    let of_user = Serializer::new(String::new()).append_pair("user", &found.user).finish();
    let page = Page {
        reader: &reader,
        place: Place::Audit,
        title: &found.action,
        over: html! { a href=(HERE) { (t.title) } },
        about: html! { (found.user) @if !found.agent.is_empty() { ", " b { (found.agent) } } },
        actions: html! {
            @if let Some(address) = of_key { a.btn href=(address) { (t.of_key) } }
            @if !found.user.is_empty() { a.btn href={ (HERE) "?since=ever&" (of_user) } { (t.of_user) } }
        },
        main: facts(&reader, &found),
        dialog: None,
        status: StatusCode::OK,
    };
    Ok(page.answer())
}

fn form(reader: &Reader, filters: &Filters, wrong: Option<&str>) -> Markup {
    let t = &reader.texts.audit;
    let text = |name: &str, label: &str, value: &str| {
        html! {
            label { (label) " "
                input name=(name) value=(value) placeholder=(t.any) autocomplete="off" spellcheck="false"
                    aria-invalid=[(wrong == Some(name)).then_some("true")];
            }
        }
    };
    let since = [
        (Since::Hour, t.hour),
        (Since::Day, t.day),
        (Since::Week, t.week),
        (Since::Month, t.month),
        (Since::Ever, t.ever),
    ];
    let select = |name: &str, label: &str, value: &str, options: &mut dyn Iterator<Item = &'static str>| {
        html! {
            label { (label) " "
                select name=(name) {
                    option value="" { (t.any) }
                    @for option in options { option selected[option == value] { (option) } }
                }
            }
        }
    };
    let outcomes = [Outcome::Succeeded, Outcome::Denied, Outcome::Failed, Outcome::Unknown];
    html! {
        @if wrong.is_some() { (parts::alert(t.malformed)) }
        form.filters method="get" action=(HERE) role="search" aria-label=(t.filter) {
            (text("user", t.user, &filters.user))
            (text("agent", t.agent, &filters.agent))
            (select("action", t.action, &filters.action, &mut Event::ALL.iter().map(|event| event.as_str())))
            (text("resource", t.resource, &filters.resource))
            (text("cluster", t.cluster, &filters.cluster))
            (text("namespace", t.namespace, &filters.namespace))
            (select("outcome", t.outcome, &filters.outcome, &mut outcomes.iter().map(|outcome| outcome.as_str())))
            (text("status", t.status, &filters.status))
            label { (t.since) " "
                select name="since" {
                    @for (since, name) in since {
                        option value=(since.word()) selected[since == filters.since] { (name) }
                    }
                }
            }
            @if !filters.key_id.is_empty() { (text("key_id", t.key, &filters.key_id)) }
            button.btn.small { (t.apply) }
            a.btn.small.plain href=(HERE) { (t.clear) }
        }
    }
}

fn table(reader: &Reader, entries: &[AuditRecord]) -> Markup {
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

fn place(entry: &AuditRecord) -> String {
    let parts = [&entry.cluster, &entry.namespace];
    parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(" / ")
}

fn outcome(outcome: Outcome) -> Markup {
    let tone = match outcome {
        Outcome::Succeeded => Tone::Good,
        Outcome::Denied | Outcome::Unknown => Tone::Warning,
        Outcome::Failed => Tone::Bad,
    };
    parts::pill(tone, outcome.as_str())
}

fn facts(reader: &Reader, entry: &AuditRecord) -> Markup {
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
        (t.place, html! { (place(entry)) }),
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
