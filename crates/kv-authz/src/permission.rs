//! Permissions: the atoms `resource:action`, and the patterns a custom role may hold.
//!
//! Nothing here knows who holds what; that is `role`.

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// What an atom allows to do with its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Get, list, watch.
    Read,
    /// Create, update, patch, scale, restart.
    Write,
    /// Delete.
    Delete,
    /// `pods:exec`: exec, attach, port-forward.
    Exec,
    /// `pods:logs`.
    Logs,
    /// `secrets:reveal`: see the values of Secrets.
    Reveal,
    /// `rbac:manage`, `api-keys:manage`.
    Manage,
}

impl Verb {
    /// Every verb, in the order of the documentation.
    pub const ALL: [Verb; 7] =
        [Verb::Read, Verb::Write, Verb::Delete, Verb::Exec, Verb::Logs, Verb::Reveal, Verb::Manage];

    /// The verb as written in an atom.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Read => "read",
            Verb::Write => "write",
            Verb::Delete => "delete",
            Verb::Exec => "exec",
            Verb::Logs => "logs",
            Verb::Reveal => "reveal",
            Verb::Manage => "manage",
        }
    }
}

/// What an atom speaks of: one of KubeVision's own resources, or a kind of Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Registered clusters.
    Clusters,
    /// People.
    Users,
    /// Roles, assignments and everything in Kubernetes that hands out rights.
    Rbac,
    /// The audit log.
    Audit,
    /// Other people's API keys.
    ApiKeys,
    /// A Kubernetes resource by its plural name; outside the built-in groups and `*.k8s.io`, `plural.group`.
    Kubernetes(Cow<'static, str>),
}

impl Resource {
    /// A Kubernetes resource from its plural and API group (empty for the core group).
    #[must_use]
    pub fn kubernetes(plural: &str, group: &str) -> Self {
        let built_in = !group.contains('.') || group.ends_with(".k8s.io");
        Resource::Kubernetes(if built_in {
            Cow::Owned(plural.to_owned())
        } else {
            Cow::Owned(format!("{plural}.{group}"))
        })
    }

    /// The resource as written in an atom.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Resource::Clusters => "clusters",
            Resource::Users => "users",
            Resource::Rbac => "rbac",
            Resource::Audit => "audit",
            Resource::ApiKeys => "api-keys",
            Resource::Kubernetes(name) => name,
        }
    }
}

/// One atom, such as `deployments:write`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// What it speaks of.
    pub resource: Resource,
    /// What it allows.
    pub verb: Verb,
}

impl Permission {
    /// The atom `resource:verb`.
    #[must_use]
    pub const fn new(resource: Resource, verb: Verb) -> Self {
        Self { resource, verb }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource.as_str(), self.verb.as_str())
    }
}

/// What a custom role may hold: an atom, or one with `*` for its resource, its action or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern {
    resource: Option<String>,
    verb: Option<Verb>,
}

/// The text is no atom and no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a permission is written resource:action, for example deployments:write, pods:* or *:read")]
pub struct MalformedPattern;

impl Pattern {
    /// The resource it speaks of; none for every one.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// Whether the pattern grants the atom.
    #[must_use]
    pub fn covers(&self, permission: &Permission) -> bool {
        self.resource.as_deref().is_none_or(|name| name == permission.resource.as_str())
            && self.verb.is_none_or(|verb| verb == permission.verb)
    }

    /// Whether the pattern grants everything that the other one does.
    #[must_use]
    pub fn includes(&self, other: &Pattern) -> bool {
        (self.resource.is_none() || self.resource == other.resource) && (self.verb.is_none() || self.verb == other.verb)
    }
}

impl FromStr for Pattern {
    type Err = MalformedPattern;

    fn from_str(text: &str) -> Result<Self, MalformedPattern> {
        let (resource, verb) = text.split_once(':').ok_or(MalformedPattern)?;
        let resource = match resource {
            "*" => None,
            name if !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b)) =>
            {
                Some(name.to_owned())
            }
            _ => return Err(MalformedPattern),
        };
        let verb = match verb {
            "*" => None,
            name => Some(Verb::ALL.into_iter().find(|v| v.as_str() == name).ok_or(MalformedPattern)?),
        };
        Ok(Self { resource, verb })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource.as_deref().unwrap_or("*"), self.verb.map_or("*", Verb::as_str))
    }
}

impl From<Pattern> for String {
    fn from(value: Pattern) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for Pattern {
    type Error = MalformedPattern;

    fn try_from(value: String) -> Result<Self, MalformedPattern> {
        value.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_outside_kubernetes_carry_their_name() {
        for (plural, group, atom) in [
            ("pods", "", "pods"),
            ("deployments", "apps", "deployments"),
            ("roles", "rbac.authorization.k8s.io", "roles"),
            ("clusters", "cluster.x-k8s.io", "clusters.cluster.x-k8s.io"),
            ("widgets", "example.com", "widgets.example.com"),
        ] {
            assert_eq!(Resource::kubernetes(plural, group).as_str(), atom);
        }
    }

    #[test]
    fn a_pattern_includes_what_is_narrower() {
        let includes = |a: &str, b: &str| a.parse::<Pattern>().unwrap().includes(&b.parse().unwrap());
        for (wide, narrow) in [("*:*", "pods:read"), ("pods:*", "pods:read"), ("*:read", "pods:read"), ("*:*", "*:*")] {
            assert!(includes(wide, narrow), "{wide} {narrow}");
            assert_eq!(includes(narrow, wide), wide == narrow, "{narrow} {wide}");
        }
        assert!(!includes("pods:*", "*:read") && !includes("*:read", "pods:*"));
    }

    #[test]
    fn patterns_are_read_back_as_written() {
        for text in ["deployments:write", "pods:*", "*:read", "*:*", "widgets.example.com:delete"] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        for text in ["", "pods", ":", "pods:", ":read", "Pods:read", "pods:READ", "pods:read:x", "pods: read", "*"] {
            assert!(text.parse::<Pattern>().is_err(), "{text:?} was accepted");
        }
    }
}
