//! Paths as Kubernetes itself writes them, `/apis/apps/v1/namespaces/a/deployments/b/scale`, taken apart into checked names.
//!
//! Read as the API server reads them (its `RequestInfoFactory`). Nothing is decoded or repaired, and what is not understood
//! is refused: what is sent is put together from the names, never from the text.

use super::names::{Group, NameError, Namespace, ObjectName, Plural, ProxySegment, Version};
use super::path::{Document, Names};
use kv_authz::Subresource;

/// A path that is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NativePathError {
    /// No resource, and none of the documents that are passed on.
    #[error("there is nothing here at this path of the Kubernetes API")]
    Unknown,
    /// A name in it is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The part of an object has a name no part can have.
    #[error("the part of an object must be 1 to 63 lowercase letters, digits or hyphens")]
    Part,
}

/// What a path of the Kubernetes API leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativePath {
    /// A document in which the cluster says what it serves.
    Document(Document),
    /// An object, a part of one, or a collection.
    Object {
        /// The API group; empty for the core group.
        group: Group,
        /// The version of the group.
        version: Version,
        /// The resource.
        plural: Plural,
        /// The names.
        names: Names,
    },
}

impl NativePath {
    /// Takes a path apart, without its first slash.
    ///
    /// # Errors
    /// [`NativePathError`].
    pub fn parse(path: &str) -> Result<Self, NativePathError> {
        let segments: Vec<&str> = path.split('/').collect();
        let core = || Group::parse("");
        let document = |document| Ok(Self::Document(document));
        match segments.as_slice() {
            // Some client libraries end these with a slash.
            ["version"] | ["version", ""] => document(Document::Version),
            ["api"] | ["api", ""] => document(Document::Core),
            ["apis"] | ["apis", ""] => document(Document::Groups),
            ["apis", group] | ["apis", group, ""] => document(Document::Group(named(group)?)),
            ["api", version] | ["api", version, ""] => document(Document::Resources(core()?, Version::parse(version)?)),
            ["apis", group, version] | ["apis", group, version, ""] => {
                document(Document::Resources(named(group)?, Version::parse(version)?))
            }
            ["openapi", "v2"] => document(Document::OpenApi2),
            ["openapi", "v3"] => document(Document::OpenApi3),
            ["openapi", "v3", "api", version] => document(Document::OpenApi3Of(core()?, Version::parse(version)?)),
            ["openapi", "v3", "apis", group, version] => {
                document(Document::OpenApi3Of(named(group)?, Version::parse(version)?))
            }
            ["api", version, rest @ ..] => object(core()?, Version::parse(version)?, rest),
            ["apis", group, version, rest @ ..] => object(named(group)?, Version::parse(version)?, rest),
            _ => Err(NativePathError::Unknown),
        }
    }
}

/// A group that is not the core one.
fn named(text: &str) -> Result<Group, NativePathError> {
    if text.is_empty() { Err(NativePathError::Unknown) } else { Ok(Group::parse(text)?) }
}

fn object(group: Group, version: Version, segments: &[&str]) -> Result<NativePath, NativePathError> {
    let (namespace, segments) = match segments {
        // Two verbs that the API server still reads from a path.
        ["watch" | "proxy", ..] => return Err(NativePathError::Unknown),
        // The two parts that a namespace itself has; anything else there is a resource in it.
        ["namespaces", _, part, ..] if !matches!(*part, "status" | "finalize") => {
            (Some(Namespace::parse(segments[1])?), &segments[2..])
        }
        _ => (None, segments),
    };
    let (plural, rest) = segments.split_first().ok_or(NativePathError::Unknown)?;
    let plural = Plural::parse(plural)?;
    let subresource = rest.get(1).map(|part| Subresource::parse(part).ok_or(NativePathError::Part)).transpose()?;
    let proxied = subresource == Some(Subresource::Proxy);
    let name = rest.first().map(|name| match proxied {
        true => ObjectName::parse_with_port(name),
        false => ObjectName::parse(name, group.as_str()),
    });
    let behind = rest.get(2..).unwrap_or_default();
    if !behind.is_empty() && !proxied {
        return Err(NativePathError::Unknown);
    }
    let behind = behind.iter().map(|segment| ProxySegment::parse(segment)).collect::<Result<_, _>>()?;
    let names = Names { namespace, name: name.transpose()?, subresource, behind };
    Ok(NativePath::Object { group, version, plural, names })
}

#[cfg(test)]
#[path = "native_tests.rs"]
mod tests;
