//! The whole graph as of one revision: an immutable value that every question is asked of.
//!
//! A snapshot owns the schema that it was written under and one dictionary for each definition and one [`Class`] for
//! each edge class, all shared with the snapshots before and after it as far as they are the same.
//!
//! INVARIANT: `dictionaries` has an entry for each definition of `schema` and `classes` one for each class of `layout`;
//! every end of an edge is a number of its dictionary, but for the subject of a wildcard.

mod apply;
mod diff;
mod rebuild;
mod relationships;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::{ObjectId, ObjectRef, Relationship, Revision, SubjectId, SubjectRef, Timestamp};
use schema::{DefinitionIx, Schema, SubjectKind};

pub(in crate::graph) use apply::{Address, KindName, Names};
pub use apply::{ApplyError, Change};
pub use diff::Difference;
pub use rebuild::DeadIds;

use crate::eval::Plan;
use crate::graph::tree::{EdgeTree, allocated};
use crate::graph::{Annotation, Class, ClassIx, Dictionary, Layout, ObjectIx};

/// The graph as of one revision. A clone shares it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    revision: Revision,
    time: Timestamp,
    schema: Arc<Schema>,
    layout: Arc<Layout>,
    plan: Arc<Plan>,
    dictionaries: Vec<Arc<Dictionary>>,
    classes: Vec<Arc<Class>>,
}

/// What a snapshot takes of the memory, whether it shares it with others or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// The edges, from both ends; without the contexts of caveats.
    pub edges_bytes: usize,
    /// Of these, the edges from the end of their subjects.
    pub reverse_bytes: usize,
    /// The ids, with the ways from and to their numbers.
    pub ids_bytes: usize,
    /// How many edges there are; each counts once.
    pub edge_count: usize,
    /// How many ids there are.
    pub id_count: usize,
}

impl Snapshot {
    /// The graph without a relationship, before the first commit.
    #[must_use]
    pub fn empty(schema: Arc<Schema>) -> Self {
        let layout = Arc::new(Layout::of(&schema));
        Self {
            revision: Revision(0),
            time: Timestamp::EPOCH,
            dictionaries: schema.definitions().map(|_| Arc::default()).collect(),
            classes: layout.classes().map(|_| Arc::default()).collect(),
            plan: Arc::new(Plan::of(&schema, &layout)),
            schema,
            layout,
        }
    }

    /// The last commit that the snapshot has in it.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The time of that commit.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The schema at that commit.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The edge classes of the schema.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The schema, compiled for evaluation.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The ids of `definition`.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "an index is only made by the schema that it indexes"
    )]
    pub fn dictionary(&self, definition: DefinitionIx) -> &Dictionary {
        // PANIC: see the invariant of this module.
        &self.dictionaries[definition.0 as usize]
    }

    /// The number of an object; none if no relationship ever named it.
    #[must_use]
    pub fn object_ix(&self, definition: DefinitionIx, id: &str) -> Option<ObjectIx> {
        self.dictionary(definition).lookup(id)
    }

    /// As [`Self::object_ix`] of two objects, in little more time than for one.
    #[must_use]
    pub fn object_ixs(&self, of: [(DefinitionIx, &str); 2]) -> [Option<ObjectIx>; 2] {
        Dictionary::lookup_both(of.map(|(definition, id)| (self.dictionary(definition), id)))
    }

    /// Brings into the cache what [`Self::object_ix`] of each of `ids` reads.
    pub(crate) fn fetch_ids<'s>(&'s self, ids: impl Iterator<Item = (DefinitionIx, &'s str)>) {
        Dictionary::fetch(ids.map(|(definition, id)| (self.dictionary(definition), id)));
    }

    /// Brings into the cache what a search for each of `edges`, from resource to subject, reads.
    pub(crate) fn fetch_edges(&self, edges: impl Iterator<Item = (ClassIx, ObjectIx, ObjectIx)>) {
        EdgeTree::fetch(edges.map(|(class, resource, subject)| {
            (self.class(class).forward(), resource.0, subject.0)
        }));
    }

    /// The id of an object of this snapshot.
    #[must_use]
    pub fn object_id(&self, definition: DefinitionIx, object: ObjectIx) -> Option<ObjectId> {
        self.dictionary(definition).id(object)
    }

    /// The edges of `class`.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "an index is only made by the layout that it indexes"
    )]
    pub fn class(&self, class: ClassIx) -> &Class {
        // PANIC: see the invariant of this module.
        &self.classes[class.0 as usize]
    }

    /// How many relationships there are, expired ones included.
    #[must_use]
    pub fn relationship_count(&self) -> usize {
        self.classes.iter().map(|class| class.len()).sum()
    }

    /// What the snapshot takes of the memory.
    ///
    /// # Cost
    /// Walks every leaf.
    #[must_use]
    pub fn resident_bytes(&self) -> MemoryUse {
        let forward = self.classes.iter().map(|it| it.forward().resident_bytes());
        let reverse = self.classes.iter().map(|it| it.reverse().resident_bytes());
        let reverse_bytes = reverse.sum();
        MemoryUse {
            edges_bytes: forward.sum::<usize>() + reverse_bytes,
            reverse_bytes,
            ids_bytes: self
                .dictionaries
                .iter()
                .map(|ids| ids.resident_bytes())
                .sum(),
            edge_count: self.relationship_count(),
            id_count: self.dictionaries.iter().map(|ids| ids.len()).sum(),
        }
    }

    /// Bytes of edges that were copied to make this of `before`, a snapshot of the same schema; the rest is shared.
    ///
    /// # Cost
    /// O(classes), and walks the nodes that are not shared.
    #[must_use]
    pub fn copied_bytes(&self, before: &Self) -> usize {
        let classes = self.classes.iter().zip(&before.classes);
        let changed = classes.filter(|(new, old)| !Arc::ptr_eq(new, old));
        let copied =
            changed.map(|(new, old)| allocated(16 + size_of::<Class>()) + new.copied_bytes(old));
        allocated(self.classes.len() * size_of::<Arc<Class>>()) + copied.sum::<usize>()
    }

    /// Whether any relationship expired at or before `instant`.
    ///
    /// # Cost
    /// O(edges) of the classes that have annotations.
    #[must_use]
    pub fn has_expired(&self, instant: Timestamp) -> bool {
        let annotated = self
            .classes
            .iter()
            .filter(|class| class.annotated_count() > 0);
        let mut edges = annotated.flat_map(|class| class.forward().iter());
        edges.any(|(_, _, annotation)| annotation.is_some_and(|it| it.is_expired(instant)))
    }

    /// The relationship that an edge of `class` stands for.
    #[must_use]
    pub fn relationship(
        &self,
        class: ClassIx,
        resource: ObjectIx,
        subject: ObjectIx,
        annotation: Option<&Annotation>,
    ) -> Option<Relationship> {
        let key = self.layout.key(class);
        let relation = self.schema.member(key.relation);
        let resource = ObjectRef {
            definition: self.schema.definition(relation.definition).name.clone(),
            id: self.object_id(relation.definition, resource)?,
        };
        let (id, set) = match key.kind {
            SubjectKind::Wildcard => (SubjectId::Wildcard, None),
            SubjectKind::Object => (
                SubjectId::Object(self.object_id(key.definition, subject)?),
                None,
            ),
            SubjectKind::Set(member) => (
                SubjectId::Object(self.object_id(key.definition, subject)?),
                Some(self.schema.member(member).name.clone()),
            ),
        };
        Some(Relationship {
            resource,
            relation: relation.name.clone(),
            subject: SubjectRef {
                definition: self.schema.definition(key.definition).name.clone(),
                id,
                relation: set,
            },
            caveat: annotation.and_then(Annotation::caveat).cloned(),
            expires_at: annotation.and_then(Annotation::expires_at),
        })
    }

    /// A snapshot of these parts, which hold the invariant of this module.
    pub(in crate::graph) fn of_parts(
        head: (Revision, Timestamp),
        (schema, layout): (Arc<Schema>, Arc<Layout>),
        dictionaries: Vec<Arc<Dictionary>>,
        classes: Vec<Arc<Class>>,
    ) -> Self {
        Self {
            revision: head.0,
            time: head.1,
            plan: Arc::new(Plan::of(&schema, &layout)),
            schema,
            layout,
            dictionaries,
            classes,
        }
    }
}
