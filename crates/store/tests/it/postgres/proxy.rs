//! A wire to PostgreSQL that is cut at the worst moments: right before a commit gets to the server, and right after.

#![expect(
    clippy::disallowed_methods,
    reason = "faults come at times, and not at events"
)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use testkit::postgres::host;

/// What is sent to commit.
const COMMIT: &[u8] = b"COMMIT\0";
/// Long enough for the server to have done what it got.
const DONE: Duration = Duration::from_millis(30);

/// A proxy on a socket of its own.
pub(super) struct Proxy {
    folder: TempDir,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    commits: AtomicUsize,
    before: AtomicUsize,
    after: AtomicUsize,
}

impl Proxy {
    /// A proxy before the server whose socket is in `folder`.
    pub(super) fn start(server: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let faults = Arc::new(Faults::default());
        let own = Arc::clone(&faults);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = UnixStream::connect(server.join(".s.PGSQL.5432")) else {
                    continue;
                };
                relay(client, server, &own);
            }
        });
        Self { folder, faults }
    }

    /// The URL of a database by way of the proxy.
    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://remit@{}/{database}", host(self.folder.path()))
    }

    /// How many commits did not get to the server, and of how many the answer did not get back.
    pub(super) fn faults(&self) -> (usize, usize) {
        let count = |faults: &AtomicUsize| faults.load(Ordering::Relaxed);
        (count(&self.faults.before), count(&self.faults.after))
    }
}

fn relay(client: UnixStream, server: UnixStream, faults: &Arc<Faults>) {
    let is_mute = Arc::new(AtomicBool::new(false));
    let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let mute = Arc::clone(&is_mute);
    std::thread::spawn(move || {
        copy(back_from, back_to, |_| !mute.load(Ordering::Acquire));
    });
    let faults = Arc::clone(faults);
    let target = server.try_clone().unwrap();
    std::thread::spawn(move || {
        copy(client, server, |sent| {
            let is_commit = sent.windows(COMMIT.len()).any(|window| window == COMMIT);
            if !is_commit {
                return true;
            }
            match faults.commits.fetch_add(1, Ordering::Relaxed) % 7 {
                2 => {
                    faults.before.fetch_add(1, Ordering::Relaxed);
                    false
                }
                5 => {
                    faults.after.fetch_add(1, Ordering::Relaxed);
                    is_mute.store(true, Ordering::Release);
                    let mut target = &target;
                    // It gets there, and nobody hears of it.
                    target.write_all(sent).unwrap();
                    std::thread::sleep(DONE);
                    false
                }
                _ => true,
            }
        });
    });
}

/// Copies until `goes_on` says no, and then cuts both.
fn copy(mut from: UnixStream, mut to: UnixStream, goes_on: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        let sent = buffer.get(..count).unwrap_or_default();
        if count == 0 || !goes_on(sent) || to.write_all(sent).is_err() {
            break;
        }
    }
    for end in [from, to] {
        // It may be cut already.
        let _ = end.shutdown(Shutdown::Both);
    }
}
