//! What a cluster's refusal becomes on its way to the caller.
//!
//! Never passed on: the body of a cluster's failure, its headers, its own 401 (which is about our credentials, not the
//! caller's), control characters, or anything that looks like a credential.

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// How much of a cluster's message is passed on.
const MAX_MESSAGE: usize = 1024;
const REMOVED: &str = "[removed]";
/// The reason of a refusal for which the cluster gave none.
const OURS: &str = "cluster_refused";

/// A refusal as the caller gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRefusal {
    /// The status of our answer.
    pub status: StatusCode,
    /// Why, for programs: a code of ours, or the reason of the cluster's `Status`.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// What a client of Kubernetes acts on: which object, which fields, when to try again.
    pub details: Option<Details>,
}

/// The details of a `Status` (`StatusDetails` of Kubernetes): its known fields, each a plain text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default)]
struct Cause {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// As many causes as are passed on.
const MAX_CAUSES: usize = 64;

impl Details {
    fn cleaned(mut self) -> Self {
        let clean = |text: &mut Option<String>| {
            if let Some(text) = text {
                *text = harmless(text);
            }
        };
        [&mut self.name, &mut self.group, &mut self.kind, &mut self.uid].into_iter().for_each(clean);
        self.causes.truncate(MAX_CAUSES);
        for cause in &mut self.causes {
            [&mut cause.reason, &mut cause.message, &mut cause.field].into_iter().for_each(clean);
        }
        self
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    message: Option<String>,
    reason: Option<String>,
    details: Option<Details>,
}

impl ClusterRefusal {
    /// Reads an answer of status 400 or above.
    #[must_use]
    pub fn of(status: StatusCode, body: &[u8]) -> Self {
        let ours = |status, reason: &str, message: &str| Self {
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            details: None,
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => ours(
                StatusCode::BAD_GATEWAY,
                "cluster_credentials_refused",
                "the cluster refused the credentials it is registered with",
            ),
            StatusCode::TOO_MANY_REQUESTS => {
                ours(StatusCode::SERVICE_UNAVAILABLE, "cluster_busy", "the cluster asks to try again later")
            }
            status if !status.is_client_error() => {
                ours(StatusCode::BAD_GATEWAY, "cluster_failed", "the cluster could not answer the request")
            }
            status => {
                let said: Status = serde_json::from_slice(body).unwrap_or_default();
                let message = said.message.as_deref().map(harmless).filter(|text| !text.is_empty());
                let reason = match status {
                    StatusCode::FORBIDDEN => "denied_by_cluster".to_owned(),
                    _ => said.reason.filter(|text| is_reason(text)).unwrap_or_else(|| OURS.to_owned()),
                };
                Self {
                    status,
                    reason,
                    message: message.unwrap_or_else(|| "the cluster refused the request".to_owned()),
                    details: said.details.map(Details::cleaned),
                }
            }
        }
    }
}

impl ClusterRefusal {
    /// Whether the cluster names fields that it does not like.
    #[must_use]
    pub fn has_causes(&self) -> bool {
        self.details.as_ref().is_some_and(|details| !details.causes.is_empty())
    }

    /// The same without what the cluster may have quoted from the object.
    #[must_use]
    pub fn without_quotes(self) -> Self {
        let message = "the cluster refused the request; what it said may quote masked values".to_owned();
        let details = self.details.map(|details| Details { causes: Vec::new(), ..details });
        Self { message, details, ..self }
    }

    /// The refusal as Kubernetes itself would tell it.
    #[must_use]
    pub fn as_status(&self) -> Vec<u8> {
        let reason = match self.status {
            StatusCode::FORBIDDEN => "Forbidden",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
            StatusCode::BAD_GATEWAY => "InternalError",
            _ if self.reason == OURS => "",
            _ => &self.reason,
        };
        let status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": reason, "details": self.details, "code": self.status.as_u16(),
        });
        status.to_string().into_bytes()
    }
}

fn is_reason(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The message, short, on one line, and without what looks like a credential.
fn harmless(message: &str) -> String {
    // Bounded before it is looked through, with room for the credential the cut would otherwise split.
    let head: String = message.chars().take(MAX_MESSAGE * 8).map(|c| if is_unsafe(c) { ' ' } else { c }).collect();
    let mut shown = String::with_capacity(head.len().min(MAX_MESSAGE * 2));
    let mut after_bearer = false;
    for piece in head.split_inclusive(|c: char| !is_credential_char(c)) {
        let end = piece.trim_end_matches(|c: char| !is_credential_char(c)).len();
        let (word, rest) = piece.split_at(end);
        shown.push_str(if after_bearer && !word.is_empty() || is_credential(word) { REMOVED } else { word });
        shown.push_str(rest);
        // Whatever stands between the two.
        after_bearer = word.eq_ignore_ascii_case("bearer") || (after_bearer && word.is_empty());
    }
    let mut end = shown.len().min(MAX_MESSAGE);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    shown.truncate(end);
    shown.trim().to_owned()
}

/// Characters that act instead of being shown: controls, and those that turn the direction or hide.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

fn is_credential_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+')
}

fn is_credential(word: &str) -> bool {
    let token = word.find("eyJ").is_some_and(|at| word.len() - at > 20 && word[at..].contains('.'));
    token || word.contains("kv_live_") || word.contains("kv_test_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(status: u16, message: &str) -> ClusterRefusal {
        let body = json!({"kind": "Status", "status": "Failure", "message": message, "reason": "NotFound"});
        ClusterRefusal::of(StatusCode::from_u16(status).unwrap(), body.to_string().as_bytes())
    }

    #[test]
    fn refusals_are_passed_on_and_failures_are_not() {
        for (theirs, ours, reason) in [
            (400, 400, "NotFound"),
            (401, 502, "cluster_credentials_refused"),
            (403, 403, "denied_by_cluster"),
            (404, 404, "NotFound"),
            (409, 409, "NotFound"),
            (422, 422, "NotFound"),
            (429, 503, "cluster_busy"),
            (500, 502, "cluster_failed"),
            (503, 502, "cluster_failed"),
            (599, 502, "cluster_failed"),
        ] {
            let refusal = refusal(theirs, "pods \"x\" not found");
            assert_eq!((refusal.status.as_u16(), refusal.reason.as_str()), (ours, reason), "{theirs}");
            assert_eq!(refusal.message == "pods \"x\" not found", refusal.status.as_u16() == theirs, "{theirs}");
        }
    }

    #[test]
    fn attack_150_bodies_that_are_no_status_say_nothing() {
        for body in [&b"<html><script>alert(1)</script>"[..], b"", b"\xff", b"[]", br#"{"message":7}"#] {
            let refusal = ClusterRefusal::of(StatusCode::NOT_FOUND, body);
            assert_eq!(refusal.message, "the cluster refused the request");
            assert_eq!(refusal.reason, "cluster_refused");
        }
    }

    #[test]
    fn messages_hold_no_credential() {
        let jwt = format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", "a".repeat(40), "b".repeat(40));
        let key = format!("kv_live_{}", "k".repeat(48));
        let message = format!("header \"Authorization: Bearer s3cr3t-opaque\", token={jwt} key <{key}> x{jwt}");
        let shown = refusal(400, &message).message;
        assert_eq!(shown, "header \"Authorization: Bearer [removed]\", token=[removed] key <[removed]> [removed]");
        assert!(!refusal(400, &format!("bearer: \t{jwt}")).message.contains("eyJ"));
        let split = format!("{} {key}", "x".repeat(MAX_MESSAGE - 12));
        assert!(!refusal(400, &split).message.contains("kv_live_k"));
    }

    #[test]
    fn messages_are_short_and_on_one_line() {
        let shown = refusal(400, "a\r\nb\u{1b}[31mc\u{202e}d\0").message;
        assert_eq!(shown, "a  b [31mc d");
        let long = refusal(400, &"é".repeat(100_000)).message;
        assert!(long.len() <= MAX_MESSAGE && long.len() > MAX_MESSAGE - 4);
    }

    #[test]
    fn reasons_are_words() {
        let body = json!({"reason": "Not Found<b>"}).to_string();
        assert_eq!(ClusterRefusal::of(StatusCode::NOT_FOUND, body.as_bytes()).reason, "cluster_refused");
    }
}
