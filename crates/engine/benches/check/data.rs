//! Ids, numbers that look random, and the way of rows into a loader.

use engine::graph::{Loader, RelationshipParts};
use model::{CaveatRef, Context};

pub(crate) const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// A number that looks random, the same on every run.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Which of `count` objects is the one of `number`, in a choice of its own for each `choice`.
pub(crate) fn pick(choice: &str, number: u64, count: u64) -> u64 {
    let seed = choice
        .bytes()
        .fold(0, |seed, byte| mix(seed ^ u64::from(byte)));
    mix(number ^ seed) % count
}

/// A row of random numbers.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
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
pub(crate) fn id(definition: &str, number: u64) -> String {
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
pub(crate) struct Filler(pub(crate) Loader);

impl Filler {
    pub(crate) fn put(&mut self, resource: (&str, u64), relation: &str, subject: (&str, u64)) {
        self.push(resource, relation, subject, (None, None));
    }

    /// Gives the members of a group the relation.
    pub(crate) fn share(&mut self, resource: (&str, u64), relation: &str, group: u64) {
        self.push(resource, relation, ("group", group), (Some("member"), None));
    }

    pub(crate) fn put_on_day(&mut self, document: u64, user: u64, day: u64) {
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
