//! Hiding the values of Secrets from those who may see Secrets but not what is in them.
//!
//! Fails closed: an answer that is not understood is not passed on. Nothing here decides who is shown what; that is
//! `kv-authz`, whose [`Allowed::mask_secrets`](kv_authz::kubernetes::Allowed) asks for it.

use serde_json::{Map, Value};

use super::body::CheckedBody;

/// What stands in `stringData` instead of a value.
pub const MASK: &str = "********";
/// What stands in `data` instead of a value: the same in base64.
pub const MASK_BASE64: &str = "KioqKioqKio=";

/// Annotations in which tools keep a copy of the whole object, by the end of their names.
const COPIES: [&str; 4] = ["/last-applied-configuration", "/last-applied", "/original", "/applied"];
/// A copy in a copy in a copy is enough.
const MAX_COPIES: usize = 3;

/// An answer in which nothing could be masked, and which therefore goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cluster's answer cannot be masked")]
pub struct MaskError;

/// Masks an answer to a request for Secrets: one, a list of them, a table, their metadata alone, or a `Status`.
///
/// # Errors
/// [`MaskError`] for everything else.
pub fn mask_answer(body: &[u8]) -> Result<Vec<u8>, MaskError> {
    let mut answer: Value = serde_json::from_slice(body).map_err(|_| MaskError)?;
    mask_object(&mut answer)?;
    serde_json::to_vec(&answer).map_err(|_| MaskError)
}

/// Masks one event of a watch of Secrets.
///
/// # Errors
/// [`MaskError`] for anything else.
pub fn mask_event(line: &[u8]) -> Result<Vec<u8>, MaskError> {
    let mut event: Value = serde_json::from_slice(line).map_err(|_| MaskError)?;
    mask_object(event.get_mut("object").ok_or(MaskError)?)?;
    let mut masked = serde_json::to_vec(&event).map_err(|_| MaskError)?;
    masked.push(b'\n');
    Ok(masked)
}

fn mask_object(answer: &mut Value) -> Result<(), MaskError> {
    let object = answer.as_object_mut().ok_or(MaskError)?;
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let field = match kind.as_str() {
        // The metadata alone has the copies of the object that tools keep there.
        "Secret" | "PartialObjectMetadata" => return mask_secret(object, 0),
        "Status" => return Ok(()),
        "SecretList" | "PartialObjectMetadataList" => "items",
        "Table" => "rows",
        _ => return Err(MaskError),
    };
    let items = match object.get_mut(field) {
        Some(Value::Array(items)) => items,
        Some(Value::Null) | None => return Ok(()),
        Some(_) => return Err(MaskError),
    };
    for item in items {
        let item = match (field, item) {
            // Of the cells none holds a value: name, type, how many values, age.
            ("rows", row) => match row.get_mut("object") {
                Some(Value::Null) | None => continue,
                Some(object) => object,
            },
            (_, item) => item,
        };
        mask_secret(item.as_object_mut().ok_or(MaskError)?, 0)?;
    }
    Ok(())
}

fn mask_secret(secret: &mut Map<String, Value>, depth: usize) -> Result<(), MaskError> {
    for (field, mask) in [("data", MASK_BASE64), ("stringData", MASK)] {
        match secret.get_mut(field) {
            Some(Value::Object(values)) => values.values_mut().for_each(|value| *value = mask.into()),
            Some(Value::Null) | None => {}
            Some(_) => return Err(MaskError),
        }
    }
    let metadata = match secret.get_mut("metadata") {
        Some(Value::Object(metadata)) => metadata,
        Some(Value::Null) | None => return Ok(()),
        Some(_) => return Err(MaskError),
    };
    match metadata.get_mut("annotations") {
        Some(Value::Object(annotations)) => annotations.retain(|name, value| keep_annotation(name, value, depth)),
        Some(Value::Null) | None => {}
        Some(_) => return Err(MaskError),
    }
    Ok(())
}

/// Masks what is a copy of the object; false if it may be one and cannot be read.
fn keep_annotation(name: &str, value: &mut Value, depth: usize) -> bool {
    let called_copy = COPIES.iter().any(|end| name.ends_with(end));
    let Some(Value::Object(mut copy)) = value.as_str().and_then(|text| serde_json::from_str(text).ok()) else {
        return !called_copy;
    };
    if !called_copy && !copy.contains_key("data") && !copy.contains_key("stringData") {
        return true;
    }
    if depth >= MAX_COPIES || mask_secret(&mut copy, depth + 1).is_err() {
        return false;
    }
    *value = Value::Object(copy).to_string().into();
    true
}

/// Whether a write would put the mask where the value was: somebody sends back what they were shown.
#[must_use]
pub fn would_store_mask(value: &Value) -> bool {
    stores_mask(value, 0)
}

fn stores_mask(value: &Value, depth: usize) -> bool {
    match value {
        Value::String(text) if text == MASK || text == MASK_BASE64 => true,
        // A copy of the object in an annotation holds the mask inside a text.
        Value::String(text) if depth <= MAX_COPIES && text.starts_with('{') => {
            serde_json::from_str(text).is_ok_and(|copy| stores_mask(&copy, depth + 1))
        }
        Value::Array(items) => items.iter().any(|item| stores_mask(item, depth)),
        Value::Object(object) => object.values().any(|item| stores_mask(item, depth)),
        _ => false,
    }
}

/// Whether a patch of a Secret would show a value to somebody it is masked for: by copying it to where nothing is masked,
/// or by asking whether it is a certain one.
#[must_use]
pub fn would_reveal(body: &CheckedBody) -> bool {
    let Some(operations) = body.value().as_array().filter(|_| body.is_json_patch()) else { return false };
    operations.iter().any(|operation| {
        let text = |key| operation.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("op") {
            "add" | "remove" | "replace" => false,
            "test" => !matches!(text("path"), "/metadata/resourceVersion" | "/metadata/uid"),
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde_json::json;

    fn masked(value: &Value) -> Value {
        serde_json::from_slice(&mask_answer(value.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn the_masks_are_eight_asterisks() {
        assert_eq!(BASE64_STANDARD.encode(MASK), MASK_BASE64);
        assert_eq!(MASK, "*".repeat(8));
    }

    #[test]
    fn values_and_their_copies_are_masked() {
        let applied = json!({"kind": "Secret", "data": {"p": "aHVudGVyMg=="}, "stringData": {"q": "hunter2"}});
        let secret = json!({
            "kind": "Secret", "apiVersion": "v1",
            "metadata": {"name": "s", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": applied.to_string(),
                "kapp.k14s.io/original": applied.to_string(),
                "objectset.rio.cattle.io/applied": "H4sIAhunter2",
                "note": "kept", "shape": "{\"a\":1}",
            }},
            "data": {"p": "aHVudGVyMg==", "odd": 7}, "stringData": {"q": "hunter2"}, "type": "Opaque",
        });
        let shown = masked(&secret);
        let text = shown.to_string();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        assert_eq!(shown["data"], json!({"p": MASK_BASE64, "odd": MASK_BASE64}));
        assert_eq!(shown["stringData"], json!({"q": MASK}));
        assert_eq!(shown["type"], "Opaque");
        let annotations = shown["metadata"]["annotations"].as_object().unwrap();
        assert_eq!(annotations["note"], "kept");
        assert_eq!(annotations["shape"], "{\"a\":1}");
        assert!(
            annotations["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap().contains(MASK_BASE64)
        );
        assert!(!annotations.contains_key("objectset.rio.cattle.io/applied"));
    }

    #[test]
    fn unreadable_copies_are_dropped() {
        for copy in ["{\"data\":", "[1]", "", "{\"data\":\"hunter2\"}", "{\"metadata\":7}"] {
            let name = "kubectl.kubernetes.io/last-applied-configuration";
            let shown = masked(&json!({"kind": "Secret", "metadata": {"annotations": {name: copy}}}));
            assert_eq!(shown["metadata"]["annotations"], json!({}), "{copy}");
        }
    }

    #[test]
    fn copies_in_copies_are_masked_and_end() {
        let mut copy = json!({"data": {"p": "aHVudGVyMg=="}});
        for _ in 0..6 {
            copy = json!({"metadata": {"annotations": {"a/last-applied": copy.to_string()}}, "data": {}});
        }
        copy["kind"] = "Secret".into();
        assert!(!masked(&copy).to_string().contains("aHVudGVyMg"));
    }

    #[test]
    fn lists_and_statuses() {
        let shown = masked(&json!({"kind": "SecretList", "items": [{"data": {"a": "eA=="}}, {"data": null}, {}]}));
        assert_eq!(shown["items"], json!([{"data": {"a": MASK_BASE64}}, {"data": null}, {}]));
        assert_eq!(masked(&json!({"kind": "SecretList", "items": null}))["items"], Value::Null);
        let status = json!({"kind": "Status", "status": "Failure", "message": "no"});
        assert_eq!(masked(&status), status);
    }

    #[test]
    fn what_is_not_understood_goes_nowhere() {
        for answer in [
            "",
            "[]",
            "\"x\"",
            "{}",
            "{\"kind\":\"Table\",\"rows\":[{\"object\":7}]}",
            "{\"kind\":\"PodList\",\"items\":[]}",
            "{\"kind\":\"List\",\"items\":[]}",
            "{\"kind\":\"WatchEvent\"}",
            "{\"kind\":7}",
            "{\"kind\":\"Secret\",\"data\":\"x\"}",
            "{\"kind\":\"Secret\",\"metadata\":[]}",
            "{\"kind\":\"SecretList\",\"items\":{}}",
            "{\"kind\":\"SecretList\",\"items\":[1]}",
            "{\"kind\":\"Secret\",\"metadata\":{\"annotations\":\"x\"}}",
        ] {
            assert_eq!(mask_answer(answer.as_bytes()), Err(MaskError), "{answer}");
        }
    }

    #[test]
    fn masks_are_not_stored() {
        for value in [
            json!({"data": {"a": MASK_BASE64}}),
            json!({"stringData": {"a": MASK}}),
            json!([{"op": "add", "path": "/data/a", "value": MASK_BASE64}]),
            json!({"metadata": {"annotations": {"x": json!({"data": {"a": MASK_BASE64}}).to_string()}}}),
        ] {
            assert!(would_store_mask(&value), "{value}");
        }
        assert!(!would_store_mask(&json!({"data": {"a": "aHVudGVyMg=="}, "note": "a ******** b"})));
    }
}
