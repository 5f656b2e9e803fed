//! A server that is started and is not there yet.

#![expect(
    clippy::disallowed_methods,
    reason = "what another process does can only be asked for, again and again"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
