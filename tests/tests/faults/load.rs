//! Requests with keys and in sessions: each on a connection of its own, noted with all that came of it; one at a time, or so
//! many a second.

use crate::{
    answer::came,
    history::{Asked, What},
    weather::Dice,
    world::World,
};
use kv_tests::Carried;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// How long an answer that ends is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const PATCH: &str = r#"{"metadata":{"labels":{"a":"b"}}}"#;

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Over the link of its clients.
    Link,
    /// At its own address.
    Itself,
}

fn head(what: What, serial: u64, server: usize, shown: &str) -> String {
    let pods = "namespaces/team/pods";
    let at = format!("/api/v1/clusters/c{server}");
    let line = match what {
        What::Get => format!("GET {at}/{pods}/x{serial}x"),
        What::Patch => format!("PATCH {at}/{pods}/x{serial}x"),
        What::List => "GET /api/v1/clusters".to_owned(),
        What::Stream if serial.is_multiple_of(2) => {
            format!("GET {at}/k8s/api/v1/{pods}?watch=true&labelSelector=a%3Dx{serial}x")
        }
        What::Stream => format!("GET {at}/k8s/api/v1/{pods}/yx{serial}x/log?follow=true"),
    };
    let more = match what {
        What::Patch => format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{PATCH}", PATCH.len()),
        _ => "\r\n".to_owned(),
    };
    format!("{line} HTTP/1.1\r\nHost: kv\r\nConnection: close\r\nAuthorization: {shown}\r\n{more}")
}

/// Asks, and notes what came of it.
pub(crate) async fn ask(world: &World, by: By, key: usize, server: usize, what: What) -> Asked {
    let (serial, shown) = (world.next_serial(), world.key(key).shown);
    let place = &world.servers[server];
    let address = if by == By::Link { place.clients.address } else { world.address(server) };
    let mut heard = Vec::new();
    let mut local = None;
    let began = Instant::now();
    let head = head(what, serial, server, &shown);
    let exchange = talk(address, &head, &mut local, &mut heard);
    if what == What::Stream {
        exchange.await;
    } else {
        let _ = tokio::time::timeout(PATIENCE, exchange).await;
    }
    let (ended, came) = (Instant::now(), came(&heard));
    let carried: Option<Arc<Carried>> =
        local.filter(|_| by == By::Link).and_then(|local| place.clients.carried_from(local));
    let asked = Asked {
        serial,
        key,
        server,
        what,
        began,
        ended,
        status: came.status,
        whole: came.whole,
        request_id: came.request_id,
        received: heard.len() as u64,
        stream: if what == What::Stream { heard } else { Vec::new() },
        carried: carried.filter(|one| one.began >= began),
    };
    world.records.with(|history| history.asked.push(asked.clone()));
    asked
}

/// Says it and listens to the end.
async fn talk(address: SocketAddr, head: &str, local: &mut Option<SocketAddr>, heard: &mut Vec<u8>) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    *local = stream.local_addr().ok();
    let _ = stream.set_nodelay(true);
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        heard.extend_from_slice(&buffer[..read]);
    }
}

/// So many requests a second, with the keys in use by turn, until the world is over. None is waited for by the next.
pub(crate) fn steady(world: &Arc<World>, rate: u32, mut dice: Dice) -> JoinHandle<()> {
    let world = world.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut running = tokio::task::JoinSet::new();
        for turn in 0_usize.. {
            ticks.tick().await;
            if world.is_over() {
                break;
            }
            while running.try_join_next().is_some() {}
            let key = {
                let keys = world.in_use.lock().unwrap();
                if keys.is_empty() {
                    continue;
                }
                keys[turn % keys.len()]
            };
            let what = [What::Get, What::Patch, What::List, What::Get][dice.below(4)];
            let (world, server) = (world.clone(), dice.below(world.servers.len()));
            running.spawn(async move { ask(&world, By::Link, key, server, what).await });
        }
        while running.join_next().await.is_some() {}
    })
}
