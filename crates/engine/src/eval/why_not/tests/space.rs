//! Every change that may be proposed, found anew from the schema and the rows, and what a set of them comes to by the naive
//! evaluator.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    CaveatName, CaveatRef, Context, Decision, ObjectRef, RelationName, Relationship,
    RelationshipKey, SubjectId, SubjectRef, Timestamp,
};
use schema::caveat::Outcome;
use schema::{AllowedSubject, CaveatIx, Expression, MemberIx, MemberKind, Schema, SubjectKind};
use testkit::{Question, oracle};

use crate::eval::{AddedSubjects, Changeable, Proposed};

/// A change, and what it is a change of: two changes of the same thing exclude each other.
#[derive(Debug, Clone)]
pub(super) struct Atom {
    pub(super) change: Proposed,
    pub(super) of: String,
}

pub(super) struct Space<'a> {
    pub(super) schema: &'a Schema,
    pub(super) rows: &'a [Relationship],
    pub(super) question: &'a Question,
    pub(super) changeable: &'a Changeable,
    pub(super) depth_max: u16,
}

#[derive(Default)]
struct Reached {
    seen: BTreeSet<(ObjectRef, String)>,
    rows: BTreeSet<RelationshipKey>,
    /// An object, its relation, and what an arrow or a subject set asks behind it, where that is of one name.
    walks: BTreeSet<(ObjectRef, RelationName, Option<String>)>,
    grants: BTreeSet<(ObjectRef, RelationName)>,
}

impl Space<'_> {
    pub(super) fn decide(&self, rows: &[Relationship]) -> Option<Decision> {
        oracle::check(self.schema, rows, self.question, self.depth_max).ok()
    }

    /// The rows after these changes.
    pub(super) fn after(&self, changes: &[&Proposed]) -> Vec<Relationship> {
        let mut rows = self.rows.to_vec();
        for change in changes {
            match change {
                Proposed::Add(row) | Proposed::Renew(row) | Proposed::Replace(row) => {
                    rows.retain(|other| other.key() != row.key());
                    rows.push(row.clone());
                }
                Proposed::Remove(key) => rows.retain(|other| other.key() != *key),
                Proposed::Context { .. } => {}
            }
        }
        for change in changes {
            if let Proposed::Context { caveat, holds, .. } = change {
                for row in rows
                    .iter_mut()
                    .filter(|row| row.caveat.as_ref() == Some(caveat))
                {
                    row.caveat = (!holds).then(|| CaveatRef {
                        name: CaveatName::new("not_in_the_schema").unwrap(),
                        context: Context::default(),
                    });
                }
            }
        }
        rows
    }

    pub(super) fn atoms(&self) -> Vec<Atom> {
        let mut reached = Reached::default();
        self.reach(
            &self.question.resource,
            self.question.member.as_str(),
            &mut reached,
        );
        let objects = self.objects();
        let mut puts: BTreeMap<RelationshipKey, Proposed> = BTreeMap::new();
        for (object, relation) in &reached.grants {
            self.put(
                object,
                relation,
                &self.question.subject,
                &objects,
                &mut puts,
            );
        }
        if self.changeable.subjects == AddedSubjects::AskedAndHolding {
            for (object, relation, target) in &reached.walks {
                for other in objects.iter().filter(|other| *other != object) {
                    self.link(
                        object,
                        (relation, target.as_deref(), other),
                        &objects,
                        &mut puts,
                    );
                }
            }
        }
        let mut atoms = Vec::new();
        let mut caveats = Vec::new();
        for row in self
            .rows
            .iter()
            .filter(|row| reached.rows.contains(&row.key()))
        {
            caveats.extend(row.caveat.clone());
            self.of_row(row, &objects, &mut atoms);
        }
        for (key, change) in puts {
            if let Proposed::Add(row) = &change {
                caveats.extend(row.caveat.clone());
            }
            if !self.rows.iter().any(|row| row.key() == key) {
                let of = key.to_string();
                atoms.push(Atom { change, of });
            }
        }
        self.conditions(&caveats, &mut atoms);
        atoms
    }

    fn member(&self, object: &ObjectRef, name: &str) -> Option<MemberIx> {
        let definition = self.schema.definition_ix(object.definition.as_str())?;
        self.schema.member_ix(definition, name)
    }

    fn reach(&self, object: &ObjectRef, name: &str, reached: &mut Reached) {
        let Some(member) = self.member(object, name) else {
            return;
        };
        if !reached.seen.insert((object.clone(), name.to_owned())) {
            return;
        }
        match &self.schema.member(member).kind {
            MemberKind::Relation(allowed) => {
                let relation = &self.schema.member(member).name;
                reached.grants.insert((object.clone(), relation.clone()));
                for it in allowed {
                    if let SubjectKind::Set(set) = it.kind {
                        let set = self.schema.member(set).name.to_string();
                        reached
                            .walks
                            .insert((object.clone(), relation.clone(), Some(set)));
                    }
                }
                for row in self.rows_of(object, relation) {
                    let asked = &self.question.subject;
                    let is_everybody = row.subject.id == SubjectId::Wildcard
                        && row.subject.definition == asked.definition
                        && asked.relation.is_none();
                    match &row.subject.relation {
                        Some(set) => {
                            reached.rows.insert(row.key());
                            self.reach(&object_of(&row.subject).unwrap(), set.as_str(), reached);
                        }
                        None if is_everybody || row.subject == *asked => {
                            reached.rows.insert(row.key());
                        }
                        None => {}
                    }
                }
            }
            MemberKind::Permission(expression) => self.reach_by(object, expression, reached),
        }
    }

    fn reach_by(&self, object: &ObjectRef, expression: &Expression, reached: &mut Reached) {
        match expression {
            Expression::Nil | Expression::SelfObject => {}
            Expression::Member(member) => {
                self.reach(object, self.schema.member(*member).name.as_str(), reached);
            }
            Expression::Arrow(arrow) => {
                let relation = &self.schema.member(arrow.relation).name;
                let target = arrow.target.as_str();
                reached.grants.insert((object.clone(), relation.clone()));
                reached
                    .walks
                    .insert((object.clone(), relation.clone(), Some(target.to_owned())));
                for row in self.rows_of(object, relation) {
                    reached.rows.insert(row.key());
                    self.reach(&object_of(&row.subject).unwrap(), target, reached);
                }
            }
            Expression::Union(operands) | Expression::Intersection(operands) => {
                for operand in operands {
                    self.reach_by(object, operand, reached);
                }
            }
            Expression::Exclusion(left, right) => {
                self.reach_by(object, left, reached);
                self.reach_by(object, right, reached);
            }
        }
    }

    fn rows_of(&self, object: &ObjectRef, relation: &RelationName) -> Vec<&Relationship> {
        let of = self.rows.iter();
        of.filter(|row| row.resource == *object && row.relation == *relation)
            .collect()
    }

    pub(super) fn objects(&self) -> BTreeSet<ObjectRef> {
        let subjects = self.rows.iter().filter_map(|row| object_of(&row.subject));
        let resources = self.rows.iter().map(|row| row.resource.clone());
        resources.chain(subjects).collect()
    }

    /// The subject kinds that a relation takes like `subject`.
    fn allowed(
        &self,
        object: &ObjectRef,
        relation: &RelationName,
        subject: &SubjectRef,
    ) -> Vec<AllowedSubject> {
        let member = self.member(object, relation.as_str()).unwrap();
        let MemberKind::Relation(allowed) = &self.schema.member(member).kind else {
            return Vec::new();
        };
        let is_of = |it: &&AllowedSubject| {
            let named = it.named(self.schema);
            let kind = match (&subject.id, &subject.relation, it.kind) {
                (SubjectId::Wildcard, _, kind) => kind == SubjectKind::Wildcard,
                (_, None, kind) => kind == SubjectKind::Object,
                (_, Some(name), SubjectKind::Set(set)) => self.schema.member(set).name == *name,
                (_, Some(_), _) => false,
            };
            named.definition == subject.definition && kind
        };
        allowed.iter().filter(is_of).copied().collect()
    }

    /// The end that a row with that caveat would get; none if there is no such row.
    fn end(
        &self,
        allowed: &[AllowedSubject],
        caveat: Option<CaveatIx>,
    ) -> Option<Option<Timestamp>> {
        let of_caveat: Vec<_> = allowed.iter().filter(|it| it.caveat == caveat).collect();
        let end = self
            .changeable
            .expires_at
            .filter(|end| *end > self.question.now);
        if end.is_some() && of_caveat.iter().any(|it| it.expiration) {
            return Some(end);
        }
        of_caveat.iter().any(|it| !it.expiration).then_some(None)
    }

    fn may_add(
        &self,
        object: &ObjectRef,
        relation: &RelationName,
        subject: &SubjectRef,
        objects: &BTreeSet<ObjectRef>,
    ) -> bool {
        let is_right = self.changeable.subjects == AddedSubjects::AskedAndHolding
            || *subject == self.question.subject;
        is_right
            && subject.id != SubjectId::Wildcard
            && objects.contains(object)
            && self.changeable.add.has(&object.definition, relation)
    }

    fn put(
        &self,
        object: &ObjectRef,
        relation: &RelationName,
        subject: &SubjectRef,
        objects: &BTreeSet<ObjectRef>,
        puts: &mut BTreeMap<RelationshipKey, Proposed>,
    ) {
        let allowed = self.allowed(object, relation, subject);
        if allowed.is_empty() || !self.may_add(object, relation, subject, objects) {
            return;
        }
        let mut row = Relationship::new(object.clone(), relation.clone(), subject.clone());
        match self.end(&allowed, None) {
            Some(end) => row.expires_at = end,
            None => {
                let mut caveats = allowed.iter().filter_map(|it| it.caveat);
                let found = caveats.find_map(|ix| Some((ix, self.end(&allowed, Some(ix))?)));
                let Some((ix, end)) = found else {
                    return;
                };
                row.expires_at = end;
                row.caveat = Some(CaveatRef {
                    name: self.schema.caveat(ix).name.clone(),
                    context: Context::default(),
                });
            }
        }
        puts.insert(row.key(), Proposed::Add(row));
    }

    /// A row to `other`, if the subject has there what is asked.
    fn link(
        &self,
        object: &ObjectRef,
        (relation, target, other): (&RelationName, Option<&str>, &ObjectRef),
        objects: &BTreeSet<ObjectRef>,
        puts: &mut BTreeMap<RelationshipKey, Proposed>,
    ) {
        let Some(target) = target.filter(|target| self.member(other, target).is_some()) else {
            return;
        };
        let behind = Question {
            resource: other.clone(),
            member: RelationName::new(target).unwrap(),
            ..self.question.clone()
        };
        if oracle::check(self.schema, self.rows, &behind, self.depth_max) != Ok(Decision::Allowed) {
            return;
        }
        let member = self.member(object, relation.as_str()).unwrap();
        let MemberKind::Relation(allowed) = &self.schema.member(member).kind else {
            return;
        };
        // Behind an arrow the object counts, with whatever relation it is written; a subject set asks for its own.
        let is_arrow = !allowed.iter().any(|it| it.kind == SubjectKind::Wildcard)
            && self.walks_by_arrow(object, relation, target);
        for it in allowed {
            let subject = SubjectRef {
                relation: match it.kind {
                    SubjectKind::Object if is_arrow => None,
                    SubjectKind::Set(set)
                        if is_arrow || self.schema.member(set).name.as_str() == target =>
                    {
                        Some(self.schema.member(set).name.clone())
                    }
                    SubjectKind::Object | SubjectKind::Set(_) | SubjectKind::Wildcard => continue,
                },
                ..SubjectRef::from(other.clone())
            };
            if it.named(self.schema).definition == other.definition {
                self.put(object, relation, &subject, objects, puts);
            }
        }
    }

    /// Whether an arrow over the relation asks for `target`, in a permission that the question reaches of the object.
    fn walks_by_arrow(&self, object: &ObjectRef, relation: &RelationName, target: &str) -> bool {
        let mut reached = Reached::default();
        self.reach(
            &self.question.resource,
            self.question.member.as_str(),
            &mut reached,
        );
        let of_object = reached.seen.iter().filter(|(seen, _)| seen == object);
        let mut kinds = of_object
            .filter_map(|(_, name)| self.member(object, name))
            .map(|member| &self.schema.member(member).kind);
        kinds.any(|kind| match kind {
            MemberKind::Permission(expression) => self.has_arrow(expression, relation, target),
            MemberKind::Relation(_) => false,
        })
    }

    fn has_arrow(&self, expression: &Expression, relation: &RelationName, target: &str) -> bool {
        match expression {
            Expression::Nil | Expression::SelfObject | Expression::Member(_) => false,
            Expression::Arrow(arrow) => {
                self.schema.member(arrow.relation).name == *relation
                    && arrow.target.as_str() == target
            }
            Expression::Union(operands) | Expression::Intersection(operands) => {
                let mut operands = operands.iter();
                operands.any(|operand| self.has_arrow(operand, relation, target))
            }
            Expression::Exclusion(left, right) => {
                self.has_arrow(left, relation, target) || self.has_arrow(right, relation, target)
            }
        }
    }

    fn of_row(&self, row: &Relationship, objects: &BTreeSet<ObjectRef>, atoms: &mut Vec<Atom>) {
        let of = row.key().to_string();
        let may_add = self.may_add(&row.resource, &row.relation, &row.subject, objects);
        let allowed = self.allowed(&row.resource, &row.relation, &row.subject);
        if row.is_expired(self.question.now) {
            let caveat = row.caveat.as_ref();
            let ix = caveat.map(|caveat| self.schema.caveat_ix(caveat.name.as_str()).unwrap());
            if let Some(expires_at) = self.end(&allowed, ix).filter(|_| may_add) {
                let change = Proposed::Renew(Relationship {
                    expires_at,
                    ..row.clone()
                });
                atoms.push(Atom { change, of });
            }
            return;
        }
        if row.caveat.is_some()
            && may_add
            && let Some(expires_at) = self.end(&allowed, None)
        {
            let change = Proposed::Replace(Relationship {
                expires_at,
                caveat: None,
                ..row.clone()
            });
            let of = of.clone();
            atoms.push(Atom { change, of });
        }
        if self
            .changeable
            .remove
            .has(&row.resource.definition, &row.relation)
        {
            let change = Proposed::Remove(row.key());
            atoms.push(Atom { change, of });
        }
    }

    fn conditions(&self, caveats: &[CaveatRef], atoms: &mut Vec<Atom>) {
        let mut seen = BTreeSet::new();
        for caveat in caveats {
            let of = format!("{} {}", caveat.name, caveat.context.to_json());
            if !self.changeable.context || !seen.insert(of.clone()) {
                continue;
            }
            let ix = self.schema.caveat_ix(caveat.name.as_str()).unwrap();
            let program = &self.schema.caveat(ix).program;
            let names = program.parameters().iter().map(|it| it.name.clone());
            let unwritten: Vec<String> = names
                .filter(|name| caveat.context.value(name).is_none())
                .collect();
            let outcome = program.evaluate(&caveat.context, &self.question.context);
            let (value, parameters) = match outcome {
                Ok(Outcome::True) => (Some(true), unwritten),
                Ok(Outcome::False) => (Some(false), unwritten),
                Ok(Outcome::Missing(names)) => (None, names),
                Err(_) => (None, unwritten),
            };
            for holds in [true, false] {
                if value != Some(holds) && !parameters.is_empty() {
                    let change = Proposed::Context {
                        caveat: caveat.clone(),
                        holds,
                        parameters: parameters.clone(),
                    };
                    let of = of.clone();
                    atoms.push(Atom { change, of });
                }
            }
        }
    }
}

fn object_of(subject: &SubjectRef) -> Option<ObjectRef> {
    match &subject.id {
        SubjectId::Object(id) => Some(ObjectRef {
            definition: subject.definition.clone(),
            id: id.clone(),
        }),
        SubjectId::Wildcard => None,
    }
}
