//! What the client commands share: the connection, consistency, and what an error from the server means.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use model::Context;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::proto::authzed::api::v1::{Consistency, ZedToken};
use remit_client::{Client, Transport};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::arguments::Connection;
use crate::configuration::ConfigurationError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects as the flags say.
pub(crate) async fn connect(connection: &Connection) -> anyhow::Result<Client> {
    let transport = match (&connection.tls_ca, connection.insecure) {
        // The parser of flags says nothing of it where one of them is of the configuration file.
        (Some(_), true) => {
            let what = "`--tls-ca` cannot be used with `--insecure`".to_owned();
            return Err(ConfigurationError(what).into());
        }
        (None, true) => Transport::Plaintext,
        (Some(file), false) => Transport::Tls {
            authorities_pem: fs::read_to_string(file)
                .with_context(|| format!("cannot read `{}`", file.display()))?,
        },
        (None, false) => {
            return Err(anyhow!(
                "say how to connect: `--tls-ca FILE`, or `--insecure` for a server without TLS"
            ));
        }
    };
    let described = remit_client::Connection {
        endpoint: connection.endpoint.clone(),
        key: connection.token.clone(),
        transport,
        connect_timeout: CONNECT_TIMEOUT,
    };
    Ok(Client::connect(&described).await?)
}

/// Parses `--consistency`.
pub(crate) fn consistency(text: &str) -> Result<Consistency, String> {
    let token = |token: &str| ZedToken {
        token: token.to_owned(),
    };
    let requirement = match text.split_once(':') {
        None if text == "minimize-latency" => Requirement::MinimizeLatency(true),
        None if text == "fully-consistent" => Requirement::FullyConsistent(true),
        Some(("at-least", at)) => Requirement::AtLeastAsFresh(token(at)),
        Some(("exactly", at)) => Requirement::AtExactSnapshot(token(at)),
        None | Some(_) => {
            return Err("expected `minimize-latency`, `fully-consistent`, `at-least:TOKEN` or `exactly:TOKEN`".to_owned());
        }
    };
    Ok(Consistency {
        requirement: Some(requirement),
    })
}

/// Parses `--context`.
pub(crate) fn context(json: Option<&str>) -> anyhow::Result<Context> {
    Ok(json
        .map(Context::from_json)
        .transpose()?
        .unwrap_or_default())
}

/// What the server refused, with its reason.
pub(crate) fn refused(status: &Status) -> anyhow::Error {
    let details = status.get_error_details();
    match details.error_info() {
        Some(info) => anyhow!("{} ({})", status.message(), info.reason),
        None => anyhow!("{} ({:?})", status.message(), status.code()),
    }
}

/// Whether the server refused because of that reason.
pub(crate) fn has_reason(status: &Status, reason: &str) -> bool {
    status
        .get_error_details()
        .error_info()
        .is_some_and(|info| info.reason == reason)
}
