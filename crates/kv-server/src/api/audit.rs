//! The audit log.

use super::{
    List,
    input::{page, query, time, written},
};
use crate::{
    caller::Caller,
    failure::Failure,
    logging,
    operations::{
        export_audit::{Export, Form},
        read_audit,
    },
    problem::Problem,
    view::View,
};
use actix_web::{HttpRequest, HttpResponse, http::header, web::Bytes};
use kv_authz::audit::{Detail, Event, Finish, Target};
use kv_store::{AuditFilter, AuditRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its id; the request's `X-Request-Id` as well.
    id: String,
    /// When, by the database's clock.
    timestamp: String,
    /// The user's id; null for the operator and for callers nobody could name.
    user_id: Option<String>,
    /// The user's name at the time.
    user: String,
    /// The key's name at the time, or the client of a session.
    agent: String,
    /// The key's id.
    key_id: Option<String>,
    /// What was done.
    action: String,
    /// To which kind of object.
    resource: String,
    /// Its name.
    resource_name: Option<String>,
    /// Its cluster.
    cluster: Option<String>,
    /// Its namespace.
    namespace: Option<String>,
    /// The status answered; null while the outcome is unknown.
    status_code: Option<u16>,
    /// `succeeded`, `denied`, `failed` or `unknown`.
    outcome: String,
    /// Further facts.
    detail: BTreeMap<String, String>,
    /// The client's address.
    ip: Option<String>,
    /// What the client calls itself.
    user_agent: String,
    /// The request.
    request_id: String,
    /// How many alike the entry stands for.
    count: u64,
}

impl From<AuditRecord> for AuditEntry {
    fn from(entry: AuditRecord) -> Self {
        Self {
            id: entry.id.to_string(),
            timestamp: written(entry.at),
            user_id: entry.user_id.map(|id| id.to_string()),
            user: entry.user,
            agent: entry.agent,
            key_id: entry.key_id.map(|id| id.to_string()),
            action: entry.action,
            resource: entry.resource,
            resource_name: entry.resource_name,
            cluster: entry.cluster,
            namespace: entry.namespace,
            status_code: entry.status_code,
            outcome: entry.outcome.to_string(),
            detail: entry.detail,
            ip: entry.ip,
            user_agent: entry.user_agent,
            request_id: entry.request_id,
            count: entry.count,
        }
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    user: Option<String>,
    agent: Option<String>,
    key_id: Option<String>,
    action: Option<String>,
    resource: Option<String>,
    cluster: Option<String>,
    namespace: Option<String>,
    outcome: Option<String>,
    status: Option<u16>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<u16>,
    cursor: Option<String>,
    format: Option<String>,
}

impl AuditQuery {
    fn filter(self) -> Result<AuditFilter, Failure> {
        let wrong = |field: &str| Failure::invalid("malformed_query", format!("`{field}` is not a value it can have."));
        Ok(AuditFilter {
            id: None,
            user: self.user,
            agent: self.agent,
            key_id: self.key_id.map(|text| text.parse().map_err(|_| wrong("key_id"))).transpose()?,
            action: self.action.map(|text| text.parse().map_err(|_| wrong("action"))).transpose()?,
            resource: self.resource,
            cluster: self.cluster,
            namespace: self.namespace,
            outcome: self.outcome.map(|text| text.parse().map_err(|_| wrong("outcome"))).transpose()?,
            status: self.status,
            since: self.since.map(|text| time(&text, "since")).transpose()?,
            until: self.until.map(|text| time(&text, "until")).transpose()?,
        })
    }
}

/// Read the audit log, the newest first.
#[utoipa::path(get, path = "/api/v1/audit-logs", tag = "audit", security(("session" = []), ("api_key" = [])),
    params(
        ("user" = Option<String>, Query), ("agent" = Option<String>, Query), ("key_id" = Option<String>, Query),
        ("action" = Option<String>, Query), ("resource" = Option<String>, Query), ("cluster" = Option<String>, Query),
        ("namespace" = Option<String>, Query), ("outcome" = Option<String>, Query), ("status" = Option<u16>, Query),
        ("since" = Option<String>, Query), ("until" = Option<String>, Query), ("limit" = Option<u16>, Query),
        ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, body = List<AuditEntry>), (status = 403, description = "Missing `audit:read`.", body = Problem)))]
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let target = Target::of("audit-logs");
    caller.about(Event::AuditRead, target.clone());
    let input: AuditQuery = query(&request)?;
    if input.format.is_some() {
        return Err(Failure::invalid("malformed_query", "`format` goes with /api/v1/audit-logs/export."));
    }
    let page = page(input.limit, input.cursor.as_deref())?;
    let filter = input.filter()?;
    let found = caller
        .observe(Event::AuditRead, target, async |view| {
            read_audit::read_audit(caller.acting(view), filter.clone(), page).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(List::of(found, AuditEntry::from)))
}

/// The next piece of an export, if its owner may still have it: credential and rights are confirmed each time.
async fn next_piece(caller: &Caller, export: &mut Export) -> Result<Option<Vec<u8>>, Failure> {
    caller.confirm_again(&async |view: &View| Export::allowed(&caller.acting(view))).await?;
    export.piece().await
}

/// Export the audit log, the newest first: all that the filters find, as it streams.
#[utoipa::path(get, path = "/api/v1/audit-logs/export", tag = "audit", security(("session" = []), ("api_key" = [])),
    params(
        ("format" = String, Query, description = "`csv` or `jsonl`"),
        ("user" = Option<String>, Query), ("agent" = Option<String>, Query), ("key_id" = Option<String>, Query),
        ("action" = Option<String>, Query), ("resource" = Option<String>, Query), ("cluster" = Option<String>, Query),
        ("namespace" = Option<String>, Query), ("outcome" = Option<String>, Query), ("status" = Option<u16>, Query),
        ("since" = Option<String>, Query), ("until" = Option<String>, Query),
    ),
    responses(
        (status = 200, description = "`text/csv` or `application/jsonl`."),
        (status = 403, description = "Missing `audit:read`.", body = Problem),
    ))]
pub async fn export(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuditExport, Target::of("audit-logs"));
    let input: AuditQuery = query(&request)?;
    if input.limit.is_some() || input.cursor.is_some() {
        return Err(Failure::invalid("malformed_query", "An export has no pages."));
    }
    let (form, media_type, name) = match input.format.as_deref() {
        Some("csv") => (Form::Csv, "text/csv; charset=utf-8", "audit-log.csv"),
        Some("jsonl") => (Form::JsonLines, "application/jsonl", "audit-log.jsonl"),
        _ => return Err(Failure::invalid("malformed_query", "`format` is `csv` or `jsonl`.")),
    };
    stream(caller, input.filter()?, (form, media_type, name)).await
}

/// An export as it streams.
///
/// # Errors
/// [`Failure`]: 403 without `audit:read`.
pub(crate) async fn stream(
    caller: Caller,
    filter: AuditFilter,
    (form, media_type, name): (Form, &'static str, &'static str),
) -> Result<HttpResponse, Failure> {
    let target = Target::of("audit-logs");
    let decide = async |view: &View| Ok((Export::begin(&caller.acting(view), filter.clone(), form)?, Detail::none()));
    let (export, begun) = caller.begin(false, Event::AuditExport, target, decide).await?;
    let pieces = futures_util::stream::unfold(Some((caller, export, begun)), async |state| {
        let (caller, mut export, begun) = state?;
        match next_piece(&caller, &mut export).await {
            Ok(Some(piece)) => Some((Ok(Bytes::from(piece)), Some((caller, export, begun)))),
            Ok(None) => {
                begun.end(Finish::with_status(200));
                None
            }
            // The answer has begun; all that is left is to break it off, so that nobody takes it for whole.
            Err(failure) => {
                begun.end(failure.finish());
                tracing::warn!(error = logging::whole(&failure), "an export of the audit log broke off");
                Some((Err(failure), None))
            }
        }
    });
    Ok(HttpResponse::Ok()
        .content_type(media_type)
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .streaming(pieces))
}
