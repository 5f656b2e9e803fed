//! What the graph costs: bytes an edge and an id, and the time of a load, a probe, a look-up and a commit.
//!
//! `cargo bench -p engine --bench graph`; the numbers of record are in docs/decisions/0001-ordered-tree.md.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops where its own data is wrong"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use engine::graph::tree::{EdgeAction, EdgeChange};
use engine::graph::{
    Change, ClassIx, EdgeTree, Loader, MemoryUse, ObjectIx, RelationshipParts, Snapshot,
};
use model::{Relationship, Revision, Timestamp};
use schema::{DefinitionIx, Schema};

const SCHEMA: &str = "definition user {} definition document { relation viewer: user; }";
const DOCUMENT: DefinitionIx = DefinitionIx(1);
const VIEWER: ClassIx = ClassIx(0);

/// How many subjects a resource has.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    subjects_per_resource: u64,
}

const SPARSE: Shape = Shape {
    name: "sparse",
    subjects_per_resource: 1,
};
const DENSE: Shape = Shape {
    name: "dense",
    subjects_per_resource: 200,
};

/// A number that looks random, the same on every run.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn uuid(number: u64) -> String {
    let (high, low) = (mix(number), mix(!number));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// The ids of the edges: each resource has subjects drawn from a tenth as many as there are edges.
fn rows(shape: Shape, edge_count: u64) -> Vec<(String, String)> {
    (0..edge_count)
        .map(|edge| {
            let subject = mix(edge) % (edge_count / 10);
            (
                uuid(edge / shape.subjects_per_resource),
                uuid(1 << 40 | subject),
            )
        })
        .collect()
}

fn load(schema: &Arc<Schema>, rows: &[(String, String)]) -> Snapshot {
    let mut loader = Loader::new(Arc::clone(schema));
    for (resource, subject) in rows {
        let row = RelationshipParts {
            resource_definition: "document",
            resource_id: resource,
            relation: "viewer",
            subject_definition: "user",
            subject_id: subject,
            subject_relation: None,
            caveat: None,
            expires_at: None,
        };
        loader.push(row).expect("the schema knows the row");
    }
    loader.finish(Revision(1), Timestamp::EPOCH)
}

fn put(resource: &str, subject: &str) -> Change {
    let text = format!("document:{resource}#viewer@user:{subject}");
    Change::Put(
        text.parse::<Relationship>()
            .expect("the text is a relationship"),
    )
}

fn report(label: &str, snapshot: &Snapshot) {
    let MemoryUse {
        edges_bytes,
        ids_bytes,
        edge_count,
        id_count,
        ..
    } = snapshot.resident_bytes();
    eprintln!(
        "{label}: {:.2} bytes an edge (both directions, {edge_count} edges), {:.2} bytes an id ({id_count} ids)",
        edges_bytes as f64 / edge_count as f64,
        ids_bytes as f64 / id_count as f64,
    );
}

fn graph(criterion: &mut Criterion) {
    let schema = Arc::new(Schema::compile(SCHEMA).expect("the schema is valid"));
    for shape in [SPARSE, DENSE] {
        for edge_count in [10_000, 1_000_000] {
            let label = format!("{}/{edge_count}", shape.name);
            let rows = rows(shape, edge_count);
            let start = Instant::now();
            let snapshot = load(&schema, &rows);
            eprintln!("{label}: loaded in {:?}", start.elapsed());
            report(&label, &snapshot);
            reads(criterion, &label, &snapshot, &rows);
            commits(criterion, &label, snapshot, &rows);
        }
    }
    churn(&schema);
    bulk(criterion);
}

/// A graph whose documents are replaced again and again by as many others, and what a rebuild makes of it.
fn churn(schema: &Arc<Schema>) {
    const LIVE: u64 = 200_000;
    const WAVES: u64 = 4;
    const CHANGES_AT_ONCE: usize = 1_000;
    let put_of = |document: u64| put(&uuid(document), &uuid((1 << 40) | (document % (LIVE / 10))));
    let mut snapshot = Snapshot::empty(Arc::clone(schema));
    let mut apply = |changes: Vec<Change>| {
        for changes in changes.chunks(CHANGES_AT_ONCE) {
            snapshot = snapshot
                .apply(snapshot.revision().next(), Timestamp::EPOCH, changes)
                .expect("the schema knows the changes");
        }
    };
    apply((0..LIVE).map(put_of).collect());
    for document in (LIVE..LIVE * (WAVES + 1)).step_by(CHANGES_AT_ONCE) {
        let documents = document..document + CHANGES_AT_ONCE as u64;
        let removed = documents
            .clone()
            .map(|document| match put_of(document - LIVE) {
                Change::Put(relationship) => Change::Remove(relationship.key()),
                Change::Remove(key) => Change::Remove(key),
            });
        apply(removed.collect());
        apply(documents.map(put_of).collect());
    }
    let start = Instant::now();
    let dead = snapshot.dead_ids();
    eprintln!("churn: {dead:?} counted in {:?}", start.elapsed());
    report("churn, before the rebuild", &snapshot);
    let definitions: Vec<DefinitionIx> = dead.iter().map(|dead| dead.definition).collect();
    let start = Instant::now();
    let rebuilt = snapshot.without_dead_ids(&definitions);
    eprintln!("churn: rebuilt in {:?}", start.elapsed());
    report("churn, after the rebuild", &rebuilt);
    for (when, snapshot) in [("before", &snapshot), ("after", &rebuilt)] {
        let MemoryUse {
            edges_bytes,
            ids_bytes,
            ..
        } = snapshot.resident_bytes();
        eprintln!(
            "churn: {:.1} MiB {when}",
            (edges_bytes + ids_bytes) as f64 / f64::from(1 << 20)
        );
    }
}

fn reads(criterion: &mut Criterion, label: &str, snapshot: &Snapshot, rows: &[(String, String)]) {
    let class = snapshot.class(VIEWER);
    let edges: Vec<(u32, u32)> = class.forward().iter().map(|(k, v, _)| (k, v)).collect();
    let mut asked = sample(edges.len())
        .map(|ix| edges[ix])
        .collect::<Vec<_>>()
        .into_iter()
        .cycle();
    criterion.bench_function(&format!("{label}/get"), |bencher| {
        bencher.iter(|| {
            let (resource, subject) = asked.next()?;
            black_box(class.edge(ObjectIx(resource), ObjectIx(subject)))
        });
    });
    let ids: Vec<String> = sample(rows.len()).map(|ix| rows[ix].0.clone()).collect();
    let mut asked = ids.iter().cycle();
    criterion.bench_function(&format!("{label}/lookup id"), |bencher| {
        bencher.iter(|| black_box(snapshot.object_ix(DOCUMENT, asked.next()?)));
    });
}

/// Places to ask for, in a row of their own so that finding the question costs nothing.
fn sample(len: usize) -> impl Iterator<Item = usize> {
    (0..200_000).map(move |turn| (mix(turn) % len as u64) as usize)
}

/// Commits of one edge, half between objects that are there and half for a new resource.
fn commits(
    criterion: &mut Criterion,
    label: &str,
    mut snapshot: Snapshot,
    rows: &[(String, String)],
) {
    let first = snapshot.clone();
    let mut turn = 0;
    criterion.bench_function(&format!("{label}/commit of one edge"), |bencher| {
        bencher.iter_batched(
            || {
                turn += 1;
                let (_, subject) = &rows[(mix(turn) % rows.len() as u64) as usize];
                if turn % 2 == 0 {
                    return put(&uuid(turn << 20), subject);
                }
                let (resource, _) = &rows[(mix(!turn) % rows.len() as u64) as usize];
                put(resource, subject)
            },
            |change| {
                snapshot = snapshot
                    .apply(snapshot.revision().next(), Timestamp::EPOCH, &[change])
                    .expect("the schema knows the change");
            },
            BatchSize::SmallInput,
        );
    });
    report(&format!("{label} after {turn} commits"), &snapshot);
    let start = Instant::now();
    let differences = first.diff(&snapshot).count();
    eprintln!(
        "{label}: {differences} differences found in {:?}",
        start.elapsed()
    );
}

fn bulk(criterion: &mut Criterion) {
    let changes: Vec<EdgeChange> = (0..1_000_000)
        .map(|edge| EdgeChange {
            key: edge,
            value: (mix(u64::from(edge)) % 100_000) as u32,
            action: EdgeAction::Insert(None),
        })
        .collect();
    let mut group = criterion.benchmark_group("bulk");
    group.sample_size(10);
    group.bench_function("one tree of 1,000,000 sorted edges", |bencher| {
        bencher.iter(|| {
            let mut tree = EdgeTree::default();
            tree.apply(&changes);
            tree
        });
    });
    group.finish();
}

criterion_group!(benches, graph);
criterion_main!(benches);
