//! What opens the way to a cluster, and what does not.

use super::*;
use crate::cluster::fixtures::{CERTIFICATE, key};

fn token() -> SecretString {
    "s3cr3t-token".to_owned().into()
}

fn identity() -> Identity {
    Identity { certificate: CERTIFICATE.to_owned(), key: key().into() }
}

#[test]
fn attack_158_only_plain_https_addresses() {
    for server in ["https://k8s.example:6443", "https://10.0.0.1", "https://[fd00::1]:6443", "https://a_b.example/"] {
        let access = ClusterAccess::from_parts(server, None, token()).unwrap();
        assert_eq!(access.server(), server.trim_end_matches('/'));
    }
    for server in [
        "",
        "k8s.example",
        "//k8s.example",
        "http://k8s.example",
        "file:///etc/passwd",
        "unix:/run/x.sock",
        "unix:///run/x.sock",
        "gopher://k8s.example",
        "https://",
        "https:///path",
        "https://u:p@k8s.example",
        "https://u@k8s.example",
        "https://k8s.example#@10.0.0.1",
        "https://k8s.example?x=1",
        "https://k8s.example/path",
        "https://k8s.example//",
        "https://k8s.example:0",
        "https://k8s.example:99999",
        "https://k8s.example:",
        "https://k8s.example\\@10.0.0.1",
        "https://k8s.example\r\nHost: x",
        " https://k8s.example",
        "https://k8s%2eexample",
        "https://ä.example",
        "https://[fe80::1%25eth0]",
        "https://*.example",
        "javascript:alert(1)",
        "https://a,b",
    ] {
        // A double slash is a path of nothing, which is no path.
        let expected = (server != "https://k8s.example//").then_some(AccessError::Invalid("server"));
        assert_eq!(ClusterAccess::from_parts(server, None, token()).err(), expected, "{server:?}");
    }
    let long = format!("https://{}.example", "a".repeat(3_000));
    assert!(ClusterAccess::from_parts(&long, None, token()).is_err());
}

#[test]
fn the_operators_address_may_have_a_path() {
    assert_eq!(
        server_url("https://rancher.example/k8s/clusters/c-1/", true).unwrap(),
        "https://rancher.example/k8s/clusters/c-1"
    );
    for server in ["https://a/../b", "https://a/b//c", "https://a/./b", "https://a/%2e%2e"] {
        assert!(server_url(server, true).is_err(), "{server}");
    }
}

#[test]
fn tokens_that_are_no_header_are_refused_before_a_client_panics() {
    for text in ["", " ", "a b", "a\r\nX: y", "a\0", "ä", &"a".repeat(MAX_TOKEN + 1)] {
        let access = ClusterAccess::from_parts("https://k8s.example", None, text.to_owned().into());
        assert_eq!(access.err(), Some(AccessError::Invalid("token")));
    }
}

#[test]
fn certificates_must_be_certificates() {
    assert!(ClusterAccess::from_parts("https://k8s.example", Some(CERTIFICATE), token()).is_ok());
    let cut = CERTIFICATE.replace("-----END", "");
    let other = "-----BEGIN CERTIFICATE-----\naGVsbG8K\n-----END CERTIFICATE-----";
    for pem in ["", "hello", &cut, other, &key()] {
        let access = ClusterAccess::from_parts("https://k8s.example", Some(pem), token());
        assert_eq!(access.err(), Some(AccessError::Invalid("certificate-authority-data")), "{pem}");
    }
    let mut wrong = identity();
    wrong.key = "-----BEGIN PRIVATE KEY-----\naGVsbG8K\n-----END PRIVATE KEY-----".to_owned().into();
    assert!(ClusterAccess::checked("https://a".to_owned(), None, None, Some(wrong)).is_err());
    assert!(ClusterAccess::checked("https://a".to_owned(), None, None, None).is_err());
}

#[test]
fn there_and_back_as_bytes() {
    let ca = Some(CERTIFICATE.to_owned());
    let access =
        ClusterAccess::checked("https://k8s.example:6443".to_owned(), ca, Some(token()), Some(identity())).unwrap();
    let bytes = access.to_bytes().unwrap();
    let back = ClusterAccess::from_bytes(&bytes).unwrap();
    assert_eq!(back.to_bytes().unwrap(), bytes);
    assert_eq!(back.server(), "https://k8s.example:6443");
    assert_eq!(back.token.unwrap().expose_secret(), "s3cr3t-token");
    for other in [
        &b""[..],
        b"{}",
        b"null",
        br#"{"server":"https://a","token":"t","x":1}"#,
        br#"{"server":"http://a","token":"t"}"#,
    ] {
        assert!(ClusterAccess::from_bytes(other).is_err());
    }
}

#[test]
fn the_buffer_of_the_bytes_never_grows() {
    // A token of quotes is the worst case of escaping.
    let access = ClusterAccess::from_parts("https://k8s.example", None, "\"".repeat(9_999).into()).unwrap();
    let bytes = access.to_bytes().unwrap();
    assert!(bytes.capacity() >= 9_999 * 6 && bytes.len() < bytes.capacity());
}

#[test]
fn nothing_prints_a_secret() {
    let access = ClusterAccess::checked("https://a".to_owned(), None, Some(token()), Some(identity())).unwrap();
    let config = access.config().unwrap();
    for text in [format!("{access:?}"), format!("{config:?}")] {
        assert!(!text.contains("s3cr3t") && !text.contains("PRIVATE"), "{text}");
        assert!(!text.contains(&BASE64_STANDARD.encode(key())), "{text}");
    }
}
