//! `remit node`: what one node says of itself.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use remit_client::proto::remit::v1::DigestRequest;
use serde_json::json;

use crate::arguments::{Connection, NodeCommand, NodeDigest};
use crate::client;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(command: NodeCommand) -> anyhow::Result<Outcome> {
    match command {
        NodeCommand::Health(connection) => health(&connection).await,
        NodeCommand::Digest(arguments) => digest(&arguments).await,
    }
}

/// Whether the node answers; one that says that it does not is an answer as well.
async fn health(connection: &Connection) -> anyhow::Result<Outcome> {
    /// A node that takes longer is of no use to whoever asks.
    const WAIT_MAX: Duration = Duration::from_secs(5);
    let client = client::connect(connection).await?;
    let asked = tokio::time::timeout(WAIT_MAX, client.is_serving()).await;
    let asked = asked.with_context(|| format!("no answer within {} s", WAIT_MAX.as_secs()))?;
    let is_serving = asked.map_err(|status| client::refused(&status))?;
    let told = if is_serving { "serving" } else { "not serving" };
    if connection.json {
        output::json(&json!({ "health": told }))?;
    } else {
        output::line(told)?;
    }
    Ok(if is_serving {
        Outcome::Success
    } else {
        Outcome::Negative
    })
}

async fn digest(arguments: &NodeDigest) -> anyhow::Result<Outcome> {
    let client = client::connect(&arguments.connection).await?;
    let request = DigestRequest {
        consistency: Some(arguments.freshness.consistency.clone()),
    };
    let answer = client.node().digest(request).await;
    let answer = answer
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let token = answer.digested_at.map(|at| at.token);
    let token = token.ok_or_else(|| anyhow!("the server told no token"))?;
    output::digest(
        arguments.connection.json,
        (answer.revision, &token),
        answer.relationship_count,
        &answer.digest,
    )?;
    Ok(Outcome::Success)
}
