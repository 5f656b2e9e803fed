//! Handshakes of TLS that are begun and not gone on with: how many there may be, and that others are answered.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::{Client, Connection, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use server::overload::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::callers::own_certificate;
use crate::http_client::Http;
use crate::life::{SCHEMA, check, touch};
use crate::running::{KEY, Running, start_set, write_schema};

const LONG: Duration = Duration::from_secs(120);

/// A server with a certificate of its own, which it returns.
async fn start(settings: Settings) -> (Running, String) {
    let tls = own_certificate();
    let certificate = tls.certificate_pem.clone();
    let running = start_set(|config| {
        config.tls = Some(tls);
        config.overload = settings;
    });
    (running.await, certificate)
}

async fn client(running: &Running, certificate: &str) -> Client {
    let connection = Connection {
        endpoint: running.endpoint.replace("127.0.0.1", "localhost"),
        key: Some(KEY.to_owned()),
        transport: Transport::Tls {
            authorities_pem: certificate.to_owned(),
        },
        connect_timeout: LONG,
    };
    Client::connect(&connection).await.unwrap()
}

/// The client's side of a handshake.
fn tls(certificate: &str) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// Greets with all that a handshake begins with, and then does nothing more.
async fn stall(address: SocketAddr, certificate: &str) -> TcpStream {
    let mut connection = tls(certificate);
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    stream
}

/// A number of the overload's metrics.
async fn number(running: &Running, certificate: &str, name: &str) -> f64 {
    let mut http = Http::connect_tls(running.metrics, certificate).await;
    let text = http.get("/metrics").await.text;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(&format!("remit_overload_{name} ")));
    line.map_or(0.0, |value| value.parse().unwrap())
}

async fn ended(running: &Running, certificate: &str, reason: &str) -> f64 {
    let name = format!("connections_ended_total{{reason=\"{reason}\"}}");
    number(running, certificate, &name).await
}

async fn is_answered(client: &Client) {
    let newest = Requirement::MinimizeLatency(true);
    let answer = check(client, newest, "doc:a", "user:ann").await;
    assert!(answer.is_ok(), "{answer:?}");
}

/// Nothing but giving way lets anybody in here: a handshake may take an hour.
#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stall_have_a_bound_and_give_way_to_others() {
    let (running, certificate) = start(Settings {
        handshakes_max: 4,
        greeting_max: Duration::from_secs(3_600),
        ..Settings::default()
    })
    .await;
    let before = client(&running, &certificate).await;
    write_schema(&before, SCHEMA).await;
    touch(&before, &["doc:a#viewer@user:ann"]).await.unwrap();
    let mut stalled = Vec::new();
    let ports: [SocketAddr; 2] = [running.endpoint.parse().unwrap(), running.http];
    for address in ports.into_iter().cycle().take(4) {
        let mut stream = stall(address, &certificate).await;
        // The handshake is under way: the server has answered with its part.
        let mut record = [0; 5];
        stream.read_exact(&mut record).await.unwrap();
        assert_eq!(record[0], 22, "{record:?}");
        stalled.push(stream);
    }
    for address in ports.into_iter().cycle().take(8) {
        stalled.push(stall(address, &certificate).await);
    }
    let asking = async {
        let after = client(&running, &certificate).await;
        is_answered(&after).await;
    };
    let looking = async {
        loop {
            is_answered(&before).await;
            let under_way = number(&running, &certificate, "handshakes").await;
            assert!(under_way <= 4.0, "{under_way}");
        }
    };
    let asked = async {
        tokio::select! { () = asking => {}, () = looking => {} }
    };
    tokio::time::timeout(LONG, asked).await.unwrap();
    let gave_way = ended(&running, &certificate, "handshake_gave_way").await;
    assert!(gave_way >= 1.0, "{gave_way}");
    // Those that gave way are told so by the end of their connections.
    for mut stream in stalled.into_iter().take(4) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
        let _is_reset = read.expect("it stays");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_not_done_in_time_is_ended_on_each_port() {
    let (running, certificate) = start(Settings {
        greeting_max: Duration::from_secs(2),
        ..Settings::default()
    })
    .await;
    let grpc = running.endpoint.parse().unwrap();
    for address in [grpc, running.http, running.metrics] {
        let mut stream = stall(address, &certificate).await;
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
        let _is_reset = read.expect("it stays");
    }
    assert!(ended(&running, &certificate, "handshake_slow").await >= 3.0);
    running.stop().await;
}

/// What is inside of TLS is more bytes outside of it than inside.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_say_what_it_speaks_inside_of_tls_does_not_stay() {
    let (running, certificate) = start(Settings {
        greeting_max: Duration::from_secs(2),
        ..Settings::default()
    })
    .await;
    for address in [running.endpoint.parse().unwrap(), running.http] {
        let mut connection = tls(&certificate);
        let begins = move || {
            let mut socket = std::net::TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(LONG)).unwrap();
            let mut stream = rustls::Stream::new(&mut connection, &mut socket);
            for letter in [b"P", b"R", b"I"] {
                stream.write_all(letter).unwrap();
                stream.flush().unwrap();
            }
            // Its end, or a reset; settings of HTTP/2 come before it.
            let ended = stream.read_to_end(&mut Vec::new());
            ended.err().map(|error| error.kind())
        };
        let ended = tokio::task::spawn_blocking(begins).await.unwrap();
        let waits = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
        assert!(
            !ended.is_some_and(|kind| waits.contains(&kind)),
            "{ended:?}"
        );
    }
    let silent = ended(&running, &certificate, "silent").await;
    assert!(silent >= 2.0, "{silent}");
    running.stop().await;
}
