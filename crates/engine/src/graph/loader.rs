//! Building a snapshot from rows in any order: what a node does when it starts.

use std::sync::Arc;

use model::{CaveatRef, ObjectId, Revision, Timestamp};
use schema::{Schema, SubjectKind};

use crate::graph::dictionary::DictionaryWriter;
use crate::graph::snapshot::{Address, KindName, Names};
use crate::graph::tree::{EdgeAction, EdgeChange};
use crate::graph::{Annotation, ApplyError, Class, Dictionary, Layout, ObjectIx, Snapshot};

/// Collects relationships for a snapshot. A later row of the same relationship wins.
#[derive(Debug)]
pub struct Loader {
    schema: Arc<Schema>,
    layout: Arc<Layout>,
    ids: Vec<DictionaryWriter>,
    edges: Vec<Vec<EdgeChange>>,
    /// The names of the row before, and where they led; most rows have those of the row before them.
    before: Option<(OwnedNames, Address)>,
}

/// One relationship, as a store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationshipParts<'a> {
    /// The definition of the resource.
    pub resource_definition: &'a str,
    /// The id of the resource.
    pub resource_id: &'a str,
    /// The relation.
    pub relation: &'a str,
    /// The definition of the subject.
    pub subject_definition: &'a str,
    /// The id of the subject, `*` for all of them.
    pub subject_id: &'a str,
    /// The relation of the subject, if it is a subject set.
    pub subject_relation: Option<&'a str>,
    /// The condition, if any.
    pub caveat: Option<CaveatRef>,
    /// The end, if any.
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug)]
struct OwnedNames {
    resource: String,
    relation: String,
    subject: String,
    is_wildcard: bool,
    set: Option<String>,
}

impl Loader {
    /// A loader for relationships under `schema`.
    #[must_use]
    pub fn new(schema: Arc<Schema>) -> Self {
        let layout = Arc::new(Layout::of(&schema));
        let ids = schema
            .definitions()
            .map(|_| Dictionary::default().into_writer());
        Self {
            ids: ids.collect(),
            edges: layout.classes().map(|_| Vec::new()).collect(),
            schema,
            layout,
            before: None,
        }
    }

    /// Adds a relationship.
    ///
    /// # Errors
    /// [`ApplyError`] naming what the schema does not know, or an id that is none; the loader is of no use then.
    pub fn push(&mut self, parts: RelationshipParts<'_>) -> Result<(), ApplyError> {
        let address = self.address(&parts)?;
        let resource = self.object(address.resource.0, parts.resource_id)?;
        let subject = if address.is_wildcard {
            ObjectIx::WILDCARD_SUBJECT
        } else {
            self.object(address.subject.0, parts.subject_id)?
        };
        if let Some(edges) = self.edges.get_mut(address.class.0 as usize) {
            edges.push(EdgeChange {
                key: resource.0,
                value: subject.0,
                action: EdgeAction::Insert(Annotation::new(parts.caveat, parts.expires_at)),
            });
        }
        Ok(())
    }

    /// The snapshot of all that was added.
    #[must_use]
    pub fn finish(self, revision: Revision, time: Timestamp) -> Snapshot {
        let ids = self.ids.into_iter().map(|ids| Arc::new(ids.finish()));
        let dictionaries = ids.collect();
        let classes = self
            .layout
            .classes()
            .zip(self.edges)
            .map(|((_, key), edges)| Arc::new(class(edges, key.kind == SubjectKind::Wildcard)));
        let classes = classes.collect();
        Snapshot::of_parts(
            (revision, time),
            (self.schema, self.layout),
            dictionaries,
            classes,
        )
    }

    fn address(&mut self, parts: &RelationshipParts<'_>) -> Result<Address, ApplyError> {
        let names = Names {
            resource: parts.resource_definition,
            relation: parts.relation,
            subject: parts.subject_definition,
            kind: KindName::of_parts(parts.subject_id, parts.subject_relation),
        };
        if let Some((before, address)) = &self.before
            && before.names() == names
        {
            return Ok(*address);
        }
        let address = names.resolve(&self.schema, &self.layout)?;
        self.before = Some((OwnedNames::of(names), address));
        Ok(address)
    }

    fn object(&mut self, definition: u32, id: &str) -> Result<ObjectIx, ApplyError> {
        let Some(ids) = self.ids.get_mut(definition as usize) else {
            return Ok(ObjectIx(0));
        };
        let count = ids.len();
        let object = ids.insert(id)?;
        if ids.len() > count {
            ObjectId::new(id)?;
        }
        Ok(object)
    }
}

/// A class of these edges, in any order.
fn class(mut edges: Vec<EdgeChange>, is_wildcard: bool) -> Class {
    let mut class = Class::default();
    if !edges.is_sorted_by(|before, after| before.edge() < after.edge()) {
        // Of the rows of one edge the last is to stay, and `dedup` keeps the first.
        edges.reverse();
        edges.sort_by_key(EdgeChange::edge);
        edges.dedup_by_key(|change| change.edge());
    }
    class.apply(&edges, is_wildcard);
    class
}

impl OwnedNames {
    fn of(names: Names<'_>) -> Self {
        let (is_wildcard, set) = match names.kind {
            KindName::Object => (false, None),
            KindName::Wildcard => (true, None),
            KindName::Set(relation) => (false, Some(relation.to_owned())),
        };
        Self {
            resource: names.resource.to_owned(),
            relation: names.relation.to_owned(),
            subject: names.subject.to_owned(),
            is_wildcard,
            set,
        }
    }

    fn names(&self) -> Names<'_> {
        Names {
            resource: &self.resource,
            relation: &self.relation,
            subject: &self.subject,
            kind: match &self.set {
                Some(relation) => KindName::Set(relation),
                None if self.is_wildcard => KindName::Wildcard,
                None => KindName::Object,
            },
        }
    }
}
