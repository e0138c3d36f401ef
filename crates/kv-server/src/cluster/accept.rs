//! The forms in which a caller can read an answer, as Kubernetes writes them: `application/json;as=Table;v=v1;g=meta.k8s.io`.
//!
//! Read part by part and written anew. Where values are to be masked or lists put together, JSON alone is left: of any other
//! form nothing of the kind could be done.

/// As much of the field as is read.
const MAX: usize = 2 * 1024;
const JSON: &str = "application/json";

/// What a cluster is asked to answer in; JSON unless something else was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept(String);

impl Default for Accept {
    fn default() -> Self {
        Self(JSON.to_owned())
    }
}

/// None of the forms that the caller can read can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer to this can be had in JSON only; send `Accept: application/json`")]
pub struct NotAcceptable;

impl Accept {
    /// Reads the field. `json_only` leaves out what could not be looked into.
    ///
    /// # Errors
    /// [`NotAcceptable`] where nothing is left, or the field cannot be read.
    pub fn parse(field: &str, json_only: bool) -> Result<Self, NotAcceptable> {
        if field.len() > MAX || !field.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(NotAcceptable);
        }
        let ranges = field.split(',').map(str::trim).filter(|range| !range.is_empty());
        let kept: Vec<String> = ranges.filter_map(|range| kept(range, json_only)).collect();
        match kept.is_empty() {
            true if field.trim().is_empty() => Ok(Self::default()),
            true => Err(NotAcceptable),
            false => Ok(Self(kept.join(","))),
        }
    }

    /// The field as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn kept(range: &str, json_only: bool) -> Option<String> {
    let (essence, parameters) = range.split_once(';').unwrap_or((range, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let known = match essence.as_str() {
        "*/*" | "application/*" if json_only => JSON,
        "application/json" | "*/*" | "application/*" => &essence,
        _ if json_only => return None,
        "application/yaml" | "text/plain" | "application/vnd.kubernetes.protobuf" => &essence,
        // The schemas, in the form that client libraries of Go read them.
        other if other.starts_with("application/com.github.proto-openapi.spec.") => other,
        _ => return None,
    };
    let parameters: Vec<&str> = parameters.split(';').map(str::trim).filter(|text| !text.is_empty()).collect();
    let plain = |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"=._-+@/\"".contains(&b));
    if !parameters.iter().all(plain) {
        return None;
    }
    Some([known].into_iter().chain(parameters).collect::<Vec<_>>().join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

    #[test]
    fn what_clients_send_is_passed_on() {
        let kubectl = format!("{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json");
        assert_eq!(Accept::parse(&kubectl, true).unwrap().as_str(), kubectl);
        assert_eq!(Accept::parse("application/json, */*", false).unwrap().as_str(), "application/json,*/*");
        assert_eq!(Accept::parse("", true).unwrap(), Accept::default());
        let schemas = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert_eq!(Accept::parse(schemas, false).unwrap().as_str(), schemas);
    }

    #[test]
    fn attack_81_what_cannot_be_masked_is_not_asked_for() {
        for form in ["application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "application/cbor"] {
            assert_eq!(Accept::parse(form, true), Err(NotAcceptable), "{form}");
            assert_eq!(Accept::parse(&format!("{form},{TABLE}"), true).unwrap().as_str(), TABLE);
        }
        assert_eq!(Accept::parse("*/*", true).unwrap().as_str(), "application/json");
    }

    #[test]
    fn attack_146_nothing_else_gets_in() {
        for field in ["text/html", "application/json\r\nX: y", "é", &"a,".repeat(2_000), "application/json;a=(b)"] {
            assert_eq!(Accept::parse(field, false), Err(NotAcceptable), "{field:?}");
        }
    }
}
