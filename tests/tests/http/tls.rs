//! The API over TLS: what is spoken, what is refused, and certificates replaced while the server runs.

use crate::{SERVER, exports::seed};
use kv_tests::{Answer, Authority, Backend, Cluster, Key, Process, Session, TestApp, Trust, on_both};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};

on_both!(
    requests_over_tls_are_like_any_other,
    a_replaced_certificate_reaches_new_connections_and_a_broken_one_none,
    strangers_at_the_port_disturb_nobody,
    browsers_that_came_by_tls_are_told_to_stay,
    s3_a_client_that_does_not_read_is_cut_over_tls_as_well,
);

/// Longer than two rounds of looking at the files.
const TWO_ROUNDS: Duration = Duration::from_millis(6_500);
const POD: &str = "/api/v1/clusters/prod/namespaces/team/pods/web";

async fn requests_over_tls_are_like_any_other(backend: Backend) {
    let (authority, cluster) = (Authority::new(), Cluster::start());
    let app = TestApp::with_tls(backend, &[], &authority).await;
    app.add_cluster("prod", &cluster).await;
    let (_, session, key) = app.someone("ann", "dev", Some("prod")).await;
    let mut kept = app.connect().await;
    for _ in 0..3 {
        assert_eq!(kept.send(app.get(POD).key(&key)).await.unwrap().status, 200);
        let changed = kept.send(app.patch(POD).key(&key).json(&json!({"spec": {"replicas": 5}}))).await.unwrap();
        assert_eq!(changed.status, 200);
    }
    app.revoke(&session, &key).await.expect(204);
    assert_eq!(kept.send(app.get(POD).key(&key)).await.unwrap().status, 401);
    assert!(app.metrics().await.contains("kubevision"), "the metrics' listener stays as it was");

    for (version, spoken) in [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)] {
        let stream = authority.trust_with(&[version], &["h2", "http/1.1"]).connect(app.address()).await.unwrap();
        let agreed = stream.get_ref().1;
        assert_eq!((agreed.protocol_version(), agreed.alpn_protocol()), (Some(spoken), Some(&b"http/1.1"[..])));
        let h2_alone = authority.trust_with(&[version], &["h2"]).connect(app.address()).await;
        assert!(h2_alone.is_err_and(|error| error.to_string().contains("NoApplicationProtocol")), "{version:?}");
    }
    Authority::new().trust().connect(app.address()).await.expect_err("a client that trusts somebody else");
}

async fn browsers_that_came_by_tls_are_told_to_stay(backend: Backend) {
    const STAY: &str = "strict-transport-security";
    let told = |answer: &Answer| {
        answer.headers.get_all(STAY).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let own = TestApp::with_tls(backend, &[], &Authority::new()).await;
    let paths = ["/sign-in", "/clusters", "/healthz", "/api/v1/clusters", "/nowhere", "/api/v1/openapi.json"];
    for path in paths {
        assert_eq!(told(&own.get(path).send().await), ["max-age=31536000"], "{path}");
    }
    // Over plain HTTP nobody is told, whatever they say of themselves, unless a proxy that is named says it of them.
    for (settings, by_https) in [
        (&[][..], None),
        (&[("KUBEVISION_TRUSTED_PROXIES", "10.0.0.1")], None),
        (&[("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1")], Some("max-age=31536000")),
        (&[("KUBEVISION_TRUSTED_PROXIES", "127.0.0.1"), ("KUBEVISION_HSTS_SECONDS", "0")], Some("max-age=0")),
    ] {
        let settings = [&[("KUBEVISION_PUBLIC_URL", "https://kubevision.example.com")][..], settings].concat();
        let app = TestApp::with(backend, &settings).await;
        for path in paths {
            assert_eq!(told(&app.get(path).send().await), [""; 0], "{path}");
            assert_eq!(told(&app.get(path).header("x-forwarded-proto", "http").send().await), [""; 0], "{path}");
            let proxied = app.get(path).header("x-forwarded-proto", "https").send().await;
            assert_eq!(told(&proxied), by_https.into_iter().collect::<Vec<_>>(), "{path} {settings:?}");
        }
    }
}

/// The certificate that a new connection gets.
async fn served(app: &TestApp, trust: &Trust) -> Vec<u8> {
    let stream = trust.connect(app.address()).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn a_replaced_certificate_reaches_new_connections_and_a_broken_one_none(backend: Backend) {
    let authority = Authority::new();
    let first = authority.issue();
    let app = TestApp::with_tls(backend, &[], &authority).await;
    assert_eq!(served(&app, &authority.trust()).await, first);
    let mut old = app.connect().await;
    assert_eq!(old.send(app.get("/healthz")).await.unwrap().status, 200);

    let mut two_rounds_later = async || {
        for _ in 0..2 {
            tokio::time::sleep(TWO_ROUNDS / 2).await;
            // Kept in use, or it would be closed for silence.
            assert_eq!(old.send(app.get("/healthz")).await.unwrap().status, 200, "old connections go on");
        }
        served(&app, &authority.trust()).await
    };
    let second = authority.issue();
    assert_eq!(two_rounds_later().await, second);

    // The certificate without its key, as between the two writes of whoever replaces them, and then damage.
    let (certificate, key) = (authority.certificate_file(), authority.key_file());
    let stranger = std::fs::read(Authority::new().certificate_file()).unwrap();
    std::fs::write(&certificate, stranger).unwrap();
    assert_eq!(two_rounds_later().await, second);
    std::fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
    std::fs::remove_file(&key).unwrap();
    assert_eq!(two_rounds_later().await, second);
    let third = authority.issue();
    assert_eq!(two_rounds_later().await, third);
}

/// What a client hears after it has sent these bytes, until the server closes; and how long that took.
async fn heard(app: &TestApp, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let started = Instant::now();
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    // However it ends; but it must.
    let ended = tokio::time::timeout(2 * kv_tests::PATIENCE, stream.read_to_end(&mut heard)).await;
    assert!(ended.is_ok(), "the server waits on and on for {:?}", String::from_utf8_lossy(bytes));
    (heard, started.elapsed())
}

/// How a client that knows no version after TLS 1.`minor` begins, with what TLS 1.2 wants to know besides.
fn greeting(minor: u8) -> Vec<u8> {
    let suites = [0, 4, 0xc0, 0x2b, 0xc0, 0x09];
    let (groups, signatures) = ([0, 10, 0, 4, 0, 2, 0, 23], [0, 13, 0, 4, 0, 2, 4, 3]);
    let hello = [&[3, minor + 1][..], &[7; 32], &[0], &suites, &[1, 0], &[0, 16], &groups, &signatures].concat();
    let length = u8::try_from(hello.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat()
}

async fn strangers_at_the_port_disturb_nobody(backend: Backend) {
    let app = TestApp::with_tls(backend, &[], &Authority::new()).await;
    let (_, _, key) = app.someone("ann", "dev", None).await;
    let mut kept = app.connect().await;
    // Many that say nothing at all: more than are let in at once by default.
    let mut silent = Vec::new();
    for _ in 0..1_200 {
        silent.push(TcpStream::connect(app.address()).await.unwrap());
    }
    let strangers = async {
        let plain = format!("GET /api/v1/clusters HTTP/1.1\r\nHost: kv\r\nAuthorization: ApiKey {}\r\n\r\n", key.text);
        let (answer, took) = heard(&app, plain.as_bytes()).await;
        assert!(!answer.starts_with(b"HTTP/"), "plain HTTP is not answered: {answer:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        let (answer, _) = heard(&app, &greeting(1)).await;
        assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70], "an alert: protocol_version");
        let (answer, _) = heard(&app, &greeting(2)).await;
        assert_eq!(answer.first(), Some(&22), "the same in TLS 1.2 is gone into: {answer:?}");
        let (answer, took) = heard(&app, b"").await;
        assert_eq!(answer, b"");
        assert!(took > Duration::from_secs(3) && took < Duration::from_secs(8), "{took:?}");
    };
    let others = async {
        for _ in 0..20 {
            let started = Instant::now();
            assert_eq!(kept.send(app.get("/api/v1/clusters").key(&key)).await.unwrap().status, 200);
            app.get("/api/v1/clusters").key(&key).send().await.expect(200);
            assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::join!(strangers, others);
    drop(silent);
}

/// Asks for a long answer, reads its beginning and then no more; the key is revoked meanwhile.
async fn stop_reading(app: &TestApp, session: &Session, key: &Key, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let head = format!(
        "GET /api/v1/audit-logs/export?format=jsonl&user=seed HTTP/1.1\r\nHost: kv\r\nAuthorization: ApiKey {}\r\n\
         Connection: close\r\n\r\n",
        key.text
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut heard = vec![0; 64 * 1024];
    stream.read_exact(&mut heard).await.unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 200"));
    // Until the buffers of the connection are full, and the server waits for its client.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    app.revoke(session, key).await.expect(204);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "the revocation waited for a client that does not read: {took:?}");
    let _ = stream.read_to_end(&mut heard).await;
    let entries = String::from_utf8_lossy(&heard).matches("\"user\":\"seed\"").count();
    assert!(entries < 9_000 && !heard.ends_with(b"0\r\n\r\n"), "{entries} entries");
}

async fn s3_a_client_that_does_not_read_is_cut_over_tls_as_well(backend: Backend) {
    let authority = Authority::new();
    let (plain, tls) = (TestApp::start(backend).await, TestApp::with_tls(backend, &[], &authority).await);
    for app in [&plain, &tls] {
        seed(app, backend, 10_000, 4_000);
    }
    let (_, session, key) = plain.someone("ann", "ops", None).await;
    stop_reading(&plain, &session, &key, TcpStream::connect(plain.address()).await.unwrap()).await;
    let (_, session, key) = tls.someone("ann", "ops", None).await;
    stop_reading(&tls, &session, &key, authority.trust().connect(tls.address()).await.unwrap()).await;
}

#[test]
fn files_that_do_not_fit_stop_the_start_with_a_clear_message() {
    kv_tests::run(async {
        let (one, other) = (Authority::new(), Authority::new());
        let text = |path: std::path::PathBuf| path.display().to_string();
        let (certificate, key) = (text(one.certificate_file()), text(one.key_file()));
        let (cert_setting, key_setting) = ("KUBEVISION_TLS_CERT", "KUBEVISION_TLS_KEY");
        let ca_setting = "KUBEVISION_TLS_CA";
        let refused: [(&[(&str, &str)], &str); 9] = [
            (&[(cert_setting, &certificate)], "KUBEVISION_TLS_CERT is set without KUBEVISION_TLS_KEY"),
            (&[(key_setting, &key)], "KUBEVISION_TLS_KEY is set without KUBEVISION_TLS_CERT"),
            (&[(cert_setting, "/nowhere"), (key_setting, &key)], "KUBEVISION_TLS_CERT names /nowhere"),
            (&[(cert_setting, &certificate), (key_setting, "/nowhere")], "KUBEVISION_TLS_KEY names /nowhere"),
            (&[(cert_setting, &key), (key_setting, &key)], "does not hold a certificate"),
            (&[(cert_setting, &certificate), (key_setting, &certificate)], "does not hold a private key"),
            (&[(cert_setting, &certificate), (key_setting, &text(other.key_file()))], "cannot be used together"),
            (&[(ca_setting, "/nowhere")], "KUBEVISION_TLS_CA names /nowhere"),
            (&[(ca_setting, &key)], "does not hold certificates"),
        ];
        for (variables, told) in refused {
            let folder = tempfile::tempdir().unwrap();
            let ended = Process::start(SERVER, folder.path(), variables).ended().await;
            assert!(ended.code.is_some_and(|code| code != 0), "{told}: {ended:?}");
            assert!(ended.words.contains(told) && ended.words.lines().count() < 5, "{told}: {}", ended.words);
            assert!(!ended.words.contains("PRIVATE KEY"), "{}", ended.words);
            assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "{told}: nothing was made yet");
        }
    });
}

#[test]
fn a_broken_replacement_is_told_once() {
    kv_tests::run(async {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let files = authority.settings();
        let variables = files.each_ref().map(|(name, path)| (*name, path.as_str()));
        let mut process = Process::start(SERVER, folder.path(), &variables);
        process.serves().await;
        std::fs::write(authority.key_file(), "no key").unwrap();
        tokio::time::sleep(2 * TWO_ROUNDS).await;
        let words = process.words();
        assert_eq!(words.matches("the changed TLS files cannot be used").count(), 1, "{words}");
        authority.issue();
        kv_tests::until("the next one is taken", || process.words().contains("the TLS certificate was replaced")).await;
        process.signal("TERM");
        assert_eq!(process.ended().await.code, Some(0));
    });
}

#[test]
fn plain_http_beyond_the_machine_is_warned_of_and_tls_is_not() {
    kv_tests::run(async {
        let (authority, everywhere) = (Authority::new(), ("KUBEVISION_LISTEN", "0.0.0.0:0"));
        let files = authority.settings();
        let [certificate, key] = files.each_ref().map(|(name, path)| (*name, path.as_str()));
        for (variables, warned) in [(vec![everywhere], true), (vec![everywhere, certificate, key], false)] {
            let folder = tempfile::tempdir().unwrap();
            let process = Process::start(SERVER, folder.path(), &variables);
            kv_tests::until("it serves", || process.words().contains("\"serving\"")).await;
            process.signal("TERM");
            let words = process.ended().await.words;
            assert_eq!(words.contains("plain HTTP beyond this machine"), warned, "{words}");
        }
    });
}
