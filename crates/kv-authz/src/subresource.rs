//! Subresources: the parts of a Kubernetes object that are addressed, and allowed, by themselves. One table of which atom
//! each takes. Nothing is decided here; `kubernetes` reads this table.

use crate::permission::{Permission, Resource, Verb};
use std::fmt;

/// A part of an object, or something that is done through it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subresource {
    /// What the cluster says of the object.
    Status,
    /// How many replicas there shall be.
    Scale,
    /// What a container has written.
    Log,
    /// A command run in a container.
    Exec,
    /// A container's own input and output.
    Attach,
    /// A connection to a pod's port.
    PortForward,
    /// HTTP requests to what runs there.
    Proxy,
    /// A container put beside those of a running pod.
    EphemeralContainers,
    /// The deletion of a pod, if disruption budgets let it.
    Eviction,
    /// A token of a service account.
    Token,
    /// The approval of a certificate.
    Approval,
    /// Any other, by its name.
    Other(String),
}

impl Subresource {
    /// The names that have a meaning here.
    const NAMED: [(&'static str, Subresource); 11] = [
        ("status", Subresource::Status),
        ("scale", Subresource::Scale),
        ("log", Subresource::Log),
        ("exec", Subresource::Exec),
        ("attach", Subresource::Attach),
        ("portforward", Subresource::PortForward),
        ("proxy", Subresource::Proxy),
        ("ephemeralcontainers", Subresource::EphemeralContainers),
        ("eviction", Subresource::Eviction),
        ("token", Subresource::Token),
        ("approval", Subresource::Approval),
    ];

    /// A subresource by its name in a path; `None` for what no name is: 1 to 63 lowercase letters, digits and hyphens.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if let Some((_, known)) = Self::NAMED.into_iter().find(|(known, _)| *known == name) {
            return Some(known);
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = (1..=63).contains(&name.len()) && name.bytes().all(plain);
        is_name.then(|| Self::Other(name.to_owned()))
    }

    /// The name in a path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            named => Self::NAMED.iter().find(|(_, known)| known == named).map_or("", |(name, _)| name),
        }
    }

    /// Whether a connection is opened through it that goes on.
    #[must_use]
    pub fn connects(&self) -> bool {
        matches!(self, Self::Exec | Self::Attach | Self::PortForward | Self::Proxy)
    }

    /// The atoms it takes to use it on a resource. What has no line of its own takes more than reading and writing the object
    /// does: an extension may do anything under such a name.
    pub(crate) fn permissions(&self, plural: &str, group: &str, verb: Verb) -> Vec<Permission> {
        let resource = Resource::kubernetes(plural, group);
        let pods = |verb| Permission::new(Resource::kubernetes("pods", ""), verb);
        let manage = Permission::new(Resource::Rbac, Verb::Manage);
        match (group, plural, self) {
            ("", "pods", Self::Log) => vec![pods(Verb::Logs)],
            ("", "pods", Self::Exec | Self::Attach | Self::PortForward | Self::EphemeralContainers) => {
                vec![pods(Verb::Exec)]
            }
            // Through a node everything that runs on it can be reached, and what it keeps.
            ("", "nodes", Self::Proxy) => vec![pods(Verb::Exec), Permission::new(resource, Verb::Write)],
            ("", _, Self::Proxy) => vec![pods(Verb::Exec)],
            ("", "pods", Self::Eviction) => vec![pods(Verb::Delete)],
            ("", "serviceaccounts", Self::Token) | ("certificates.k8s.io", _, Self::Approval) => {
                vec![Permission::new(resource, Verb::Write), manage]
            }
            (_, _, Self::Status | Self::Scale) => vec![Permission::new(resource, verb)],
            ("", "pods", Self::Other(name)) if matches!(name.as_str(), "binding" | "resize") => {
                vec![Permission::new(resource, verb)]
            }
            ("", "namespaces", Self::Other(name)) if name == "finalize" => vec![Permission::new(resource, verb)],
            _ => vec![Permission::new(resource, Verb::Exec)],
        }
    }
}

impl fmt::Display for Subresource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in ["status", "exec", "token", "binding", "instantiate"] {
            assert_eq!(Subresource::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "Exec", "exec ", "a/b", "a.b", "%65xec", "ä", &"a".repeat(64)] {
            assert_eq!(Subresource::parse(name), None, "{name:?}");
        }
        assert_eq!(Subresource::parse("exec"), Some(Subresource::Exec), "a known name has its own meaning");
    }
}
