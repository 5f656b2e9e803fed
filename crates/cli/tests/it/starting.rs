//! A server that is started and is not there yet.

#![expect(
    clippy::disallowed_methods,
    reason = "what another process does can only be asked for, again and again"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::postgres::Server;

use crate::nodes::proxy::Proxy;
use crate::{REMIT, Served, run};

/// How long it may take to listen on a busy machine. It gives the database up later than that.
const LISTENS_MAX: Duration = Duration::from_secs(60);

fn ask(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// An address that nothing listens on, just now.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn a_server_answers_for_its_health_while_its_database_does_not() {
    let folder = tempfile::tempdir().unwrap();
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (grpc, metrics) = (free(), free());
    let url = format!(
        "postgres://remit@{}/remit?sslmode=disable",
        silent.local_addr().unwrap()
    );
    let started = Command::new(REMIT)
        .args(["serve", "--store", &url, "--insecure-no-auth"])
        .args(["--grpc-addr", &grpc.to_string(), "--http-addr", "none"])
        .args(["--metrics-addr", &metrics.to_string()])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _served = Served(started);
    let begun = Instant::now();
    let alive = loop {
        if let Some(answer) = ask(metrics, "/livez") {
            break answer;
        }
        assert!(begun.elapsed() < LISTENS_MAX, "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    for path in ["/healthz", "/readyz"] {
        let told = ask(metrics, path).unwrap();
        assert!(told.starts_with("HTTP/1.1 503"), "{told}");
        assert!(
            told.contains("loading: the store is being opened"),
            "{told}"
        );
    }
    let asked = ["--insecure", "--endpoint", &grpc.to_string()];
    let health = run(folder.path(), &[&["node", "health"][..], &asked].concat());
    assert_eq!((health.0, health.1.as_str()), (1, "not serving\n"));
    let read = run(folder.path(), &[&["schema", "read"][..], &asked].concat());
    assert_eq!(read.0, 4);
    assert!(read.2.contains("the store is being opened"), "{}", read.2);
}

/// A database that nothing is heard of until it is let go on, and its URL.
fn held(folder: &Path) -> (Server, Proxy, String) {
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    let migrated = run(folder, &["store", "migrate", "--store", &url]);
    assert_eq!(migrated.0, 0, "{}", migrated.2);
    let proxy = Proxy::start(server.folder(), None);
    proxy.hold();
    let name = testkit::postgres::database_of(&url);
    let through = format!("postgres://remit@{}/{name}", proxy.host());
    (server, proxy, through)
}

/// Starts a server that waits for its database, and gives it once it listens.
fn loading(folder: &Path, store: &str, arguments: &[&str]) -> (Served, SocketAddr) {
    let grpc = free();
    let started = Command::new(REMIT)
        .args(["serve", "--store", store, "--http-addr", "none"])
        .args(["--metrics-addr", "none", "--grpc-addr", &grpc.to_string()])
        .args(arguments)
        .current_dir(folder)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let served = Served(started);
    let begun = Instant::now();
    while TcpStream::connect(grpc).is_err() {
        assert!(begun.elapsed() < LISTENS_MAX, "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    (served, grpc)
}

/// Waits until a server says that it serves, to a client that connects like this.
fn serves(folder: &Path, served: &mut Served, asked: &[&str]) {
    let begun = Instant::now();
    let health = [&["node", "health"][..], asked].concat();
    loop {
        let (code, _, told) = run(folder, &health);
        if code == 0 {
            return;
        }
        assert_eq!(served.0.try_wait().unwrap(), None, "it has ended");
        assert!(begun.elapsed() < LISTENS_MAX, "{told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_changes_while_a_node_loads_is_in_effect_when_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let issue = |of_client: &str| {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        fs::write(at.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(at.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fs::write(at.join(of_client), made.cert.pem()).unwrap();
    };
    issue("old.pem");
    let (_server, proxy, store) = held(at);
    let tls = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let arguments = [&tls[..], &["--insecure-no-auth"]].concat();
    let (mut served, address) = loading(at, &store, &arguments);
    issue("new.pem");
    proxy.release();
    let endpoint = address.to_string();
    let asked = ["--endpoint", &endpoint, "--tls-ca", "new.pem"];
    serves(at, &mut served, &asked);
}

#[test]
fn a_hangup_does_not_end_a_node_that_loads_and_has_audit_keys_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (code, key, told) = run(at, &["audit", "key", "audit.example.com"]);
    assert_eq!(code, 0, "{told}");
    fs::write(at.join("audit.key"), key).unwrap();
    let (_server, proxy, store) = held(at);
    let arguments = ["--audit-key-file", "audit.key", "--insecure-no-auth"];
    let (mut served, address) = loading(at, &store, &arguments);
    let process = served.0.id().to_string();
    let sent = Command::new("kill").args(["-HUP", &process]).status();
    assert!(sent.unwrap().success());
    proxy.release();
    let endpoint = address.to_string();
    serves(at, &mut served, &["--endpoint", &endpoint, "--insecure"]);
}
