//! What can be changed about the relationships that a question reaches: the variables of its equations.

use std::collections::HashMap;

use model::{CaveatName, CaveatRef, Context, RelationshipKey, Timestamp};
use schema::caveat::Outcome;
use schema::{CaveatIx, DefinitionIx, MemberKind, SubjectKind};

use super::change::{AddedSubjects, ChangeSet, Changeable, Proposed, Relations};
use super::rows::{Asked, Edge};
use super::ways::Literal;
use crate::eval::formula::Row;
use crate::graph::{Annotation, ClassIx, ObjectIx};

/// Something that has two changes, which exclude each other.
pub(super) enum Variable {
    /// A relationship: it can be written, or removed.
    Row(RowVariable),
    /// A caveat with written values: it can be made to hold, or to fail.
    Condition(ConditionVariable),
}

pub(super) struct RowVariable {
    pub(super) row: Row,
    pub(super) put: Option<Put>,
    pub(super) may_remove: bool,
}

/// How a relationship would be written.
#[derive(Clone)]
pub(super) struct Put {
    pub(super) caveat: Option<CaveatRef>,
    pub(super) expires_at: Option<Timestamp>,
    kind: PutKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PutKind {
    Add,
    Renew,
    Replace,
}

pub(super) struct ConditionVariable {
    pub(super) caveat: CaveatRef,
    /// What it comes to with the request as it is; none if that is not known.
    pub(super) value: Option<bool>,
    pub(super) may_change: bool,
    parameters: Vec<String>,
}

/// Every variable of a question.
pub(super) struct Variables<'a> {
    asked: Asked<'a>,
    changeable: &'a Changeable,
    /// Whether relationships may be added to the asked resource.
    knows_resource: bool,
    additions_left: usize,
    /// Whether relationships that may be added were left out.
    pub(super) is_truncated: bool,
    all: Vec<Variable>,
    rows: HashMap<Row, u32>,
    conditions: HashMap<(CaveatName, String), u32>,
    /// Relationships that are not there and may be added, by what they would be among.
    added: HashMap<(ClassIx, ObjectIx), Vec<Row>>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(
        asked: Asked<'a>,
        changeable: &'a Changeable,
        knows_resource: bool,
        additions_max: usize,
    ) -> Self {
        Self {
            asked,
            changeable,
            knows_resource,
            additions_left: additions_max,
            is_truncated: false,
            all: Vec::new(),
            rows: HashMap::new(),
            conditions: HashMap::new(),
            added: HashMap::new(),
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&Variable> {
        self.all.get(number as usize)
    }

    /// The number of a relationship's variable, if anything can be changed about it.
    pub(super) fn row(&self, row: Row) -> Option<(u32, &RowVariable)> {
        let number = *self.rows.get(&row)?;
        match self.get(number)? {
            Variable::Row(variable) => Some((number, variable)),
            Variable::Condition(_) => None,
        }
    }

    /// What `caveat` comes to, with the number of its variable if that can be changed.
    pub(super) fn condition(&self, caveat: &CaveatRef) -> (Option<u32>, Option<bool>) {
        let number = self.conditions.get(&condition_key(caveat)).copied();
        match number.and_then(|number| self.get(number)) {
            Some(Variable::Condition(condition)) => {
                (number.filter(|_| condition.may_change), condition.value)
            }
            Some(Variable::Row(_)) | None => (None, self.evaluate(caveat).0),
        }
    }

    /// The relationships of `resource` in `class` that are not there and may be added.
    pub(super) fn added(&self, class: ClassIx, resource: ObjectIx) -> &[Row] {
        let rows = self.added.get(&(class, resource));
        rows.map(Vec::as_slice).unwrap_or_default()
    }

    /// Notes a relationship that is there.
    pub(super) fn meet(&mut self, edge: Edge<'_>) {
        if self.rows.contains_key(&edge.row) {
            return;
        }
        let caveat = edge.annotation.and_then(Annotation::caveat);
        let is_expired = self.asked.is_expired(edge.annotation);
        let may_add = self.may_add(edge.row);
        let put = if is_expired {
            may_add
                .then(|| self.put(edge.row, PutKind::Renew, caveat))
                .flatten()
        } else {
            (may_add && caveat.is_some())
                .then(|| self.put(edge.row, PutKind::Replace, None))
                .flatten()
        };
        let may_remove = !is_expired && self.may_remove(edge.row);
        if put.is_some() || may_remove {
            self.add_row(edge.row, put, may_remove);
        }
        if let Some(caveat) = caveat {
            self.add_condition(caveat);
        }
    }

    /// Notes a relationship that is not there, but may be added.
    pub(super) fn miss(&mut self, row: Row) {
        if self.rows.contains_key(&row) || !self.may_add(row) {
            return;
        }
        let Some(put) = self.put(row, PutKind::Add, None) else {
            return;
        };
        let Some(additions_left) = self.additions_left.checked_sub(1) else {
            self.is_truncated = true;
            return;
        };
        self.additions_left = additions_left;
        let caveat = put.caveat.clone();
        self.add_row(row, Some(put), false);
        if let Some(caveat) = &caveat {
            self.add_condition(caveat);
        }
        let of_resource = self.added.entry((row.class, row.resource));
        of_resource.or_default().push(row);
    }

    /// The change, as it is told.
    fn proposed(&self, change: Literal) -> Option<Proposed> {
        let is_first = change.is_multiple_of(2);
        match self.get(change / 2)? {
            Variable::Row(variable) if is_first => {
                let put = variable.put.as_ref()?;
                let relationship =
                    self.asked
                        .relationship(variable.row, put.caveat.clone(), put.expires_at)?;
                Some(match put.kind {
                    PutKind::Add => Proposed::Add(relationship),
                    PutKind::Renew => Proposed::Renew(relationship),
                    PutKind::Replace => Proposed::Replace(relationship),
                })
            }
            Variable::Row(variable) => self.key(variable.row).map(Proposed::Remove),
            Variable::Condition(condition) => Some(Proposed::Context {
                caveat: condition.caveat.clone(),
                holds: is_first,
                parameters: condition.parameters.clone(),
            }),
        }
    }

    /// Whether more may be added than was noted so far.
    pub(super) fn takes_more(&self) -> bool {
        !self.is_truncated
    }

    /// The changes of a set, as they are told.
    pub(super) fn set(&self, takes: &[Literal]) -> ChangeSet {
        let changes = takes.iter();
        ChangeSet {
            changes: changes
                .filter_map(|change| self.proposed(*change))
                .collect(),
            gains: None,
        }
    }

    pub(super) fn key(&self, row: Row) -> Option<RelationshipKey> {
        let relationship = self.asked.relationship(row, None, None)?;
        Some(relationship.key())
    }

    fn add_row(&mut self, row: Row, put: Option<Put>, may_remove: bool) {
        self.rows.insert(row, self.all.len() as u32);
        self.all.push(Variable::Row(RowVariable {
            row,
            put,
            may_remove,
        }));
    }

    fn add_condition(&mut self, caveat: &CaveatRef) {
        let key = condition_key(caveat);
        if self.conditions.contains_key(&key) {
            return;
        }
        let (value, parameters) = self.evaluate(caveat);
        self.conditions.insert(key, self.all.len() as u32);
        self.all.push(Variable::Condition(ConditionVariable {
            caveat: caveat.clone(),
            value,
            may_change: self.changeable.context && !parameters.is_empty(),
            parameters,
        }));
    }

    /// What a caveat comes to, and the values by which a request could bring it to something else.
    fn evaluate(&self, caveat: &CaveatRef) -> (Option<bool>, Vec<String>) {
        let schema = self.asked.snapshot.schema();
        let Some(ix) = schema.caveat_ix(caveat.name.as_str()) else {
            return (Some(false), Vec::new());
        };
        let program = &schema.caveat(ix).program;
        let unwritten = || {
            let names = program.parameters().iter().map(|parameter| &parameter.name);
            let unwritten = names.filter(|name| caveat.context.value(name).is_none());
            unwritten.cloned().collect()
        };
        match program.evaluate(&caveat.context, self.asked.environment.context) {
            Ok(Outcome::True) => (Some(true), unwritten()),
            Ok(Outcome::False) => (Some(false), unwritten()),
            Ok(Outcome::Missing(names)) => (None, names),
            Err(_) => (None, unwritten()),
        }
    }

    fn may_remove(&self, row: Row) -> bool {
        self.is_among(&self.changeable.remove, row)
    }

    /// Whether a relationship may be written at `row`: never a wildcard, never of an object that does not exist.
    fn may_add(&self, row: Row) -> bool {
        let key = self.asked.snapshot.layout().key(row.class);
        let is_of_resource = row.resource == self.asked.query.resource
            && self.definition_of(row.class) == self.asked.query.definition;
        let is_of_asked = self.asked.is_subject_of(row);
        let is_subject_right = match self.changeable.subjects {
            AddedSubjects::Asked => is_of_asked,
            AddedSubjects::AskedAndHolding => key.kind != SubjectKind::Wildcard,
        };
        is_subject_right
            && (self.knows_resource || !is_of_resource)
            && self.is_among(&self.changeable.add, row)
    }

    fn definition_of(&self, class: ClassIx) -> DefinitionIx {
        let relation = self.asked.snapshot.layout().key(class).relation;
        self.asked.snapshot.schema().member(relation).definition
    }

    fn is_among(&self, relations: &Relations, row: Row) -> bool {
        let schema = self.asked.snapshot.schema();
        let relation = schema.member(self.asked.snapshot.layout().key(row.class).relation);
        let definition = &schema.definition(relation.definition).name;
        relations.has(definition, &relation.name)
    }

    /// The relationship that the schema lets be written at `row`. What is added carries a caveat only where the relation
    /// takes nothing else; what is renewed keeps its own.
    fn put(&self, row: Row, kind: PutKind, kept: Option<&CaveatRef>) -> Option<Put> {
        let schema = self.asked.snapshot.schema();
        let key = self.asked.snapshot.layout().key(row.class);
        let MemberKind::Relation(allowed) = &schema.member(key.relation).kind else {
            return None;
        };
        let allowed = || {
            let of_kind = allowed.iter();
            of_kind.filter(|it| it.definition == key.definition && it.kind == key.kind)
        };
        let end = self.changeable.expires_at;
        let end = end.filter(|end| *end > self.asked.environment.now);
        let expires_at = |caveat: Option<CaveatIx>| {
            let takes = |expiration| {
                let mut of_caveat = allowed().filter(|it| it.caveat == caveat);
                of_caveat.any(|it| it.expiration == expiration)
            };
            match end {
                Some(end) if takes(true) => Some(Some(end)),
                Some(_) | None => takes(false).then_some(None),
            }
        };
        let put = |caveat: Option<CaveatRef>, expires_at| Put {
            caveat,
            expires_at,
            kind,
        };
        if let Some(kept) = kept {
            let ix = schema.caveat_ix(kept.name.as_str())?;
            return Some(put(Some(kept.clone()), expires_at(Some(ix))?));
        }
        if let Some(expires_at) = expires_at(None) {
            return Some(put(None, expires_at));
        }
        if kind != PutKind::Add {
            return None;
        }
        let mut with_caveat = allowed().filter_map(|it| it.caveat);
        with_caveat.find_map(|ix| {
            let caveat = CaveatRef {
                name: schema.caveat(ix).name.clone(),
                context: Context::default(),
            };
            Some(put(Some(caveat), expires_at(Some(ix))?))
        })
    }
}

fn condition_key(caveat: &CaveatRef) -> (CaveatName, String) {
    (caveat.name.clone(), caveat.context.to_json())
}
