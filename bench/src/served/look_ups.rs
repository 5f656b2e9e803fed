//! Look-ups of resources and of subjects, by how many results they have.
//!
//! Remit itself is asked for questions of each size; the floor answers with as many messages of the same size.

use std::collections::HashSet;
use std::sync::Arc;

use clap::Args;
use prost::Message;
use remit_proto::authzed::api::v1 as wire;
use serde::{Deserialize, Serialize};
use tonic::Streaming;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use wire::permissions_service_client::PermissionsServiceClient;

use super::calls::{Calls, LookUp, item};
use super::floor::asks_for;
use super::setup::{Comparison, Setup};
use super::target::Target;
use crate::in_process;
use crate::results::{Entry, Results};
use crate::workload::{Draw, Popularity, Question, Workload};

/// Numbers of results, which a look-up has within a factor of 1.6.
const SIZES: [u64; 5] = [1, 10, 100, 1_000, 10_000];
/// Questions of a size.
const QUESTIONS: usize = 20;
/// Questions that are drawn to find those of all sizes.
const CANDIDATES: usize = 3_000;

/// How look-ups are sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct LookUpArguments {
    #[command(flatten)]
    setup: Setup,
    /// Calls that are under way at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
}

/// Which look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wanted {
    Resources,
    Subjects,
}

/// The result for one number of results.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LookUps {
    pub(crate) workload: String,
    pub(crate) relationships: u64,
    pub(crate) wanted: Wanted,
    /// One of 1, 10, 100 and so on, and how many there are on average.
    pub(crate) results_about: u64,
    pub(crate) results_mean: f64,
    questions: usize,
    pub(crate) in_flight: u16,
    #[serde(flatten)]
    pub(crate) comparison: Comparison,
    pub(crate) in_process_milliseconds: f64,
}

/// A question, and what Remit has answered.
struct Candidate {
    question: Question,
    results: u64,
    /// What asks the floor for the same.
    metadata: MetadataMap,
}

/// Looks up on Remit and on the floor.
///
/// # Errors
/// When a server does not start, or all calls of a round fail.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
pub(crate) async fn run(
    workload: &dyn Workload,
    seed: u64,
    arguments: &LookUpArguments,
    results: &mut Results<'_>,
) -> anyhow::Result<()> {
    let setup = &arguments.setup;
    let (remit, relationships) = setup.remit(workload).await?;
    let floor = Target::floor().await?;
    let mut measured = Vec::new();
    for wanted in [Wanted::Resources, Wanted::Subjects] {
        let found = find(&remit, workload, seed, wanted).await?;
        for (results_about, candidates) in SIZES.into_iter().zip(found) {
            if candidates.is_empty() {
                continue;
            }
            let load = setup.load(calls(wanted, &candidates), arguments.in_flight, None);
            let comparison = setup.compare(&load, &remit, &floor).await?;
            measured.push((wanted, results_about, candidates, comparison));
        }
    }
    // The servers are gone before their data is loaded here.
    drop((remit, floor));
    let snapshot = in_process::load(workload)?;
    for (wanted, results_about, candidates, comparison) in measured {
        let count: u64 = candidates.iter().map(|candidate| candidate.results).sum();
        let questions = candidates.into_iter().map(|candidate| candidate.question);
        let questions: Vec<Question> = questions.collect();
        results(Entry::LookUps(LookUps {
            workload: workload.name().to_owned(),
            relationships,
            wanted,
            results_about,
            results_mean: count as f64 / questions.len() as f64,
            questions: questions.len(),
            in_flight: arguments.in_flight,
            comparison,
            in_process_milliseconds: in_process::milliseconds(&snapshot, wanted, &questions)?,
        }))?;
    }
    Ok(())
}

/// Draws questions, and keeps those with as many results as one of the sizes.
async fn find(
    remit: &Target,
    workload: &dyn Workload,
    seed: u64,
    wanted: Wanted,
) -> anyhow::Result<[Vec<Candidate>; SIZES.len()]> {
    let mut client = PermissionsServiceClient::new(remit.connect().await?);
    let mut draw = Draw::new(seed, Popularity::Uniform);
    let mut seen = HashSet::new();
    let mut found = SIZES.map(|_| Vec::new());
    for _ in 0..CANDIDATES {
        let question = draw.question(workload);
        let about = match wanted {
            Wanted::Resources => question.subject.to_string(),
            Wanted::Subjects => question.resource.to_string(),
        };
        if !seen.insert((about, question.permission)) {
            continue;
        }
        let Some((results, metadata)) = ask(&mut client, wanted, &question).await? else {
            continue;
        };
        let mut classes = SIZES.iter().zip(&mut found);
        let class = classes.find(|(size, _)| is_about(results, **size));
        if let Some((_, class)) = class
            && class.len() < QUESTIONS
        {
            class.push(Candidate {
                question,
                results,
                metadata,
            });
        }
        if found.iter().all(|class| class.len() == QUESTIONS) {
            break;
        }
    }
    Ok(found)
}

fn is_about(results: u64, size: u64) -> bool {
    results * 16 >= size * 10 && results * 10 <= size * 16
}

/// How many results a look-up has, and what asks the floor for as many; nothing where it has none.
async fn ask(
    client: &mut PermissionsServiceClient<Channel>,
    wanted: Wanted,
    question: &Question,
) -> anyhow::Result<Option<(u64, MetadataMap)>> {
    Ok(match wanted {
        Wanted::Resources => {
            let answers = client.lookup_resources(resources(question)).await?;
            typical(answers.into_inner()).await?
        }
        Wanted::Subjects => {
            let answers = client.lookup_subjects(subjects(question)).await?;
            typical(answers.into_inner()).await?
        }
    })
}

/// The number of messages, and what asks the floor for as many of the middle size.
async fn typical<M: Message>(
    mut answers: Streaming<M>,
) -> anyhow::Result<Option<(u64, MetadataMap)>> {
    let mut messages = Vec::new();
    while let Some(message) = answers.message().await? {
        messages.push(message);
    }
    messages.sort_by_key(Message::encoded_len);
    let middle = messages.get(messages.len() / 2);
    let metadata = middle.map(|middle| asks_for(messages.len() as u64, middle));
    Ok(metadata
        .transpose()?
        .map(|metadata| (messages.len() as u64, metadata)))
}

fn calls(wanted: Wanted, candidates: &[Candidate]) -> Calls {
    fn each<R>(candidates: &[Candidate], request: fn(&Question) -> R) -> Arc<Vec<LookUp<R>>> {
        let calls = candidates.iter().map(|candidate| LookUp {
            request: request(&candidate.question),
            metadata: candidate.metadata.clone(),
        });
        Arc::new(calls.collect())
    }
    match wanted {
        Wanted::Resources => Calls::Resources(each(candidates, resources)),
        Wanted::Subjects => Calls::Subjects(each(candidates, subjects)),
    }
}

fn resources(question: &Question) -> wire::LookupResourcesRequest {
    let item = item(question);
    wire::LookupResourcesRequest {
        resource_object_type: question.resource.definition.as_str().to_owned(),
        permission: item.permission,
        subject: item.subject,
        context: item.context,
        ..Default::default()
    }
}

fn subjects(question: &Question) -> wire::LookupSubjectsRequest {
    let item = item(question);
    wire::LookupSubjectsRequest {
        resource: item.resource,
        permission: item.permission,
        subject_object_type: question.subject.definition.as_str().to_owned(),
        context: item.context,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_results_is_about_two_sizes() {
        for results in 0..20_000 {
            let sizes = SIZES.iter().filter(|size| is_about(results, **size));
            assert!(sizes.count() <= 1, "{results}");
        }
        assert!(is_about(7, 10) && is_about(16, 10) && !is_about(17, 10) && !is_about(6, 10));
    }
}
