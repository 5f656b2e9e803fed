//! A wire between one node and one server of PostgreSQL, which a fault can cut.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;
use testkit::postgres::host;

/// What is sent to commit.
const COMMIT: &[u8] = b"COMMIT\0";
/// The socket of a server, in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// What happens to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Commit {
    /// It gets to the server, and its answer is held back.
    Arrives,
    /// It is held back.
    IsHeld,
}

/// A proxy; gone with the value.
pub(crate) struct Proxy {
    place: Place,
    gate: Arc<Gate>,
}

/// Where a proxy is reached.
enum Place {
    /// At a socket of its own.
    Socket(TempDir),
    /// In a network.
    Network(SocketAddr),
}

/// Whether bytes pass.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_held: bool,
    /// What is to happen to the next commit; all is held from it on.
    next_commit: Option<Commit>,
    /// How many commits that happened to.
    commits: BTreeMap<Commit, usize>,
    is_closed: bool,
    /// How often all connections were cut. One of before then passes nothing any more.
    cuts: usize,
}

impl Proxy {
    /// A proxy before the server whose socket is in `server`: at that address, or at a socket.
    pub(crate) fn start(server: &Path, address: Option<Ipv4Addr>) -> Self {
        let (gate, server) = (Arc::<Gate>::default(), server.join(SOCKET));
        let own = Arc::clone(&gate);
        let place = match address {
            None => {
                let folder = tempfile::tempdir().unwrap();
                let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
                let accept = move || listener.accept().map(|(client, _)| client);
                std::thread::spawn(move || serve(accept, &server, &own));
                Place::Socket(folder)
            }
            Some(address) => {
                let listener = TcpListener::bind((address, 0)).unwrap();
                let place = listener.local_addr().unwrap();
                let accept = move || {
                    let (client, _) = listener.accept()?;
                    client.set_nodelay(true)?;
                    Ok(client)
                };
                std::thread::spawn(move || serve(accept, &server, &own));
                Place::Network(place)
            }
        };
        Self { place, gate }
    }

    /// Where it is, as the host in a URL.
    pub(crate) fn host(&self) -> String {
        match &self.place {
            Place::Socket(folder) => host(folder.path()),
            Place::Network(address) => address.to_string(),
        }
    }

    /// Holds back all bytes, in both directions, and does not say so.
    pub(crate) fn hold(&self) {
        self.gate.state().is_held = true;
    }

    /// Does so from the next commit on, if there is to be one.
    pub(crate) fn hold_next(&self, commit: Option<Commit>) {
        self.gate.state().next_commit = commit;
    }

    pub(crate) fn is_held(&self) -> bool {
        self.gate.state().is_held
    }

    /// Lets through what was held back.
    pub(crate) fn release(&self) {
        let mut state = self.gate.state();
        (state.is_held, state.next_commit) = (false, None);
        drop(state);
        self.gate.changed.notify_all();
    }

    /// Loses what was held back, and cuts every connection; new ones can be made.
    pub(crate) fn cut(&self) {
        self.gate.state().cuts += 1;
        self.release();
    }

    /// What happened to how many commits.
    pub(crate) fn commits(&self) -> BTreeMap<Commit, usize> {
        self.gate.state().commits.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.gate.state().is_closed = true;
        self.cut();
        // Wakes the thread that accepts; it may be gone.
        match &self.place {
            Place::Socket(folder) => drop(UnixStream::connect(folder.path().join(SOCKET))),
            Place::Network(address) => drop(TcpStream::connect(address)),
        }
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing is held back; how often all connections were cut before.
    fn opened(&self) -> usize {
        let opened = self
            .changed
            .wait_while(self.state(), |state| state.is_held)
            .unwrap();
        opened.cuts
    }

    /// Waits until bytes of a connection that was made after so many cuts may pass; whether they ever do.
    fn passes(&self, cuts: usize) -> bool {
        let is_held = |state: &mut State| state.is_held && state.cuts == cuts;
        let state = self.changed.wait_while(self.state(), is_held).unwrap();
        state.cuts == cuts
    }

    /// As [`Self::passes`], of bytes to the server.
    fn passes_to(&self, cuts: usize, sent: &[u8]) -> bool {
        let passes = self.passes(cuts);
        if passes && sent.windows(COMMIT.len()).any(|window| window == COMMIT) {
            let mut state = self.state();
            if let Some(commit) = state.next_commit.take() {
                state.is_held = true;
                *state.commits.entry(commit).or_default() += 1;
                drop(state);
                return commit == Commit::Arrives || self.passes(cuts);
            }
        }
        passes
    }
}

/// A connection of either kind.
trait Wire: Read + Write + Send + Sized + 'static {
    /// The same connection once more.
    fn twin(&self) -> Self;
    /// Ends it; it may have ended already.
    fn end(&self);
}

impl Wire for UnixStream {
    fn twin(&self) -> Self {
        self.try_clone().unwrap()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Wire for TcpStream {
    fn twin(&self) -> Self {
        self.try_clone().unwrap()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

fn serve<C: Wire>(mut accept: impl FnMut() -> io::Result<C>, server: &Path, gate: &Arc<Gate>) {
    loop {
        let client = accept().unwrap();
        if gate.state().is_closed {
            return;
        }
        let (gate, server) = (Arc::clone(gate), server.to_owned());
        std::thread::spawn(move || relay(client, server, gate));
    }
}

fn relay(client: impl Wire, server: PathBuf, gate: Arc<Gate>) {
    let cuts = gate.opened();
    // A server that is down closes the connection.
    let Ok(server) = UnixStream::connect(server) else {
        return;
    };
    let (back_from, back_to) = (server.twin(), client.twin());
    let back_gate = Arc::clone(&gate);
    std::thread::spawn(move || copy(back_from, back_to, |_| back_gate.passes(cuts)));
    copy(client, server, |sent| gate.passes_to(cuts, sent));
}

/// Copies for as long as bytes may pass, and then ends both.
fn copy(mut from: impl Wire, mut to: impl Wire, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        let sent = &buffer[..count];
        if count == 0 || !passes(sent) || to.write_all(sent).is_err() {
            break;
        }
    }
    from.end();
    to.end();
}
