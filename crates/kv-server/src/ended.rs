//! How a handler ended that failed, as far as the record needs it: with a failure of our own, or with what actix-web refuses, in
//! our words.
//!
//! Nothing is answered here.

use crate::failure::Failure;
use actix_web::{Error, ResponseError, http::StatusCode};

/// The failure; its source stays where it is.
pub(crate) fn failure(error: &Error) -> Failure {
    error.as_error::<Failure>().map_or_else(|| foreign(error.as_response_error()), restate)
}

fn restate(failure: &Failure) -> Failure {
    match failure {
        Failure::Denied(denied) => Failure::Denied(denied.clone()),
        Failure::Unauthorized { reason } => Failure::Unauthorized { reason: *reason },
        Failure::Limited(exhausted) => Failure::Limited(*exhausted),
        Failure::Internal { step, .. } => Failure::Internal { step, source: None },
        Failure::Unconfirmed => Failure::Unconfirmed,
        Failure::Unavailable { step, .. } => Failure::Unavailable { step, source: None },
        other => Failure::Invalid { status: other.status(), code: other.code(), detail: other.to_string() },
    }
}

/// What actix-web itself refuses, in our words.
fn foreign(error: &dyn ResponseError) -> Failure {
    let status = error.status_code();
    let (code, detail) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "The body is larger than this address takes."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported_media_type", "Send `Content-Type: application/json`."),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "This address does not know the method."),
        StatusCode::NOT_FOUND => return Failure::NotFound { what: "address" },
        _ if status.is_client_error() => ("malformed_request", "The request cannot be read."),
        _ => return Failure::Internal { step: "handling the request", source: None },
    };
    Failure::Invalid { status: status.as_u16(), code, detail: detail.into() }
}
