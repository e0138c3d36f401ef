//! Bodies on their way to a cluster: what they are, and that they say the same as the path.
//!
//! Nothing here changes a body: it is read strictly, so that the cluster cannot read something else in it, and then sent
//! byte for byte.

use kv_authz::{Subresource, kubernetes::KubernetesVerb};
use serde_json::{Map, Value};

use super::{json, path::ObjectPath, protobuf};

/// As much as an API server accepts.
pub const MAX_BODY: usize = 3 * 1024 * 1024;

const JSON: &str = "application/json";
/// Kubernetes' own kinds in a form of its own.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// A body that is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// 415: not a content type this verb takes.
    #[error("this content type is not supported here; send JSON")]
    Unsupported,
    /// 413.
    #[error("the body is larger than 3 MiB")]
    TooLarge,
    /// 400: not strictly JSON.
    #[error(transparent)]
    Json(#[from] json::JsonError),
    /// 400: not what its content type says.
    #[error(transparent)]
    Protobuf(#[from] protobuf::ProtobufError),
    /// 400: not of the shape this verb takes.
    #[error("the body is not {0}")]
    Shape(&'static str),
    /// 400: the body names something else than the path.
    #[error("`{0}` in the body differs from the path")]
    Mismatch(&'static str),
    /// 400: the patch would rename the object or change what it is.
    #[error("a JSON patch cannot touch `{0}`")]
    Immovable(&'static str),
}

/// A body that may be sent as it came.
#[derive(Debug)]
pub struct CheckedBody {
    content_type: &'static str,
    value: Value,
}

impl CheckedBody {
    /// The content type to send it with.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// What stands in it.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether it is a JSON patch, which can move values about without naming them.
    #[must_use]
    pub fn is_json_patch(&self) -> bool {
        self.content_type == JSON_PATCH
    }

    /// The name the body gives the object, for the audit entry of a creation.
    #[must_use]
    pub fn object_name(&self) -> Option<&str> {
        self.value.pointer("/metadata/name")?.as_str()
    }
}

/// Checks the body of a creation, a replacement or a patch.
///
/// # Errors
/// [`BodyError`] naming the field or the rule.
pub fn check(bytes: &[u8], content_type: Option<&str>, path: &ObjectPath) -> Result<CheckedBody, BodyError> {
    let content_type = upstream_type(content_type.unwrap_or_default(), path.verb()).ok_or(BodyError::Unsupported)?;
    if bytes.len() > MAX_BODY {
        return Err(BodyError::TooLarge);
    }
    // How it is to be deleted, not what: there is nothing in it to compare.
    if matches!(path.verb(), KubernetesVerb::Delete | KubernetesVerb::DeleteCollection) {
        let value = value(bytes, content_type)?;
        let kind = value.get("kind").and_then(Value::as_str);
        return match (value.is_object(), kind) {
            (true, None | Some("DeleteOptions")) => Ok(CheckedBody { content_type, value }),
            _ => Err(BodyError::Shape("`DeleteOptions`")),
        };
    }
    let value = value(bytes, content_type)?;
    match (content_type, &value) {
        (JSON_PATCH, Value::Array(operations)) => operations.iter().try_for_each(operation)?,
        (JSON_PATCH, _) => return Err(BodyError::Shape("a JSON patch, which is an array")),
        // It is read as YAML, where this key pulls in what stands elsewhere.
        (APPLY_PATCH, _) if json::has_key(&value, "<<") => return Err(BodyError::Shape("plain JSON")),
        (_, Value::Object(object)) => same_object(object, path)?,
        _ => return Err(BodyError::Shape("an object")),
    }
    Ok(CheckedBody { content_type, value })
}

fn value(bytes: &[u8], content_type: &str) -> Result<Value, BodyError> {
    Ok(if content_type == PROTOBUF { protobuf::read(bytes)? } else { json::parse(bytes)? })
}

fn upstream_type(content_type: &str, verb: KubernetesVerb) -> Option<&'static str> {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let charset = parameters.trim().to_ascii_lowercase();
    if !matches!(charset.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"") {
        return None;
    }
    let essence = essence.trim().to_ascii_lowercase();
    match (verb, essence.as_str()) {
        (
            KubernetesVerb::Create | KubernetesVerb::Update | KubernetesVerb::Delete | KubernetesVerb::DeleteCollection,
            JSON | PROTOBUF,
        ) => Some(if essence == JSON { JSON } else { PROTOBUF }),
        (KubernetesVerb::Patch, JSON | MERGE_PATCH) => Some(MERGE_PATCH),
        (KubernetesVerb::Patch, JSON_PATCH) => Some(JSON_PATCH),
        (KubernetesVerb::Patch, STRATEGIC_PATCH) => Some(STRATEGIC_PATCH),
        (KubernetesVerb::Patch, APPLY_PATCH) => Some(APPLY_PATCH),
        _ => None,
    }
}

/// What the body says it is must be what the path says.
fn same_object(object: &Map<String, Value>, path: &ObjectPath) -> Result<(), BodyError> {
    let patch = path.verb() == KubernetesVerb::Patch;
    let same = |value: Option<&Value>, expected: Option<&str>, field| match value {
        None => Ok(()),
        // In an object null is nothing; in a patch it takes the field away.
        Some(Value::Null) if !patch => Ok(()),
        Some(Value::String(text)) if Some(text.as_str()) == expected => Ok(()),
        // Some clients write what lives in no namespace with an empty one.
        Some(Value::String(text)) if text.is_empty() && expected.is_none() => Ok(()),
        Some(_) => Err(BodyError::Mismatch(field)),
    };
    let served = path.served();
    // A part of an object may be of another kind than the object: a Scale, an Eviction.
    if matches!(path.subresource(), None | Some(Subresource::Status)) {
        same(object.get("kind"), Some(served.kind()), "kind")?;
        same(object.get("apiVersion"), Some(&served.api_version()), "apiVersion")?;
    }
    let metadata = match object.get("metadata") {
        None => return Ok(()),
        Some(Value::Null) if !patch => return Ok(()),
        Some(Value::Object(metadata)) => metadata,
        Some(_) => return Err(BodyError::Mismatch("metadata")),
    };
    let namespace = path.namespace().map(super::names::Namespace::as_str);
    same(metadata.get("namespace"), namespace, "metadata.namespace")?;
    match (path.verb(), path.name()) {
        // A creation's name stands in the body alone.
        (KubernetesVerb::Create, None) => Ok(()),
        (_, name) => same(metadata.get("name"), name.map(super::names::ObjectName::as_str), "metadata.name"),
    }
}

/// One operation of a JSON patch: it must leave alone what makes the object this one.
fn operation(value: &Value) -> Result<(), BodyError> {
    let text = |key| value.get(key).map(|value| value.as_str().ok_or(BodyError::Shape("a JSON patch"))).transpose();
    let verb = text("op")?.ok_or(BodyError::Shape("a JSON patch"))?;
    let path = text("path")?.ok_or(BodyError::Shape("a JSON patch"))?;
    let from = text("from")?;
    match verb {
        // It changes nothing.
        "test" => return well_formed(path),
        "add" | "remove" | "replace" => {}
        "copy" | "move" if from.is_some() => {}
        _ => return Err(BodyError::Shape("a JSON patch")),
    }
    for pointer in [Some(path), from.filter(|_| verb == "move")].into_iter().flatten() {
        if let Some(fixed) = touches_fixed(pointer) {
            return Err(BodyError::Immovable(fixed));
        }
    }
    [Some(path), from].into_iter().flatten().try_for_each(well_formed)
}

/// Without its first slash a pointer is read by some as if it had one, by others as nothing.
fn well_formed(pointer: &str) -> Result<(), BodyError> {
    if pointer.is_empty() || pointer.starts_with('/') { Ok(()) } else { Err(BodyError::Shape("a JSON patch")) }
}

fn touches_fixed(pointer: &str) -> Option<&'static str> {
    let unescaped = |token: &str| token.replace("~1", "/").replace("~0", "~");
    let tokens: Vec<String> = pointer.split('/').skip(1).map(unescaped).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    match tokens.as_slice() {
        [] => Some("the whole object"),
        ["metadata"] => Some("metadata"),
        ["metadata", "name", ..] => Some("metadata.name"),
        ["metadata", "namespace", ..] => Some("metadata.namespace"),
        ["kind", ..] => Some("kind"),
        ["apiVersion", ..] => Some("apiVersion"),
        _ => None,
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
