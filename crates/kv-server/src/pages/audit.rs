//! Settings, Audit Logs: the entries with their filters, one entry, and the export that streams.
//!
//! Nothing is left out of an entry, and nothing is counted that is not asked for: the log is long.

use super::{
    cookies,
    layout::{Page, Place},
    reader::Reader,
    sign_in::add,
    texts::said,
};
use crate::{
    api::{
        audit::stream,
        input::{id, page, query},
    },
    caller::Caller,
    failure::Failure,
    operations::{
        export_audit::{self, Counted},
        read_audit::read_audit,
    },
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Path};
use filters::{Filters, Format, form};
use form_urlencoded::Serializer;
use kv_authz::audit::{Event, Target};
use kv_store::{AuditFilter, PageRequest};
use maud::{Markup, html};
use table::{facts, table};

mod filters;
mod table;

/// Where the entries are.
const HERE: &str = "/settings/audit-logs";
/// Where they are exported.
const EXPORT: &str = "/settings/audit-logs/export";

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
    if filters.format.is_some() || filters.download.is_some() {
        return Err(Failure::invalid("malformed_query", "That goes with an export."));
    }
    entries(&caller, &request, &filters, None).await
}

/// Reads the entries and shows them, with what lies over them.
async fn entries(
    caller: &Caller,
    request: &HttpRequest,
    filters: &Filters,
    dialog: Option<Markup>,
) -> Result<HttpResponse, Failure> {
    let reader = Reader::new(caller, request)?;
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
    let page = Page {
        reader: &reader,
        place: Place::Audit,
        title: t.title,
        over: html! { (reader.texts.nav.settings) },
        about: html! { (t.about) },
        actions: html! { @if wanted.is_ok() { a.btn href=(filters.address(EXPORT, None)) { (t.export) } } },
        main: html! {
            (form(&reader, filters, wanted.err()))
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
        dialog,
        status,
    };
    Ok(page.answer())
}

/// Exports what the filters find; first it tells how much that is, and asks in which form.
///
/// # Errors
/// [`Failure`]: 403 without `audit:read`.
pub async fn export(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuditExport, target());
    let filters: Filters = query(&request)?;
    let wrong = |name| Failure::invalid("malformed_query", format!("`{name}` is not a value it can have."));
    if filters.cursor.is_some() {
        return Err(wrong("cursor"));
    }
    let filter = filters.filter(caller.app().clock.now());
    let form = match filters.format {
        Some(Format::Csv) => (export_audit::Form::Csv, "text/csv; charset=utf-8", "audit-log.csv"),
        Some(Format::Jsonl) => (export_audit::Form::JsonLines, "application/jsonl", "audit-log.jsonl"),
        None => {
            let dialog = match filter {
                Ok(filter) => Some(ask(&caller, &request, &filters, filter).await?),
                Err(_) => None,
            };
            return entries(&caller, &request, &filters, dialog).await;
        }
    };
    let known_by = filters.download.as_deref().unwrap_or_default();
    if known_by.len() > 36 || !known_by.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(wrong("download"));
    }
    let mut response = stream(caller, filter.map_err(wrong)?, form).await?;
    if !known_by.is_empty() {
        add(&mut response, &cookies::download_begun(known_by));
    }
    Ok(response)
}

/// The dialog that tells how much is found, with the ways to it.
async fn ask(
    caller: &Caller,
    request: &HttpRequest,
    filters: &Filters,
    filter: AuditFilter,
) -> Result<Markup, Failure> {
    let counted = caller
        .observe(Event::AuditExport, target(), async |view| {
            export_audit::count(&caller.acting(view), filter.clone()).await
        })
        .await?;
    let reader = Reader::new(caller, request)?;
    let t = &reader.texts.audit;
    let download = |format| filters.address(EXPORT, Some(("format", format)));
    let lead = match counted {
        Counted::Exactly(0) => t.export_none.to_owned(),
        Counted::Exactly(1) => t.export_one.to_owned(),
        Counted::Exactly(found) => said(t.export_many, found),
        Counted::MoreThan(found) => said(t.export_more, found),
    };
    Ok(html! {
        dialog open data-modal aria-modal="true" aria-labelledby="dialog-title" aria-describedby="dialog-text" {
            h2 #dialog-title { (t.export_title) }
            p #dialog-text { (lead) " " (t.export_what) }
            div.actions {
                a.btn href=(filters.address(HERE, None)) data-cancel { (reader.texts.nav.cancel) }
                @for (format, name, kind) in [("jsonl", t.export_lines, "btn"), ("csv", t.export_csv, "btn primary")] {
                    a class=(kind) href=(download(format)) data-download=(t.preparing) data-begun=(t.begun)
                        autofocus[format == "csv"] { (name) }
                }
            }
        }
    })
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
