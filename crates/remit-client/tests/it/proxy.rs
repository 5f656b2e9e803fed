//! A relay of TCP before a server, which can stall, and cut connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The relay. Dropped, it ends with its connections.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// Nothing of what a server sends goes on.
    is_stalled: AtomicBool,
    /// Only the first connection stalls.
    is_first_alone: AtomicBool,
    /// After so many bytes from the server a connection is cut; 0 for never.
    bytes_max: AtomicU64,
    connections: AtomicU64,
    cuts: AtomicU64,
    changed: Notify,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let of_task = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&of_task)));
            }
        });
        Self {
            address,
            state,
            accepting,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn stall(&self, is_stalled: bool) {
        self.state.is_stalled.store(is_stalled, Ordering::SeqCst);
        self.state.changed.notify_waiters();
    }

    pub(crate) fn stall_first(&self) {
        self.state.is_first_alone.store(true, Ordering::SeqCst);
        self.stall(true);
    }

    pub(crate) fn cut_after(&self, bytes: u64) {
        self.state.bytes_max.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(client: TcpStream, server: SocketAddr, state: Arc<State>) {
    let number = state.connections.fetch_add(1, Ordering::SeqCst);
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Either half that ends takes the connection with it.
    tokio::select! {
        () = there(from_client, to_server) => {}
        () = back(from_server, to_client, number, &state) => {}
    }
}

async fn there(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let _ended = tokio::io::copy(&mut from, &mut to).await;
}

async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u64, state: &State) {
    let mut buffer = vec![0; 4_096];
    let mut bytes = 0;
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        loop {
            let changed = state.changed.notified();
            let is_first_alone = state.is_first_alone.load(Ordering::SeqCst);
            let is_meant = number == 0 || !is_first_alone;
            if !(state.is_stalled.load(Ordering::SeqCst) && is_meant) {
                break;
            }
            changed.await;
        }
        bytes += count as u64;
        let bytes_max = state.bytes_max.load(Ordering::SeqCst);
        if bytes_max > 0 && bytes > bytes_max {
            state.cuts.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
