//! Nodes that run: their health, over gRPC as callers reach them, and what the one beside tells by its metrics.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Finding;
use super::store::State;
use crate::arguments::{Connection, Doctor};
use crate::client;

/// A node that takes longer is of no use to whoever asks.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// No page of metrics is larger.
const METRICS_BYTES_MAX: u64 = 4 << 20;
/// How far a node may be behind the head that was read before it was asked.
const BEHIND_MAX: f64 = 0.0;
/// For how long it may not have confirmed that it is at the head.
const CONFIRMED_SECONDS_MAX: f64 = 10.0;

pub(super) async fn look(arguments: &Doctor, state: &State) -> Vec<Finding> {
    let mut findings = Vec::new();
    for endpoint in &arguments.endpoint {
        findings.push(health(arguments, endpoint).await);
    }
    if let Some(address) = arguments.serve.metrics_addr.get() {
        findings.extend(beside(arguments, address, state).await);
    }
    findings
}

async fn health(arguments: &Doctor, endpoint: &str) -> Finding {
    let check = format!("node {endpoint}");
    let connection = Connection {
        endpoint: endpoint.to_owned(),
        token: None,
        insecure: arguments.insecure,
        tls_ca: arguments.tls_ca.clone(),
        json: false,
    };
    let asked = async {
        let client = client::connect(&connection).await?;
        let is_serving = client.is_serving().await;
        is_serving.map_err(|status| client::refused(&status))
    };
    let asked = tokio::time::timeout(WAIT_MAX, asked).await;
    match asked.with_context(|| format!("no answer within {} s", WAIT_MAX.as_secs())) {
        Ok(Ok(true)) => Finding::ok(&check, "serving"),
        Ok(Ok(false)) => {
            let advice = "it loads, or cannot answer: `/healthz` on its metrics address says why";
            Finding::fail(&check, "not serving", advice)
        }
        Ok(Err(error)) | Err(error) => {
            let advice = "is it running, reached from here, and is its certificate of `--tls-ca`?";
            Finding::failed(&check, &error, advice)
        }
    }
}

/// What the node beside this tells, if there is one.
async fn beside(arguments: &Doctor, address: SocketAddr, state: &State) -> Vec<Finding> {
    const CHECK: &str = "node beside";
    if arguments.serve.tls_cert.is_some() {
        let found = format!("its metrics on {address} are under TLS; ask for them yourself");
        return vec![Finding::skipped(CHECK, found)];
    }
    let asked = tokio::time::timeout(WAIT_MAX, get(address, "/metrics")).await;
    let Ok(Ok(text)) = asked else {
        let found = format!("nothing tells metrics on {address}");
        return vec![Finding::skipped(CHECK, found)];
    };
    let Some(is_ready) = value(&text, "remit_ready") else {
        let found = format!("what answers on {address} is no node of this version");
        return vec![Finding::skipped(CHECK, found)];
    };
    let mut findings = Vec::new();
    if is_ready != 1.0 {
        let asked = tokio::time::timeout(WAIT_MAX, get(address, "/healthz")).await;
        let why = asked.ok().and_then(Result::ok).unwrap_or_default();
        let advice = "as it says; its log has more";
        findings.push(Finding::fail(
            CHECK,
            format!("not ready: {}", why.trim()),
            advice,
        ));
        return findings;
    }
    findings.push(Finding::ok(CHECK, "ready"));
    findings.extend(of_metrics(&text, state));
    findings
}

fn of_metrics(text: &str, state: &State) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let (Some(revision), Some(head)) = (value(text, "remit_revision"), state.head) {
        let behind = head.0 as f64 - revision;
        let found = format!("at revision {revision}, the store had {head} before");
        findings.push(if behind > BEHIND_MAX {
            let advice =
                "it is behind: is following held up (its log)? Is it a node of this store?";
            Finding::warn("node beside, lag", found, advice)
        } else {
            Finding::ok("node beside, lag", found)
        });
    }
    if let Some(ago) = value(text, "remit_head_confirmed_ago_seconds") {
        let found = format!("it was at the head {ago:.1} s ago");
        findings.push(if ago > CONFIRMED_SECONDS_MAX {
            let advice = "look at the way to the database; past `--staleness-seconds-max` it answers nothing";
            Finding::warn("node beside, confirmed", found, advice)
        } else {
            Finding::ok("node beside, confirmed", found)
        });
    }
    findings
}

/// The value of a metric without labels.
fn value(text: &str, name: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// The body of an answer over HTTP/1.0, which ends with its connection.
async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream
        .take(METRICS_BYTES_MAX)
        .read_to_string(&mut answer)
        .await?;
    let body = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    Ok(body.1.to_owned())
}

#[cfg(test)]
mod tests {
    use model::Revision;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_node_that_is_behind_is_told() {
        let text = "remit_ready 1\nremit_revision 7\nremit_head_confirmed_ago_seconds 12.5\n";
        assert_eq!(value(text, "remit_revision"), Some(7.0));
        assert_eq!(value(text, "remit_rev"), None);
        let state = State {
            head: Some(Revision(9)),
            ..State::default()
        };
        let verdicts: Vec<_> = of_metrics(text, &state)
            .iter()
            .map(|it| it.verdict)
            .collect();
        assert_eq!(verdicts, [Verdict::Warn, Verdict::Warn]);
        let text = "remit_revision 9\nremit_head_confirmed_ago_seconds 0.5\n";
        let verdicts: Vec<_> = of_metrics(text, &state)
            .iter()
            .map(|it| it.verdict)
            .collect();
        assert_eq!(verdicts, [Verdict::Ok, Verdict::Ok]);
    }
}
