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

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use engine::eval::{Environment, Query, check};
use engine::graph::{Loader, MemoryUse, RelationshipParts, Snapshot};
use model::{CaveatRef, Context, Decision, ObjectRef, Revision, SubjectRef, Timestamp};
use schema::Schema;

/// As the binary has it: where nodes lie decides how often a check misses the cache.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u64; 2] = [10_000, 1_000_000];
const QUESTIONS_PER_ANSWER: usize = 100_000;
/// Tries before a small graph is taken to have no more questions.
const TRIES_MAX: u64 = 1_000_000;
const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// One shape of graph and its questions.
struct Case {
    name: &'static str,
    schema: &'static str,
    /// Adds about so many relationships.
    fill: fn(&mut Filler, u64),
    /// A question that is allowed by construction in a graph of so many relationships.
    allowed: fn(u64, &mut Draw) -> Pair,
    /// A question that is denied, most of the time.
    denied: fn(u64, &mut Draw) -> Pair,
}

/// A document, a user and the day of the request, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    document: u64,
    user: u64,
    day: u64,
}

struct Question {
    resource: ObjectRef,
    subject: SubjectRef,
    day: usize,
}

const CASES: [Case; 6] = [
    Case {
        name: "direct",
        schema: "definition user {}
            definition document { relation viewer: user; permission view = viewer; }",
        fill: direct::fill,
        allowed: direct::allowed,
        denied: direct::denied,
    },
    Case {
        name: "nested groups, 3 hops",
        schema:
            "definition user {}
            definition group { relation member: user | group#member; }
            definition document { relation viewer: user | group#member; permission view = viewer; }",
        fill: nested::fill,
        allowed: nested::allowed,
        denied: nested::denied,
    },
    Case {
        name: "8 folders deep",
        schema: "definition user {}
            definition folder {
                relation parent: folder
                relation viewer: user
                permission view = viewer + parent->view
            }
            definition document {
                relation parent: folder
                relation viewer: user
                permission view = viewer + parent->view
            }",
        fill: folders::fill,
        allowed: folders::allowed,
        denied: folders::denied,
    },
    Case {
        name: "intersection and exclusion",
        schema: "definition user {}
            definition document {
                relation viewer: user
                relation cleared: user
                relation banned: user
                permission view = (viewer & cleared) - banned
            }",
        fill: formula::fill,
        allowed: formula::allowed,
        denied: formula::denied,
    },
    Case {
        name: "caveat",
        schema: "caveat on_day(day string, today string) { day == today }
            definition user {}
            definition document { relation viewer: user with on_day; permission view = viewer; }",
        fill: caveat::fill,
        allowed: caveat::allowed,
        denied: caveat::denied,
    },
    Case {
        name: "wide groups",
        schema:
            "definition user {}
            definition group { relation member: user | group#member; }
            definition document { relation viewer: user | group#member; permission view = viewer; }",
        fill: wide::fill,
        allowed: wide::allowed,
        denied: wide::denied,
    },
];

/// Five users see a document; users are a tenth of the relationships.
mod direct {
    use super::{Draw, Filler, Pair, pick};

    const VIEWERS: u64 = 5;

    pub(super) fn viewer(size: u64, document: u64, slot: u64) -> u64 {
        pick("viewer", document * VIEWERS + slot, size / 10)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for document in 0..size / VIEWERS {
            for slot in 0..VIEWERS {
                filler.put(
                    ("document", document),
                    "viewer",
                    ("user", viewer(size, document, slot)),
                );
            }
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(size / VIEWERS);
        Pair {
            document,
            user: viewer(size, document, draw.below(VIEWERS)),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        Pair {
            document: draw.below(size / VIEWERS),
            user: draw.below(size / 10),
            day: 0,
        }
    }
}

/// A document is shared with one division of two departments of two teams of eight users; groups overlap.
mod nested {
    use super::{Draw, Filler, Pair, pick};

    const TEAM: u64 = 0;
    const DEPARTMENT: u64 = 1 << 32;
    const DIVISION: u64 = 2 << 32;
    const MEMBERS: u64 = 8;

    fn documents(size: u64) -> u64 {
        size / 2
    }

    fn teams(size: u64) -> u64 {
        size / 19
    }

    fn division(size: u64, document: u64) -> u64 {
        pick("division", document, teams(size) / 4)
    }

    fn department(size: u64, division: u64, slot: u64) -> u64 {
        pick("department", division * 2 + slot, teams(size) / 2)
    }

    fn team(size: u64, department: u64, slot: u64) -> u64 {
        pick("team", department * 2 + slot, teams(size))
    }

    fn member(size: u64, team: u64, slot: u64) -> u64 {
        pick("member", team * MEMBERS + slot, size / 10)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for document in 0..documents(size) {
            filler.share(
                ("document", document),
                "viewer",
                DIVISION + division(size, document),
            );
        }
        for division in 0..teams(size) / 4 {
            for slot in 0..2 {
                let department = department(size, division, slot);
                filler.share(
                    ("group", DIVISION + division),
                    "member",
                    DEPARTMENT + department,
                );
            }
        }
        for department in 0..teams(size) / 2 {
            for slot in 0..2 {
                filler.share(
                    ("group", DEPARTMENT + department),
                    "member",
                    TEAM + team(size, department, slot),
                );
            }
        }
        for team in 0..teams(size) {
            for slot in 0..MEMBERS {
                filler.put(
                    ("group", TEAM + team),
                    "member",
                    ("user", member(size, team, slot)),
                );
            }
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let department = department(size, division(size, document), draw.below(2));
        let team = team(size, department, draw.below(2));
        Pair {
            document,
            user: member(size, team, draw.below(MEMBERS)),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        Pair {
            document: draw.below(documents(size)),
            user: draw.below(size / 10),
            day: 0,
        }
    }
}

/// Every document lies under eight folders; two users see a folder, forty that at the top, one the document alone.
mod folders {
    use super::{Draw, Filler, Pair, pick};

    const LEVELS: u64 = 8;
    const ROOT_VIEWERS: u64 = 40;

    fn documents(size: u64) -> u64 {
        size / 4
    }

    /// Folders on a level, each with twice as many as the one above it.
    fn folders(size: u64, level: u64) -> u64 {
        (size / 6) >> (LEVELS - level)
    }

    fn folder(level: u64, number: u64) -> u64 {
        level << 32 | number
    }

    fn parent(size: u64, level: u64, number: u64) -> u64 {
        pick("parent", folder(level, number), folders(size, level - 1))
    }

    fn root_viewer(size: u64, root: u64, slot: u64) -> u64 {
        pick("root viewer", root * ROOT_VIEWERS + slot, size / 10)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for level in 0..LEVELS {
            for number in 0..folders(size, level) {
                let it = ("folder", folder(level, number));
                if level == 0 {
                    for slot in 0..ROOT_VIEWERS {
                        filler.put(it, "viewer", ("user", root_viewer(size, number, slot)));
                    }
                    continue;
                }
                filler.put(
                    it,
                    "parent",
                    ("folder", folder(level - 1, parent(size, level, number))),
                );
                for slot in 0..2 {
                    let viewer = pick("folder viewer", it.1 * 2 + slot, size / 10);
                    filler.put(it, "viewer", ("user", viewer));
                }
            }
        }
        for document in 0..documents(size) {
            let parent = folder(LEVELS - 1, parent(size, LEVELS, document));
            filler.put(("document", document), "parent", ("folder", parent));
            let viewer = pick("document viewer", document, size / 10);
            filler.put(("document", document), "viewer", ("user", viewer));
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let mut number = document;
        for level in (1..=LEVELS).rev() {
            number = parent(size, level, number);
        }
        Pair {
            document,
            user: root_viewer(size, number, draw.below(ROOT_VIEWERS)),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        Pair {
            document: draw.below(documents(size)),
            user: draw.below(size / 10),
            day: 0,
        }
    }
}

/// A document has eight viewers, all but the last cleared, the first banned; a third of the denied are of each kind.
mod formula {
    use super::{Draw, Filler, Pair, pick};

    const VIEWERS: u64 = 8;
    const BANNED: u64 = 0;
    const NOT_CLEARED: u64 = VIEWERS - 1;

    fn documents(size: u64) -> u64 {
        size / (VIEWERS * 2)
    }

    fn viewer(size: u64, document: u64, slot: u64) -> u64 {
        pick("viewer", document * VIEWERS + slot, size / 10)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for document in 0..documents(size) {
            let it = ("document", document);
            // The one who is banned is none of the others.
            let banned = viewer(size, document, BANNED);
            for slot in 0..VIEWERS {
                let user = viewer(size, document, slot);
                filler.put(it, "viewer", ("user", user));
                if slot != NOT_CLEARED {
                    filler.put(it, "cleared", ("user", user));
                }
            }
            filler.put(it, "banned", ("user", banned));
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let slot = 1 + draw.below(VIEWERS - 2);
        Pair {
            document,
            user: viewer(size, document, slot),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let user = match draw.below(3) {
            0 => viewer(size, document, BANNED),
            1 => viewer(size, document, NOT_CLEARED),
            _ => draw.below(size / 10),
        };
        Pair {
            document,
            user,
            day: 0,
        }
    }
}

/// As `direct`, but each relationship holds on one day of the week; half of the denied ask on another day.
mod caveat {
    use super::{DAYS, Draw, Filler, Pair, direct, pick};

    const VIEWERS: u64 = 5;

    fn day(document: u64, user: u64) -> u64 {
        pick("day", document << 32 | user, DAYS.len() as u64)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for document in 0..size / VIEWERS {
            for slot in 0..VIEWERS {
                let user = direct::viewer(size, document, slot);
                filler.put_on_day(document, user, day(document, user));
            }
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let pair = direct::allowed(size, draw);
        Pair {
            day: day(pair.document, pair.user),
            ..pair
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        if draw.below(2) == 0 {
            return Pair {
                day: draw.below(DAYS.len() as u64),
                ..direct::denied(size, draw)
            };
        }
        let pair = allowed(size, draw);
        Pair {
            day: (pair.day + 1) % DAYS.len() as u64,
            ..pair
        }
    }
}

/// A document is shared with fifty groups, and a user is in three.
mod wide {
    use super::{Draw, Filler, Pair, pick};

    const SHARES: u64 = 50;
    const GROUPS_PER_USER: u64 = 3;

    fn documents(size: u64) -> u64 {
        size / (2 * SHARES)
    }

    fn users(size: u64) -> u64 {
        size / (2 * GROUPS_PER_USER)
    }

    fn groups(size: u64) -> u64 {
        size / 25
    }

    fn share(size: u64, document: u64, slot: u64) -> u64 {
        pick("share", document * SHARES + slot, groups(size))
    }

    /// The group of a user's slot: those of one slot share the groups out among them, so that members can be named.
    fn group(size: u64, user: u64, slot: u64) -> u64 {
        (user + slot * 7919) % groups(size)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for user in 0..users(size) {
            for slot in 0..GROUPS_PER_USER {
                filler.put(("group", group(size, user, slot)), "member", ("user", user));
            }
        }
        for document in 0..documents(size) {
            for slot in 0..SHARES {
                filler.share(
                    ("document", document),
                    "viewer",
                    share(size, document, slot),
                );
            }
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let group = share(size, document, draw.below(SHARES));
        let turn = draw.below(users(size) / groups(size));
        Pair {
            document,
            user: group + turn * groups(size),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        Pair {
            document: draw.below(documents(size)),
            user: draw.below(users(size)),
            day: 0,
        }
    }
}

/// A number that looks random, the same on every run.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Which of `count` objects is the one of `number`, in a choice of its own for each `choice`.
fn pick(choice: &str, number: u64, count: u64) -> u64 {
    let seed = choice
        .bytes()
        .fold(0, |seed, byte| mix(seed ^ u64::from(byte)));
    mix(number ^ seed) % count
}

/// A row of random numbers.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % bound
    }
}

const FIRST_NAMES: [&str; 8] = [
    "maria", "wei", "olumide", "anna", "jose", "fatima", "john", "priya",
];
const LAST_NAMES: [&str; 8] = [
    "silva", "zhang", "adeyemi", "kowalska", "garcia", "hassan", "smith", "raman",
];

/// The id of an object: a UUID, but for users, who have names.
fn id(definition: &str, number: u64) -> String {
    let high = mix(number);
    if definition == "user" {
        let (first, last) = (
            FIRST_NAMES[high as usize % 8],
            LAST_NAMES[(high >> 8) as usize % 8],
        );
        return format!("{first}-{last}-{number}");
    }
    let low = mix(!number);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// Writes relationships into a loader.
struct Filler(Loader);

impl Filler {
    fn put(&mut self, resource: (&str, u64), relation: &str, subject: (&str, u64)) {
        self.push(resource, relation, subject, (None, None));
    }

    /// Gives the members of a group the relation.
    fn share(&mut self, resource: (&str, u64), relation: &str, group: u64) {
        self.push(resource, relation, ("group", group), (Some("member"), None));
    }

    fn put_on_day(&mut self, document: u64, user: u64, day: u64) {
        let context = format!(r#"{{"day": "{}"}}"#, DAYS[day as usize]);
        let caveat = CaveatRef {
            name: "on_day".parse().expect("the name is a name"),
            context: Context::from_json(&context).expect("the context is JSON"),
        };
        self.push(
            ("document", document),
            "viewer",
            ("user", user),
            (None, Some(caveat)),
        );
    }

    fn push(
        &mut self,
        resource: (&str, u64),
        relation: &str,
        subject: (&str, u64),
        (subject_relation, caveat): (Option<&str>, Option<CaveatRef>),
    ) {
        let row = RelationshipParts {
            resource_definition: resource.0,
            resource_id: &id(resource.0, resource.1),
            relation,
            subject_definition: subject.0,
            subject_id: &id(subject.0, subject.1),
            subject_relation,
            caveat,
            expires_at: None,
        };
        self.0.push(row).expect("the schema knows the row");
    }
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
        let query = Query::resolve(snapshot, &self.resource, "view", &self.subject)
            .expect("the schema knows the question");
        let environment = Environment {
            context: &contexts[self.day],
            now: Timestamp::EPOCH,
            depth_max: 50,
            edges_visited_max: 1_000_000,
        };
        check(snapshot, &query, environment).expect("the question has an answer")
    }
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
    for case in &CASES {
        for size in SIZES {
            let label = format!("{}/{size}", case.name);
            let start = Instant::now();
            let snapshot = build(case, size);
            eprintln!("{label}: made and loaded in {:?}", start.elapsed());
            report(&label, &snapshot);
            let pool = pool(case, size, &snapshot, &contexts);
            let mut asked = pool.iter().cycle();
            criterion.bench_function(&label, |bencher| {
                bencher.iter(|| Some(black_box(asked.next()?.answer(&snapshot, &contexts))));
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
