//! Problems: the one place where a failure becomes an HTTP answer (RFC 9457). What the caller may not know is not in
//! it; what the operator needs is logged here, once, with its whole chain.

use crate::{failure::Failure, limit::RateLimit, logging, pages};
use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use kv_authz::Denied;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// An answer that says what went wrong and what to do.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A stable name of the kind of problem, as a relative URI.
    #[serde(rename = "type")]
    kind: String,
    /// The same in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What to do about this one.
    pub detail: String,
    /// The stable code, for programs.
    pub code: &'static str,
    /// The request, to be named when asking the operator.
    pub request_id: String,
    /// On 403: the permission that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    /// On 403: who refused, `kubevision` or `cluster`.
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<&'static str>,
}

/// In which form a failure is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A problem (RFC 9457).
    Problem,
    /// A `Status`, to those who speak the Kubernetes API.
    Status,
    /// A page, to a person at a browser.
    Page,
}

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// What a refused caller may use instead (RFC 9110 §11.6.1). `ApiKey` is a scheme of our own.
const CHALLENGE: &str = r#"ApiKey realm="kubevision", Bearer realm="kubevision""#;

impl Problem {
    /// The problem a failure is told as.
    #[must_use]
    pub fn new(failure: &Failure, request_id: &str) -> Self {
        let status = failure.status();
        Self {
            kind: format!("/problems/{}", failure.code()),
            title: title(status),
            status,
            detail: detail(failure),
            code: failure.code(),
            request_id: request_id.to_owned(),
            missing: failure.missing().map(ToString::to_string),
            denied_by: failure.denied_by(),
        }
    }
}

fn title(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

fn detail(failure: &Failure) -> String {
    match failure {
        Failure::Unauthorized { .. } => {
            "Send a valid credential: `Authorization: ApiKey <key>`, or `Bearer` with a key or an access token.".into()
        }
        Failure::Denied(Denied::Hidden) => "There is no such object, or you may not know of it.".into(),
        Failure::Denied(Denied::Forbidden { missing }) => format!("Your role does not hold {missing}."),
        Failure::Denied(Denied::InteractiveSessionRequired) => {
            "An API key may not do this. Sign in as a person.".into()
        }
        Failure::Denied(Denied::EnrolmentRequired) => {
            "You must set up a second factor first: POST /api/v1/auth/totp/setup, then /enable.".into()
        }
        Failure::Denied(Denied::CodeRequired) => {
            "This takes a code of your second factor, not older than five minutes: POST /api/v1/auth/reverify.".into()
        }
        Failure::Denied(Denied::Exceeds(what)) => {
            format!("You do not hold {what} yourself, so you cannot give or govern it.")
        }
        Failure::Denied(Denied::OperatorOnly) => {
            "Nobody makes a key for someone else; its owner does, under Profile, API Keys.".into()
        }
        Failure::NotFound { what } => format!("There is no such {what}, or you may not know of it."),
        Failure::Throttled { .. } => "Too many failed attempts. Wait as long as `Retry-After` says.".into(),
        Failure::Limited(_) => "You are over your rate limit. Wait as long as `Retry-After` says.".into(),
        Failure::Stale => "Your rights are being changed right now. Try again.".into(),
        Failure::Busy => "Very many people sign in right now. Nothing was done; try again in a moment.".into(),
        Failure::Unavailable { .. } => "The service is not available. Nothing was done; try again.".into(),
        Failure::Unconfirmed => {
            "This server lost touch with its database and cannot confirm your credential. What was under \
                                 way may have been done or not; look before you try again."
                .into()
        }
        Failure::Internal { .. } => "Something went wrong here. The operator finds it under the request id.".into(),
        Failure::ClusterDenied { detail }
        | Failure::Invalid { detail, .. }
        | Failure::Conflict { detail, .. }
        | Failure::Upstream { detail, .. } => detail.clone(),
    }
}

/// The answer a failure is told with. Logs what only the operator should know.
#[must_use]
pub fn answer(failure: &Failure, request_id: &str, format: Format) -> HttpResponse {
    log(failure, request_id);
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponseBuilder::new(status);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(seconds) = seconds_to_wait(failure) {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, CHALLENGE));
    }
    let problem = Problem::new(failure, request_id);
    let mut response = match format {
        // A Problem has text and numbers only; it always has a JSON form.
        Format::Problem => response.content_type(MEDIA_TYPE).body(serde_json::to_vec(&problem).unwrap_or_default()),
        Format::Status => response.content_type("application/json").body(as_status(&problem)),
        Format::Page => pages::failed(response, failure, &problem),
    };
    if let Failure::Limited(exhausted) = failure {
        limit_fields(response.headers_mut(), exhausted.limit, 0, seconds_to_wait(failure));
    }
    response
}

/// In how many whole seconds to come again, where that is worth trying.
#[must_use]
pub fn seconds_to_wait(failure: &Failure) -> Option<u64> {
    match failure {
        Failure::Limited(exhausted) => Some(exhausted.retry_after.as_nanos().div_ceil(1_000_000_000)),
        Failure::Throttled { wait } => Some(wait.whole_nanoseconds().max(0).cast_unsigned().div_ceil(1_000_000_000)),
        Failure::Unavailable { .. } | Failure::Unconfirmed | Failure::Busy | Failure::Stale => Some(1),
        _ => None,
    }
    .map(|seconds| u64::try_from(seconds.max(1)).unwrap_or(u64::MAX))
}

/// A problem as Kubernetes would tell it (`metav1.Status`); what it has no field for is a cause of its own.
fn as_status(problem: &Problem) -> Vec<u8> {
    let reason = match problem.status {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        409 => "Conflict",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let mut causes = vec![
        json!({"reason": "Code", "field": "code", "message": problem.code}),
        json!({"reason": "RequestId", "field": "request_id", "message": problem.request_id}),
    ];
    // Of what is invalid, kubectl shows the causes and nothing else.
    if problem.status == 422 {
        causes.insert(0, json!({"reason": "FieldValueInvalid", "field": "KubeVision", "message": problem.detail}));
    }
    if let Some(missing) = &problem.missing {
        causes.push(json!({"reason": "MissingPermission", "field": "missing", "message": missing}));
    }
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("KubeVision: {}", problem.detail), "reason": reason,
        "details": {"causes": causes}, "code": problem.status,
    });
    status.to_string().into_bytes()
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
pub fn limit_fields(headers: &mut HeaderMap, limit: RateLimit, remaining: u32, reset: Option<u64>) {
    if let RateLimit::On { per_minute, burst } = limit {
        let reset = reset.map_or(String::new(), |seconds| format!(";t={seconds}"));
        for (name, value) in [
            (RATE_LIMIT_POLICY, format!("\"user\";q={per_minute};w=60;burst={burst}")),
            (RATE_LIMIT, format!("\"user\";r={remaining}{reset}")),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

fn log(failure: &Failure, request_id: &str) {
    match failure {
        Failure::Internal { .. } => tracing::error!(error = logging::whole(failure), request_id, "request failed"),
        Failure::Unavailable { .. } | Failure::Upstream { .. } => {
            tracing::warn!(error = logging::whole(failure), request_id, "request failed");
        }
        _ => {}
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Without a request id; the pipeline, which knows it, makes the answer anew.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}
