//! A good tree passes; each thing wrong with it is found, by the check that is there for it.

use super::run;
use std::{fs, path::Path};
use tempfile::TempDir;

/// The least that is tidy.
fn good() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| put(root.path(), path, text);
    let packages = "actix-web.workspace = true\nbase64 = \"0.23\"\nk8s-openapi.workspace = true\nkube.workspace = true\n\
                    rand_core.workspace = true\nserde = { version = \"1\", features = [\"derive\"] }\nsha2.workspace = true\n\
                    thiserror.workspace = true\ntime.workspace = true\n";
    for (name, dependencies) in [
        ("kv-keys", ""),
        ("kv-authz", ""),
        ("kv-store", "diesel.workspace = true\nkv-keys.workspace = true\nkv-authz.workspace = true\n"),
        ("kv-server", &*format!("kv-store.workspace = true\n{packages}")),
    ] {
        let manifest = format!("[package]\nname = \"{name}\"\n\n[dependencies]\n{dependencies}");
        write(&format!("crates/{name}/Cargo.toml"), &manifest);
        write(&format!("crates/{name}/src/lib.rs"), "//! A room.\n");
        write(&format!("crates/{name}/README.md"), "# A crate\n");
    }
    for database in ["sqlite", "postgres"] {
        write(&format!("migrations/{database}/0001_spine/up.sql"), "");
    }
    write("xtask/src/postgres.rs", &"//! Long, and excused.\n".repeat(401));
    write("README.md", "See [the rules](docs/RULES.md#first) and [elsewhere](https://example.com/x).\n");
    write("docs/RULES.md", "# Rules\n");
    write("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n");
    root
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What is found in a good tree with one file more, or another one instead.
fn found_with(path: &str, text: &str) -> Vec<String> {
    let root = good();
    put(root.path(), path, text);
    run(root.path()).err().unwrap_or_default()
}

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\n\n{rest}")
}

#[test]
fn a_good_tree_is_tidy() {
    let root = good();
    assert_eq!(run(root.path()), Ok(()));
    put(root.path(), "target/debug/x.rs", "fn main() {}");
    assert_eq!(run(root.path()), Ok(()), "what was built is nobody's text");
}

#[test]
fn each_thing_wrong_is_found_where_it_is() {
    let cases: &[(&str, &str, &str)] = &[
        ("crates/kv-keys/src/a.rs", "fn a() {}\n", "the first line is `//!`"),
        ("crates/kv-keys/src/a.rs", &"//! a\n".repeat(401), "401 lines"),
        ("crates/kv-keys/src/a.rs", concat!("//! a\n// TO", "DO: b\n"), "crates/kv-keys/src/a.rs:2: finish it"),
        ("docs/b.md", concat!("see /wo", "rk/x\n"), "docs/b.md:1: a path of one machine"),
        ("docs/b.md", "from http://10.1.2.3:4/x\n", "docs/b.md:1: a URL with the address"),
        ("docs/b.md", "[lost](../nowhere.md)\n", "the link to ../nowhere.md leads nowhere"),
        (".cargo/config.toml", "[source.crates-io]\n", ".cargo/config.toml:1: a registry"),
        ("Cargo.lock", "source = \"git+https://example.com/x\"\n", "Cargo.lock:1: a package from elsewhere"),
        ("migrations/sqlite/0002_more/up.sql", "", "migrations/postgres/0002_more/up.sql is missing"),
        ("migrations/postgres/0002_more/up.sql", "", "migrations/sqlite/0002_more/up.sql is missing"),
        ("crates/kv-server/src/a.rs", "//! a\nuse diesel::prelude::*;\n", "SQL and Diesel are kv-store's"),
        ("xtask/src/postgres.rs", "//! Short now.\n", "need no exception"),
    ];
    for (path, text, expected) in cases {
        let found = found_with(path, text);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {found:?}");
    }
}

#[test]
fn wrong_manifests_are_found() {
    for (path, text, expected) in [
        (
            "crates/kv-keys/Cargo.toml",
            manifest("kv-keys", "[dependencies]\nkv-authz.workspace = true\n"),
            "kv-keys must not depend on kv-authz",
        ),
        (
            "crates/kv-authz/Cargo.toml",
            manifest("kv-authz", "[dev-dependencies.kv-store]\nworkspace = true\n"),
            "kv-authz must not depend on kv-store",
        ),
        (
            "crates/kv-authz/Cargo.toml",
            manifest("kv-authz", "[dependencies]\ntokio = \"1\"\n"),
            "kv-authz is pure and needs no tokio",
        ),
        (
            "tests/Cargo.toml",
            manifest("kv-tests", "[target.'cfg(unix)'.dependencies]\nr2d2 = \"0.8\"\n"),
            "only kv-store depends on r2d2",
        ),
        ("other/Cargo.toml", manifest("kv-other", ""), "`kv-other` is not in the table of arrows"),
        (
            "crates/kv-store/Cargo.toml",
            manifest("kv-store", "[dev-dependencies]\ndiesel.workspace = true\n"),
            "stands on diesel, and no crate depends on it",
        ),
    ] {
        let found = found_with(path, &text);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {found:?}");
    }
}

#[test]
fn a_crate_without_a_readme_is_found() {
    let root = good();
    fs::remove_file(root.path().join("crates/kv-store/README.md")).unwrap();
    let found = run(root.path()).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("crates/kv-store/README.md is missing"), "{found:?}");
}

#[test]
fn this_project_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert_eq!(run(root), Ok(()));
}
