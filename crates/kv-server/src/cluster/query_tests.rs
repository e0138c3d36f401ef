//! Queries: what passes, and that nothing else does.

use super::*;
use KubernetesVerb::{Create, Delete, Get, List, Patch, Update};

fn sent(verb: KubernetesVerb, raw: &str) -> String {
    UpstreamQuery::parse(verb, None, raw).unwrap().text
}

#[test]
fn allowed_parameters_are_written_anew() {
    assert_eq!(sent(Get, ""), "");
    assert_eq!(sent(Get, "pretty=true"), "");
    assert_eq!(sent(List, "labelSelector=app+in+(a,b)&limit=5"), "labelSelector=app%20in%20%28a%2Cb%29&limit=5");
    assert_eq!(sent(List, "labelSelector=a%3Db%26watch%3D1"), "labelSelector=a%3Db%26watch%3D1");
    assert_eq!(sent(Create, "dryRun=All&fieldManager=ci"), "dryRun=All&fieldManager=ci");
    assert_eq!(sent(Patch, "force=true&fieldValidation=Strict"), "force=true&fieldValidation=Strict");
    assert_eq!(sent(Delete, "gracePeriodSeconds=0"), "gracePeriodSeconds=0");
    assert!(UpstreamQuery::parse(Update, None, "dryRun=All").unwrap().is_dry_run());
}

#[test]
fn attack_117_other_namespaces_and_duplicates_are_refused() {
    for verb in [Get, List, Create, Update, Patch, Delete] {
        let error = UpstreamQuery::parse(verb, None, "namespace=kube-system").unwrap_err();
        assert_eq!(error, QueryError::Unknown("namespace".to_owned()));
    }
    assert_eq!(UpstreamQuery::parse(List, None, "limit=1&limit=2"), Err(QueryError::Duplicate("limit")));
    assert_eq!(UpstreamQuery::parse(List, None, "limit=1&%6cimit=1"), Err(QueryError::Duplicate("limit")));
    assert_eq!(UpstreamQuery::parse(Get, None, "pretty=1&pretty=1"), Err(QueryError::Duplicate("pretty")));
}

#[test]
fn attack_120_125_watches_and_force_are_refused() {
    for raw in ["watch=1", "watch=true", "%77atch=1", "follow=true", "allowWatchBookmarks=true", "Limit=1", "=", "a"] {
        assert!(matches!(UpstreamQuery::parse(List, None, raw), Err(QueryError::Unknown(_))), "{raw}");
        assert!(UpstreamQuery::parse(Get, None, raw).is_err(), "{raw}");
    }
    assert!(UpstreamQuery::parse(Update, None, "force=true").is_err());
    assert!(UpstreamQuery::parse(Delete, None, "fieldManager=a").is_err());
}

#[test]
fn values_that_cannot_be() {
    for (verb, raw, name) in [
        (List, "limit=-1", "limit"),
        (List, "limit=1e9", "limit"),
        (List, "limit=", "limit"),
        (List, "labelSelector=a%00", "labelSelector"),
        (List, "labelSelector=a%0d%0ab", "labelSelector"),
        (List, "labelSelector=%ff", "labelSelector"),
        (Create, "dryRun=true", "dryRun"),
        (Patch, "force=yes", "force"),
        (Delete, "propagationPolicy=foreground", "propagationPolicy"),
    ] {
        assert_eq!(UpstreamQuery::parse(verb, None, raw), Err(QueryError::Value(name)), "{raw}");
    }
    assert_eq!(UpstreamQuery::parse(List, None, &"a".repeat(MAX_QUERY + 1)), Err(QueryError::Malformed));
}

#[test]
fn the_named_parameter_is_short_and_harmless() {
    let error = UpstreamQuery::parse(Get, None, &format!("<script>%0a{}=1", "x".repeat(99))).unwrap_err();
    assert_eq!(error, QueryError::Unknown(format!("?script??{}", "x".repeat(31))));
}

#[test]
fn attack_116_parts_of_a_list_have_no_pages() {
    let whole = UpstreamQuery::parse(List, None, "limit=1&continue=abc&labelSelector=a&resourceVersion=5").unwrap();
    assert_eq!(whole.of_part().as_str(), "labelSelector=a");
    let namespace = Namespace::parse("team-a").unwrap();
    assert_eq!(whole.only_namespace(&namespace).as_str(), "labelSelector=a&fieldSelector=metadata.name%3Dteam-a");
    let other = UpstreamQuery::parse(List, None, "fieldSelector=metadata.name%3Dkube-system%5C").unwrap();
    assert_eq!(
        other.only_namespace(&namespace).as_str(),
        "fieldSelector=metadata.name%3Dteam-a%2Cmetadata.name%3Dkube-system%5C"
    );
}

#[test]
fn what_is_asked_of_parts() {
    let sent = |part, raw| UpstreamQuery::parse(Get, Some(&part), raw).map(|query| query.text);
    let exec = "command=sh&command=-c&command=echo+a%0Ab&container=c&stdin=True&stdout=1&tty=false";
    assert_eq!(
        sent(Subresource::Exec, exec).unwrap(),
        "command=sh&command=-c&command=echo%20a%0Ab&container=c&stdin=true&stdout=true&tty=false"
    );
    assert_eq!(sent(Subresource::Log, "follow=true&tailLines=5").unwrap(), "follow=true&tailLines=5");
    assert_eq!(sent(Subresource::PortForward, "ports=80&ports=443").unwrap(), "ports=80&ports=443");
    assert_eq!(sent(Subresource::Proxy, "a=b&a=c&%26=%3D").unwrap(), "a=b&a=c&%26=%3D");
    let unknown = Err(QueryError::Unknown("insecureSkipTLSVerifyBackend".to_owned()));
    assert_eq!(sent(Subresource::Log, "insecureSkipTLSVerifyBackend=true"), unknown);
    assert_eq!(sent(Subresource::Exec, "stdin=maybe"), Err(QueryError::Value("stdin")));
    assert_eq!(sent(Subresource::Status, "command=sh"), Err(QueryError::Unknown("command".to_owned())));
}

#[test]
fn watches_are_told_apart() {
    for (raw, watches) in [
        ("watch=true", true),
        ("watch=1", true),
        ("limit=1&watch=True", true),
        ("watch=false", false),
        ("watch=", false),
    ] {
        assert_eq!(asks_to_watch(raw), watches, "{raw}");
    }
    let watch = UpstreamQuery::parse(KubernetesVerb::Watch, None, "watch=1&allowWatchBookmarks=true&resourceVersion=5");
    let watch = watch.unwrap();
    assert_eq!(watch.as_str(), "watch=true&allowWatchBookmarks=true&resourceVersion=5");
    assert!(watch.follows() && !watch.wants_initial_events());
}
