//! The query of a request: a list of allowed parameters for each verb, checked one by one and written anew.
//!
//! Nothing passes here that is not on the list, not even unread: another namespace, or a watch where a list was allowed,
//! cannot be asked for through a parameter. No part of the caller's query is copied as it came. What is sent through a
//! cluster to what runs in it has its own parameters, which pass as any text.

use actix_web::web;
use kv_authz::{Subresource, kubernetes::KubernetesVerb};
use std::{borrow::Cow, fmt::Write as _};

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
    /// As clients of several languages write it.
    Bool,
    OneOf(&'static [&'static str]),
    /// A text up to this many bytes, without control characters.
    Text(usize),
    /// The same, and it may be given more than once.
    Each(usize),
}

impl Takes {
    /// The value as it is sent, if it is one.
    fn read(self, value: String) -> Option<String> {
        let accepted = match self {
            Takes::Dropped => true,
            Takes::Number => (1..=9).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()),
            Takes::Bool => return truth(&value).map(|truth| truth.to_string()),
            Takes::OneOf(values) => values.contains(&value.as_str()),
            // U+FFFD stands where the query was not UTF-8.
            Takes::Text(max) => value.len() <= max && !value.chars().any(|c| c.is_control() || c == '\u{fffd}'),
            // An argument of a command may have lines.
            Takes::Each(max) => value.len() <= max && !value.chars().any(|c| c == '\0' || c == '\u{fffd}'),
        };
        accepted.then_some(value)
    }
}

fn truth(value: &str) -> Option<bool> {
    match value {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
    }
}

type Parameter = (&'static str, Takes);

/// Ours to keep, or for eyes alone.
const ALWAYS: &[Parameter] = &[("pretty", Takes::Dropped), ("timeout", Takes::Dropped)];
const TABLE: Parameter = ("includeObject", Takes::OneOf(&["None", "Metadata", "Object"]));
const VERSION: Parameter = ("resourceVersion", Takes::Text(128));
const GET: &[Parameter] = &[VERSION, TABLE];
const LIST: &[Parameter] = &[
    ("limit", Takes::Number),
    ("continue", Takes::Text(8 * 1024)),
    ("labelSelector", Takes::Text(4 * 1024)),
    ("fieldSelector", Takes::Text(4 * 1024)),
    VERSION,
    ("resourceVersionMatch", Takes::OneOf(&["Exact", "NotOlderThan"])),
    ("timeoutSeconds", Takes::Number),
    TABLE,
];
const WATCH: &[Parameter] =
    &[("watch", Takes::Bool), ("allowWatchBookmarks", Takes::Bool), ("sendInitialEvents", Takes::Bool)];
const WRITE: &[Parameter] = &[
    ("dryRun", Takes::OneOf(&["All"])),
    ("fieldManager", Takes::Text(128)),
    ("fieldValidation", Takes::OneOf(&["Ignore", "Strict", "Warn"])),
    TABLE,
];
const PATCH: &[Parameter] = &[("force", Takes::Bool)];
const DELETE: &[Parameter] = &[
    ("dryRun", Takes::OneOf(&["All"])),
    ("gracePeriodSeconds", Takes::Number),
    ("propagationPolicy", Takes::OneOf(&["Background", "Foreground", "Orphan"])),
    ("orphanDependents", Takes::Bool),
];
const ROLLOUT: &[Parameter] = &[("dryRun", Takes::OneOf(&["All"])), ("fieldManager", Takes::Text(128))];
const DISCOVER: &[Parameter] = &[("hash", Takes::Text(256))];
const LOG: &[Parameter] = &[
    ("container", Takes::Text(63)),
    ("follow", Takes::Bool),
    ("previous", Takes::Bool),
    ("sinceSeconds", Takes::Number),
    ("sinceTime", Takes::Text(64)),
    ("timestamps", Takes::Bool),
    ("tailLines", Takes::Number),
    ("limitBytes", Takes::Number),
    ("stream", Takes::OneOf(&["All", "Stdout", "Stderr"])),
];
const EXEC: &[Parameter] = &[("command", Takes::Each(8 * 1024))];
const STREAMS: &[Parameter] = &[
    ("container", Takes::Text(63)),
    ("stdin", Takes::Bool),
    ("stdout", Takes::Bool),
    ("stderr", Takes::Bool),
    ("tty", Takes::Bool),
];
const PORT_FORWARD: &[Parameter] = &[("ports", Takes::Each(64))];

/// The lists of parameters that pass; `None` where any does.
fn allowed(verb: KubernetesVerb, part: Option<&Subresource>) -> Option<[&'static [Parameter]; 3]> {
    Some(match (part, verb) {
        (Some(Subresource::Proxy), _) => return None,
        (Some(Subresource::Exec), _) => [ALWAYS, STREAMS, EXEC],
        (Some(Subresource::Attach), _) => [ALWAYS, STREAMS, &[]],
        (Some(Subresource::PortForward), _) => [ALWAYS, PORT_FORWARD, &[]],
        (Some(Subresource::Log), _) => [ALWAYS, LOG, &[]],
        (_, KubernetesVerb::Get) => [ALWAYS, GET, &[]],
        (_, KubernetesVerb::List) => [ALWAYS, LIST, &[]],
        (_, KubernetesVerb::Watch) => [ALWAYS, LIST, WATCH],
        (_, KubernetesVerb::Create | KubernetesVerb::Update) => [ALWAYS, WRITE, &[]],
        (_, KubernetesVerb::Patch) => [ALWAYS, WRITE, PATCH],
        (_, KubernetesVerb::Delete) => [ALWAYS, DELETE, &[]],
        (_, KubernetesVerb::DeleteCollection) => [ALWAYS, LIST, DELETE],
        (_, KubernetesVerb::Discover | KubernetesVerb::Review) => [ALWAYS, DISCOVER, WRITE],
        (_, KubernetesVerb::Restart | KubernetesVerb::Rollback) => [ALWAYS, ROLLOUT, &[]],
        (_, KubernetesVerb::History) => [ALWAYS, &[], &[]],
    })
}

/// A query as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamQuery {
    parameters: Vec<(Cow<'static, str>, String)>,
    text: String,
}

/// Whether a raw query asks for a watch instead of a list.
#[must_use]
pub fn asks_to_watch(raw: &str) -> bool {
    let given = pairs(raw).unwrap_or_default();
    given.iter().any(|(name, value)| name == "watch" && truth(value) == Some(true))
}

fn pairs(raw: &str) -> Result<Vec<(String, String)>, QueryError> {
    if raw.len() > MAX_QUERY {
        return Err(QueryError::Malformed);
    }
    Ok(web::Query::<Vec<(String, String)>>::from_query(raw).map_err(|_| QueryError::Malformed)?.into_inner())
}

impl UpstreamQuery {
    /// Checks a raw query, as it stood in the request, for what is done to an object or a part of it.
    ///
    /// # Errors
    /// [`QueryError`] naming the parameter.
    pub fn parse(verb: KubernetesVerb, part: Option<&Subresource>, raw: &str) -> Result<Self, QueryError> {
        let given = pairs(raw)?;
        let Some(lists) = allowed(verb, part) else {
            return Ok(Self::of(given.into_iter().map(|(name, value)| (name.into(), value)).collect()));
        };
        let mut seen: Vec<(&'static str, Takes, String)> = Vec::new();
        for (name, value) in given {
            let known = lists.into_iter().flatten().find(|(known, _)| *known == name);
            let &(name, takes) = known.ok_or_else(|| QueryError::Unknown(shown(&name)))?;
            if !matches!(takes, Takes::Each(_)) && seen.iter().any(|(other, ..)| *other == name) {
                return Err(QueryError::Duplicate(name));
            }
            let value = takes.read(value).ok_or(QueryError::Value(name))?;
            seen.push((name, takes, value));
        }
        let sent = seen.into_iter().filter(|(_, takes, _)| !matches!(takes, Takes::Dropped));
        Ok(Self::of(sent.map(|(name, _, value)| (name.into(), value)).collect()))
    }

    /// Whether the answer goes on for as long as there is something to tell.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.parameters.iter().any(|(name, value)| matches!(&**name, "watch" | "follow") && value == "true")
    }

    /// Whether a watch shall begin with what there is already.
    #[must_use]
    pub fn wants_initial_events(&self) -> bool {
        self.parameters.iter().any(|(name, value)| name == "sendInitialEvents" && value == "true")
    }

    /// The query of one part of a list that is put together from several: pages and versions of the parts are of no use
    /// for the whole.
    #[must_use]
    pub fn of_part(&self) -> Self {
        let whole = ["limit", "continue", "resourceVersion", "resourceVersionMatch"];
        Self::of(self.parameters.iter().filter(|(name, _)| !whole.contains(&&**name)).cloned().collect())
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
            None => parameters.push(("fieldSelector".into(), ours)),
        }
        Self::of(parameters)
    }

    /// The query of a list of what has these labels.
    #[must_use]
    pub fn with_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let selector: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        match selector.is_empty() {
            true => Self::default(),
            false => Self::of(vec![("labelSelector".into(), selector.join(","))]),
        }
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

    fn of(parameters: Vec<(Cow<'static, str>, String)>) -> Self {
        let mut text = String::new();
        for (name, value) in &parameters {
            if !text.is_empty() {
                text.push('&');
            }
            encode(name, &mut text);
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
#[path = "query_tests.rs"]
mod tests;
