//! Paths, and that no text gets into one.

use super::*;
use crate::cluster::names::Plural;

fn served(plural: &str, group: &str, namespaced: bool) -> Served {
    let (group, version) = (Group::parse(group).unwrap(), Version::parse("v1").unwrap());
    Served::of(Plural::parse(plural).unwrap(), group, version, namespaced)
}

fn path(
    served: &Served,
    namespace: Option<&str>,
    name: Option<&str>,
    verb: KubernetesVerb,
) -> Result<String, PathError> {
    let namespace = namespace.map(|text| Namespace::parse(text).unwrap());
    let name = name.map(|text| ObjectName::parse(text, served.group().as_str()).unwrap());
    ObjectPath::new(served, Names { namespace, name, ..Names::default() }, verb)
        .map(|path| path.upstream(&UpstreamQuery::default()).0)
}

#[test]
fn paths() {
    use KubernetesVerb::{Create, Get, List};
    let pods = served("pods", "", true);
    assert_eq!(path(&pods, Some("a"), Some("b"), Get).unwrap(), "/api/v1/namespaces/a/pods/b");
    assert_eq!(path(&pods, None, None, List).unwrap(), "/api/v1/pods");
    let deployments = served("deployments", "apps", true);
    assert_eq!(path(&deployments, Some("a"), None, Create).unwrap(), "/apis/apps/v1/namespaces/a/deployments");
    let roles = served("clusterroles", "rbac.authorization.k8s.io", false);
    let expected = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node";
    assert_eq!(path(&roles, None, Some("system:node"), Get).unwrap(), expected);
}

#[test]
fn attack_126_no_name_is_never_everything() {
    let pods = served("pods", "", true);
    for verb in [KubernetesVerb::Delete, KubernetesVerb::Update, KubernetesVerb::Patch, KubernetesVerb::Get] {
        assert_eq!(path(&pods, Some("a"), None, verb), Err(PathError::NameMissing));
        assert_eq!(path(&pods, None, Some("b"), verb), Err(PathError::NamespaceMissing));
    }
    assert_eq!(path(&pods, Some("a"), Some("b"), KubernetesVerb::List), Err(PathError::NameUnexpected));
    assert_eq!(path(&pods, None, None, KubernetesVerb::Create), Err(PathError::NamespaceMissing));
    let nodes = served("nodes", "", false);
    assert_eq!(path(&nodes, Some("a"), Some("b"), KubernetesVerb::Get), Err(PathError::NamespaceUnexpected));
}

#[test]
fn a_list_is_narrowed_to_a_namespace() {
    let pods = ObjectPath::new(&served("pods", "", true), Names::default(), KubernetesVerb::List).unwrap();
    let one = pods.within(Namespace::parse("a").unwrap()).unwrap();
    assert_eq!(one.upstream(&UpstreamQuery::default()).as_str(), "/api/v1/namespaces/a/pods");
    let nodes = ObjectPath::new(&served("nodes", "", false), Names::default(), KubernetesVerb::List).unwrap();
    assert_eq!(nodes.within(Namespace::parse("a").unwrap()), None);
}

/// Reads a path as the API server does.
#[expect(clippy::type_complexity, reason = "group, version, namespace, resource and name, for one comparison")]
fn read(path: &str) -> Option<(String, String, Option<String>, String, Option<String>)> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => (String::new(), (*version).to_owned(), rest),
        ["apis", group, version, rest @ ..] => ((*group).to_owned(), (*version).to_owned(), rest),
        _ => return None,
    };
    let own = |text: &&str| (*text).to_owned();
    match rest {
        ["namespaces", namespace, plural, name] => {
            Some((group, version, Some(own(namespace)), own(plural), Some(own(name))))
        }
        ["namespaces", namespace, plural] => Some((group, version, Some(own(namespace)), own(plural), None)),
        [plural, name] => Some((group, version, None, own(plural), Some(own(name)))),
        [plural] => Some((group, version, None, own(plural), None)),
        _ => None,
    }
}

/// Texts of one to twelve pieces, some of them hostile.
fn text(random: &mut impl FnMut() -> usize) -> String {
    const PIECES: &[&str] = &[
        "a",
        "b",
        "z9",
        "-",
        ".",
        "..",
        "/",
        "%2e",
        "%2F",
        "\\",
        "?",
        "#",
        ";",
        "@",
        ":",
        "\0",
        "A",
        "_",
        "pods",
        "é",
        "x",
        "y",
        "namespaces",
        "0",
        "a-b",
        " ",
    ];
    // Mostly harmless ones, or hardly any text would pass.
    let harmless = !random().is_multiple_of(3);
    (0..=random() % if harmless { 3 } else { 12 })
        .map(|_| if harmless { ["a", "b-c", "d.e", "9"][random() % 4] } else { PIECES[random() % PIECES.len()] })
        .collect()
}

#[test]
fn attack_112_113_114_random_segments_are_refused_or_read_back_alike() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize
    };
    let (mut built, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let (group, version, plural) = (text(&mut random), text(&mut random), text(&mut random));
        let (namespace, name) = (text(&mut random), text(&mut random));
        let group = if random().is_multiple_of(2) { String::new() } else { group };
        let checked = (|| {
            let parsed = Group::parse(&group).ok()?;
            let served = Served::of(Plural::parse(&plural).ok()?, parsed, Version::parse(&version).ok()?, true);
            let name = Some(ObjectName::parse(&name, &group).ok()?);
            let namespace = Some(Namespace::parse(&namespace).ok()?);
            ObjectPath::new(&served, Names { namespace, name, ..Names::default() }, KubernetesVerb::Get).ok()
        })();
        let Some(path) = checked else {
            refused += 1;
            continue;
        };
        built += 1;
        let path = path.upstream(&UpstreamQuery::default()).0;
        assert!(path.parse::<http::Uri>().is_ok_and(|uri| uri.path() == path && uri.query().is_none()), "{path}");
        assert_eq!(read(&path), Some((group, version, Some(namespace), plural, Some(name))), "{path}");
    }
    assert!(built > 100 && refused > 1_000, "{built} built, {refused} refused");
}
