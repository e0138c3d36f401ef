//! Calls to servers that behave badly.

use super::*;
use crate::cluster::{
    Names, ObjectPath, UpstreamPath, UpstreamQuery,
    discovery::Served,
    names::{Group, Namespace, Plural, Version},
};
use kv_authz::kubernetes::KubernetesVerb;
use std::{cell::RefCell, rc::Rc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::LocalSet,
};
use uuid::Uuid;

/// A lease that never runs out.
fn held() -> crate::admission::Cover {
    crate::admission::Lease::unlimited(crate::clock::Clock::system()).cover()
}

/// Everything that arrived, as text.
type Heard = Rc<RefCell<String>>;

/// A server on this thread that answers every request with the same bytes.
async fn server(answer: Vec<u8>) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let hears = heard.clone();
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (hears, answer) = (hears.clone(), answer.clone());
            tokio::task::spawn_local(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    hears.borrow_mut().push_str(&String::from_utf8_lossy(&buffer[..read]));
                    if stream.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, heard)
}

fn json(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

fn here() -> AddressPolicy {
    AddressPolicy::new(["127.0.0.1"]).unwrap()
}

fn upstream(port: u16) -> Upstream {
    Upstream::new(&ClusterAccess::plain_for_test(port), &here(), CONNECT_TIMEOUT, held()).unwrap()
}

fn quick() -> CallLimits {
    CallLimits { time: Duration::from_millis(400), bytes: 1_000 }
}

fn patch() -> Call {
    let (group, version) = (Group::parse("apps").unwrap(), Version::parse("v1").unwrap());
    let served = Served::of(Plural::parse("deployments").unwrap(), group, version, true);
    let namespace = Some(Namespace::parse("team").unwrap());
    let name = Some(crate::cluster::ObjectName::parse("web", "apps").unwrap());
    let path = ObjectPath::new(&served, Names { namespace, name, ..Names::default() }, KubernetesVerb::Patch).unwrap();
    Call::object(&path, &UpstreamQuery::default()).with_body("application/merge-patch+json", b"{\"spec\":{}}".to_vec())
}

async fn get(answer: Vec<u8>) -> Result<Answer, UpstreamError> {
    let (port, _) = server(answer).await;
    upstream(port).send(Call::get(UpstreamPath::version()), quick()).await
}

#[tokio::test]
async fn attack_145_146_only_our_headers_arrive() {
    let entry = Uuid::from_u128(7);
    LocalSet::new()
        .run_until(async {
            let (port, heard) = server(json("200 OK", "", "{}")).await;
            let answer = upstream(port).send(patch().with_audit_id(entry), quick()).await.unwrap();
            assert_eq!((answer.status, &answer.body[..], answer.is_json), (StatusCode::OK, &b"{}"[..], true));
            let heard = heard.borrow();
            let (head, body) = heard.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, "{\"spec\":{}}");
            let mut lines: Vec<String> = head.lines().map(str::to_ascii_lowercase).collect();
            assert_eq!(lines.remove(0), "patch /apis/apps/v1/namespaces/team/deployments/web http/1.1");
            lines.sort();
            let version = env!("CARGO_PKG_VERSION");
            assert_eq!(
                lines,
                [
                    "accept: application/json".to_owned(),
                    format!("audit-id: {entry}"),
                    "authorization: bearer test-token".to_owned(),
                    "content-length: 11".to_owned(),
                    "content-type: application/merge-patch+json".to_owned(),
                    format!("host: 127.0.0.1:{port}"),
                    format!("user-agent: kubevision/{version}"),
                ]
            );
        })
        .await;
}

#[tokio::test]
async fn attack_149_redirects_are_not_followed() {
    LocalSet::new()
        .run_until(async {
            let (elsewhere, heard) = server(json("200 OK", "", "{}")).await;
            for status in ["301 M", "302 F", "303 S", "307 T", "308 P", "300 M", "304 N"] {
                let location = format!("location: http://127.0.0.1:{elsewhere}/\r\n");
                assert!(matches!(get(json(status, &location, "")).await, Err(UpstreamError::Redirected)), "{status}");
            }
            assert_eq!(*heard.borrow(), "");
        })
        .await;
}

#[tokio::test]
async fn attack_153_answers_have_an_end() {
    LocalSet::new()
        .run_until(async {
            let large = json("200 OK", "", &"x".repeat(1_001));
            assert!(matches!(get(large).await, Err(UpstreamError::TooLarge)));
            let endless = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunks = format!("{endless}{}", "80\r\n".to_owned() + &"x".repeat(128) + "\r\n");
            let chunks = chunks + &("80\r\n".to_owned() + &"x".repeat(128) + "\r\n").repeat(20);
            assert!(matches!(get(chunks.into_bytes()).await, Err(UpstreamError::TooLarge)));
            // Never ends, but is not long either.
            assert!(matches!(get(endless.as_bytes().to_vec()).await, Err(UpstreamError::Timeout)));
            assert!(matches!(get(Vec::new()).await, Err(UpstreamError::Timeout)));
            let headers: String = (0..100_000).map(|at| format!("x-{at}: y\r\n")).collect();
            assert!(get(json("200 OK", &headers, "{}")).await.is_err());
            let cut = json("200 OK", "connection: close\r\n", "{}");
            assert!(get(cut[..cut.len() - 1].to_vec()).await.is_err());
        })
        .await;
}

#[tokio::test]
async fn answers_of_something_else() {
    LocalSet::new()
        .run_until(async {
            let html = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi".to_vec();
            assert!(matches!(get(html).await, Err(UpstreamError::NotKubernetes)));
            let none = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec();
            assert!(matches!(get(none).await, Err(UpstreamError::NotKubernetes)));
            assert!(matches!(get(b"SSH-2.0-OpenSSH_9.7\r\n".to_vec()).await, Err(UpstreamError::Broken(_))));
            // A refusal may be of any form; what is said of it is another room's business.
            let refusal = b"HTTP/1.1 404 N\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nno".to_vec();
            let answer = get(refusal).await.unwrap();
            assert_eq!((answer.status, answer.is_json), (StatusCode::NOT_FOUND, false));
        })
        .await;
}

#[tokio::test]
async fn attack_160_this_machine_is_refused_unless_listed() {
    LocalSet::new()
        .run_until(async {
            let (port, heard) = server(json("200 OK", "", "{}")).await;
            let access = ClusterAccess::plain_for_test(port);
            let upstream = Upstream::new(&access, &AddressPolicy::default(), CONNECT_TIMEOUT, held()).unwrap();
            let error = upstream.send(Call::get(UpstreamPath::version()), quick()).await.unwrap_err();
            assert!(matches!(error, UpstreamError::Refused(RefusedAddress { kind: "loopback" })), "{error:?}");
            assert!(error.nothing_was_sent());
            for server in ["https://localhost:1", "https://[::1]:1", "https://[::ffff:127.0.0.1]:1", "https://127.1:1"]
            {
                let access = ClusterAccess::from_parts(server, None, "t".to_owned().into()).unwrap();
                let upstream = Upstream::new(&access, &AddressPolicy::default(), CONNECT_TIMEOUT, held()).unwrap();
                let error = upstream.send(Call::get(UpstreamPath::version()), CallLimits::default()).await.unwrap_err();
                assert!(
                    matches!(error, UpstreamError::Refused(_) | UpstreamError::Unreachable(_)),
                    "{server} {error:?}"
                );
                assert!(server.contains("127.1") || matches!(error, UpstreamError::Refused(_)), "{server} {error:?}");
            }
            assert_eq!(*heard.borrow(), "");
        })
        .await;
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_nothing_was_sent() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = upstream(port).send(Call::get(UpstreamPath::version()), quick()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unreachable(_)) && error.nothing_was_sent());
    // A listener that never speaks TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let access = ClusterAccess::from_parts(&server, None, "t".to_owned().into()).unwrap();
    let upstream = Upstream::new(&access, &here(), Duration::from_millis(100), held()).unwrap();
    let error = upstream.send(Call::get(UpstreamPath::version()), CallLimits::default()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unreachable(_)), "{error:?}");
}

/// The promise that revocation rests on, on a connection that is open already.
#[tokio::test]
async fn a_call_dropped_before_it_is_written_is_never_written() {
    LocalSet::new()
        .run_until(async {
            let (port, heard) = server(json("200 OK", "", "{}")).await;
            let upstream = upstream(port);
            upstream.send(Call::get(UpstreamPath::version()), quick()).await.unwrap();
            let mut written = Vec::new();
            for polls in 1..8 {
                heard.borrow_mut().clear();
                let mut call = Box::pin(upstream.send(patch(), quick()));
                for poll in 1..=polls {
                    if poll > 1 {
                        tokio::task::yield_now().await;
                    }
                    if futures_util::poll!(&mut call).is_ready() {
                        break;
                    }
                }
                let before = heard.borrow().len();
                drop(call);
                tokio::time::sleep(Duration::from_millis(50)).await;
                let patched = heard.borrow().contains("PATCH");
                assert!(!patched || polls > 2 || before > 0, "written after the drop, {polls} polls");
                written.push(patched);
            }
            // Asked for, then handed to hyper: neither is written. Later it is, or the test would show nothing.
            assert_eq!(written[..2], [false, false], "{written:?}");
            assert!(written.contains(&true), "{written:?}");
        })
        .await;
}

/// The same while the connection is still being made.
#[tokio::test]
async fn a_call_dropped_while_connecting_is_never_written() {
    LocalSet::new()
        .run_until(async {
            let (port, heard) = server(json("200 OK", "", "{}")).await;
            // Before the third it is connected, and in one step it is written then.
            for polls in 1..3 {
                let upstream = upstream(port);
                let mut call = Box::pin(upstream.send(patch(), quick()));
                for _ in 0..polls {
                    assert!(futures_util::poll!(&mut call).is_pending());
                    tokio::task::yield_now().await;
                }
                let before = heard.borrow().len();
                drop(call);
                tokio::time::sleep(Duration::from_millis(50)).await;
                assert_eq!((before, heard.borrow().as_str()), (0, ""), "{polls} polls");
            }
        })
        .await;
}

#[test]
fn outside_a_runtime_there_is_an_error_and_no_panic() {
    assert!(matches!(
        Upstream::new(&ClusterAccess::plain_for_test(1), &here(), CONNECT_TIMEOUT, held()),
        Err(UpstreamError::Setup(_))
    ));
}

#[test]
fn statuses() {
    assert_eq!(UpstreamError::Timeout.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(UpstreamError::Redirected.status(), StatusCode::BAD_GATEWAY);
    assert!(!UpstreamError::Timeout.nothing_was_sent());
}
