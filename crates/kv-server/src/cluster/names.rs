//! The names that may become a part of an upstream path: each is a type that only a checked text gets into.
//!
//! Nothing here decodes, trims or repairs: a text is taken as it is or refused. No error repeats the text.

use std::fmt;

/// The rule a name broke. Names the rule, never the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a DNS-1123 label.
    #[error("{0} must be 1 to 63 lowercase letters, digits or hyphens, beginning and ending with a letter or digit")]
    Label(What),
    /// Not a DNS-1123 subdomain.
    #[error("{0} must be DNS labels joined by dots, 253 characters at most")]
    Subdomain(What),
    /// Not a name as roles and bindings have them.
    #[error("{0} must be 1 to 253 letters, digits, hyphens, underscores, dots or colons, and not dots alone")]
    PathSegment(What),
    /// Not the plural of a resource.
    #[error("{0} must be a plural in lowercase, with its group after a dot where it has one")]
    Plural(What),
}

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A cluster, as registered here.
    Cluster,
    /// A namespace.
    Namespace,
    /// A resource's plural.
    Resource,
    /// An API group.
    Group,
    /// A version of an API group.
    Version,
    /// An object.
    Object,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Cluster => "the cluster's name",
            What::Namespace => "the namespace",
            What::Resource => "the resource",
            What::Group => "the API group",
            What::Version => "the API version",
            What::Object => "the object's name",
        })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks a name.
            ///
            /// # Errors
            /// [`NameError`] with the rule it breaks.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }

            /// The name as a text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name under which a cluster is registered.
    ClusterName,
    |text| check(is_label(text), NameError::Label(What::Cluster))
);
name!(
    /// The name of a namespace.
    Namespace,
    |text| check(is_label(text), NameError::Label(What::Namespace))
);
name!(
    /// A resource's plural as in paths, `deployments`.
    Plural,
    |text| check(is_plural(text), NameError::Plural(What::Resource))
);
name!(
    /// An API group; empty for the core group.
    Group,
    |text| check(text.is_empty() || is_subdomain(text), NameError::Subdomain(What::Group))
);
name!(
    /// A version of an API group, `v1beta1`.
    Version,
    |text| check(is_label(text), NameError::Label(What::Version))
);
name!(
    /// A resource as callers write it: `plural`, or `plural.group`.
    ResourceName,
    |text| {
        let valid = match text.split_once('.') {
            None => is_plural(text),
            Some((plural, group)) => is_plural(plural) && is_subdomain(group),
        };
        check(valid, NameError::Plural(What::Resource))
    }
);

impl ResourceName {
    /// The plural, and the group if it was given.
    #[must_use]
    pub fn parts(&self) -> (&str, Option<&str>) {
        match self.0.split_once('.') {
            None => (&self.0, None),
            Some((plural, group)) => (plural, Some(group)),
        }
    }
}

name!(
    /// A segment behind `proxy`: the path of whatever runs there.
    ProxySegment,
    |text| check(is_path_segment(text), NameError::PathSegment(What::Object))
);

/// The name of an object; which names there are depends on its API group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// Checks the name of an object of a group (empty for the core group).
    ///
    /// # Errors
    /// [`NameError`] with the rule it breaks.
    pub fn parse(text: &str, group: &str) -> Result<Self, NameError> {
        // Roles are called `system:node`, trust bundles `signer.example:name`: the two groups with other names.
        let valid = match group {
            "rbac.authorization.k8s.io" | "certificates.k8s.io" => {
                check(is_path_segment(text), NameError::PathSegment(What::Object))
            }
            _ => check(is_subdomain(text), NameError::Subdomain(What::Object)),
        };
        valid.map(|()| Self(text.to_owned()))
    }

    /// Checks what stands before `proxy`: a name, which may have a scheme before it and a port behind it, `https:web:8443`.
    ///
    /// # Errors
    /// [`NameError`] with the rule it breaks.
    pub fn parse_with_port(text: &str) -> Result<Self, NameError> {
        check(is_path_segment(text), NameError::PathSegment(What::Object)).map(|()| Self(text.to_owned()))
    }

    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(valid: bool, error: NameError) -> Result<(), NameError> {
    if valid { Ok(()) } else { Err(error) }
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_dashed(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| is_alphanumeric(byte) || byte == b'-')
        && bytes.first().is_some_and(|&byte| is_alphanumeric(byte))
        && bytes.last().is_some_and(|&byte| is_alphanumeric(byte))
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_dashed(text.as_bytes())
}

fn is_subdomain(text: &str) -> bool {
    // Kubernetes bounds the whole, not each label.
    text.len() <= 253 && text.split('.').all(|label| is_dashed(label.as_bytes()))
}

fn is_plural(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(|&byte| is_alphanumeric(byte))
        && bytes.iter().all(|&byte| is_alphanumeric(byte) || byte == b'-')
}

fn is_path_segment(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && !text.bytes().all(|byte| byte == b'.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a router may hand over after decoding, and what an attacker hopes it will not notice.
    const HOSTILE: &[&str] = &[
        "",
        ".",
        "..",
        "...",
        "%2e%2e",
        "%252e%252e",
        "..;",
        "..\\",
        "%5c",
        "//",
        "/",
        "a/",
        "/a",
        "a//b",
        "%00",
        "a\0",
        "a/../kube-system",
        "x?limit=1",
        "x#",
        "x;y",
        "x@host",
        "x%3Flimit=1",
        "x%23",
        " a",
        "a ",
        "a\n",
        "a\r\nb",
        "ä",
        "a\u{202e}b",
        "-a",
        "a-",
        "a..b",
        ".a",
        "a.",
        "A_B/",
        "*",
        "a,b",
        "a:b/c",
        "a=b",
        "a&b",
        "~",
        "a+b",
    ];

    #[test]
    fn attack_112_113_114_no_hostile_text_is_a_name() {
        for text in HOSTILE {
            assert!(ClusterName::parse(text).is_err(), "{text:?}");
            assert!(Namespace::parse(text).is_err(), "{text:?}");
            assert!(Version::parse(text).is_err(), "{text:?}");
            assert!(text.is_empty() || Group::parse(text).is_err(), "{text:?}");
            assert!(ObjectName::parse(text, "").is_err(), "{text:?}");
            assert!(ObjectName::parse(text, "apps").is_err(), "{text:?}");
            assert!(*text == "a-" || Plural::parse(text).is_err(), "{text:?}");
            assert!(*text == "a-" || ResourceName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn attack_112_114_names_of_roles_are_wider_but_stay_one_segment() {
        for text in ["", ".", "..", "...", "a/b", "a%2f", "a?b", "a#b", "a;b", "a@b", "a\\b", "a\0", "a b", "ä", "a\n"]
        {
            assert!(ObjectName::parse(text, "rbac.authorization.k8s.io").is_err(), "{text:?}");
        }
        for text in ["system:node", "Admin_role", "a.b", "system::leader-locking"] {
            assert!(ObjectName::parse(text, "rbac.authorization.k8s.io").is_ok(), "{text:?}");
            assert!(ObjectName::parse(text, "").is_ok() == (text == "a.b"), "{text:?}");
        }
    }

    #[test]
    fn lengths() {
        assert!(Namespace::parse(&"a".repeat(63)).is_ok());
        assert!(Namespace::parse(&"a".repeat(64)).is_err());
        assert!(ObjectName::parse(&"a".repeat(253), "").is_ok());
        assert!(ObjectName::parse(&"a".repeat(254), "").is_err());
        assert!(ObjectName::parse(&"a".repeat(254), "rbac.authorization.k8s.io").is_err());
        assert!(Plural::parse(&"a".repeat(64)).is_err());
    }

    #[test]
    fn resources_with_and_without_group() {
        assert_eq!(ResourceName::parse("pods").unwrap().parts(), ("pods", None));
        assert_eq!(
            ResourceName::parse("certificates.cert-manager.io").unwrap().parts(),
            ("certificates", Some("cert-manager.io"))
        );
        assert!(ResourceName::parse("pods.").is_err());
        assert!(ResourceName::parse(".apps").is_err());
        assert!(ResourceName::parse("pods/log").is_err());
    }

    #[test]
    fn errors_name_the_rule_and_not_the_text() {
        let error = Namespace::parse("Hunter2!").unwrap_err().to_string();
        assert!(error.starts_with("the namespace must be"));
        assert!(!error.contains("Hunter2"));
    }
}
