//! The machine's own package sources, read from both of apt's notations and written anew with source packages asked for.
//! Never here: a host's name, a change to the machine's own files, a source of another suite or of another maker.

use std::fs;
use std::path::{Path, PathBuf};

use super::KubeError;

/// The suite whose source package is built; its updates and security fixes belong to it.
pub(crate) const SUITE: &str = "bookworm";
const SUITES: [&str; 3] = [SUITE, "bookworm-updates", "bookworm-security"];
const COMPONENT: &str = "main";

/// Writes what `apt` (the machine's apt folder) says about the suite into `into`, with `deb-src` added.
pub(crate) fn with_source_packages(apt: &Path, into: &Path) -> Result<(), KubeError> {
    let (mut lines, mut stanzas) = (Vec::new(), Vec::new());
    for file in files(apt) {
        let text = fs::read_to_string(&file).map_err(KubeError::file("read a package source", &file))?;
        if file.extension().is_some_and(|ending| ending == "sources") {
            stanzas.extend(from_stanzas(&text));
        } else {
            lines.extend(from_lines(&text));
        }
    }
    if lines.is_empty() && stanzas.is_empty() {
        return Err(KubeError::NoSuite { suite: SUITE, folder: apt.to_owned() });
    }
    let write = |name: &str, text: String| {
        let path = into.join(name);
        fs::write(&path, text).map_err(KubeError::file("write a package source", &path))
    };
    write("suite.list", lines.concat())?;
    write("suite.sources", stanzas.join("\n"))
}

/// `sources.list` and all of `sources.list.d` that apt would read, in its order.
fn files(apt: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "list" || ending == "sources"))
        .collect();
    parts.sort();
    let main = Some(apt.join("sources.list")).filter(|path| path.is_file());
    main.into_iter().chain(parts).collect()
}

/// One-line notation: `deb [options] uri suite component…`. Options such as `signed-by` stay as they are.
fn from_lines(text: &str) -> Vec<String> {
    text.lines().filter_map(from_line).collect()
}

fn from_line(line: &str) -> Option<String> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '[']))?.trim();
    let place = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = place.split_whitespace().skip(1);
    let wanted = SUITES.contains(&words.next()?) && words.any(|component| component == COMPONENT);
    wanted.then(|| format!("deb {rest}\ndeb-src {rest}\n"))
}

/// Stanza notation: everything but `Types` stays as it is, a key written out in `Signed-By` too.
fn from_stanzas(text: &str) -> Vec<String> {
    let bare: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    bare.split(|line| line.trim().is_empty()).filter_map(from_stanza).collect()
}

fn from_stanza(lines: &[&str]) -> Option<String> {
    // A line that begins with a blank goes on with the field above it.
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some((_, value))) => value.extend(["\n", line]),
            _ => {
                let (name, value) = line.split_once(':')?;
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }
    let words = |wanted: &str| {
        let field = fields.iter().find(|(name, _)| name == wanted);
        field.map(|(_, value)| value.split_whitespace().collect::<Vec<_>>()).unwrap_or_default()
    };
    let off = words("enabled").first().is_some_and(|value| ["no", "false", "off", "0"].contains(value));
    let wanted = words("types").contains(&"deb")
        && words("suites").iter().any(|suite| SUITES.contains(suite))
        && words("components").contains(&COMPONENT)
        && !off;
    let kept = fields.iter().filter(|(name, _)| name != "types" && name != "enabled");
    wanted.then(|| {
        let kept: String = kept.map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("types: deb deb-src\n{kept}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_suite_keep_their_options_and_gain_sources() {
        let text = "# deb http://x.test/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://x.test/debian bookworm main contrib # ours\n\
                    deb http://x.test/other bookworm-pgdg main\n\
                    deb http://x.test/debian trixie main\n\
                    deb-src http://x.test/debian bookworm main\n";
        let one = "[arch=amd64 signed-by=/k.gpg] http://x.test/debian bookworm main contrib";
        assert_eq!(from_lines(text), [format!("deb {one}\ndeb-src {one}\n")]);
    }

    #[test]
    fn stanzas_of_the_suite_keep_their_fields_and_gain_sources() {
        let text = "Types: deb\n# a note\nURIs: http://x.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\
                    Trusted: yes\nSigned-By:\n -----BEGIN\n .\n abc\n\n\
                    Types: deb\nURIs: http://x.test/node\nSuites: nodistro\nComponents: main\n\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://x.test/debian\nSuites: bookworm\nComponents: main\n";
        let wanted = "types: deb deb-src\nuris: http://x.test/debian\nsuites: bookworm bookworm-updates\n\
                      components: main\ntrusted: yes\nsigned-by: \n -----BEGIN\n .\n abc\n";
        assert_eq!(from_stanzas(text), [wanted]);
    }
}
