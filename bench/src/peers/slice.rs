//! What a question needs of the data, for those who hold none: the groups of the subject on every level, and whom the
//! resource and what lies above it name. An application that asks such a peer gathers this before it asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use engine::graph::RelationshipParts;
use model::{Context, Timestamp, Value};

use crate::workload::{Question, Workload};

/// The rows of a workload, by what they are about.
pub(crate) struct Rows {
    pub(crate) count: u64,
    /// Whom `document:plan#viewer` names.
    named: HashMap<String, Vec<Named>>,
    /// The sets that name `user:ann` or `group:staff#member`.
    within: HashMap<String, Vec<String>>,
}

#[derive(Clone)]
struct Named {
    who: String,
    condition: Condition,
}

/// When a row counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Condition {
    pub(crate) network: Option<String>,
    /// From which hour to before which.
    pub(crate) hours: Option<(i32, i32)>,
    pub(crate) until: Option<Timestamp>,
}

/// What one question needs.
pub(crate) struct Slice {
    /// The subject, everybody, and the sets that the subject is in.
    pub(crate) is: Vec<String>,
    /// Whom the resource names without a condition, by relation, and whom what lies above it names, by `above_` and relation.
    pub(crate) lists: BTreeMap<String, Vec<String>>,
    /// Whom the resource names on a condition.
    pub(crate) grants: BTreeMap<String, Condition>,
    /// What is told of the call: its hour and its address.
    pub(crate) hour: Option<i32>,
    pub(crate) ip: Option<String>,
}

/// The sets that rows name as subjects.
pub(crate) const GROUPS: [(&str, &str); 4] = [
    ("team", "member"),
    ("group", "member"),
    ("namespace", "workload"),
    ("role", "holder"),
];

/// What a resource is asked about: its own relations, the one that leads above, and the relations there that count.
pub(crate) struct Shape {
    pub(crate) definition: &'static str,
    pub(crate) own: &'static [&'static str],
    pub(crate) above: &'static str,
    pub(crate) of_above: &'static [&'static str],
}

pub(crate) const SHAPES: [Shape; 3] = [
    Shape {
        definition: "repository",
        own: &["reader", "triager", "writer", "maintainer", "admin"],
        above: "organization",
        of_above: &["owner"],
    },
    Shape {
        definition: "document",
        own: &["owner", "viewer", "banned"],
        above: "parent",
        of_above: &["owner", "viewer"],
    },
    Shape {
        definition: "endpoint",
        own: &["caller"],
        above: "environment",
        of_above: &["operator"],
    },
];

impl Rows {
    pub(crate) fn of(workload: &dyn Workload) -> Self {
        let mut rows = Self {
            count: 0,
            named: HashMap::new(),
            within: HashMap::new(),
        };
        workload.fill(&mut |row| rows.push(&row));
        rows
    }

    fn push(&mut self, row: &RelationshipParts<'_>) {
        self.count += 1;
        let set = format!(
            "{}:{}#{}",
            row.resource_definition, row.resource_id, row.relation
        );
        let relation = row
            .subject_relation
            .map_or_else(String::new, |relation| format!("#{relation}"));
        let who = format!("{}:{}{relation}", row.subject_definition, row.subject_id);
        if GROUPS.contains(&(row.resource_definition, row.relation)) {
            self.within
                .entry(who.clone())
                .or_default()
                .push(set.clone());
        }
        let condition = Condition::of(row);
        self.named
            .entry(set)
            .or_default()
            .push(Named { who, condition });
    }

    fn named(&self, object: &str, relation: &str) -> &[Named] {
        self.named
            .get(&format!("{object}#{relation}"))
            .map_or(&[], Vec::as_slice)
    }

    /// What is above `object`, from the nearest on.
    fn above<'a>(&'a self, object: &'a str, relation: &str) -> Vec<&'a str> {
        let next = |at: &&str| Some(self.named(at, relation).first()?.who.as_str());
        std::iter::successors(Some(object), next).skip(1).collect()
    }

    /// The subject, everybody, and every set that it is in.
    fn is(&self, subject: &str) -> Vec<String> {
        let mut found = vec![subject.to_owned(), "user:*".to_owned()];
        let mut seen = BTreeSet::new();
        let mut left = vec![subject];
        while let Some(at) = left.pop() {
            for set in self.within.get(at).into_iter().flatten() {
                if seen.insert(set) {
                    found.push(set.clone());
                    left.push(set);
                }
            }
        }
        found
    }

    pub(crate) fn slice(&self, question: &Question) -> Slice {
        let resource = question.resource.to_string();
        let definition = question.resource.definition.as_str();
        let mut slice = Slice {
            is: self.is(&question.subject.to_string()),
            lists: BTreeMap::new(),
            grants: BTreeMap::new(),
            hour: number(&question.context, "hour"),
            ip: text(&question.context, "ip"),
        };
        for shape in SHAPES.iter().filter(|shape| shape.definition == definition) {
            for &relation in shape.own {
                let list = slice.lists.entry(relation.to_owned()).or_default();
                for Named { who, condition } in self.named(&resource, relation) {
                    if *condition == Condition::default() {
                        list.push(who.clone());
                    } else {
                        slice.grants.insert(who.clone(), condition.clone());
                    }
                }
            }
            let above = self.above(&resource, shape.above);
            for &relation in shape.of_above {
                let named = above.iter().flat_map(|at| self.named(at, relation));
                // Each once, as it makes no difference how often.
                let list: BTreeSet<_> = named.map(|named| named.who.clone()).collect();
                let name = format!("above_{relation}");
                slice.lists.insert(name, list.into_iter().collect());
            }
        }
        slice
    }

    /// Every row without a condition: whom it names in which set.
    pub(crate) fn unconditional(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().flat_map(|(set, named)| {
            let plain = named
                .iter()
                .filter(|named| named.condition == Condition::default());
            plain.map(|named| (set.as_str(), named.who.as_str()))
        })
    }
}

impl Condition {
    fn of(row: &RelationshipParts<'_>) -> Self {
        let context = row.caveat.as_ref().map(|caveat| &caveat.context);
        let number = |name| context.and_then(|context| number(context, name));
        Self {
            network: context.and_then(|context| text(context, "network")),
            hours: number("from").zip(number("to")),
            until: row.expires_at,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of the workloads are hours"
)]
fn number(context: &Context, name: &str) -> Option<i32> {
    match context.value(name)? {
        Value::Number(number) => Some(*number as i32),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::List(_) | Value::Map(_) => None,
    }
}

fn text(context: &Context, name: &str) -> Option<String> {
    match context.value(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
    }
}
