//! A replica of a server: `cargo run -p remit-embedded --example follow -- ENDPOINT KEY RESOURCE PERMISSION SUBJECT [CACHE]`.
//!
//! It asks its question each second and tells how it does, until it is interrupted. Change something on the server meanwhile.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use remit_embedded::{
    Consistency, Context, Engine, Follow, Question, Replica, Server, Token, Transport,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, key, resource, permission, subject, rest @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: follow ENDPOINT KEY RESOURCE PERMISSION SUBJECT [CACHE]");
    };
    let replica = start(endpoint, key, rest.first().map(PathBuf::from)).await?;
    let question = Question {
        resource: resource.parse()?,
        permission: permission.clone(),
        subject: subject.parse()?,
        context: Context::default(),
    };
    loop {
        println!("{}", tell(&replica, &question, None).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Starts the replica of a server on this machine; elsewhere the connection is to be protected (`Transport::Tls`).
pub(crate) async fn start(
    endpoint: &str,
    key: &str,
    cache: Option<PathBuf>,
) -> anyhow::Result<Replica> {
    let server = Server {
        endpoint: endpoint.to_owned(),
        key: Some(key.to_owned()),
        transport: Transport::Plaintext,
    };
    let follow = Follow {
        cache,
        ..Follow::from(server)
    };
    let replica = Engine::follow(follow).await;
    replica.context("the replica cannot be started")
}

/// The answer of the moment, or that which a token of the server asks for.
pub(crate) async fn tell(replica: &Replica, question: &Question, token: Option<Token>) -> String {
    let consistency = token.map_or(Consistency::MinimizeLatency, Consistency::AtLeastAsFresh);
    let answer = match replica.check(consistency, question).await {
        Ok(answered) => format!("{:?} at revision {}", answered.answer, answered.at.revision),
        // No answer is no allow.
        Err(error) => format!("no answer: {error}"),
    };
    let health = replica.health();
    format!(
        "{answer}; connected: {}, {} commits behind",
        health.is_connected,
        health.lag()
    )
}
