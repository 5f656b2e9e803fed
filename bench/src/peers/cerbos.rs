//! Cerbos, a server without data: its policies are in `bench/peers/cerbos`, and each request carries what they look at.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use prost_types::{ListValue, Struct, Value, value};
use tokio::process::Command;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::slice::{Condition, Slice};
use crate::served::target::{Target, free_address};
use crate::workload::Question;

/// A client of its calls.
pub(crate) type Client = Grpc<Channel>;

pub(crate) const HOW: &str = "a server of its own (npm @cerbos/cerbos-linux-x64), without log of calls, audit, metrics and \
    telemetry, over gRPC from the same client; each request carries the groups of the subject and what the resource and \
    those above it name, gathered before the measured time";

/// SOURCE: cerbos/request/v1/request.proto and engine/v1/engine.proto of github.com/cerbos/cerbos; only what is sent here.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CheckResourcesRequest {
    #[prost(message, optional, tag = "3")]
    principal: Option<Principal>,
    #[prost(message, repeated, tag = "4")]
    resources: Vec<ResourceEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Principal {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "3")]
    roles: Vec<String>,
    #[prost(map = "string, message", tag = "4")]
    attr: HashMap<String, Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceEntry {
    #[prost(string, repeated, tag = "1")]
    actions: Vec<String>,
    #[prost(message, optional, tag = "2")]
    resource: Option<Resource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(map = "string, message", tag = "4")]
    attr: HashMap<String, Value>,
}

/// SOURCE: cerbos/response/v1/response.proto; only what is read here.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CheckResourcesResponse {
    #[prost(message, repeated, tag = "2")]
    results: Vec<ResultEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResultEntry {
    /// The effect of each action.
    #[prost(map = "string, int32", tag = "2")]
    actions: HashMap<String, i32>,
}

/// SOURCE: `EFFECT_ALLOW` of cerbos/effect/v1/effect.proto.
const ALLOW: i32 = 1;

/// Starts Cerbos on free ports of this machine.
pub(crate) async fn start() -> anyhow::Result<Target> {
    let folder = super::folder();
    let program = folder.join("node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64");
    ensure!(program.exists(), "there is no {}", program.display());
    let address = free_address().await?;
    let settings = [
        format!("server.grpcListenAddr={address}"),
        format!("server.httpListenAddr={}", free_address().await?),
        "server.metricsEnabled=false".to_owned(),
        "storage.driver=disk".to_owned(),
        format!("storage.disk.directory={}", folder.join("cerbos").display()),
        "storage.disk.watchForChanges=false".to_owned(),
        "telemetry.disabled=true".to_owned(),
    ];
    let child = Command::new(program)
        .args(["server", "--log-level=error"])
        .args(settings.map(|setting| format!("--set={setting}")))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Target::started(address, child).await
}

/// The requests of `questions`.
pub(crate) fn requests<'a>(
    questions: impl Iterator<Item = (&'a Question, Slice)>,
) -> Arc<Vec<CheckResourcesRequest>> {
    Arc::new(
        questions
            .map(|(question, slice)| request(question, slice))
            .collect(),
    )
}

fn request(question: &Question, slice: Slice) -> CheckResourcesRequest {
    let mut of_principal = HashMap::from([("is".to_owned(), list(slice.is))]);
    of_principal.extend(slice.hour.map(|hour| ("hour".to_owned(), number(hour))));
    of_principal.extend(slice.ip.map(|ip| ("ip".to_owned(), text(ip))));
    let lists = slice.lists.into_iter();
    let mut of_resource: HashMap<_, _> = lists.map(|(name, who)| (name, list(who))).collect();
    if !slice.grants.is_empty() {
        let grants = slice.grants.into_iter();
        let grants = grants.map(|(who, condition)| (who, grant(condition)));
        of_resource.insert("grants".to_owned(), record(grants));
    }
    CheckResourcesRequest {
        principal: Some(Principal {
            id: question.subject.to_string(),
            roles: vec!["user".to_owned()],
            attr: of_principal,
        }),
        resources: vec![ResourceEntry {
            actions: vec![question.permission.to_owned()],
            resource: Some(Resource {
                kind: question.resource.definition.to_string(),
                id: question.resource.id.to_string(),
                attr: of_resource,
            }),
        }],
    }
}

fn grant(condition: Condition) -> Value {
    let mut fields = Vec::new();
    fields.extend(condition.network.map(|network| ("network", text(network))));
    fields.extend(
        condition
            .until
            .map(|until| ("until", text(until.to_string()))),
    );
    if let Some((from, to)) = condition.hours {
        fields.extend([("from", number(from)), ("to", number(to))]);
    }
    record(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    )
}

fn text(text: String) -> Value {
    Value {
        kind: Some(value::Kind::StringValue(text)),
    }
}

fn number(number: i32) -> Value {
    Value {
        kind: Some(value::Kind::NumberValue(number.into())),
    }
}

fn list(texts: Vec<String>) -> Value {
    let values = texts.into_iter().map(text).collect();
    Value {
        kind: Some(value::Kind::ListValue(ListValue { values })),
    }
}

fn record(fields: impl Iterator<Item = (String, Value)>) -> Value {
    let fields = fields.collect();
    Value {
        kind: Some(value::Kind::StructValue(Struct { fields })),
    }
}

/// Asks Cerbos.
pub(crate) async fn check(
    client: &mut Client,
    request: CheckResourcesRequest,
) -> Result<CheckResourcesResponse, Status> {
    let path = PathAndQuery::from_static("/cerbos.svc.v1.CerbosService/CheckResources");
    let ready = client.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<CheckResourcesRequest, CheckResourcesResponse>::default();
    let response = client.unary(Request::new(request), path, codec).await?;
    Ok(response.into_inner())
}

/// The decisions on the first `count` of `requests`.
pub(crate) async fn answers(
    target: &Target,
    requests: &[CheckResourcesRequest],
    count: usize,
) -> anyhow::Result<Vec<bool>> {
    let mut client = Client::new(target.connect().await?);
    let mut allowed = Vec::with_capacity(count);
    for request in requests.iter().take(count) {
        let response = check(&mut client, request.clone()).await?;
        let effect = response
            .results
            .first()
            .and_then(|result| result.actions.values().next());
        allowed.push(*effect.context("an answer without an effect")? == ALLOW);
    }
    Ok(allowed)
}
