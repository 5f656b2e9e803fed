//! Reading the graph as the asker sees it: counted, in the order of ids, without what is hidden from a viewer.
//!
//! Numbers of objects tell in which order they came to be, which may be due to something hidden. Hence every list is in
//! the order of the ids, and what comes out of it is the same on every node.

use std::collections::{BTreeSet, HashMap};

use model::{CaveatRef, ObjectId, ObjectRef, Relationship, SubjectId, SubjectRef, Timestamp};
use schema::{DefinitionIx, SubjectKind};

use super::Sight;
use crate::eval::Environment;
use crate::eval::formula::Row;
use crate::eval::query::{Query, UNKNOWN_RESOURCE, UNKNOWN_SUBJECT};
use crate::eval::value::EvalError;
use crate::graph::{Annotation, ClassIx, ObjectIx, Snapshot};

/// The question: resolved, and with its names, since the graph has none for ids that it does not hold.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) query: Query,
    pub(super) resource: &'a ObjectRef,
    pub(super) subject: &'a SubjectRef,
    pub(super) environment: Environment<'a>,
}

pub(super) struct Rows<'a> {
    pub(super) asked: Asked<'a>,
    sight: Option<Sight<'a>>,
    edges_visited: u64,
    is_seen: HashMap<Row, bool>,
}

/// A relationship that is in the graph, expired or not.
#[derive(Clone, Copy)]
pub(super) struct Edge<'a> {
    pub(super) row: Row,
    pub(super) annotation: Option<&'a Annotation>,
}

impl<'a> Asked<'a> {
    pub(super) fn is_expired(&self, annotation: Option<&Annotation>) -> bool {
        annotation.is_some_and(|annotation| annotation.is_expired(self.environment.now))
    }

    /// Whether the ends of `row` are those of a relationship of the asked subject itself.
    pub(super) fn is_subject_of(&self, row: Row) -> bool {
        let key = self.snapshot.layout().key(row.class);
        let subject = self.query.subject;
        let is_kind = match key.kind {
            SubjectKind::Object => subject.set.is_none(),
            SubjectKind::Set(member) => subject.set == Some(member),
            SubjectKind::Wildcard => false,
        };
        is_kind && key.definition == subject.definition && row.subject == subject.object
    }

    fn object_id(&self, definition: DefinitionIx, object: ObjectIx) -> Option<ObjectId> {
        let named = self.snapshot.object_id(definition, object);
        named.or_else(|| match &self.subject.id {
            _ if object == UNKNOWN_RESOURCE => Some(self.resource.id.clone()),
            SubjectId::Object(id) if object == UNKNOWN_SUBJECT => Some(id.clone()),
            SubjectId::Object(_) | SubjectId::Wildcard => None,
        })
    }

    /// The relationship at `row` with these traits, whether there is one or not.
    pub(super) fn relationship(
        &self,
        row: Row,
        caveat: Option<CaveatRef>,
        expires_at: Option<Timestamp>,
    ) -> Option<Relationship> {
        let schema = self.snapshot.schema();
        let key = self.snapshot.layout().key(row.class);
        let relation = schema.member(key.relation);
        let resource = ObjectRef {
            definition: schema.definition(relation.definition).name.clone(),
            id: self.object_id(relation.definition, row.resource)?,
        };
        let object = |subject| {
            self.object_id(key.definition, subject)
                .map(SubjectId::Object)
        };
        let (id, set) = match key.kind {
            SubjectKind::Wildcard => (SubjectId::Wildcard, None),
            SubjectKind::Object => (object(row.subject)?, None),
            SubjectKind::Set(member) => (
                object(row.subject)?,
                Some(schema.member(member).name.clone()),
            ),
        };
        let subject = SubjectRef {
            definition: schema.definition(key.definition).name.clone(),
            id,
            relation: set,
        };
        Some(Relationship {
            caveat,
            expires_at,
            ..Relationship::new(resource, relation.name.clone(), subject)
        })
    }

    pub(super) fn relationship_of(&self, edge: Edge<'_>) -> Option<Relationship> {
        let caveat = edge.annotation.and_then(Annotation::caveat).cloned();
        let expires_at = edge.annotation.and_then(Annotation::expires_at);
        self.relationship(edge.row, caveat, expires_at)
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(asked: Asked<'a>, sight: Option<Sight<'a>>) -> Self {
        Self {
            asked,
            sight,
            edges_visited: 0,
            is_seen: HashMap::new(),
        }
    }

    /// Whether the viewer may see all of the graph.
    pub(super) fn is_open(&self) -> bool {
        self.sight.is_none()
    }

    /// Whether relationships may be proposed of the asked resource: it exists, or the viewer sees it.
    pub(super) fn knows_resource(&self) -> bool {
        match self.sight {
            None => self.asked.query.resource != UNKNOWN_RESOURCE,
            Some(sight) => (sight.object)(self.asked.resource),
        }
    }

    /// The relationships that were met and are hidden.
    pub(super) fn hidden(&self) -> BTreeSet<Row> {
        let hidden = self.is_seen.iter().filter(|(_, is_seen)| !**is_seen);
        hidden.map(|(row, _)| *row).collect()
    }

    /// The relationship of `resource` to `subject` in `class`, if it is there.
    pub(super) fn edge(
        &mut self,
        class: ClassIx,
        resource: ObjectIx,
        subject: ObjectIx,
    ) -> Result<Option<Edge<'a>>, EvalError> {
        let row = Row {
            class,
            resource,
            subject,
        };
        self.visit()?;
        let snapshot = self.asked.snapshot;
        let Some(edge) = snapshot.class(class).edge(resource, subject) else {
            return Ok(None);
        };
        let edge = Edge {
            row,
            annotation: edge.annotation(),
        };
        Ok(self.sees(edge).then_some(edge))
    }

    /// The relationships of `resource` in `class`, in the order of the ids of their subjects.
    pub(super) fn edges(
        &mut self,
        class: ClassIx,
        resource: ObjectIx,
    ) -> Result<Vec<Edge<'a>>, EvalError> {
        let snapshot = self.asked.snapshot;
        let mut subjects = Vec::new();
        for (subject, _) in snapshot.class(class).subjects(resource) {
            self.visit()?;
            subjects.push(ObjectIx(subject));
        }
        let definition = snapshot.layout().key(class).definition;
        snapshot.dictionary(definition).sort(&mut subjects);
        let edges = subjects.into_iter().filter_map(|subject| {
            let edge = snapshot.class(class).edge(resource, subject)?;
            let edge = Edge {
                row: Row {
                    class,
                    resource,
                    subject,
                },
                annotation: edge.annotation(),
            };
            self.sees(edge).then_some(edge)
        });
        Ok(edges.collect())
    }

    fn visit(&mut self) -> Result<(), EvalError> {
        let edges_visited_max = self.asked.environment.edges_visited_max;
        self.edges_visited += 1;
        if self.edges_visited > edges_visited_max {
            return Err(EvalError::WorkExceeded { edges_visited_max });
        }
        Ok(())
    }

    fn sees(&mut self, edge: Edge<'_>) -> bool {
        let Some(sight) = self.sight else {
            return true;
        };
        let asked = self.asked;
        *self.is_seen.entry(edge.row).or_insert_with(|| {
            asked
                .relationship_of(edge)
                .is_some_and(|relationship| sight.sees(&relationship))
        })
    }
}
