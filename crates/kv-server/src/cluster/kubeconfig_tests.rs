//! Kubeconfigs of friends and of others.

use super::*;
use crate::cluster::fixtures::{CERTIFICATE, key};
use std::time::{Duration, Instant};

fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// A kubeconfig with these fields of its cluster and its user.
fn file(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: main\npreferences: {{}}\n\
         clusters:\n- name: c\n  cluster:\n    server: https://k8s.example:6443\n{}\
         contexts:\n- name: main\n  context: {{cluster: c, user: u}}\n\
         users:\n- name: u\n  user:\n{}",
        indent(cluster),
        indent(user)
    )
}

fn indent(fields: &str) -> String {
    fields.lines().map(|line| format!("    {line}\n")).collect()
}

fn upload(yaml: &str) -> Result<ClusterAccess, AccessError> {
    ClusterAccess::from_kubeconfig(yaml.as_bytes(), None, &KubeconfigSource::Uploaded)
}

fn refused(yaml: &str) -> AccessError {
    upload(yaml).err().unwrap()
}

#[test]
fn tokens_and_certificates() {
    assert_eq!(upload(&file("", "token: abc")).unwrap().server(), "https://k8s.example:6443");
    let ca = format!("certificate-authority-data: {}", encoded(CERTIFICATE));
    let user = format!("client-certificate-data: {}\nclient-key-data: {}", encoded(CERTIFICATE), encoded(&key()));
    let access = upload(&file(&ca, &user)).unwrap();
    assert_eq!(ClusterAccess::from_bytes(&access.to_bytes().unwrap()).unwrap().server(), access.server());
    assert_eq!(refused(&file("", "{}")), AccessError::Missing("token"));
    let half = format!("client-certificate-data: {}", encoded(CERTIFICATE));
    assert_eq!(refused(&file("", &half)), AccessError::Missing("client-key-data"));
}

#[test]
fn attack_154_programs_are_not_run() {
    let exec = "exec:\n  apiVersion: client.authentication.k8s.io/v1\n  command: /bin/touch\n  args: [/tmp/kv-154]";
    let error = refused(&file("", exec));
    assert_eq!(error, AccessError::Forbidden("exec"));
    assert!(error.to_string().contains("exec credentials are not allowed"));
    assert_eq!(refused(&file("", &format!("token: abc\n{exec}"))), AccessError::Forbidden("exec"));
    assert_eq!(refused(&file("", "auth-provider: {name: oidc}")), AccessError::Forbidden("auth-provider"));
    // Neither where nobody would use it.
    let unused = format!("{}- name: v\n  user:\n{}", file("", "token: abc"), indent(exec));
    assert_eq!(refused(&unused), AccessError::Forbidden("exec"));
    for source in [KubeconfigSource::Uploaded, KubeconfigSource::Operator { folder: "/".into() }] {
        let access = ClusterAccess::from_kubeconfig(file("", exec).as_bytes(), None, &source);
        assert_eq!(access.err(), Some(AccessError::Forbidden("exec")));
    }
    assert!(!Path::new("/tmp/kv-154").exists());
}

#[test]
fn attack_156_files_are_not_read() {
    for path in ["/etc/passwd", "/proc/self/environ", "/var/run/secrets/kubernetes.io/serviceaccount/token"] {
        for field in ["tokenFile", "client-certificate", "client-key"] {
            let expected = AccessError::Forbidden(field);
            assert_eq!(refused(&file("", &format!("token: abc\n{field}: {path}"))), expected);
        }
        let cluster = format!("certificate-authority: {path}");
        assert_eq!(refused(&file(&cluster, "token: abc")), AccessError::Forbidden("certificate-authority"));
    }
}

#[test]
fn attack_157_nothing_that_weakens_or_diverts() {
    for (cluster, field) in [
        ("insecure-skip-tls-verify: true", "insecure-skip-tls-verify"),
        ("proxy-url: http://10.0.0.1:3128", "proxy-url"),
        ("proxy-url: ''", "proxy-url"),
        ("tls-server-name: other", "tls-server-name"),
        ("Insecure-Skip-TLS-Verify: true", "unknown field of the cluster"),
    ] {
        assert_eq!(refused(&file(cluster, "token: abc")), AccessError::Forbidden(field));
    }
    for (user, field) in [
        ("as: admin", "as"),
        ("as-uid: '0'", "as-uid"),
        ("as-groups: ['system:masters']", "as-groups"),
        ("as-user-extra: {scopes: [all]}", "as-user-extra"),
        ("username: admin", "username"),
        ("password: hunter2", "password"),
        ("impersonate: admin", "unknown field of the user"),
    ] {
        assert_eq!(refused(&file("", &format!("token: abc\n{user}"))), AccessError::Forbidden(field));
    }
    assert!(upload(&file("insecure-skip-tls-verify: false", "token: abc")).is_ok());
}

#[test]
fn attack_158_addresses_that_are_not_https() {
    for server in ["http://k8s.example", "unix:///x", "https://u:p@k8s.example", "https://k8s.example/x"] {
        let yaml = file("", "token: abc").replace("https://k8s.example:6443", server);
        assert_eq!(refused(&yaml), AccessError::Invalid("server"), "{server}");
    }
}

#[test]
fn attack_161_bombs_and_other_yaml_are_refused_at_once() {
    let good = file("", "token: abc");
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let refs = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
    }
    let deep = format!("{good}extra: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    let deep_block = (0..600).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>();
    let merged = format!("{good}base: &b {{token: x}}\nmore: {{<<: *b}}\n");
    let twice = good.replace("token: abc", "token: abc\n    token: def");
    let twice_top = format!("{good}kind: Config\n");
    let tabs = good.replace("    token", "\ttoken");
    let documents = format!("{good}---\n{good}");
    let ended = format!("{good}...\n{good}");
    let large = format!("{good}# {}", "x".repeat(10 * 1024 * 1024));
    let cases: [&[u8]; 15] = [
        laughs.as_bytes(),
        deep.as_bytes(),
        deep_block.as_bytes(),
        merged.as_bytes(),
        twice.as_bytes(),
        twice_top.as_bytes(),
        tabs.as_bytes(),
        documents.as_bytes(),
        ended.as_bytes(),
        large.as_bytes(),
        b"",
        b"\xff\xfe",
        b"[]",
        b"\0",
        b"{",
    ];
    for yaml in cases {
        let start = Instant::now();
        let shown = String::from_utf8_lossy(&yaml[..yaml.len().min(80)]).into_owned();
        assert!(ClusterAccess::from_kubeconfig(yaml, None, &KubeconfigSource::Uploaded).is_err(), "{shown}");
        assert!(start.elapsed() < Duration::from_millis(500), "{shown}");
    }
    // As many keys as fit are read in linear time, refused or not.
    let keys: String = (0..20_000).map(|at| format!("k{at}: 1\n")).collect();
    let start = Instant::now();
    let _ = upload(&format!("{good}{keys}"));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(upload(&format!("---\n{good}")).is_ok());
    assert!(upload(&format!("# mine\n---\n{good}")).is_ok());
}

#[test]
fn attack_162_contexts_are_explicit() {
    let good = file("", "token: abc");
    let missing = AccessError::Missing("current-context");
    assert_eq!(refused(&good.replace("current-context: main\n", "")), missing);
    assert_eq!(refused(&good.replace("current-context: main", "current-context: ''")), missing);
    let elsewhere = good.replace("current-context: main", "current-context: other");
    assert_eq!(refused(&elsewhere), AccessError::Missing("context"));
    let by_name = |name| ClusterAccess::from_kubeconfig(elsewhere.as_bytes(), Some(name), &KubeconfigSource::Uploaded);
    assert!(by_name("main").is_ok());
    assert_eq!(by_name("nope").err(), Some(AccessError::Missing("context")));
    assert_eq!(refused(&good.replace("user: u}", "user: v}")), AccessError::Missing("user"));
    assert_eq!(refused(&good.replace("cluster: c,", "cluster: d,")), AccessError::Missing("cluster"));
    let many: String = (0..1_000).map(|at| format!("- name: x{at}\n  context: {{cluster: c, user: u}}\n")).collect();
    assert!(upload(&good.replace("users:", &format!("{many}users:"))).is_ok());
    let twice = good.replace("users:", "- name: main\n  context: {cluster: c, user: v}\nusers:");
    assert!(matches!(refused(&twice), AccessError::Malformed(_)));
}

#[test]
fn the_operators_own_may_name_files() {
    let folder = std::env::temp_dir().join(format!("kv-kubeconfig-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ca.crt"), CERTIFICATE).unwrap();
    std::fs::write(folder.join("token"), "from-a-file\n").unwrap();
    let source = KubeconfigSource::Operator { folder: folder.clone() };
    let own = |cluster: &str, user: &str| ClusterAccess::from_kubeconfig(file(cluster, user).as_bytes(), None, &source);
    let access = own("certificate-authority: ca.crt", "tokenFile: token").unwrap();
    let bytes = access.to_bytes().unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(text.contains("from-a-file\"") && text.contains("BEGIN CERTIFICATE"));
    assert_eq!(own("", "tokenFile: nope").err(), Some(AccessError::File("tokenFile")));
    assert_eq!(own("proxy-url: http://a", "tokenFile: token").err(), Some(AccessError::Forbidden("proxy-url")));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn errors_repeat_nothing() {
    let error = refused("users: [{name: u, user: {token: hunter2").to_string();
    assert!(!error.contains("hunter2"), "{error}");
}
