//! Paths of the Kubernetes API: what is authorised is what is sent, whatever was asked.

use super::*;
use crate::cluster::{ClusterName, ObjectPath, Served, UpstreamPath, UpstreamQuery};
use kv_authz::{ClusterId, kubernetes::KubernetesTarget, kubernetes::KubernetesVerb};

fn names(path: &str) -> (String, String, Names) {
    match NativePath::parse(path) {
        Ok(NativePath::Object { group, plural, names, .. }) => {
            (group.as_str().to_owned(), plural.as_str().to_owned(), names)
        }
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn paths_are_read_as_the_api_server_reads_them() {
    let (group, plural, found) = names("apis/apps/v1/namespaces/a/deployments/b/scale");
    assert_eq!((group.as_str(), plural.as_str()), ("apps", "deployments"));
    assert_eq!(found.namespace.unwrap().as_str(), "a");
    assert_eq!(found.name.unwrap().as_str(), "b");
    assert_eq!(found.subresource, Some(Subresource::Scale));
    // A namespace and its own two parts, and what only looks like them.
    let (_, plural, found) = names("api/v1/namespaces/a");
    assert_eq!((plural.as_str(), found.namespace, found.name.unwrap().as_str()), ("namespaces", None, "a"));
    let (_, plural, found) = names("api/v1/namespaces/a/finalize");
    assert_eq!(plural, "namespaces");
    assert_eq!((found.namespace, found.subresource), (None, Some(Subresource::Other("finalize".into()))));
    let (_, plural, found) = names("api/v1/namespaces/status/pods");
    assert_eq!((plural.as_str(), found.namespace.unwrap().as_str()), ("pods", "status"));
    let (_, _, found) = names("api/v1/namespaces/a/services/https:web:8443/proxy/health/live");
    assert_eq!(found.name.unwrap().as_str(), "https:web:8443");
    assert_eq!(found.behind.len(), 2);
}

#[test]
fn attack_128_documents_are_on_a_list() {
    for path in [
        "version",
        "api",
        "api/",
        "apis",
        "apis/apps",
        "apis/apps/v1",
        "api/v1",
        "openapi/v2",
        "openapi/v3",
        "openapi/v3/api/v1",
        "openapi/v3/apis/apps/v1",
    ] {
        assert!(matches!(NativePath::parse(path), Ok(NativePath::Document(_))), "{path}");
    }
    for path in [
        "",
        "healthz",
        "livez/etcd",
        "metrics",
        "logs",
        "logs/kube-apiserver.log",
        "debug/pprof",
        ".well-known/openid-configuration",
        "openid/v1/jwks",
        "swagger.json",
        "swagger-2.0.0.pb-v1",
        "openapi",
        "openapi/v3/healthz",
        "ui",
        "apis/",
        "apis//v1/pods",
        "api/v1/namespaces/a/pods/b/log/c",
        "api/v1/pods/",
        "api/v1//pods",
        "version/",
    ] {
        let read = NativePath::parse(path);
        assert!(read.is_err() || path == "apis/", "{path}: {read:?}");
    }
}

/// What the API server takes a path for: group, version, namespace, resource, name, subresource, and what follows. Written
/// after its `RequestInfoFactory`, not after ours.
#[derive(Debug, PartialEq, Eq, Default)]
struct RequestInfo {
    group: String,
    version: String,
    namespace: String,
    resource: String,
    name: String,
    subresource: String,
    behind: Vec<String>,
}

fn request_info(path: &str) -> Option<RequestInfo> {
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let mut info = RequestInfo::default();
    match parts.remove(0).as_str() {
        "api" => {}
        "apis" if !parts.is_empty() => info.group = parts.remove(0),
        _ => return None,
    }
    if parts.len() < 2 {
        return None;
    }
    info.version = parts.remove(0);
    if matches!(parts[0].as_str(), "proxy" | "watch") {
        return None;
    }
    if parts[0] == "namespaces" && parts.len() > 1 {
        info.namespace = parts[1].clone();
        if parts.len() > 2 && !["status", "finalize"].contains(&parts[2].as_str()) {
            parts.drain(..2);
        }
    }
    let mut parts = parts.into_iter();
    info.resource = parts.next()?;
    info.name = parts.next().unwrap_or_default();
    info.subresource = parts.next().unwrap_or_default();
    info.behind = parts.collect();
    if info.resource == "namespaces" {
        // It says so of a namespace itself, too; here a namespace lives in none.
        info.namespace = String::new();
    }
    Some(info)
}

fn authorised(target: &KubernetesTarget, version: &str, behind: &[ProxySegment]) -> RequestInfo {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    RequestInfo {
        group: target.group.clone(),
        version: version.to_owned(),
        namespace: text(&target.namespace),
        resource: target.plural.clone(),
        name: text(&target.name),
        subresource: target.subresource.as_ref().map(|part| part.as_str().to_owned()).unwrap_or_default(),
        behind: behind.iter().map(|segment| segment.as_str().to_owned()).collect(),
    }
}

/// A path that is nearly one, or not at all.
fn random_path(random: &mut impl FnMut(usize) -> usize) -> String {
    const HOSTILE: &[&str] = &[
        "",
        ".",
        "..",
        "%2e%2e",
        "%2F",
        "a%2Fb",
        "..;",
        "\\",
        "a?b",
        "a#b",
        ";",
        "a@b",
        "é",
        "A",
        "_",
        "a b",
        "a\0",
        ":",
        "a:b",
        "proxy",
        "status",
        "finalize",
        "namespaces",
        "watch",
        "log",
        "exec",
        "kube-system",
        "-",
        "a-",
        "x.y",
    ];
    const PLAIN: &[&str] = &["a", "b-c", "pods", "web", "v1", "kube-system", "services", "secrets", "0", "d.e"];
    const PARTS: &[&str] = &["log", "exec", "scale", "status", "proxy", "attach", "finalize", "token", "console"];
    let mut word = |list: &[&str]| list[random(list.len())].to_owned();
    let mut path = match word(&["core", "core", "group", "any"]).as_str() {
        "core" => vec!["api".to_owned(), "v1".to_owned()],
        "group" => {
            vec!["apis".to_owned(), word(&["apps", "example.com", "rbac.authorization.k8s.io"]), "v1".to_owned()]
        }
        _ => vec![word(HOSTILE)],
    };
    if word(&["yes", "no"]) == "yes" {
        path.extend(["namespaces".to_owned(), word(PLAIN)]);
    }
    for list in [PLAIN, PLAIN, PARTS, PLAIN] {
        match word(&["one", "one", "one", "none", "hostile"]).as_str() {
            "one" => path.push(word(list)),
            "hostile" if word(&["rare", "", "", ""]) == "rare" => path.push(word(HOSTILE)),
            _ => {}
        }
    }
    path.join("/")
}

#[test]
fn attack_132_what_is_authorised_is_what_is_sent() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let cluster = ClusterName::parse("prod").unwrap();
    let (mut sent, mut documents, mut refused) = (0_u32, 0_u32, 0_u32);
    for _ in 0..100_000 {
        let text = random_path(&mut random);
        let (group, version, plural, names) = match NativePath::parse(&text) {
            Ok(NativePath::Object { group, version, plural, names }) => (group, version, plural, names),
            Ok(NativePath::Document(document)) => {
                documents += 1;
                let path = UpstreamPath::document(&document, &UpstreamQuery::default());
                assert_eq!(path.as_str().trim_start_matches('/'), text.trim_end_matches('/'));
                continue;
            }
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        let namespaced = names.namespace.is_some() && plural.as_str() != "namespaces";
        let served = Served::of(plural, group, version.clone(), namespaced);
        let verb = if names.name.is_some() { KubernetesVerb::Get } else { KubernetesVerb::List };
        let behind = names.behind.clone();
        let Ok(path) = ObjectPath::new(&served, names, verb) else {
            refused += 1;
            continue;
        };
        sent += 1;
        let forwarded = path.upstream(&UpstreamQuery::default());
        assert_eq!(forwarded.as_str(), format!("/{text}"), "what is sent is what was asked");
        let uri: http::Uri = forwarded.as_str().parse().unwrap();
        assert!(uri.path() == forwarded.as_str() && uri.query().is_none(), "{text}");
        let target = path.target(ClusterId::from_parts(1, [1; 10]), &cluster);
        let theirs = request_info(&text).unwrap_or_else(|| panic!("{text} is nothing to the API server"));
        assert_eq!(authorised(&target, version.as_str(), &behind), theirs, "{text}");
    }
    assert!(
        sent > 20_000 && documents > 500 && refused > 20_000,
        "{sent} sent, {documents} documents, {refused} refused"
    );
}
