//! Building a snapshot from rows in any order: what a node does when it starts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use model::{CaveatRef, ObjectId, Revision, Timestamp};
use schema::{Schema, SubjectKind};

use crate::graph::dictionary::DictionaryWriter;
use crate::graph::snapshot::{Address, KindName, Names};
use crate::graph::tree::{EdgeAction, EdgeChange};
use crate::graph::{Annotation, ApplyError, Class, Dictionary, Layout, ObjectIx, Snapshot};

/// Edges of a class that wait before they are put into its trees, at least.
const WAITING_MIN: usize = 1 << 12;

/// Edges that are in the trees for one that waits, in a large class: those that wait are little memory beside the others,
/// and each edge is moved some nine times in all.
const WAITING_SHARE: usize = 8;

/// Annotations that are remembered to be shared. Many rows carry the same; where all differ, remembering helps nobody.
const ANNOTATIONS_MAX: usize = 1 << 16;

/// Collects relationships for a snapshot. A later row of the same relationship wins.
#[derive(Debug)]
pub struct Loader {
    schema: Arc<Schema>,
    layout: Arc<Layout>,
    ids: Vec<DictionaryWriter>,
    classes: Vec<Filling>,
    annotations: Annotations,
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
            classes: layout
                .classes()
                .map(|(_, key)| Filling::new(key.kind == SubjectKind::Wildcard))
                .collect(),
            annotations: Annotations::default(),
            schema,
            layout,
            before: None,
        }
    }

    /// Brings into the cache what [`Self::push`] of rows with these definitions and ids will read: a hundred rows or so.
    pub fn fetch<'r>(&self, ids: impl Iterator<Item = (&'r str, &'r str)>) {
        Dictionary::fetch(ids.filter_map(|(definition, id)| {
            let ix = self.schema.definition_ix(definition)?;
            Some((self.ids.get(ix.0 as usize)?.so_far(), id))
        }));
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
        let annotation = self.annotations.of(parts.caveat, parts.expires_at);
        if let Some(class) = self.classes.get_mut(address.class.0 as usize) {
            class.push(EdgeChange {
                key: resource.0,
                value: subject.0,
                action: EdgeAction::Insert(annotation),
            });
        }
        Ok(())
    }

    /// The snapshot of all that was added.
    #[must_use]
    pub fn finish(self, revision: Revision, time: Timestamp) -> Snapshot {
        let ids = self.ids.into_iter().map(|ids| Arc::new(ids.finish()));
        let dictionaries = ids.collect();
        let classes = self.classes.into_iter();
        let classes = classes.map(|class| Arc::new(class.finish())).collect();
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
            ObjectId::validate(id)?;
        }
        Ok(object)
    }
}

/// A class with edges that wait to be put into it.
#[derive(Debug)]
struct Filling {
    class: Class,
    is_wildcard: bool,
    waiting: Vec<EdgeChange>,
}

impl Filling {
    fn new(is_wildcard: bool) -> Self {
        Self {
            class: Class::default(),
            is_wildcard,
            waiting: Vec::new(),
        }
    }

    fn push(&mut self, edge: EdgeChange) {
        self.waiting.push(edge);
        if self.waiting.len() >= self.waiting_max() {
            self.settle();
            self.waiting.reserve_exact(self.waiting_max());
        }
    }

    fn waiting_max(&self) -> usize {
        WAITING_MIN.max(self.class.len() / WAITING_SHARE)
    }

    fn settle(&mut self) {
        let waiting = &mut self.waiting;
        if !waiting.is_sorted_by(|before, after| before.edge() < after.edge()) {
            // Of the rows of one edge the last is to stay, and `dedup` keeps the first.
            waiting.reverse();
            waiting.sort_by_key(EdgeChange::edge);
            waiting.dedup_by_key(|change| change.edge());
        }
        self.class.apply(waiting, self.is_wildcard);
        waiting.clear();
    }

    fn finish(mut self) -> Class {
        self.settle();
        self.class
    }
}

/// Annotations, each once for all rows that carry it, by what they say.
#[derive(Debug, Default)]
struct Annotations(HashMap<String, Annotation>);

impl Annotations {
    fn of(
        &mut self,
        caveat: Option<CaveatRef>,
        expires_at: Option<Timestamp>,
    ) -> Option<Annotation> {
        let mut key = String::new();
        if let Some(caveat) = &caveat {
            key.push_str(caveat.name.as_str());
            key.push_str(&caveat.context.to_json());
        }
        if let Some(expires_at) = expires_at {
            key.push_str(&expires_at.as_micros().to_string());
        }
        if key.is_empty() {
            return None;
        }
        if self.0.len() == ANNOTATIONS_MAX && !self.0.contains_key(&key) {
            self.0.clear();
        }
        match self.0.entry(key) {
            Entry::Occupied(known) => Some(known.get().clone()),
            Entry::Vacant(new) => {
                let annotation = Annotation::new(caveat, expires_at)?;
                Some(new.insert(annotation).clone())
            }
        }
    }
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
