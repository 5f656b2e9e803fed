//! The service of axum.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::running;

/// An answer: its status, its head, its body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let values = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = values.filter(|(of, _)| *of == name);
        values.next().unwrap().1
    }
}

async fn ask(address: &str, request: &str, headers: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut text = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n"
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_runs_for_those_who_may() {
    let service = running::start(env!("CARGO_BIN_EXE_documents-web")).await;
    let address = service.address.as_str();
    let read = ask(address, "GET /documents/plan", &[("x-user", "ann")]).await;
    assert_eq!((read.status, read.body.as_str()), (200, "the text of plan"));
    let list = ask(address, "GET /documents", &[("x-user", "ann")]).await;
    assert_eq!(list.body, "draft\nplan\n");
    for (request, user, status) in [
        ("GET /documents/plan", "bob", 403),
        ("GET /documents/absent", "ann", 403),
        ("GET /documents/plan", "*", 400),
        ("GET /documents/a%20b", "ann", 400),
        ("POST /documents/plan/viewers/bob", "eve", 403),
        ("POST /documents/plan/viewers/b%20b", "ann", 400),
    ] {
        let answer = ask(address, request, &[("x-user", user)]).await;
        assert_eq!(answer.status, status, "{request} {user}: {}", answer.body);
        assert!(!answer.body.contains("the text"));
    }
    for request in [
        "GET /documents/plan",
        "GET /documents",
        "POST /documents/plan/viewers/bob",
    ] {
        assert_eq!(ask(address, request, &[]).await.status, 401, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shared_is_seen_with_its_token() {
    let service = running::start(env!("CARGO_BIN_EXE_documents-web")).await;
    let address = service.address.as_str();
    let shared = ask(
        address,
        "POST /documents/draft/viewers/bob",
        &[("x-user", "ann")],
    )
    .await;
    assert_eq!(shared.status, 204, "{}", shared.body);
    let token = shared.header("remit-token");
    let headers = [("x-user", "bob"), ("remit-token", token)];
    let read = ask(address, "GET /documents/draft", &headers).await;
    assert_eq!(
        (read.status, read.body.as_str()),
        (200, "the text of draft")
    );
    let list = ask(address, "GET /documents", &headers).await;
    assert_eq!(list.body, "draft\n");
}
