//! Input: bodies and query parameters, read strictly. Unknown fields, duplicate ones, other content types and anything
//! after the end are refused with what to do about it.

use crate::{caller::Caller, failure::Failure, origin::Origin};
use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header, web::Bytes};
use futures_util::StreamExt;
use kv_store::PageRequest;
use serde::{Deserialize, de::DeserializeOwned};
use std::{future::Future, pin::Pin, time::Duration};

/// The largest body, in bytes; a Kubernetes API server takes no larger object.
pub const MAX_BODY: usize = 3 * 1024 * 1024;
/// How long a client may take to send its body.
const PATIENCE: Duration = Duration::from_secs(20);

/// A body, whole, and its media type without parameters.
#[derive(Debug, Default)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// The media type, in lower case; empty if none was sent.
    pub media_type: String,
}

impl Body {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`Failure::Invalid`]: 415 for another media type, 400 for anything that is not exactly one such value.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if self.media_type != "application/json" {
            return Err(Failure::Invalid {
                status: 415,
                code: "unsupported_media_type",
                detail: "Send `Content-Type: application/json`.".into(),
            });
        }
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = field_rule(&error.to_string()).unwrap_or_else(|| match error.classify() {
                serde_json::error::Category::Data => "a value is not of the kind its field takes".into(),
                _ => "it is not one JSON value".into(),
            });
            let detail = format!("The body is not what this address takes: {what}, at line {line}, column {column}.");
            Failure::invalid("malformed_body", detail)
        })
    }
}

/// The rule about a field that serde says was broken, with the field's name. Anything else it says may repeat a value,
/// which may be a secret in the wrong place; so may a name that is not a plain word.
fn field_rule(words: &str) -> Option<String> {
    let (rule, rest) = words.split_once(" `")?;
    let name = rest.split('`').next()?;
    let is_word = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    match rule {
        "unknown field" | "missing field" | "duplicate field" if is_word => Some(format!("{rule} `{name}`")),
        "unknown field" => Some(rule.into()),
        _ => None,
    }
}

impl FromRequest for Body {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let mut payload = payload.take();
        let media_type = request.content_type().to_ascii_lowercase();
        let encoded = request.headers().contains_key(header::CONTENT_ENCODING);
        let announced =
            request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Box::pin(async move {
            let too_large = || {
                let detail = "The body is larger than 3 MiB.".into();
                Failure::Invalid { status: 413, code: "body_too_large", detail }
            };
            if encoded {
                let detail = "Send the body without `Content-Encoding`.".into();
                return Err(Failure::Invalid { status: 415, code: "unsupported_encoding", detail });
            }
            // Not waited for, where its client says itself that it will not do.
            if announced.is_some_and(|length: u64| length > MAX_BODY as u64) {
                return Err(too_large());
            }
            let read = async {
                let mut bytes = Vec::new();
                while let Some(chunk) = payload.next().await {
                    let chunk = chunk.map_err(|_| Failure::invalid("malformed_body", "The body cannot be read."))?;
                    if bytes.len() + chunk.len() > MAX_BODY {
                        return Err(too_large());
                    }
                    bytes.extend_from_slice(&chunk);
                }
                Ok(bytes)
            };
            let late = || Failure::Invalid {
                status: 408,
                code: "body_too_slow",
                detail: "The body did not arrive in time.".into(),
            };
            let bytes = tokio::time::timeout(PATIENCE, read).await.map_err(|_| late())??;
            Ok(Self { bytes: bytes.into(), media_type })
        })
    }
}

impl FromRequest for Caller {
    type Error = Failure;
    type Future = std::future::Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Caller>().cloned();
        // The pipeline lets nobody else through; should it ever, it fails closed.
        std::future::ready(caller.ok_or(Failure::Unauthorized { reason: None }))
    }
}

/// The query parameters of a request.
///
/// # Errors
/// [`Failure::Invalid`] for unknown, duplicate or malformed ones.
pub fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Failure> {
    actix_web::web::Query::<T>::from_query(request.query_string()).map(actix_web::web::Query::into_inner).map_err(
        |error| {
            let words = error.to_string();
            let words = words.rsplit_once(": ").map_or(words.as_str(), |(_, last)| last);
            let what = field_rule(words).unwrap_or_else(|| "a value is not one its parameter takes".into());
            Failure::invalid("malformed_query", format!("The query is not understood: {what}."))
        },
    )
}

/// The parameters of every list.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Items a page, 1 to 200; 50 if not given.
    pub limit: Option<u16>,
    /// Where the page begins, from the page before.
    pub cursor: Option<String>,
}

/// The page asked for.
///
/// # Errors
/// [`Failure::Invalid`].
pub fn page(limit: Option<u16>, cursor: Option<&str>) -> Result<PageRequest, Failure> {
    let limit = limit.unwrap_or(PageRequest::DEFAULT_LIMIT);
    if limit == 0 || limit > PageRequest::MAX_LIMIT {
        return Err(Failure::invalid("malformed_query", "`limit` is between 1 and 200."));
    }
    PageRequest::after(limit, cursor)
        .map_err(|_| Failure::invalid("malformed_query", "`cursor` must be the `next_cursor` of the page before."))
}

/// An id in a path; anything else names nothing.
///
/// # Errors
/// [`Failure::NotFound`].
pub fn id<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::NotFound { what })
}

/// A time as written in the API (RFC 3339).
#[must_use]
pub fn written(time: time::OffsetDateTime) -> String {
    time.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

/// A time as sent to the API (RFC 3339, with an offset).
///
/// # Errors
/// [`Failure::Invalid`].
pub fn time(text: &str, field: &str) -> Result<time::OffsetDateTime, Failure> {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).map_err(|_| {
        Failure::invalid("malformed_time", format!("`{field}` is a time like 2027-01-31T12:00:00Z (RFC 3339)."))
    })
}

/// Where the request says it was sent, by its one `Host` field.
#[must_use]
pub fn reached_at(request: &HttpRequest) -> Option<Origin> {
    let mut fields = request.headers().get_all(header::HOST);
    let (host, None) = (fields.next()?.to_str().ok()?, fields.next()) else { return None };
    Origin::of_host(host, request.app_config().secure()).ok()
}
