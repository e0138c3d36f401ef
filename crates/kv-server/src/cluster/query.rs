//! The query of a request: a list of allowed parameters for each verb, checked one by one and written anew.
//!
//! Nothing passes here that is not on the list, not even unread: a watch, a followed log or another namespace cannot be
//! asked for through a parameter. No part of the caller's query is copied as it came.

use actix_web::web;
use kv_authz::kubernetes::KubernetesVerb;
use std::fmt::Write as _;

use super::names::Namespace;

/// As much of a query as is read at all; a `continue` token is the longest part of it.
const MAX_QUERY: usize = 16 * 1024;

/// A query that is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The parameter is not on the verb's list.
    #[error("the query parameter `{0}` is not allowed here")]
    Unknown(String),
    /// The parameter is given twice.
    #[error("the query parameter `{0}` is given more than once")]
    Duplicate(&'static str),
    /// The parameter has a value it cannot have.
    #[error("the query parameter `{0}` has a value it cannot have")]
    Value(&'static str),
    /// The query cannot be read.
    #[error("the query is too long or malformed")]
    Malformed,
}

/// Which values a parameter takes.
#[derive(Clone, Copy)]
enum Takes {
    /// Anything; it is dropped.
    Dropped,
    Number,
    Bool,
    OneOf(&'static [&'static str]),
    /// A text up to this many bytes, without control characters.
    Text(usize),
}

impl Takes {
    fn accepts(self, value: &str) -> bool {
        match self {
            Takes::Dropped => true,
            Takes::Number => (1..=9).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()),
            Takes::Bool => matches!(value, "true" | "false"),
            Takes::OneOf(values) => values.contains(&value),
            // U+FFFD stands where the query was not UTF-8.
            Takes::Text(max) => value.len() <= max && !value.chars().any(|c| c.is_control() || c == '\u{fffd}'),
        }
    }
}

type Parameter = (&'static str, Takes);

const GET: &[Parameter] = &[("pretty", Takes::Dropped)];
const LIST: &[Parameter] = &[
    ("pretty", Takes::Dropped),
    ("limit", Takes::Number),
    ("continue", Takes::Text(8 * 1024)),
    ("labelSelector", Takes::Text(4 * 1024)),
    ("fieldSelector", Takes::Text(4 * 1024)),
    ("resourceVersion", Takes::Text(128)),
    ("resourceVersionMatch", Takes::OneOf(&["Exact", "NotOlderThan"])),
];
const DRY_RUN: Parameter = ("dryRun", Takes::OneOf(&["All"]));
const WRITE: &[Parameter] =
    &[DRY_RUN, ("fieldManager", Takes::Text(128)), ("fieldValidation", Takes::OneOf(&["Ignore", "Strict", "Warn"]))];
const PATCH: &[Parameter] = &[WRITE[0], WRITE[1], WRITE[2], ("force", Takes::Bool)];
const DELETE: &[Parameter] = &[
    DRY_RUN,
    ("gracePeriodSeconds", Takes::Number),
    ("propagationPolicy", Takes::OneOf(&["Background", "Foreground", "Orphan"])),
];

fn allowed(verb: KubernetesVerb) -> &'static [Parameter] {
    match verb {
        KubernetesVerb::Get => GET,
        KubernetesVerb::List => LIST,
        KubernetesVerb::Create | KubernetesVerb::Update => WRITE,
        KubernetesVerb::Patch => PATCH,
        KubernetesVerb::Delete => DELETE,
    }
}

/// A query as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamQuery {
    parameters: Vec<(&'static str, String)>,
    text: String,
}

impl UpstreamQuery {
    /// Checks a raw query, as it stood in the request.
    ///
    /// # Errors
    /// [`QueryError`] naming the parameter.
    pub fn parse(verb: KubernetesVerb, raw: &str) -> Result<Self, QueryError> {
        if raw.len() > MAX_QUERY {
            return Err(QueryError::Malformed);
        }
        let given =
            web::Query::<Vec<(String, String)>>::from_query(raw).map_err(|_| QueryError::Malformed)?.into_inner();
        let mut seen: Vec<(&'static str, Takes, String)> = Vec::new();
        for (name, value) in given {
            let known = allowed(verb).iter().find(|(known, _)| *known == name);
            let &(name, takes) = known.ok_or_else(|| QueryError::Unknown(shown(&name)))?;
            if seen.iter().any(|(other, ..)| *other == name) {
                return Err(QueryError::Duplicate(name));
            }
            if !takes.accepts(&value) {
                return Err(QueryError::Value(name));
            }
            seen.push((name, takes, value));
        }
        let sent = seen.into_iter().filter(|(_, takes, _)| !matches!(takes, Takes::Dropped));
        Ok(Self::of(sent.map(|(name, _, value)| (name, value)).collect()))
    }

    /// The query of one part of a list that is put together from several: pages and versions of the parts are of no use
    /// for the whole.
    #[must_use]
    pub fn of_part(&self) -> Self {
        let whole = ["limit", "continue", "resourceVersion", "resourceVersionMatch"];
        Self::of(self.parameters.iter().filter(|(name, _)| !whole.contains(name)).cloned().collect())
    }

    /// The query of a list of namespaces that finds this one alone.
    #[must_use]
    pub fn only_namespace(&self, namespace: &Namespace) -> Self {
        let mut parameters = self.of_part().parameters;
        let ours = format!("metadata.name={}", namespace.as_str());
        match parameters.iter_mut().find(|(name, _)| *name == "fieldSelector") {
            // Ours first: a backslash at the end of the other cannot swallow it.
            Some((_, selector)) if !selector.is_empty() => *selector = format!("{ours},{selector}"),
            Some((_, selector)) => *selector = ours,
            None => parameters.push(("fieldSelector", ours)),
        }
        Self::of(parameters)
    }

    /// Whether the write is only tried out.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.parameters.iter().any(|(name, _)| *name == "dryRun")
    }

    /// The query as a text, without the question mark; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn of(parameters: Vec<(&'static str, String)>) -> Self {
        let mut text = String::new();
        for (name, value) in &parameters {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            encode(value, &mut text);
        }
        Self { parameters, text }
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// The beginning of a parameter's name, as it may stand in an answer.
fn shown(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '?' };
    name.chars().take(40).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use KubernetesVerb::{Create, Delete, Get, List, Patch, Update};

    fn sent(verb: KubernetesVerb, raw: &str) -> String {
        UpstreamQuery::parse(verb, raw).unwrap().text
    }

    #[test]
    fn allowed_parameters_are_written_anew() {
        assert_eq!(sent(Get, ""), "");
        assert_eq!(sent(Get, "pretty=true"), "");
        assert_eq!(sent(List, "labelSelector=app+in+(a,b)&limit=5"), "labelSelector=app%20in%20%28a%2Cb%29&limit=5");
        assert_eq!(sent(List, "labelSelector=a%3Db%26watch%3D1"), "labelSelector=a%3Db%26watch%3D1");
        assert_eq!(sent(Create, "dryRun=All&fieldManager=ci"), "dryRun=All&fieldManager=ci");
        assert_eq!(sent(Patch, "force=true&fieldValidation=Strict"), "force=true&fieldValidation=Strict");
        assert_eq!(sent(Delete, "gracePeriodSeconds=0"), "gracePeriodSeconds=0");
        assert!(UpstreamQuery::parse(Update, "dryRun=All").unwrap().is_dry_run());
    }

    #[test]
    fn attack_117_other_namespaces_and_duplicates_are_refused() {
        for verb in [Get, List, Create, Update, Patch, Delete] {
            let error = UpstreamQuery::parse(verb, "namespace=kube-system").unwrap_err();
            assert_eq!(error, QueryError::Unknown("namespace".to_owned()));
        }
        assert_eq!(UpstreamQuery::parse(List, "limit=1&limit=2"), Err(QueryError::Duplicate("limit")));
        assert_eq!(UpstreamQuery::parse(List, "limit=1&%6cimit=1"), Err(QueryError::Duplicate("limit")));
        assert_eq!(UpstreamQuery::parse(Get, "pretty=1&pretty=1"), Err(QueryError::Duplicate("pretty")));
    }

    #[test]
    fn attack_120_125_watches_and_force_are_refused() {
        for raw in
            ["watch=1", "watch=true", "%77atch=1", "follow=true", "allowWatchBookmarks=true", "Limit=1", "=", "a"]
        {
            assert!(matches!(UpstreamQuery::parse(List, raw), Err(QueryError::Unknown(_))), "{raw}");
            assert!(UpstreamQuery::parse(Get, raw).is_err(), "{raw}");
        }
        assert!(UpstreamQuery::parse(Update, "force=true").is_err());
        assert!(UpstreamQuery::parse(Delete, "fieldManager=a").is_err());
    }

    #[test]
    fn values_that_cannot_be() {
        for (verb, raw, name) in [
            (List, "limit=-1", "limit"),
            (List, "limit=1e9", "limit"),
            (List, "limit=", "limit"),
            (List, "labelSelector=a%00", "labelSelector"),
            (List, "labelSelector=a%0d%0ab", "labelSelector"),
            (List, "labelSelector=%ff", "labelSelector"),
            (Create, "dryRun=true", "dryRun"),
            (Patch, "force=1", "force"),
            (Delete, "propagationPolicy=foreground", "propagationPolicy"),
        ] {
            assert_eq!(UpstreamQuery::parse(verb, raw), Err(QueryError::Value(name)), "{raw}");
        }
        assert_eq!(UpstreamQuery::parse(List, &"a".repeat(MAX_QUERY + 1)), Err(QueryError::Malformed));
    }

    #[test]
    fn the_named_parameter_is_short_and_harmless() {
        let error = UpstreamQuery::parse(Get, &format!("<script>%0a{}=1", "x".repeat(99))).unwrap_err();
        assert_eq!(error, QueryError::Unknown(format!("?script??{}", "x".repeat(31))));
    }

    #[test]
    fn attack_116_parts_of_a_list_have_no_pages() {
        let whole = UpstreamQuery::parse(List, "limit=1&continue=abc&labelSelector=a&resourceVersion=5").unwrap();
        assert_eq!(whole.of_part().as_str(), "labelSelector=a");
        let namespace = Namespace::parse("team-a").unwrap();
        assert_eq!(whole.only_namespace(&namespace).as_str(), "labelSelector=a&fieldSelector=metadata.name%3Dteam-a");
        let other = UpstreamQuery::parse(List, "fieldSelector=metadata.name%3Dkube-system%5C").unwrap();
        assert_eq!(
            other.only_namespace(&namespace).as_str(),
            "fieldSelector=metadata.name%3Dteam-a%2Cmetadata.name%3Dkube-system%5C"
        );
    }
}
