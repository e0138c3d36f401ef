//! Objects in Kubernetes' protobuf form, which kubectl sends its own kinds in: as much of them as is compared with the path,
//! and what questions about one's own rights ask.
//!
//! The messages are parts of Kubernetes' own (`runtime.Unknown`, `ObjectMeta`, `Secret`, `SelfSubjectAccessReview`), with its
//! field numbers. Nothing is written in this form here: a body is sent on byte for byte.

use base64::{Engine, prelude::BASE64_STANDARD};
use prost::Message;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// What every object in this form begins with.
const MAGIC: &[u8] = b"k8s\0";

/// The bytes are no object in this form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not an object in Kubernetes' protobuf form")]
pub struct ProtobufError;

#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
    #[prost(string, tag = "3")]
    content_encoding: String,
    #[prost(string, tag = "4")]
    content_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

/// An object as far as all have it in common; and a Secret's values.
#[derive(Clone, PartialEq, Message)]
struct Object {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    generate_name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(map = "string, string", tag = "12")]
    annotations: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Secret {
    #[prost(map = "string, bytes", tag = "2")]
    data: HashMap<String, Vec<u8>>,
    #[prost(map = "string, string", tag = "4")]
    string_data: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Review {
    #[prost(message, optional, tag = "2")]
    spec: Option<ReviewSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct ReviewSpec {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceAttributes>,
    #[prost(message, optional, tag = "2")]
    path: Option<NonResourceAttributes>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceAttributes {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    verb: String,
    #[prost(string, tag = "3")]
    group: String,
    #[prost(string, tag = "4")]
    version: String,
    #[prost(string, tag = "5")]
    resource: String,
    #[prost(string, tag = "6")]
    subresource: String,
    #[prost(string, tag = "7")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct NonResourceAttributes {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    verb: String,
}

#[derive(Clone, PartialEq, Message)]
struct RulesReview {
    #[prost(message, optional, tag = "2")]
    spec: Option<RulesSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct RulesSpec {
    #[prost(string, tag = "1")]
    namespace: String,
}

/// Reads an object as far as it is looked at, as the JSON it would be.
///
/// # Errors
/// [`ProtobufError`].
pub fn read(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or(ProtobufError)?;
    let unknown = Unknown::decode(envelope).map_err(|_| ProtobufError)?;
    if !unknown.content_encoding.is_empty() || !unknown.content_type.is_empty() {
        return Err(ProtobufError);
    }
    let of = unknown.type_meta.ok_or(ProtobufError)?;
    let mut value = json!({"kind": of.kind, "apiVersion": of.api_version});
    let decode = |value: Map<String, Value>| Value::Object(value);
    // Options of a deletion have other fields under these numbers.
    if of.kind == "DeleteOptions" {
        return Ok(value);
    }
    let object = Object::decode(&*unknown.raw).map_err(|_| ProtobufError)?;
    if let Some(metadata) = object.metadata {
        let mut known = Map::new();
        for (field, text) in [("name", metadata.name), ("namespace", metadata.namespace)] {
            if !text.is_empty() {
                known.insert(field.to_owned(), text.into());
            }
        }
        known.insert("annotations".to_owned(), json!(metadata.annotations));
        value["metadata"] = decode(known);
    }
    match of.kind.as_str() {
        "Secret" => {
            let secret = Secret::decode(&*unknown.raw).map_err(|_| ProtobufError)?;
            let data = secret.data.into_iter().map(|(name, bytes)| (name, BASE64_STANDARD.encode(bytes).into()));
            value["data"] = decode(data.collect());
            value["stringData"] = json!(secret.string_data);
        }
        "SelfSubjectAccessReview" => {
            let spec = Review::decode(&*unknown.raw).map_err(|_| ProtobufError)?.spec.unwrap_or_default();
            if let Some(asked) = spec.resource {
                value["spec"]["resourceAttributes"] = json!({
                    "namespace": asked.namespace, "verb": asked.verb, "group": asked.group, "version": asked.version,
                    "resource": asked.resource, "subresource": asked.subresource, "name": asked.name,
                });
            }
            if let Some(asked) = spec.path {
                value["spec"]["nonResourceAttributes"] = json!({"path": asked.path, "verb": asked.verb});
            }
        }
        "SelfSubjectRulesReview" => {
            let spec = RulesReview::decode(&*unknown.raw).map_err(|_| ProtobufError)?.spec.unwrap_or_default();
            value["spec"] = json!({"namespace": spec.namespace});
        }
        _ => {}
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, raw: &impl Message) -> Vec<u8> {
        let type_meta = Some(TypeMeta { api_version: "v1".into(), kind: kind.into() });
        let unknown = Unknown { type_meta, raw: raw.encode_to_vec(), ..Unknown::default() };
        [MAGIC, &unknown.encode_to_vec()].concat()
    }

    #[test]
    fn what_is_compared_is_read() {
        let metadata = ObjectMeta { name: "web".into(), namespace: "team".into(), ..ObjectMeta::default() };
        let read = read(&object("Pod", &Object { metadata: Some(metadata) })).unwrap();
        assert_eq!(read["kind"], "Pod");
        assert_eq!((&read["metadata"]["name"], &read["metadata"]["namespace"]), (&json!("web"), &json!("team")));
    }

    #[test]
    fn values_of_secrets_are_seen() {
        let data = HashMap::from([("p".to_owned(), b"hunter2".to_vec())]);
        let read = read(&object("Secret", &Secret { data, string_data: HashMap::new() })).unwrap();
        assert_eq!(read["data"]["p"], "aHVudGVyMg==");
    }

    #[test]
    fn anything_else_is_refused() {
        let whole = object("Pod", &Object { metadata: None });
        for bytes in [&b""[..], b"k8s\0", b"{}", &whole[..whole.len() - 1], &whole[1..]] {
            assert_eq!(read(bytes), Err(ProtobufError), "{bytes:?}");
        }
    }
}
