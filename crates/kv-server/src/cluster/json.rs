//! JSON read so that there is only one way to read it: no key twice, nothing after the end, no bottomless nesting.
//!
//! Nothing here forgives. Kubernetes takes the last of two equal keys, others the first: what is ambiguous is refused.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::{cell::Cell, fmt};

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, more than one value, or nested deeper than 127 levels.
    #[error("the body is not valid JSON, or nested too deeply")]
    Malformed,
    /// An object has a key twice.
    #[error("an object in the body has the same key twice")]
    DuplicateKey,
}

/// Reads one JSON value strictly.
///
/// # Errors
/// [`JsonError`] with the rule, never a part of the text.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let duplicate = Cell::new(false);
    // serde_json itself stops at a depth of 128.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { duplicate: &duplicate }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|_| if duplicate.get() { JsonError::DuplicateKey } else { JsonError::Malformed })
}

/// Whether an object at any depth has this key.
pub(super) fn has_key(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(name, value)| name == key || has_key(value, key)),
        Value::Array(items) => items.iter().any(|value| has_key(value, key)),
        _ => false,
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    duplicate: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(self)?;
            if object.insert(key, value).is_some() {
                self.duplicate.set(true);
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        let text = br#"{"a":[1,-2,3.5,true,null,"x\u00e9"],"b":{"c":{}},"d":18446744073709551615}"#;
        assert_eq!(parse(text), Ok(serde_json::from_slice(text).unwrap()));
    }

    #[test]
    fn duplicate_keys_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":{"b":[{"c":1,"c":2}]}}"#, r#"{"a":1,"\u0061":2}"#] {
            assert_eq!(parse(text.as_bytes()), Err(JsonError::DuplicateKey), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_value() {
        for text in
            ["", "{", "{}{}", "{} x", "{'a':1}", "{a:1}", "[1,]", "NaN", "1e400", "\u{feff}{}", "// x\n{}", "01"]
        {
            assert_eq!(parse(text.as_bytes()), Err(JsonError::Malformed), "{text}");
        }
        assert_eq!(parse(b"\"\xff\""), Err(JsonError::Malformed));
    }

    #[test]
    fn nesting_ends() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(100).as_bytes()).is_ok());
        assert_eq!(parse(nested(129).as_bytes()), Err(JsonError::Malformed));
        assert_eq!(parse("[".repeat(3_000_000).as_bytes()), Err(JsonError::Malformed));
        assert_eq!(parse(r#"{"a":"#.repeat(100_000).as_bytes()), Err(JsonError::Malformed));
    }
}
