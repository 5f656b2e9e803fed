//! Keys that are fetched: found, missed, changed, and out of reach, with a server that tells how often it was asked.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use identity::{AuthenticateError, LookupError, TokenError};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::issuer::{Key, NOW, Server, jwks};

/// A provider on this machine.
struct Provider {
    port: u16,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<AtomicU32>,
}

struct Answers {
    metadata: String,
    keys: String,
    head: &'static str,
    pause: Duration,
}

const OK: &str = "HTTP/1.1 200 OK";

impl Provider {
    async fn new(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuer = format!("http://127.0.0.1:{port}/corp");
        let answers = Arc::new(Mutex::new(Answers {
            metadata: json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}).to_string(),
            keys: jwks(keys),
            head: OK,
            pause: Duration::ZERO,
        }));
        let asked = Arc::new(AtomicU32::new(0));
        tokio::spawn(serve(listener, Arc::clone(&answers), Arc::clone(&asked)));
        Self {
            port,
            answers,
            asked,
        }
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}/corp", self.port)
    }

    fn change(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.answers.lock().unwrap());
    }

    /// How often the keys were asked for.
    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    fn server(&self, more: &str) -> Server {
        let issuer = self.issuer();
        let settings = format!(
            "[[issuer]]\nname = 'corp'\nissuer = '{issuer}'\naudience = ['remit']\n{more}\n"
        );
        Server::new(&settings, &[])
    }

    fn token(&self, key: &Key) -> String {
        key.token(|_, claims| claims["iss"] = json!(self.issuer()))
    }
}

async fn serve(listener: TcpListener, answers: Arc<Mutex<Answers>>, asked: Arc<AtomicU32>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let (text, status, pause) = {
                let answers = answers.lock().unwrap();
                if head.starts_with("GET /corp/keys ") {
                    asked.fetch_add(1, Ordering::SeqCst);
                    (answers.keys.clone(), answers.head, answers.pause)
                } else {
                    assert!(head.starts_with("GET /corp/.well-known/openid-configuration "));
                    (answers.metadata.clone(), OK, Duration::ZERO)
                }
            };
            tokio::time::sleep(pause).await;
            let length = text.len();
            let answer = format!("{status}\r\ncontent-length: {length}\r\n\r\n{text}");
            // The other side may have left.
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

const UNAVAILABLE: fn() -> AuthenticateError = || AuthenticateError::KeysUnavailable {
    issuer: "corp".to_owned(),
};

#[tokio::test]
async fn a_key_that_is_not_there_is_fetched_once_for_all() {
    let key = Key::new("k1");
    let provider = Provider::new(&[&key]).await;
    provider.change(|answers| answers.pause = Duration::from_millis(100));
    let server = Arc::new(provider.server(""));
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..50 {
        let token = key.token(|_, claims| {
            claims["iss"] = json!(provider.issuer());
            claims["jti"] = json!(format!("token-{number}"));
        });
        let server = Arc::clone(&server);
        asking.spawn(async move { server.bearer(&token).await });
    }
    // One who leaves takes nothing from the others.
    asking.spawn(async { Err(UNAVAILABLE()) });
    let answers = asking.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 50);
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn a_key_that_came_is_found_and_one_that_went_is_not() {
    let (old, new) = (Key::new("k1"), Key::new("k2"));
    let provider = Provider::new(&[&old]).await;
    let server = provider.server("refetch_seconds = 3");
    let (of_old, of_new) = (provider.token(&old), provider.token(&new));
    assert!(server.bearer(&of_old).await.is_ok());
    // Unknown keys are asked for once in a while, however many there are.
    let unknown = TokenError::from(LookupError::Unknown);
    for number in 0..20 {
        let token = provider.token(&Key::new(&format!("x{number}")));
        assert_eq!(server.refused(&token).await, unknown);
    }
    assert_eq!(server.refused(&of_new).await, unknown);
    assert_eq!(provider.asked(), 1);

    provider.change(|answers| answers.keys = jwks(&[&old, &new]));
    let caller = until(async || server.bearer(&of_new).await.ok()).await;
    assert_eq!(caller.name(), "remit/user:alice=40example=2Ecom");
    assert!(server.bearer(&of_old).await.is_ok());

    // What was remembered of a key goes with it.
    provider.change(|answers| answers.keys = jwks(&[&new]));
    let probe = provider.token(&Key::new("x"));
    until(async || {
        assert!(server.bearer(&probe).await.is_err());
        server.bearer(&of_old).await.err()
    })
    .await;
    assert_eq!(server.refused(&of_old).await, unknown);
    assert!(server.bearer(&of_new).await.is_ok());
}

#[tokio::test]
async fn keys_are_kept_when_the_issuer_cannot_be_asked() {
    let key = Key::new("k1");
    let provider = Provider::new(&[&key]).await;
    let server = provider.server("refetch_seconds = 1\nrefresh_seconds = 1");
    assert!(server.bearer(&provider.token(&key)).await.is_ok());
    tokio::spawn(Arc::clone(&server.authenticator).keep_keys());
    for (head, keys) in [
        ("HTTP/1.1 503 Unavailable", String::new()),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/",
            String::new(),
        ),
        (OK, "no json".to_owned()),
        (OK, r#"{"keys":[]}"#.to_owned()),
        (
            OK,
            format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(600 << 10)),
        ),
    ] {
        provider.change(|answers| (answers.head, answers.keys) = (head, keys));
        let asked = provider.asked();
        until(async || (provider.asked() > asked + 1).then_some(())).await;
        server.authenticator.forget(|_| true);
        assert!(server.bearer(&provider.token(&key)).await.is_ok(), "{head}");
    }
    // And a reload of the same settings does not lose them.
    let settings = std::fs::read_to_string(server.folder.path().join("identity.toml")).unwrap();
    server.reload(&settings, &[]);
    assert!(server.bearer(&provider.token(&key)).await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_is_not_the_one_configured_is_not_believed() {
    let key = Key::new("k1");
    let provider = Provider::new(&[&key]).await;
    let token = provider.token(&key);
    let issuer = provider.issuer();
    let nobody_comes = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    nobody_comes.set_nonblocking(true).unwrap();
    let private = nobody_comes.local_addr().unwrap();
    for metadata in [
        json!({"issuer": format!("{issuer}/"), "jwks_uri": format!("{issuer}/keys")}).to_string(),
        json!({"jwks_uri": format!("{issuer}/keys")}).to_string(),
        json!({"issuer": issuer}).to_string(),
        json!({"issuer": issuer, "jwks_uri": "file:///etc/passwd"}).to_string(),
        json!({"issuer": issuer, "jwks_uri": "http://169.254.169.254/keys"}).to_string(),
        // Not public, and nobody said that it may be.
        json!({"issuer": issuer, "jwks_uri": format!("https://{private}/keys")}).to_string(),
        format!(r#"{{"issuer":"x","issuer":"{issuer}","jwks_uri":"{issuer}/keys"}}"#),
    ] {
        provider.change(|answers| answers.metadata = metadata.clone());
        let server = provider.server("");
        assert_eq!(
            server.bearer(&token).await,
            Err(UNAVAILABLE()),
            "{metadata}"
        );
    }
    assert_eq!(provider.asked(), 0);
    assert!(nobody_comes.accept().is_err());
    server_that_is_not_there().await;
}

async fn server_that_is_not_there() {
    let key = Key::new("k1");
    let settings = "[[issuer]]\nname = 'corp'\nissuer = 'http://127.0.0.1:1'\naudience = ['remit']";
    let server = Server::new(settings, &[]);
    let token = key.token(|_, claims| {
        claims["iss"] = json!("http://127.0.0.1:1");
        claims["exp"] = json!(NOW + 60);
    });
    assert_eq!(server.bearer(&token).await, Err(UNAVAILABLE()));
}

/// What comes of `ask` at last.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
