//! What a commit of one relationship costs the graph: time, and the memory that the new snapshot does not share.

use std::time::Instant;

use anyhow::Context as _;
use engine::graph::{Change, Snapshot};
use model::{RelationName, Relationship};
use serde::{Deserialize, Serialize};

use super::NOW;
use crate::results::median;
use crate::workload::{Draw, Workload};

/// Commits of a round.
const COMMITS: usize = 4_000;
/// Rounds; the median of their means counts.
const ROUNDS: usize = 5;

/// The result for one relation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Commits {
    pub(crate) workload: String,
    pub(crate) relationships: usize,
    pub(crate) relation: String,
    /// The share of the resources that have the relation to somebody.
    pub(crate) resources_share: f64,
    /// Of a commit of one new relationship between objects that are there.
    pub(crate) nanoseconds: f64,
    /// What the new snapshot does not share with the one before, as the engine counts it.
    pub(crate) bytes: f64,
}

/// Commits single relationships of `relation`, each to the snapshot of the one before.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes are below 2^53"
)]
pub(crate) fn commits(
    snapshot: &Snapshot,
    workload: &dyn Workload,
    relation: &str,
    draw: &mut Draw,
) -> anyhow::Result<Commits> {
    let name = RelationName::new(relation)?;
    let changes: Vec<Change> = (0..COMMITS * ROUNDS)
        .map(|_| {
            let question = workload.any(draw);
            Change::Put(Relationship {
                resource: question.resource,
                relation: name.clone(),
                subject: question.subject,
                caveat: None,
                expires_at: None,
            })
        })
        .collect();
    let mut newest = snapshot.clone();
    let (mut rounds, mut copied_bytes) = (Vec::new(), 0);
    for round in changes.chunks(COMMITS) {
        let mut kept = Vec::with_capacity(round.len() + 1);
        let started = Instant::now();
        for change in round {
            let change = std::slice::from_ref(change);
            let next = newest.apply(newest.revision().next(), *NOW, change)?;
            kept.push(std::mem::replace(&mut newest, next));
        }
        rounds.push(started.elapsed().as_nanos() as f64 / COMMITS as f64);
        kept.push(newest.clone());
        let steps = kept.iter().zip(kept.iter().skip(1));
        copied_bytes += steps.map(|(old, new)| new.copied_bytes(old)).sum::<usize>();
    }
    Ok(Commits {
        workload: workload.name().to_owned(),
        relationships: snapshot.relationship_count(),
        relation: relation.to_owned(),
        resources_share: resources_share(snapshot, workload, relation, draw)?,
        nanoseconds: median(rounds, |round| *round).context("no round was measured")?,
        bytes: copied_bytes as f64 / changes.len() as f64,
    })
}

/// Of the resources that questions are about, which part has the relation to somebody.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn resources_share(
    snapshot: &Snapshot,
    workload: &dyn Workload,
    relation: &str,
    draw: &mut Draw,
) -> anyhow::Result<f64> {
    let definition = workload.any(draw).resource.definition;
    let schema = snapshot.schema();
    let definition = schema.definition_ix(definition.as_str());
    let definition = definition.context("the schema lacks the resources")?;
    let member = schema.member_ix(definition, relation);
    let member = member.context("the schema lacks the relation")?;
    let classes = snapshot.layout().classes_of(member);
    let resources = classes
        .iter()
        .map(|class| snapshot.class(*class).forward().keys().count());
    let most = resources.max().unwrap_or_default();
    Ok(most as f64 / snapshot.dictionary(definition).len() as f64)
}
