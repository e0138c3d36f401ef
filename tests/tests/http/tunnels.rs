//! Tunnels into pods: WebSockets carried message by message, cut with their credential.

use futures_util::{SinkExt, StreamExt};
use kv_tests::{Backend, Cluster, Key, Reply, Session, TestApp, on_both, until, websocket};
use std::time::Duration;
use tokio_tungstenite::tungstenite::{Error, Message};

on_both!(
    what_is_said_is_carried_both_ways,
    attack_133_137_a_tunnel_ends_at_the_revocation_with_its_reason,
    attack_122_a_tunnel_takes_its_own_right,
    attack_140_what_does_not_switch_as_asked_goes_no_further,
    attack_245_messages_are_bounded,
    an_older_cluster_is_spoken_to_in_v4,
);

const POD: &str = "/api/v1/clusters/prod/k8s/api/v1/namespaces/team/pods/web";
const UPSTREAM: &str = "/api/v1/namespaces/team/pods/web";
const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";

async fn world(backend: Backend, protocol: &'static str) -> (TestApp, Cluster, Session, Key) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let (_, session, key) = app.someone("ann", "dev", Some("prod")).await;
    cluster.reply(&format!("{UPSTREAM}/"), Reply::websocket(protocol));
    (app, cluster, session, key)
}

fn exec() -> String {
    format!("{POD}/exec?command=sh&command=-c&command=echo%20a&stdin=true&stdout=true")
}

async fn what_is_said_is_carried_both_ways(backend: Backend) {
    let (app, cluster, _, key) = world(backend, V5).await;
    let mut tunnel = websocket(&app, &exec(), &key, V5).await.unwrap();
    for size in [1, 100, 32 * 1024, 500_000] {
        let message = Message::binary(vec![b'x'; size]);
        tunnel.send(message.clone()).await.unwrap();
        assert_eq!(tunnel.next().await.unwrap().unwrap(), message);
    }
    tunnel.close(None).await.unwrap();
    until("the cluster's half is over", || cluster.streams().ended == 1).await;
    let seen = cluster.seen().pop().unwrap();
    assert_eq!(
        seen.line(),
        format!("GET {UPSTREAM}/exec?command=sh&command=-c&command=echo%20a&stdin=true&stdout=true")
    );
    assert_eq!(seen.header("authorization"), Some("Bearer the-clusters-own-token"));
    app.outcomes_written().await;
    let entry = app.audit("action=kubernetes.exec").await.remove(0);
    assert_eq!(
        (entry["resource"].as_str(), entry["resource_name"].as_str()),
        (Some("pods/exec"), Some("web")),
        "{entry}"
    );
    assert_eq!((entry["outcome"].as_str(), entry["status_code"].as_u64()), (Some("succeeded"), Some(101)), "{entry}");
}

async fn attack_133_137_a_tunnel_ends_at_the_revocation_with_its_reason(backend: Backend) {
    let (app, cluster, session, key) = world(backend, V5).await;
    let mut tunnel = websocket(&app, &exec(), &key, V5).await.unwrap();
    let mut forward = {
        cluster.reply(&format!("{UPSTREAM}/portforward"), Reply::websocket("SPDY/3.1+portforward.k8s.io"));
        websocket(&app, &format!("{POD}/portforward"), &key, "SPDY/3.1+portforward.k8s.io").await.unwrap()
    };
    for stream in [&mut tunnel, &mut forward] {
        stream.send(Message::binary(vec![0, b'a'])).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), Message::binary(vec![0, b'a']));
    }
    app.revoke(&session, &key).await.expect(204);
    let messages = cluster.streams().messages.len();
    until("the cluster's halves are over", || cluster.streams().ended == 2).await;
    // What is written now reaches nobody.
    drop(tunnel.send(Message::binary(vec![0, b'b'])).await);
    let mut told = Vec::new();
    while let Some(Ok(message)) = tunnel.next().await {
        told.push(message);
    }
    let Some(Message::Binary(status)) = told.first() else { panic!("{told:?}") };
    assert_eq!(status[0], 3, "on the stream of errors");
    let status: serde_json::Value = serde_json::from_slice(&status[1..]).unwrap();
    assert_eq!((status["status"].as_str(), status["reason"].as_str()), (Some("Failure"), Some("Unauthorized")));
    for (name, end) in [("exec", told.last().cloned()), ("portforward", forward.next().await.and_then(Result::ok))] {
        let Some(Message::Close(Some(frame))) = end else { panic!("{name}: {end:?}") };
        assert_eq!(u16::from(frame.code), 4401, "{name}: {frame}");
    }
    assert_eq!(cluster.streams().messages.len(), messages, "the cluster has heard nothing since");
    app.outcomes_written().await;
    let entry = app.audit("action=kubernetes.exec").await.remove(0);
    assert_eq!((entry["outcome"].as_str(), entry["status_code"].as_u64()), (Some("unknown"), Some(401)), "{entry}");
}

fn refused(opened: Result<impl std::fmt::Debug, Error>) -> (u16, String) {
    match opened {
        Err(Error::Http(response)) => {
            let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
            (response.status().as_u16(), body)
        }
        other => panic!("{other:?}"),
    }
}

async fn attack_122_a_tunnel_takes_its_own_right(backend: Backend) {
    let (app, cluster, _, _) = world(backend, V5).await;
    let (_, _, key) = app.someone("eve", "readonly", Some("prod")).await;
    for part in ["exec?command=sh", "attach", "portforward"] {
        let protocol = if part == "portforward" { V4 } else { V5 };
        let (status, body) = refused(websocket(&app, &format!("{POD}/{part}"), &key, protocol).await);
        assert_eq!(status, 403, "{part}: {body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((body["kind"].as_str(), body["reason"].as_str()), (Some("Status"), Some("Forbidden")));
        assert!(body["message"].as_str().unwrap().contains("pods:exec"), "{body}");
        for method in ["GET", "POST"] {
            let plain = app.request(method, &format!("{POD}/{part}")).key(&key).send().await.expect(403);
            assert!(plain.text().contains("pods:exec"));
            let spdy = app.request(method, &format!("{POD}/{part}")).key(&key).header("upgrade", "SPDY/3.1");
            spdy.header("connection", "Upgrade").send().await.expect(403);
        }
    }
    assert!(cluster.seen().is_empty());
    let (_, _, key) = app.someone("bob", "dev", Some("prod")).await;
    let spdy = app.post(&exec()).key(&key).header("upgrade", "SPDY/3.1").header("connection", "Upgrade");
    let answer = spdy.send().await.expect(400);
    assert!(answer.text().contains("WebSocket"), "{}", answer.text());
    assert!(cluster.seen().is_empty());
}

async fn attack_140_what_does_not_switch_as_asked_goes_no_further(backend: Backend) {
    let (app, cluster, _, key) = world(backend, V5).await;
    for (reply, expected) in [
        (Reply::refusal(403, "no"), 403),
        (Reply::refusal(500, "broken"), 502),
        (Reply::refusal(302, "elsewhere").with("location", "https://10.0.0.1/"), 502),
        (Reply::json(200, &serde_json::json!({})), 502),
        (Reply::websocket("chat"), 502),
        (Reply::websocket(V4).with("sec-websocket-accept", "wrong"), 502),
    ] {
        cluster.reply(&format!("{UPSTREAM}/exec"), reply);
        let (status, body) = refused(websocket(&app, &exec(), &key, &format!("{V5}, {V4}")).await);
        assert_eq!(status, expected, "{body}");
    }
    assert_eq!(cluster.streams().messages.len(), 0);
    for (path, protocols) in [(exec(), "chat"), (format!("{POD}/log"), V4), (format!("{POD}/proxy/ws"), V4)] {
        let (status, _) = refused(websocket(&app, &path, &key, protocols).await);
        assert_eq!(status, 400, "{path}");
    }
}

async fn attack_245_messages_are_bounded(backend: Backend) {
    let (app, cluster, _, key) = world(backend, V5).await;
    let mut tunnel = websocket(&app, &exec(), &key, V5).await.unwrap();
    drop(tunnel.send(Message::binary(vec![0; 2 * 1024 * 1024])).await);
    let end = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            match tunnel.next().await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                _ => return None,
            }
        }
    });
    if let Some(frame) = end.await.expect("the tunnel ends") {
        assert_eq!(u16::from(frame.code), 1009);
    }
    until("the cluster's half is over", || cluster.streams().ended == 1).await;
    assert!(cluster.streams().messages.is_empty());
}

async fn an_older_cluster_is_spoken_to_in_v4(backend: Backend) {
    let (app, cluster, _, key) = world(backend, V4).await;
    let mut tunnel = websocket(&app, &exec(), &key, V5).await.unwrap();
    assert_eq!(
        cluster.seen().pop().unwrap().header("sec-websocket-protocol"),
        Some("v5.channel.k8s.io, v4.channel.k8s.io")
    );
    tunnel.send(Message::binary(vec![0, b'a'])).await.unwrap();
    assert_eq!(tunnel.next().await.unwrap().unwrap(), Message::binary(vec![0, b'a']));
    // The end of the input cannot be told; after a while of silence the command is ended, and its user told why.
    tunnel.send(Message::binary(vec![255, 0])).await.unwrap();
    let Some(Ok(Message::Binary(status))) = tunnel.next().await else { panic!("the reason is told") };
    assert!(String::from_utf8_lossy(&status).contains("v4.channel.k8s.io"));
    assert_eq!(cluster.streams().messages, [vec![0, b'a']], "what v4 does not know is not sent");
    until("the cluster's half is over", || cluster.streams().ended == 1).await;
}
