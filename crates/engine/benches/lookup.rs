//! What a look-up costs in the process, by the size of its answer: one core, the ids of the answer read out in order.
//!
//! `cargo bench -p engine --bench lookup`. A company of a million relationships: documents in folders eight deep, shared
//! with groups nested four deep, some of them banned by exclusion and some public by wildcard. The sizes of the answers
//! are printed beside the times, since they are what a look-up should cost.

#![expect(
    clippy::expect_used,
    reason = "a benchmark stops where its own data is wrong"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::eval::{
    Environment, Found, ResourcesQuery, SubjectsQuery, lookup_resources, lookup_subjects,
};
use engine::graph::{Loader, RelationshipParts, Snapshot};
use model::{Context, Revision, Timestamp};
use schema::Schema;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SCHEMA: &str = "definition user {}
    definition group { relation member: user | group#member; }
    definition folder {
        relation parent: folder
        relation viewer: user | group#member
        permission view = viewer + parent->view
    }
    definition document {
        relation parent: folder
        relation viewer: user | user:* | group#member
        relation banned: user
        permission view = (viewer + parent->view) - banned
    }";

const DOCUMENTS: u64 = 300_000;
const FOLDERS: u64 = 40_000;
const GROUPS: u64 = 4_000;
const USERS: u64 = 100_000;
const DEEP: u64 = 8;

/// A number that has nothing to do with its neighbours (SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Filler(Loader);

impl Filler {
    fn put(&mut self, resource: (&str, u64), relation: &str, subject: (&str, &str, Option<&str>)) {
        let row = RelationshipParts {
            resource_definition: resource.0,
            resource_id: &id(resource.1),
            relation,
            subject_definition: subject.0,
            subject_id: subject.1,
            subject_relation: subject.2,
            caveat: None,
            expires_at: None,
        };
        self.0.push(row).expect("the schema knows the row");
    }
}

fn id(number: u64) -> String {
    format!("{:016x}", mixed(number))
}

fn build() -> Snapshot {
    let schema = Schema::compile(SCHEMA).expect("the schema is valid");
    let mut filler = Filler(Loader::new(Arc::new(schema)));
    for user in 0..USERS {
        for turn in 0..3 {
            let group = mixed(user * 3 + turn) % GROUPS;
            filler.put(("group", group), "member", ("user", &id(user), None));
        }
    }
    for group in 0..GROUPS {
        // A quarter are tops; the others are nested in one of the layer above.
        let layer = group * 4 / GROUPS;
        if layer > 0 {
            let above = mixed(group) % (GROUPS / 4) + (layer - 1) * (GROUPS / 4);
            filler.put(
                ("group", above),
                "member",
                ("group", &id(group), Some("member")),
            );
        }
    }
    for folder in 0..FOLDERS {
        let level = folder * DEEP / FOLDERS;
        if level > 0 {
            let above = mixed(folder) % (FOLDERS / DEEP) + (level - 1) * (FOLDERS / DEEP);
            filler.put(("folder", folder), "parent", ("folder", &id(above), None));
        }
        let group = mixed(folder + 7) % GROUPS;
        filler.put(
            ("folder", folder),
            "viewer",
            ("group", &id(group), Some("member")),
        );
    }
    for document in 0..DOCUMENTS {
        let folder = mixed(document + 11) % FOLDERS;
        filler.put(
            ("document", document),
            "parent",
            ("folder", &id(folder), None),
        );
        let user = mixed(document + 13) % USERS;
        filler.put(("document", document), "viewer", ("user", &id(user), None));
        if document % 100 == 0 {
            filler.put(("document", document), "viewer", ("user", "*", None));
        }
        if document % 20 == 0 {
            let user = mixed(document + 17) % USERS;
            filler.put(("document", document), "banned", ("user", &id(user), None));
        }
    }
    filler.0.finish(Revision(1), Timestamp::EPOCH)
}

fn environment(context: &Context) -> Environment<'_> {
    Environment {
        context,
        now: Timestamp::EPOCH,
        depth_max: 50,
        edges_visited_max: 1_000_000_000,
    }
}

fn resources(snapshot: &Snapshot, definition: &str, user: u64) -> Found {
    let subject = format!("user:{}", id(user))
        .parse()
        .expect("the text is a subject");
    let query = ResourcesQuery::resolve(snapshot, definition, "view", &subject)
        .expect("the schema knows the question");
    let context = Context::default();
    lookup_resources(
        snapshot,
        &query,
        environment(&context),
        &AtomicBool::new(false),
    )
    .expect("the question has an answer")
}

fn subjects(snapshot: &Snapshot, resource: &str) -> Found {
    let resource = resource.parse().expect("the text is an object");
    let query = SubjectsQuery::resolve(snapshot, &resource, "view", "user", None)
        .expect("the schema knows the question");
    let context = Context::default();
    lookup_subjects(
        snapshot,
        &query,
        environment(&context),
        &AtomicBool::new(false),
    )
    .expect("the question has an answer")
}

fn read(snapshot: &Snapshot, found: &Found) -> usize {
    found
        .members(snapshot)
        .map(|(id, _)| id.as_str().len())
        .sum()
}

fn bench(criterion: &mut Criterion) {
    let snapshot = build();
    eprintln!("{} relationships", snapshot.relationship_count());
    // Built when first asked for, and then shared: not part of any one look-up.
    black_box(resources(&snapshot, "document", 0).count());
    let mut group = criterion.benchmark_group("resources of a user");
    group.sample_size(20);
    for definition in ["folder", "document"] {
        let found = resources(&snapshot, definition, 5);
        group.bench_function(BenchmarkId::new(definition, found.count()), |bencher| {
            bencher.iter(|| read(&snapshot, &resources(&snapshot, definition, 5)));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("subjects of a resource");
    group.sample_size(20);
    let deepest = FOLDERS - 1;
    for resource in [
        format!("folder:{}", id(3)),
        format!("folder:{}", id(deepest)),
        format!("document:{}", id(21)),
    ] {
        let found = subjects(&snapshot, &resource);
        group.bench_function(BenchmarkId::new(&resource, found.count()), |bencher| {
            bencher.iter(|| read(&snapshot, &subjects(&snapshot, &resource)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
