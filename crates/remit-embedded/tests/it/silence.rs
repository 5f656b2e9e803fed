//! A network that takes everything and gives nothing back: the replica notices, and connects anew.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use remit_embedded::{Consistency, Decision, Engine, Kind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::running::{eventually, start, view};

/// What lies between: what it is given while it is silent is lost, and the connection is of no use from then on.
struct Between {
    address: SocketAddr,
    is_silent: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

async fn between(server: SocketAddr) -> Between {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let is_silent = Arc::new(AtomicBool::new(false));
    let connections = Arc::new(AtomicUsize::new(0));
    let (silent, count) = (Arc::clone(&is_silent), Arc::clone(&connections));
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let Ok(far) = TcpStream::connect(server).await else {
                continue;
            };
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            let is_lost = Arc::new(AtomicBool::new(false));
            for (mut from, mut to) in [(near_in, far_out), (far_in, near_out)] {
                let (silent, is_lost) = (Arc::clone(&silent), Arc::clone(&is_lost));
                tokio::spawn(async move {
                    let mut bytes = vec![0; 64 << 10];
                    while let Ok(count @ 1..) = from.read(&mut bytes).await {
                        if silent.load(Ordering::SeqCst) {
                            is_lost.store(true, Ordering::SeqCst);
                        }
                        if !is_lost.load(Ordering::SeqCst)
                            && to.write_all(&bytes[..count]).await.is_err()
                        {
                            return;
                        }
                    }
                });
            }
        }
    });
    Between {
        address,
        is_silent,
        connections,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_made_anew() {
    let running = start().await;
    running.write(&["+doc:a#viewer@user:ann"]).await;
    let between = between(running.address).await;
    let mut follow = running.follow();
    follow.server.endpoint = between.address.to_string();
    follow.pace.call_max = Duration::from_secs(1);
    let replica = Engine::follow(follow).await.unwrap();
    eventually(async || replica.health().is_connected.then_some(())).await;

    between.is_silent.store(true, Ordering::SeqCst);
    let since = std::time::Instant::now();
    let health = eventually(async || {
        let health = replica.health();
        (!health.is_connected).then_some(health)
    });
    let health = health.await;
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    assert!(
        health.trouble.unwrap().contains("no answer within"),
        "nothing is said"
    );
    let newest = Consistency::MinimizeLatency;
    assert_eq!(
        view(&replica, newest, "doc:a", "user:ann").await.unwrap(),
        Decision::Allowed
    );
    let away = view(&replica, Consistency::FullyConsistent, "doc:a", "user:ann").await;
    assert_eq!(away.unwrap_err().kind, Kind::Unavailable);
    let token = running.write(&["-doc:a#viewer@user:ann"]).await;

    let before = between.connections.load(Ordering::SeqCst);
    between.is_silent.store(false, Ordering::SeqCst);
    let fresh = Consistency::AtLeastAsFresh(token);
    let denied = eventually(async || view(&replica, fresh, "doc:a", "user:ann").await.ok());
    assert_eq!(denied.await, Decision::Denied);
    eventually(async || replica.health().is_connected.then_some(())).await;
    assert!(between.connections.load(Ordering::SeqCst) > before);
    running.stop().await;
}
