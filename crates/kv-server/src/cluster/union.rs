//! One list out of several: what a caller with some namespaces gets instead of the list of all.
//!
//! Nothing of the parts goes in but their items: no page, no count and no version that would tell of what was left out.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What each part was asked for, and what its items must therefore say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartOf {
    /// Objects of one namespace.
    Namespace,
    /// The list of namespaces, with one namespace alone.
    Namespaces,
}

/// The parts are not lists of the same kind, or hold what was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cluster's lists cannot be put together")]
pub struct UnionError;

/// Puts the answers together, in the order of their namespaces: lists of the kind, of its metadata alone, or tables.
///
/// # Errors
/// [`UnionError`] if a part is no list, of another kind than the others, or has an item of another namespace.
pub fn merge<B: AsRef<[u8]>>(
    kind: &str,
    api_version: &str,
    part_of: PartOf,
    answers: &BTreeMap<String, B>,
) -> Result<Vec<u8>, UnionError> {
    let own = (format!("{kind}List"), api_version.to_owned());
    let mut items = Vec::new();
    let mut whole: Option<Form> = None;
    for (namespace, answer) in answers {
        let mut part: Map<String, Value> = serde_json::from_slice(answer.as_ref()).map_err(|_| UnionError)?;
        let form = Form::of(&mut part, &own)?;
        if whole.as_ref().is_some_and(|known| known.kind != form.kind || known.api_version != form.api_version) {
            return Err(UnionError);
        }
        let form = whole.get_or_insert(form);
        let found = match part.remove(form.field) {
            Some(Value::Array(found)) => found,
            Some(Value::Null) | None => continue,
            Some(_) => return Err(UnionError),
        };
        let pointer = match part_of {
            PartOf::Namespace => "/metadata/namespace",
            PartOf::Namespaces => "/metadata/name",
        };
        let foreign = |item: &Value| {
            // A row may come without its object; then it is what was asked for.
            let object =
                if form.field == "rows" { item.get("object").filter(|object| !object.is_null()) } else { Some(item) };
            object.is_some_and(|object| object.pointer(pointer).and_then(Value::as_str) != Some(namespace))
        };
        if found.iter().any(foreign) {
            return Err(UnionError);
        }
        items.extend(found);
    }
    let form = whole.unwrap_or(Form { kind: own.0, api_version: own.1, field: "items", columns: None });
    let mut list = json!({"kind": form.kind, "apiVersion": form.api_version, "metadata": {}});
    list[form.field] = Value::Array(items);
    if let Some(columns) = form.columns {
        list["columnDefinitions"] = columns;
    }
    serde_json::to_vec(&list).map_err(|_| UnionError)
}

/// Which kind of list a part is.
struct Form {
    kind: String,
    api_version: String,
    field: &'static str,
    columns: Option<Value>,
}

impl Form {
    fn of(part: &mut Map<String, Value>, own: &(String, String)) -> Result<Self, UnionError> {
        let says = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, api_version) = (says("kind"), says("apiVersion"));
        let is_meta = api_version.starts_with("meta.k8s.io/");
        let field = match kind.as_str() {
            _ if (&kind, &api_version) == (&own.0, &own.1) => "items",
            "PartialObjectMetadataList" if is_meta => "items",
            "Table" if is_meta => "rows",
            _ => return Err(UnionError),
        };
        Ok(Self { kind, api_version, field, columns: part.remove("columnDefinitions") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(namespace: &str, names: &[&str]) -> (String, Vec<u8>) {
        let items: Vec<_> =
            names.iter().map(|name| json!({"metadata": {"name": name, "namespace": namespace}})).collect();
        let metadata = json!({"resourceVersion": "77", "continue": "x", "remainingItemCount": 9});
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items});
        (namespace.to_owned(), list.to_string().into_bytes())
    }

    fn merged(parts: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Value, UnionError> {
        let parts = parts.into_iter().collect();
        merge("Pod", "v1", PartOf::Namespace, &parts).map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn attack_116_only_the_items_are_left() {
        let list = merged([part("b", &["3"]), part("a", &["2", "1"]), part("c", &[])]).unwrap();
        let names: Vec<_> =
            list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["2", "1", "3"]);
        assert_eq!(list["kind"], "PodList");
        assert_eq!(list["metadata"], json!({}));
        assert_eq!(merged([]).unwrap()["items"], json!([]));
    }

    #[test]
    fn attack_116_items_of_other_namespaces_and_other_kinds_are_refused() {
        let (_, foreign) = part("kube-system", &["x"]);
        assert_eq!(merged([("a".to_owned(), foreign)]), Err(UnionError));
        for answer in ["", "[]", "{}", r#"{"kind":"Status"}"#, r#"{"kind":"PodList","apiVersion":"v1","items":7}"#] {
            assert_eq!(merged([("a".to_owned(), answer.into())]), Err(UnionError), "{answer}");
        }
    }

    #[test]
    fn namespaces_go_by_name() {
        let list = json!({"kind": "NamespaceList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]});
        let parts = BTreeMap::from([("a".to_owned(), list.to_string())]);
        assert!(merge("Namespace", "v1", PartOf::Namespaces, &parts).is_ok());
        let parts = BTreeMap::from([("b".to_owned(), list.to_string())]);
        assert_eq!(merge("Namespace", "v1", PartOf::Namespaces, &parts), Err(UnionError));
    }
}
