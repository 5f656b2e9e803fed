//! What a check costs in the process: one core, ids and names resolved within the measured time, no cached results.
//!
//! `cargo bench -p engine --bench check`. Each case has a graph of its own, of ten thousand and of a million
//! relationships. Questions come from a pool that is made beforehand, about half of them allowed, in an order that has
//! nothing to do with that of the graph; the pool holds 200,000 distinct ones wherever the graph has as many. Before
//! anything is measured the answer to every question is held against what it was made to be.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops where its own data is wrong"
)]

mod cases;
mod data;

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use engine::eval::{Environment, Query, check, fetch};
use engine::graph::{Loader, MemoryUse, Snapshot};
use model::{Context, Decision, ObjectRef, Revision, SubjectRef, Timestamp};
use schema::Schema;

use cases::{CASES, Case, Pair};
use data::{DAYS, Draw, Filler, id};

/// As the binary has it: where nodes lie decides how often a check misses the cache.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u64; 3] = [10_000, 1_000_000, 10_000_000];
/// Questions that are prepared and answered together.
const BATCH: usize = 64;
const QUESTIONS_PER_ANSWER: usize = 100_000;
/// Tries before a small graph is taken to have no more questions.
const TRIES_MAX: u64 = 1_000_000;
struct Question {
    resource: ObjectRef,
    subject: SubjectRef,
    day: usize,
}

impl Question {
    fn of(pair: Pair) -> Self {
        let resource = format!("document:{}", id("document", pair.document));
        let subject = format!("user:{}", id("user", pair.user));
        Self {
            resource: resource.parse().expect("the text is an object"),
            subject: subject.parse().expect("the text is a subject"),
            day: pair.day as usize,
        }
    }

    /// All that is measured.
    fn answer(&self, snapshot: &Snapshot, contexts: &[Context]) -> Decision {
        decide(snapshot, &self.resolve(snapshot), &contexts[self.day])
    }

    fn resolve(&self, snapshot: &Snapshot) -> Query {
        Query::resolve(snapshot, &self.resource, "view", &self.subject)
            .expect("the schema knows the question")
    }
}

fn decide(snapshot: &Snapshot, query: &Query, context: &Context) -> Decision {
    let environment = Environment {
        context,
        now: Timestamp::EPOCH,
        depth_max: 50,
        edges_visited_max: 1_000_000,
    };
    check(snapshot, query, environment).expect("the question has an answer")
}

/// The time of `count` questions that are resolved before and answered in batches.
fn in_batches(
    snapshot: &Snapshot,
    contexts: &[Context],
    pool: &[Question],
    count: u64,
) -> Duration {
    let resolved: Vec<(Query, usize)> = pool
        .iter()
        .map(|question| (question.resolve(snapshot), question.day))
        .collect();
    let batches = resolved.chunks_exact(BATCH).cycle();
    let asked = (count as usize).div_ceil(BATCH);
    let started = Instant::now();
    for batch in batches.take(asked) {
        fetch(snapshot, batch.iter().map(|(query, _)| query));
        for (query, day) in batch {
            let _ = black_box(decide(snapshot, query, &contexts[*day]));
        }
    }
    started
        .elapsed()
        .mul_f64(count as f64 / (asked * BATCH) as f64)
}

fn build(case: &Case, size: u64) -> Snapshot {
    let schema = Schema::compile(case.schema).expect("the schema is valid");
    let mut filler = Filler(Loader::new(Arc::new(schema)));
    (case.fill)(&mut filler, size);
    filler.0.finish(Revision(1), Timestamp::EPOCH)
}

/// Questions in random order, each side as many as the graph has up to the limit, cut or repeated to equal parts.
fn pool(case: &Case, size: u64, snapshot: &Snapshot, contexts: &[Context]) -> Vec<Question> {
    let mut draw = Draw(size);
    let mut sides = [
        (case.allowed, Decision::Allowed),
        (case.denied, Decision::Denied),
    ]
    .map(|(candidate, wanted)| {
        let mut seen = HashSet::new();
        let mut pairs = Vec::new();
        for _ in 0..TRIES_MAX {
            let pair = candidate(size, &mut draw);
            if seen.insert(pair) && Question::of(pair).answer(snapshot, contexts) == wanted {
                pairs.push(pair);
            }
            if pairs.len() == QUESTIONS_PER_ANSWER {
                break;
            }
        }
        // A side that is made for an answer but never gets it would be a fault of the case or of the engine.
        assert!(
            pairs.len() * 3 > seen.len(),
            "{}: {wanted:?} is rare",
            case.name
        );
        pairs
    });
    let distinct = sides.iter().map(Vec::len).sum::<usize>();
    for side in &mut sides {
        let once = side.len();
        for turn in once..QUESTIONS_PER_ANSWER {
            side.push(side[turn % once]);
        }
    }
    let mut pairs = sides.concat();
    for place in (1..pairs.len()).rev() {
        pairs.swap(place, draw.below(place as u64 + 1) as usize);
    }
    eprintln!(
        "{}/{size}: {} questions, {distinct} of them distinct",
        case.name,
        pairs.len()
    );
    // Only now the texts, so that they lie in memory in the order in which they are read.
    pairs.into_iter().map(Question::of).collect()
}

fn report(label: &str, snapshot: &Snapshot) {
    let MemoryUse {
        edges_bytes,
        ids_bytes,
        edge_count,
        id_count,
        ..
    } = snapshot.resident_bytes();
    let edges = edge_count as f64;
    eprintln!(
        "{label}: {edge_count} relationships, {:.2} bytes an edge (both directions); {id_count} ids, {:.2} bytes an id, \
         {:.3} objects a relationship; {:.2} bytes a relationship in all",
        edges_bytes as f64 / edges,
        ids_bytes as f64 / id_count as f64,
        id_count as f64 / edges,
        (edges_bytes + ids_bytes) as f64 / edges,
    );
}

fn checks(criterion: &mut Criterion) {
    let contexts = DAYS.map(|day| {
        Context::from_json(&format!(r#"{{"today": "{day}"}}"#)).expect("the context is JSON")
    });
    // Numbers are values of options, as in `--measurement-time 1`.
    let is_filter = |word: &String| !word.starts_with('-') && word.parse::<f64>().is_err();
    let filters: Vec<String> = std::env::args().skip(1).filter(is_filter).collect();
    let is_wanted = |label: &str| {
        filters.is_empty() || filters.iter().any(|filter| label.contains(filter.as_str()))
    };
    for case in &CASES {
        for size in SIZES {
            let label = format!("{}/{size}", case.name);
            // To make the data takes longer than to measure.
            if !is_wanted(&label) {
                continue;
            }
            let start = Instant::now();
            let snapshot = build(case, size);
            eprintln!("{label}: made and loaded in {:?}", start.elapsed());
            report(&label, &snapshot);
            let pool = pool(case, size, &snapshot, &contexts);
            let mut asked = pool.iter().cycle();
            criterion.bench_function(&label, |bencher| {
                bencher.iter(|| Some(black_box(asked.next()?.answer(&snapshot, &contexts))));
            });
            criterion.bench_function(&format!("{label}, resolved, in {BATCH}s"), |bencher| {
                bencher.iter_custom(|count| in_batches(&snapshot, &contexts, &pool, count));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    targets = checks
}
criterion_main!(benches);
