//! `cargo xtask tidy`: what the compiler does not look at, each a small check with a sentence about what to do. Reads
//! files and nothing else: no build, no network, no program started.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Which of our crates each of them may depend on. A new crate is added here first.
const ARROWS: &[(&str, &[&str])] = &[
    ("kv-keys", &[]),
    ("kv-authz", &[]),
    ("kv-model", &[]),
    ("kv-store", &["kv-authz", "kv-keys"]),
    ("kv-server", &["kv-authz", "kv-keys", "kv-store"]),
    ("kv-tests", &["kv-authz", "kv-keys", "kv-server", "kv-store"]),
    ("xtask", &["kv-authz", "kv-keys", "kv-server", "kv-store"]),
];
/// Packages that one crate alone may depend on.
const DATABASE: (&str, &[&str]) =
    ("kv-store", &["diesel", "diesel_migrations", "libsqlite3-sys", "openssl-sys", "pq-sys", "r2d2"]);
/// Who may have one of them all the same, and why.
const DATABASE_TOO: &[(&str, &str, &str)] = &[
    ("kv-tests", "diesel", "holds a lock on the server's SQLite file, as another process would"),
    ("xtask", "diesel", "writes rows as plainly as can be, which the server is compared with"),
];
/// What the pure crates never need, outside their tests.
const PURE: (&[&str], &[&str]) = (&["kv-keys", "kv-authz"], &["actix-web", "getrandom", "hyper", "kube", "tokio"]);
/// The packages that the project stands on.
const CARD: &[&str] =
    &["actix-web", "base64", "diesel", "k8s-openapi", "kube", "rand_core", "serde", "sha2", "thiserror", "time"];
/// Lines a source file may have.
const LONGEST: usize = 400;
/// Source files that may be longer, and why.
const LONG: &[(&str, &str)] =
    &[("xtask/src/postgres.rs", "one server's life from finding it to its end, and half of it is errors that help")];
/// Where the packages come from, as Cargo.lock writes it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Folders at the top that are not the project's text.
const SKIPPED: &[&str] = &[".git", "data", "target"];

/// A file of the project, by its path from the root, with its text; none where it is not text.
struct Source {
    path: String,
    text: String,
}

/// Everything a check looks at.
struct Tree {
    root: PathBuf,
    files: Vec<Source>,
}

type Found = Vec<String>;

/// Runs every check and returns what each of them found.
///
/// # Errors
/// The findings, one sentence each, if there is any.
pub(crate) fn run(root: &Path) -> Result<(), Vec<String>> {
    let tree = Tree::read(root).map_err(|error| vec![format!("the project cannot be read: {error}")])?;
    let checks: [fn(&Tree) -> Found; 12] = [
        arrows,
        packages_in_their_place,
        card,
        no_diesel_in_the_server,
        first_lines,
        lengths,
        unfinished,
        machine,
        registry,
        migrations,
        readmes,
        links,
    ];
    let found: Found = checks.iter().flat_map(|check| check(&tree)).collect();
    if found.is_empty() { Ok(()) } else { Err(found) }
}

impl Tree {
    fn read(root: &Path) -> std::io::Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                if SKIPPED.contains(&name.as_str()) || path.is_symlink() {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(text) = fs::read_to_string(&path) {
                    files.push(Source { path: name, text });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root: root.to_owned(), files })
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    fn manifests(&self) -> impl Iterator<Item = Manifest> {
        let members = self.files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
        members.map(|file| Manifest::read(&file.path, &file.text))
    }
}

/// What a member's Cargo.toml says, as far as it matters here.
struct Manifest {
    path: String,
    name: String,
    /// What it is built from.
    needs: BTreeSet<String>,
    /// What its tests and build script need besides.
    also: BTreeSet<String>,
}

impl Manifest {
    /// Line by line: our manifests have one dependency a line, or a table of its own.
    fn read(path: &str, text: &str) -> Self {
        let mut manifest =
            Self { path: path.to_owned(), name: String::new(), needs: BTreeSet::new(), also: BTreeSet::new() };
        let mut section = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']').to_owned();
                // `[dependencies.x]` is the long way to write a line of `[dependencies]`.
                if let Some((kind, package)) = section.rsplit_once("dependencies.") {
                    manifest.add(kind, package);
                }
            } else if let Some(kind) = section.strip_suffix("dependencies") {
                if let Some(key) = line.split(['=', '.']).next().map(str::trim).filter(|_| line.contains('=')) {
                    manifest.add(kind, key);
                }
            } else if section == "package"
                && let Some(name) = line.strip_prefix("name")
            {
                manifest.name = name.trim_matches([' ', '=', '"']).to_owned();
            }
        }
        manifest
    }

    fn add(&mut self, kind: &str, package: &str) {
        let into = if kind.contains("dev-") || kind.contains("build-") { &mut self.also } else { &mut self.needs };
        if !package.is_empty() && !package.starts_with('#') {
            into.insert(package.trim_matches('"').to_owned());
        }
    }
}

fn arrows(tree: &Tree) -> Found {
    let mut found = Vec::new();
    for Manifest { path, name, needs, also } in tree.manifests() {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            found.push(format!("{path}: `{name}` is not in the table of arrows; add it to xtask/src/tidy.rs"));
            continue;
        };
        let ours = needs.union(&also).filter(|need| ARROWS.iter().any(|(known, _)| known == need));
        for need in ours.filter(|need| !allowed.contains(&need.as_str())) {
            found.push(format!("{path}: {name} must not depend on {need}; see the arrows in docs/ARCHITECTURE.md"));
        }
    }
    found
}

fn packages_in_their_place(tree: &Tree) -> Found {
    let mut found = Vec::new();
    let (owner, database) = DATABASE;
    let (pure, outside) = PURE;
    for Manifest { path, name, needs, also } in tree.manifests() {
        let excused = |need: &str| DATABASE_TOO.iter().any(|(who, what, _)| *who == name && *what == need);
        let theirs = needs.union(&also).filter(|need| database.contains(&need.as_str()));
        for need in theirs.filter(|need| name != owner && !excused(need)) {
            found.push(format!("{path}: only {owner} depends on {need}; ask the store instead"));
        }
        for need in needs.iter().filter(|need| pure.contains(&name.as_str()) && outside.contains(&need.as_str())) {
            found.push(format!("{path}: {name} is pure and needs no {need}; take what it gives as an argument"));
        }
    }
    found
}

fn card(tree: &Tree) -> Found {
    let used: BTreeSet<String> = tree.manifests().flat_map(|manifest| manifest.needs).collect();
    let unused = CARD.iter().filter(|package| !used.contains(**package));
    unused.map(|package| format!("Cargo.toml: the project stands on {package}, and no crate depends on it")).collect()
}

fn no_diesel_in_the_server(tree: &Tree) -> Found {
    let mentions = |text: &str| text.contains("diesel::") || text.contains("use diesel");
    let files = tree.sources().filter(|file| file.path.starts_with("crates/kv-server/") && mentions(&file.text));
    files.map(|file| format!("{}: SQL and Diesel are kv-store's; add a method there", file.path)).collect()
}

fn first_lines(tree: &Tree) -> Found {
    let opens = |text: &str| text.starts_with("//!") || text.starts_with("#![doc");
    let silent = tree.sources().filter(|file| !opens(&file.text));
    silent
        .map(|file| {
            format!("{}: the first line is `//!` and says what the file is for and what never is in it", file.path)
        })
        .collect()
}

fn lengths(tree: &Tree) -> Found {
    let mut found = Vec::new();
    for file in tree.sources() {
        let lines = file.text.lines().count();
        let excused = LONG.iter().any(|(path, _)| *path == file.path);
        if lines > LONGEST && !excused {
            found.push(format!("{}: {lines} lines; a file has at most {LONGEST}, so split it", file.path));
        }
        if lines <= LONGEST && excused {
            found.push(format!(
                "{}: {lines} lines need no exception; take it off the list in xtask/src/tidy.rs",
                file.path
            ));
        }
    }
    found
}

fn unfinished(tree: &Tree) -> Found {
    // Put together here, so that this file is not its own finding.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    lines_with(tree, |_| true, |line| marks.iter().any(|mark| line.contains(mark)), "finish it, or open an issue")
}

fn machine(tree: &Tree) -> Found {
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    lines_with(
        tree,
        |_| true,
        |line| paths.iter().any(|path| line.contains(path)),
        "a path of one machine; write it relative to the project",
    )
}

fn registry(tree: &Tree) -> Found {
    let mut found = lines_with(
        tree,
        |path| path == "Cargo.lock",
        |line| line.starts_with("source = ") && line != format!("source = \"{REGISTRY}\""),
        "a package from elsewhere than crates.io",
    );
    found.extend(lines_with(
        tree,
        |path| path.ends_with(".toml") && path != "deny.toml",
        |line| ["[source", "[registries", "[registry", "replace-with"].iter().any(|word| line.trim().starts_with(word)),
        "a registry is a matter of the machine; put it into that machine's own cargo configuration",
    ));
    // In Rust, addresses are the subject of tests.
    found.extend(lines_with(
        tree,
        |path| !path.ends_with(".rs"),
        |line| line.split("://").skip(1).any(is_foreign_address),
        "a URL with the address of a machine; name a host, or 127.0.0.1",
    ));
    found
}

/// Whether a URL's rest begins with an IPv4 address that is not this machine's own.
fn is_foreign_address(rest: &str) -> bool {
    let host: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| !address.is_loopback())
}

fn lines_with(tree: &Tree, in_file: impl Fn(&str) -> bool, wrong: impl Fn(&str) -> bool, advice: &str) -> Found {
    let files = tree.files.iter().filter(|file| in_file(&file.path));
    files
        .flat_map(|file| {
            let lines = file.text.lines().enumerate().filter(|(_, line)| wrong(line));
            lines.map(|(at, _)| format!("{}:{}: {advice}", file.path, at + 1)).collect::<Vec<_>>()
        })
        .collect()
}

fn migrations(tree: &Tree) -> Found {
    let names = |database: &str| -> BTreeSet<String> {
        let prefix = format!("migrations/{database}/");
        let inside = tree.files.iter().filter_map(|file| file.path.strip_prefix(&prefix));
        inside.map(str::to_owned).collect()
    };
    let (sqlite, postgres) = (names("sqlite"), names("postgres"));
    let missing = |names: &BTreeSet<String>, other: &BTreeSet<String>, database: &str| -> Found {
        let lacking = names.difference(other);
        lacking.map(|name| format!("migrations/{database}/{name} is missing; the other database has it")).collect()
    };
    let mut found = missing(&sqlite, &postgres, "postgres");
    found.extend(missing(&postgres, &sqlite, "sqlite"));
    found
}

fn readmes(tree: &Tree) -> Found {
    let crates = tree.manifests().filter(|manifest| manifest.path.starts_with("crates/"));
    let folders = crates.map(|manifest| manifest.path.trim_end_matches("Cargo.toml").to_owned());
    let lacking = folders.filter(|folder| !tree.files.iter().any(|file| file.path == format!("{folder}README.md")));
    lacking.map(|folder| format!("{folder}README.md is missing; say what the crate is for, with an example")).collect()
}

fn links(tree: &Tree) -> Found {
    let mut found = Vec::new();
    // The crates' own are rustdoc's to check, which resolves links to items too.
    let documents = tree.files.iter().filter(|file| file.path.ends_with(".md") && !file.path.starts_with("crates/"));
    for file in documents {
        let folder = tree.root.join(&file.path).parent().map(Path::to_owned).unwrap_or_default();
        for target in file.text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                found.push(format!("{}: the link to {target} leads nowhere", file.path));
            }
        }
    }
    found
}

#[cfg(test)]
#[path = "tidy_tests.rs"]
mod tests;
