//! Callers who were let in, and by what is no longer there: what they began is to end.

use std::time::Duration;

use identity::{Caller, Narrowing, TokenKeys};

use crate::issuer::{Key, Server, jwks, of_issuer};
use crate::workloads::{Authority, OF_BUNDLE, bundle, peer, svid};

/// A server for tokens of an issuer and for workloads, and what they show.
struct Shown {
    server: Server,
    key: Key,
    root: Authority,
}

impl Shown {
    fn new() -> Self {
        let (key, root) = (Key::new("k1"), Authority::new());
        let files = [
            ("jwks.json", &*jwks(&[&key])),
            ("bundle.json", &bundle(&root, &key)),
        ];
        let server = Server::new(&settings(), &files);
        server.authenticator.replace_token_keys(token_keys());
        Self { server, key, root }
    }

    /// One caller by each credential that settings vouch for.
    async fn callers(&self) -> [Caller; 4] {
        let server = &self.server;
        let by_token = server.bearer(&self.key.token(|_, _| {})).await.unwrap();
        let narrowing = Narrowing::default();
        let life = Duration::from_secs(60);
        let minted = server.authenticator.mint(&by_token, &narrowing, life);
        let by_minted = server.bearer(minted.unwrap().secret()).await.unwrap();
        let by_svid = server.bearer(&svid(&self.key, |_, _| {})).await.unwrap();
        let leaf = self.root.leaf(|_| {});
        let by_certificate = server.over(&peer(&[&leaf])).await.unwrap();
        [by_token, by_minted, by_svid, by_certificate]
    }
}

fn settings() -> String {
    format!("{}{OF_BUNDLE}", of_issuer(""))
}

fn token_keys() -> TokenKeys {
    TokenKeys::from_file_text(&TokenKeys::fresh_line("t1").unwrap()).unwrap()
}

fn withdrawn(callers: &[Caller; 4]) -> [bool; 4] {
    callers.each_ref().map(Caller::is_withdrawn)
}

#[tokio::test]
async fn what_is_read_again_as_it_was_ends_nothing() {
    let shown = Shown::new();
    let callers = shown.callers().await;
    for _ in 0..2 {
        shown.server.reload(&settings(), &[]);
        assert_eq!(withdrawn(&callers), [false; 4]);
    }
    shown.server.reload("", &[]);
    assert_eq!(withdrawn(&callers), [true; 4]);
}

#[tokio::test]
async fn who_came_by_a_key_goes_with_it() {
    let shown = Shown::new();
    let callers = shown.callers().await;
    let next = Key::new("k1");
    // Of the issuer, whose tokens are good as such: what was minted with one goes on for its own short life.
    shown
        .server
        .reload(&settings(), &[("jwks.json", &jwks(&[&next]))]);
    assert_eq!(withdrawn(&callers), [true, false, false, false]);
    let of_domain = bundle(&shown.root, &next);
    shown
        .server
        .reload(&settings(), &[("bundle.json", &of_domain)]);
    assert_eq!(withdrawn(&callers), [true, false, true, false]);
    shown.server.authenticator.replace_token_keys(token_keys());
    assert_eq!(withdrawn(&callers), [true, true, true, false]);
}

#[tokio::test]
async fn who_came_by_an_issuer_or_a_trust_domain_goes_with_it() {
    let shown = Shown::new();
    let callers = shown.callers().await;
    shown.server.reload(OF_BUNDLE, &[]);
    assert_eq!(withdrawn(&callers), [true, true, false, false]);
    shown.server.reload(&of_issuer(""), &[]);
    assert_eq!(withdrawn(&callers), [true; 4]);
    // What comes again under a name is another.
    shown.server.reload(&settings(), &[]);
    assert_eq!(withdrawn(&callers), [true; 4]);
    assert_eq!(withdrawn(&shown.callers().await), [false; 4]);
}
