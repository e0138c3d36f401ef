//! Tests of the link: each way it goes wrong, seen from both ends; and what it counts.

use super::*;
use tokio::{io::AsyncReadExt, time::timeout};

const SHORT: Duration = Duration::from_millis(200);

/// A server that says back what it is told.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            });
        }
    });
    address
}

async fn says(stream: &mut TcpStream, word: &[u8]) {
    stream.write_all(word).await.unwrap();
}

async fn hears(stream: &mut TcpStream, word: &[u8]) {
    let mut heard = vec![0; word.len()];
    timeout(crate::PATIENCE, stream.read_exact(&mut heard)).await.expect("an echo").unwrap();
    assert_eq!(heard, word);
}

async fn is_silent(stream: &mut TcpStream) {
    assert!(timeout(SHORT, stream.read_u8()).await.is_err(), "it is not silent");
}

async fn is_reset(stream: &mut TcpStream) {
    let ended = timeout(crate::PATIENCE, stream.read_u8()).await.expect("an end");
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

/// The reset may come before the connection is known to be open.
async fn is_refused(link: &Link) {
    match TcpStream::connect(link.address).await {
        Ok(mut stream) => is_reset(&mut stream).await,
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

async fn world() -> (Link, TcpStream) {
    let link = Link::to(echo().await);
    let mut stream = TcpStream::connect(link.address).await.unwrap();
    says(&mut stream, b"one").await;
    hears(&mut stream, b"one").await;
    (link, stream)
}

#[test]
fn what_is_held_back_arrives_when_it_passes_again() {
    crate::run(async {
        let (link, mut stream) = world().await;
        for manner in [Manner::BlackHole, Manner::Only(Direction::ToServer), Manner::Only(Direction::ToClient)] {
            link.set(manner);
            says(&mut stream, b"two").await;
            is_silent(&mut stream).await;
            link.pass();
            hears(&mut stream, b"two").await;
        }
        link.set(Manner::BlackHole);
        let mut other = TcpStream::connect(link.address).await.unwrap();
        says(&mut other, b"three").await;
        is_silent(&mut other).await;
        link.pass();
        hears(&mut other, b"three").await;
        assert_eq!((link.made(), link.open()), (2, 2));
    });
}

#[test]
fn what_is_cut_is_reset_and_new_connections_pass_later() {
    crate::run(async {
        let (link, mut stream) = world().await;
        link.set(Manner::Cut);
        is_reset(&mut stream).await;
        is_refused(&link).await;
        link.pass();
        let mut again = TcpStream::connect(link.address).await.unwrap();
        says(&mut again, b"two").await;
        hears(&mut again, b"two").await;
        crate::until("what was cut is no longer counted", || link.open() == 1).await;
        // Elsewhere there is nobody.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        link.lead_to(nobody);
        is_refused(&link).await;
        link.reset();
        is_reset(&mut again).await;
    });
}

#[test]
fn half_open_is_half_gone_for_good() {
    crate::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link::to(listener.local_addr().unwrap());
        let mut client = TcpStream::connect(link.address).await.unwrap();
        says(&mut client, b"one").await;
        let (mut server, _) = listener.accept().await.unwrap();
        hears(&mut server, b"one").await;
        link.set(Manner::HalfOpen);
        assert_eq!(timeout(crate::PATIENCE, server.read(&mut [0])).await.expect("an end").unwrap(), 0);
        link.pass();
        says(&mut client, b"two").await;
        is_silent(&mut client).await;
        link.reset();
        is_reset(&mut client).await;
    });
}

#[test]
fn a_delay_is_a_delay_and_the_order_stays() {
    crate::run(async {
        let (link, mut stream) = world().await;
        link.set(Manner::Delay { usual: SHORT, tail: 2 * SHORT });
        let started = Instant::now();
        for word in 0..100_u8 {
            says(&mut stream, &[word]).await;
        }
        hears(&mut stream, &(0..100).collect::<Vec<u8>>()).await;
        // There and back.
        assert!(started.elapsed() >= 2 * SHORT, "{:?}", started.elapsed());
    });
}

#[test]
fn what_was_given_is_counted_though_it_is_held_back() {
    crate::run(async {
        let (link, mut stream) = world().await;
        let one = link.carried().remove(0);
        assert_eq!(one.from, stream.local_addr().unwrap());
        let given = || (one.given(Direction::ToServer), one.given(Direction::ToClient));
        assert_eq!(given(), (3, 3));
        link.set(Manner::Only(Direction::ToServer));
        says(&mut stream, b"three").await;
        crate::until("the echo waits in the link", || given() == (8, 8)).await;
        is_silent(&mut stream).await;
        link.set(Manner::BlackHole);
        says(&mut stream, b"more").await;
        crate::until("what nobody takes counts", || given() == (12, 8)).await;
        link.set(Manner::Cut);
        crate::until("it is over", || one.ended().is_some()).await;
    });
}
