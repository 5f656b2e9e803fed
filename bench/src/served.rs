//! What a served check costs, beside an empty call: a server is started for each, the same requests are sent to both in
//! turn, and the medians over several rounds are compared.

mod floor;
mod load;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use prost_types::Struct;
use remit_proto::authzed::api::v1 as wire;
use serde::Serialize;

use crate::workload::{Draw, Popularity, Question, Workload};
use load::{Load, Measured};
use target::Target;

pub(crate) use floor::serve_floor;

/// Distinct requests that are made before anything is measured.
const REQUESTS: usize = 100_000;

/// How the load is made.
#[derive(Debug, Clone, Args)]
pub(crate) struct Served {
    /// The program `remit`; without it the one beside this program.
    #[arg(long)]
    remit: Option<PathBuf>,
    /// Calls that are under way at once.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: Vec<u16>,
    /// Calls a second that are begun, answered or not; without it the next call begins when one is answered.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Connections, which share the calls.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Items of a bulk check, up to 10,000; without it each call is a check of its own.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    bulk: Option<u16>,
    /// Length of a round.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Rounds of each server, in turn; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Which resources and subjects are asked about.
    #[arg(long, value_enum, default_value = "zipf")]
    popularity: Popularity,
}

/// The result for one number of calls under way.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    workload: &'static str,
    popularity: Popularity,
    relationships: u64,
    in_flight: u16,
    items_per_call: u16,
    remit: Measured,
    floor: Measured,
    /// Processor time of the server a call, Remit's against the empty call's.
    cpu_ratio: f64,
    p50_ratio: f64,
}

/// Sends the workload's questions to Remit and to the floor.
///
/// # Errors
/// When a server does not start, or a call fails.
pub(crate) async fn run(
    workload: &dyn Workload,
    seed: u64,
    served: &Served,
    each: &mut dyn FnMut(&Comparison) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let calls = calls(workload, seed, served);
    let program = match &served.remit {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("remit"),
    };
    let (remit, relationships) = Target::remit(&program, workload).await?;
    let floor = Target::floor().await?;
    for &in_flight in &served.in_flight {
        let load = Load {
            calls: calls.clone(),
            in_flight,
            rate: served.rate,
            connections: served.connections,
            duration: Duration::from_secs(served.seconds),
        };
        // Neither is measured cold.
        load.run(&remit).await?;
        load.run(&floor).await?;
        let (mut of_remit, mut of_floor) = (Vec::new(), Vec::new());
        for _ in 0..served.rounds {
            of_remit.push(load.run(&remit).await?);
            of_floor.push(load.run(&floor).await?);
        }
        let remit = Measured::median(of_remit).context("no round was measured")?;
        let floor = Measured::median(of_floor).context("no round was measured")?;
        each(&Comparison {
            workload: workload.name(),
            popularity: served.popularity,
            relationships,
            in_flight,
            items_per_call: served.bulk.unwrap_or(1),
            cpu_ratio: remit.server_cpu_microseconds / floor.server_cpu_microseconds,
            p50_ratio: remit.p50_microseconds / floor.p50_microseconds,
            remit,
            floor,
        })?;
    }
    Ok(())
}

/// The requests of a run.
#[derive(Debug, Clone)]
pub(crate) enum Calls {
    Check(std::sync::Arc<Vec<wire::CheckPermissionRequest>>),
    Bulk(std::sync::Arc<Vec<wire::CheckBulkPermissionsRequest>>),
}

fn calls(workload: &dyn Workload, seed: u64, served: &Served) -> Calls {
    let mut draw = Draw::new(seed, served.popularity);
    let mut item = || item(&draw.question(workload));
    match served.bulk {
        None => {
            let requests = (0..REQUESTS).map(|_| {
                let item = item();
                wire::CheckPermissionRequest {
                    consistency: None,
                    resource: item.resource,
                    permission: item.permission,
                    subject: item.subject,
                    context: item.context,
                    with_tracing: false,
                }
            });
            Calls::Check(std::sync::Arc::new(requests.collect()))
        }
        Some(size) => {
            let requests =
                (0..REQUESTS / usize::from(size)).map(|_| wire::CheckBulkPermissionsRequest {
                    consistency: None,
                    items: (0..size).map(|_| item()).collect(),
                    with_tracing: false,
                });
            Calls::Bulk(std::sync::Arc::new(requests.collect()))
        }
    }
}

fn item(question: &Question) -> wire::CheckBulkPermissionsRequestItem {
    let object = |definition: &str, id: String| wire::ObjectReference {
        object_type: definition.to_owned(),
        object_id: id,
    };
    let resource = &question.resource;
    let subject = &question.subject;
    wire::CheckBulkPermissionsRequestItem {
        resource: Some(object(
            resource.definition.as_str(),
            resource.id.to_string(),
        )),
        permission: question.permission.to_owned(),
        subject: Some(wire::SubjectReference {
            object: Some(object(subject.definition.as_str(), subject.id.to_string())),
            optional_relation: String::new(),
        }),
        context: context(question),
    }
}

/// The context of a question: the workloads use numbers and texts.
fn context(question: &Question) -> Option<Struct> {
    use prost_types::value::Kind;
    let json: serde_json::Value = serde_json::from_str(&question.context.to_json()).ok()?;
    let fields = json.as_object()?.iter().map(|(name, value)| {
        let kind = value.as_f64().map_or_else(
            || Kind::StringValue(value.as_str().unwrap_or_default().to_owned()),
            Kind::NumberValue,
        );
        (name.clone(), prost_types::Value { kind: Some(kind) })
    });
    let fields: std::collections::BTreeMap<_, _> = fields.collect();
    (!fields.is_empty()).then_some(Struct { fields })
}
