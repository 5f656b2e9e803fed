//! What a handshake may be made of: TLS 1.2 or newer, with suites that keep what was said secret when a key is lost.

use std::sync::Arc;

use model::SystemClock;
use store::SqliteStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::callers::own_certificate;
use crate::running::start_on;

const TLS_1_1: u16 = 0x0302;
const TLS_1_2: u16 = 0x0303;

/// With ephemeral keys and an authenticated cipher.
const ECDHE_ECDSA_AES_128_GCM_SHA256: u16 = 0xc02b;
const ECDHE_ECDSA_CHACHA20_POLY1305: u16 = 0xcca9;
/// With ephemeral keys, and a cipher whose padding has told secrets.
const ECDHE_ECDSA_AES_128_CBC_SHA: u16 = 0xc009;
/// With the key of the certificate: who gets it later reads everything.
const RSA_AES_128_GCM_SHA256: u16 = 0x009c;
const RSA_3DES_EDE_CBC_SHA: u16 = 0x000a;

/// How a handshake was answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Hello,
    /// A fatal alert of that number.
    Alert(u8),
}

const HANDSHAKE_FAILURE: Answer = Answer::Alert(40);
const PROTOCOL_VERSION: Answer = Answer::Alert(70);

#[tokio::test]
async fn old_versions_and_weak_suites_are_refused() {
    let store = Arc::new(SqliteStore::memory().unwrap());
    let running = start_on(store, Arc::new(SystemClock), Some(own_certificate())).await;
    let (http, metrics) = (running.http.to_string(), running.metrics.to_string());
    for address in [running.endpoint.clone(), http, metrics] {
        for (version, suite, expected) in [
            (TLS_1_2, ECDHE_ECDSA_AES_128_GCM_SHA256, Answer::Hello),
            (TLS_1_2, ECDHE_ECDSA_CHACHA20_POLY1305, Answer::Hello),
            (TLS_1_1, ECDHE_ECDSA_AES_128_GCM_SHA256, PROTOCOL_VERSION),
            (TLS_1_2, ECDHE_ECDSA_AES_128_CBC_SHA, HANDSHAKE_FAILURE),
            (TLS_1_2, RSA_AES_128_GCM_SHA256, HANDSHAKE_FAILURE),
            (TLS_1_2, RSA_3DES_EDE_CBC_SHA, HANDSHAKE_FAILURE),
        ] {
            let answer = greet(&address, &hello(version, suite)).await;
            assert_eq!(answer, expected, "{address}: {version:#x} {suite:#x}");
        }
    }
    running.stop().await;
}

async fn greet(address: &str, hello: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(hello).await.unwrap();
    let mut record = [0; 7];
    stream.read_exact(&mut record).await.unwrap();
    match record {
        [22, 3, 3, ..] => Answer::Hello,
        [21, 3, _, 0, 2, 2, alert] => Answer::Alert(alert),
        other => panic!("neither a handshake nor an alert: {other:?}"),
    }
}

/// The greeting of a client that speaks that version at most and knows that suite alone.
fn hello(version: u16, suite: u16) -> Vec<u8> {
    let with_length = |bytes: Vec<u8>| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[..], &bytes].concat()
    };
    let list = |numbers: &[u16]| {
        let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
        with_length(bytes.collect())
    };
    let extension =
        |kind: u16, body: Vec<u8>| [&kind.to_be_bytes()[..], &with_length(body)].concat();
    let extensions = [
        // Curves: X25519 and P-256, their points uncompressed; signatures: ECDSA and RSA with SHA-256.
        extension(10, list(&[0x001d, 0x0017])),
        extension(11, vec![1, 0]),
        extension(13, list(&[0x0403, 0x0804, 0x0401])),
    ];
    let body = [
        &version.to_be_bytes()[..],
        &[7; 32],
        &[0],
        &list(&[suite]),
        &[1, 0],
        &with_length(extensions.concat()),
    ]
    .concat();
    let message = [&[1, 0][..], &with_length(body)].concat();
    [&[22, 3, 1][..], &with_length(message)].concat()
}
