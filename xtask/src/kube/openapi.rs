//! Which of Kubernetes' packages its OpenAPI generator has to read, found by their tag. Never here: running it.

use std::fs;
use std::io;
use std::path::Path;

use super::KubeError;

const TAG: &str = "+k8s:openapi-gen=";
const IMPORT: &str = "k8s.io/kubernetes";

/// The tagged packages below `tree`, comma-separated import paths as the generator takes them.
pub(crate) fn packages(tree: &Path) -> Result<String, KubeError> {
    let mut found = Vec::new();
    for part in ["pkg", "cmd", "staging/src"] {
        let folder = tree.join(part);
        walk(&folder, part, &mut found).map_err(KubeError::file("look for OpenAPI tags", &folder))?;
    }
    found.sort();
    Ok(found.join(","))
}

fn walk(folder: &Path, name: &str, found: &mut Vec<String>) -> io::Result<()> {
    let mut tagged = false;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, file) = (entry.file_type()?, entry.file_name().to_string_lossy().into_owned());
        if kind.is_dir() && !is_left_out(&file) {
            walk(&entry.path(), &format!("{name}/{file}"), found)?;
        } else if kind.is_file() && file.ends_with(".go") && !file.ends_with("_test.go") && !tagged {
            tagged = fs::read_to_string(entry.path())?.contains(TAG);
        }
    }
    if tagged {
        // The staging tree is reached through the vendor folder, as every import of it is.
        found.push(match name.strip_prefix("staging/src/") {
            Some(rest) => format!("{IMPORT}/vendor/{rest}"),
            None => format!("{IMPORT}/{name}"),
        });
    }
    Ok(())
}

fn is_left_out(folder: &str) -> bool {
    folder.starts_with("sample-") || ["_examples", "testdata", "code-generator"].contains(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_is_named_through_vendor_and_tests_and_samples_are_left_out() -> Result<(), Box<dyn std::error::Error>> {
        let tree = tempfile::tempdir()?;
        for (path, text) in [
            ("pkg/apis/abac/doc.go", "// +k8s:openapi-gen=true"),
            ("pkg/util/doc.go", "package util"),
            ("cmd/x/x_test.go", "// +k8s:openapi-gen=true"),
            ("staging/src/k8s.io/api/core/v1/doc.go", "// +k8s:openapi-gen=true"),
            ("staging/src/k8s.io/sample-apiserver/doc.go", "// +k8s:openapi-gen=true"),
        ] {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().ok_or("no folder")?)?;
            fs::write(path, text)?;
        }
        assert_eq!(
            packages(tree.path())?,
            "k8s.io/kubernetes/pkg/apis/abac,k8s.io/kubernetes/vendor/k8s.io/api/core/v1"
        );
        Ok(())
    }
}
