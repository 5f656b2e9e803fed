//! Look-ups in the process: everything is found by name, and the ids of the answer are read out in order.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Context as _;
use engine::eval::{Found, ResourcesQuery, SubjectsQuery, lookup_resources, lookup_subjects};
use engine::graph::Snapshot;
use model::Limits;

use super::environment;
use crate::results::median;
use crate::served::Wanted;
use crate::workload::Question;

/// Rounds over all questions; the median of their means counts.
const ROUNDS: usize = 5;

/// Milliseconds of a look-up.
#[expect(clippy::cast_precision_loss, reason = "a count is below 2^53")]
pub(crate) fn milliseconds(
    snapshot: &Snapshot,
    wanted: Wanted,
    questions: &[Question],
) -> anyhow::Result<f64> {
    let mut rounds = Vec::new();
    // What is built when it is first asked for, and then shared, is no part of any one look-up.
    for question in questions {
        look_up(snapshot, wanted, question)?;
    }
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for question in questions {
            let found = look_up(snapshot, wanted, black_box(question))?;
            let members = found.members(snapshot);
            black_box(members.map(|(id, _)| id.as_str().len()).sum::<usize>());
        }
        rounds.push(started.elapsed().as_secs_f64() * 1e3 / questions.len() as f64);
    }
    median(rounds, |round| *round).context("no round was measured")
}

/// Looks up with the limits of a node.
///
/// # Errors
/// When a name is unknown, or a limit is passed.
pub(crate) fn look_up(
    snapshot: &Snapshot,
    wanted: Wanted,
    question: &Question,
) -> anyhow::Result<Found> {
    let environment = environment(question, Limits::default().look_up_edges_visited_max);
    let interrupt = AtomicBool::new(false);
    let (resource, subject) = (&question.resource, &question.subject);
    Ok(match wanted {
        Wanted::Resources => {
            let definition = resource.definition.as_str();
            let query =
                ResourcesQuery::resolve(snapshot, definition, question.permission, subject)?;
            lookup_resources(snapshot, &query, environment, &interrupt)?
        }
        Wanted::Subjects => {
            let definition = subject.definition.as_str();
            let query =
                SubjectsQuery::resolve(snapshot, resource, question.permission, definition, None)?;
            lookup_subjects(snapshot, &query, environment, &interrupt)?
        }
    })
}
