//! What the engine costs in the process of its caller: time to load, memory, and checks with their ids as text.

mod commits;
mod look_ups;

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use anyhow::Context as _;
use engine::eval::{Environment, EvalError, Query, check};
use engine::graph::{Loader, Snapshot};
use model::{Decision, Limits, Revision, Timestamp};
use schema::Schema;
use serde::{Deserialize, Serialize};

use crate::machine::Process;
use crate::results::{Entry, Results};
use crate::workload::{Draw, Popularity, Question, Sink, Workload};

pub(crate) use commits::{Commits, commits};
pub(crate) use look_ups::{look_up, milliseconds};

/// When every question is asked.
#[expect(clippy::expect_used, reason = "the text is an instant")]
pub(crate) static NOW: LazyLock<Timestamp> =
    LazyLock::new(|| "2026-06-01T12:00:00Z".parse().expect("an instant"));

/// Distinct questions, so that the memory they lead to is far beyond any cache.
const QUESTIONS: usize = 200_000;
/// Rounds over all questions; the median of their times counts.
const ROUNDS: usize = 5;

/// The result of one run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InProcess {
    pub(crate) workload: String,
    pub(crate) popularity: Popularity,
    pub(crate) relationships: usize,
    pub(crate) objects: usize,
    pub(crate) load_relationships_per_second: f64,
    /// Of the graph alone, as the engine counts them.
    pub(crate) edge_bytes_per_relationship: f64,
    pub(crate) id_bytes_per_object: f64,
    /// What the process has more after the load than before, by the kernel.
    pub(crate) resident_bytes_per_relationship: f64,
    /// The most it had while loading, against what it has after.
    pub(crate) resident_peak_ratio: f64,
    pub(crate) questions: usize,
    pub(crate) allowed_share: f64,
    /// Medians over the rounds, of means over all questions, in nanoseconds.
    pub(crate) allowed_nanoseconds: f64,
    pub(crate) other_nanoseconds: f64,
    /// Of single checks with the clock around each, in nanoseconds.
    pub(crate) p50_nanoseconds: u64,
    pub(crate) p99_nanoseconds: u64,
    pub(crate) p999_nanoseconds: u64,
}

/// Loads the workload, asks it, and commits to it.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes are below 2^53"
)]
pub(crate) fn run(
    workload: &dyn Workload,
    popularity: Popularity,
    seed: u64,
    results: &mut Results<'_>,
) -> anyhow::Result<()> {
    let process = Process::own();
    let before = process.resident_bytes()?;
    let started = Instant::now();
    let snapshot = load(workload)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let peak = process.resident_bytes_max()?.saturating_sub(before);
    let resident = process.resident_bytes()?.saturating_sub(before);
    let memory = snapshot.resident_bytes();

    let (allowed, other) = questions(&snapshot, workload, popularity, seed)?;
    let [allowed_nanoseconds, other_nanoseconds] =
        [&allowed, &other].map(|questions| mean_nanoseconds(&snapshot, questions));
    let mut times = each_nanoseconds(&snapshot, allowed.iter().chain(&other));
    times.sort_unstable();
    let quantile = |share: f64| {
        let at = (times.len() as f64 * share) as usize;
        times
            .get(at.min(times.len() - 1))
            .copied()
            .unwrap_or_default()
    };
    let count = memory.edge_count as f64;
    results(Entry::InProcess(InProcess {
        workload: workload.name().to_owned(),
        popularity,
        relationships: memory.edge_count,
        objects: memory.id_count,
        load_relationships_per_second: count / load_seconds,
        edge_bytes_per_relationship: memory.edges_bytes as f64 / count,
        id_bytes_per_object: memory.ids_bytes as f64 / memory.id_count as f64,
        resident_bytes_per_relationship: resident as f64 / count,
        resident_peak_ratio: peak as f64 / resident as f64,
        questions: times.len(),
        allowed_share: allowed.len() as f64 / times.len() as f64,
        allowed_nanoseconds,
        other_nanoseconds,
        p50_nanoseconds: quantile(0.5),
        p99_nanoseconds: quantile(0.99),
        p999_nanoseconds: quantile(0.999),
    }))?;
    drop((allowed, other, times));
    let mut draw = Draw::new(seed, popularity);
    let relations = std::iter::once(workload.granting_relation()).chain(workload.sparse_relation());
    for relation in relations {
        let result = commits(&snapshot, workload, relation, &mut draw)?;
        results(Entry::Commits(result))?;
    }
    Ok(())
}

/// The graph of the workload.
pub(crate) fn load(workload: &dyn Workload) -> anyhow::Result<Snapshot> {
    load_rows(workload.schema(), |sink| workload.fill(sink))
}

/// The graph of a schema and of the rows that `fill` gives.
pub(crate) fn load_rows(
    schema: &str,
    fill: impl FnOnce(&mut Sink<'_>),
) -> anyhow::Result<Snapshot> {
    let mut loader = Loader::new(Arc::new(Schema::compile(schema)?));
    let mut failed = None;
    fill(&mut |row| {
        if let Err(error) = loader.push(row) {
            failed.get_or_insert(error);
        }
    });
    failed.map_or(Ok(()), Err)?;
    Ok(loader.finish(Revision(1), *NOW))
}

/// The decision of `snapshot`, with everything found by name.
#[expect(
    clippy::expect_used,
    reason = "a benchmark stops where its own data is wrong"
)]
pub(crate) fn answer(snapshot: &Snapshot, question: &Question) -> Decision {
    decide(snapshot, question).expect("data without a fault")
}

/// As [`answer`], of data that may have faults.
///
/// # Errors
/// As [`check`].
#[expect(
    clippy::expect_used,
    reason = "a benchmark stops where its own question is wrong"
)]
pub(crate) fn decide(snapshot: &Snapshot, question: &Question) -> Result<Decision, EvalError> {
    let query = Query::resolve(
        snapshot,
        &question.resource,
        question.permission,
        &question.subject,
    );
    let query = query.expect("names of the schema");
    let edges_visited_max = Limits::default().edges_visited_max;
    check(snapshot, &query, environment(question, edges_visited_max))
}

/// The limits of a node, at one instant.
fn environment(question: &Question, edges_visited_max: u64) -> Environment<'_> {
    Environment {
        context: &question.context,
        now: *NOW,
        depth_max: Limits::default().depth_max,
        edges_visited_max,
    }
}

/// Distinct questions: those allowed, and all others.
fn questions(
    snapshot: &Snapshot,
    workload: &dyn Workload,
    popularity: Popularity,
    seed: u64,
) -> anyhow::Result<(Vec<Question>, Vec<Question>)> {
    let mut draw = Draw::new(seed, popularity);
    let mut seen = HashSet::new();
    let (mut allowed, mut other) = (Vec::new(), Vec::new());
    // Small data has no more distinct questions than it has.
    for _ in 0..QUESTIONS * 2 {
        let question = draw.question(workload);
        let key = format!(
            "{}#{}@{} {}",
            question.resource,
            question.permission,
            question.subject,
            question.context.to_json()
        );
        if !seen.insert(key) {
            continue;
        }
        let list = if answer(snapshot, &question) == Decision::Allowed {
            &mut allowed
        } else {
            &mut other
        };
        list.push(question);
        if allowed.len() + other.len() == QUESTIONS {
            break;
        }
    }
    (!allowed.is_empty() && !other.is_empty())
        .then_some((allowed, other))
        .context("all questions have one answer")
}

#[expect(clippy::cast_precision_loss, reason = "a count is below 2^53")]
fn mean_nanoseconds(snapshot: &Snapshot, questions: &[Question]) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for question in questions {
                let _ = black_box(answer(snapshot, black_box(question)));
            }
            started.elapsed().as_nanos() as f64 / questions.len() as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or_default()
}

fn each_nanoseconds<'a>(
    snapshot: &Snapshot,
    questions: impl Iterator<Item = &'a Question>,
) -> Vec<u64> {
    questions
        .map(|question| {
            let started = Instant::now();
            let _ = black_box(answer(snapshot, black_box(question)));
            u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
        })
        .collect()
}
