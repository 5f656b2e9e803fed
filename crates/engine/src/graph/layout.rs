//! The edge classes of a schema: which kinds of edges there can be, so that an edge itself needs no type tags.
//!
//! There is one class per distinct (relation, subject definition, subject kind). Traits are no part of it: allowing a
//! caveat or an expiration on a relation moves no edge.

use std::collections::HashMap;
use std::ops::Range;

use schema::{DefinitionIx, MemberIx, MemberKind, Schema, SubjectKind};

/// An edge class of its schema, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassIx(pub u32);

/// What edges of a class have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassKey {
    /// The relation, and by it the definition of the resource.
    pub relation: MemberIx,
    /// The definition of the subject.
    pub definition: DefinitionIx,
    /// Which subjects of it.
    pub kind: SubjectKind,
}

/// Every edge class of one schema.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    keys: Vec<ClassKey>,
    numbers: Vec<ClassIx>,
    of_relation: Vec<Range<usize>>,
    by_key: HashMap<ClassKey, ClassIx>,
}

impl Layout {
    /// The classes of `schema`, numbered in the order of its members and of the subjects that each takes.
    #[must_use]
    pub fn of(schema: &Schema) -> Self {
        let mut layout = Self::default();
        for (relation, member) in schema.members() {
            let start = layout.keys.len();
            match &member.kind {
                MemberKind::Relation(subjects) => {
                    for subject in subjects {
                        layout.add(ClassKey {
                            relation,
                            definition: subject.definition,
                            kind: subject.kind,
                        });
                    }
                }
                MemberKind::Permission(_) => {}
            }
            layout.of_relation.push(start..layout.keys.len());
        }
        layout
    }

    /// How many classes there are; their numbers are the ones below.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.keys.len()
    }

    /// Every class with its key, in order.
    pub fn classes(&self) -> impl ExactSizeIterator<Item = (ClassIx, ClassKey)> {
        self.numbers.iter().copied().zip(self.keys.iter().copied())
    }

    /// The classes of `relation`, in the order of the source; none for a permission.
    #[must_use]
    pub fn classes_of(&self, relation: MemberIx) -> &[ClassIx] {
        self.of_relation
            .get(relation.0 as usize)
            .and_then(|range| self.numbers.get(range.clone()))
            .unwrap_or_default()
    }

    /// The class of `relation` for subjects of that kind.
    #[must_use]
    pub fn class_ix(
        &self,
        relation: MemberIx,
        definition: DefinitionIx,
        kind: SubjectKind,
    ) -> Option<ClassIx> {
        self.by_key
            .get(&ClassKey {
                relation,
                definition,
                kind,
            })
            .copied()
    }

    /// What the edges of `class` have in common.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "an index is only made by the layout that it indexes"
    )]
    pub fn key(&self, class: ClassIx) -> ClassKey {
        // PANIC: `add` is the only maker of a number and pushes its key.
        self.keys[class.0 as usize]
    }

    fn add(&mut self, key: ClassKey) {
        let number = ClassIx(self.keys.len() as u32);
        if *self.by_key.entry(key).or_insert(number) == number {
            self.keys.push(key);
            self.numbers.push(number);
        }
    }
}
