//! Many questions together: what they read first comes into the cache for all of them at once.
//!
//! A check of its own waits for one cache miss after the other, and most of its time is spent so. Here the first reads
//! of a batch are done side by side, and nothing is decided: the checks that follow find their data near.

use model::{ObjectRef, SubjectId, SubjectRef};
use schema::MemberIx;
use smallvec::SmallVec;

use super::plan::{Node, Plan, RelationSteps, Steps};
use super::query::Query;
use crate::graph::{ClassIx, ObjectIx, Snapshot};

/// Permissions within permissions of the same resource that are looked into.
const LEVELS_MAX: usize = 3;
/// Searches for one question at most; what comes after them is rarely reached.
const EDGES_MAX: usize = 8;

/// Prepares `questions` for [`Query::resolve`], a few dozen at once: more would push each other out of the cache.
pub fn fetch_names<'q>(
    snapshot: &'q Snapshot,
    questions: impl Iterator<Item = (&'q ObjectRef, &'q SubjectRef)>,
) {
    let schema = snapshot.schema();
    let names = questions.flat_map(|(resource, subject)| {
        let subject_id = match &subject.id {
            SubjectId::Object(id) => Some((&subject.definition, id)),
            SubjectId::Wildcard => None,
        };
        std::iter::once((&resource.definition, &resource.id)).chain(subject_id)
    });
    snapshot.fetch_ids(names.filter_map(|(definition, id)| {
        Some((schema.definition_ix(definition.as_str())?, id.as_str()))
    }));
}

/// Prepares `queries` for [`super::check`], a few dozen at once: more would push each other out of the cache.
pub fn fetch<'q>(snapshot: &Snapshot, queries: impl Iterator<Item = &'q Query>) {
    let plan = snapshot.plan();
    let definition_count = snapshot.schema().definitions().len();
    snapshot.fetch_edges(queries.flat_map(|query| {
        let mut reads = FirstReads {
            plan,
            definition_count,
            query,
            edges: SmallVec::new(),
        };
        reads.member(query.member, LEVELS_MAX);
        reads.edges
    }));
}

/// The edges of the resource that one question looks for first.
struct FirstReads<'a> {
    plan: &'a Plan,
    definition_count: usize,
    query: &'a Query,
    edges: SmallVec<[(ClassIx, ObjectIx, ObjectIx); EDGES_MAX]>,
}

impl FirstReads<'_> {
    fn member(&mut self, member: MemberIx, levels: usize) {
        let plan = self.plan.member(member);
        if !plan.may_hold(self.query.subject, self.definition_count) {
            return;
        }
        match &plan.steps {
            Steps::Relation(steps) => self.relation(steps),
            Steps::Permission(node) => self.node(node, levels),
        }
    }

    fn node(&mut self, node: &Node, levels: usize) {
        match node {
            Node::Nil | Node::SelfObject(_) => {}
            Node::Member(member) => {
                if let Some(levels) = levels.checked_sub(1) {
                    self.member(*member, levels);
                }
            }
            Node::Arrow(_, steps) => {
                for step in steps {
                    self.all_of(step.class);
                }
            }
            Node::Union(operands) | Node::Intersection(operands) => {
                for operand in operands {
                    self.node(operand, levels);
                }
            }
            Node::Exclusion(left, right) => {
                self.node(left, levels);
                self.node(right, levels);
            }
        }
    }

    fn relation(&mut self, steps: &RelationSteps) {
        let subject = self.query.subject;
        if subject.set.is_none() {
            for (definition, class) in &steps.objects {
                if *definition == subject.definition {
                    self.edge(*class, subject.object);
                }
            }
        }
        for set in &steps.sets {
            self.all_of(set.class);
        }
    }

    /// The subjects of the resource in `class`, from the first on.
    fn all_of(&mut self, class: ClassIx) {
        self.edge(class, ObjectIx(0));
    }

    fn edge(&mut self, class: ClassIx, subject: ObjectIx) {
        if self.edges.len() < EDGES_MAX {
            self.edges.push((class, self.query.resource, subject));
        }
    }
}
