//! What a question reaches: the relationships below it, expired ones too, and those that could be there.
//!
//! A relationship that could be there ends at the asked subject, or at an object that already gives the subject what is
//! asked of it there. So nothing new has to be reached through it, and the search ends.

use std::collections::{HashSet, VecDeque};

use schema::MemberIx;

use super::holding::Holding;
use super::rows::Rows;
use super::variables::Variables;
use crate::eval::formula::Row;
use crate::eval::memo::NodeKey;
use crate::eval::plan::{Node, RelationSteps, Steps};
use crate::eval::value::EvalError;
use crate::graph::{ClassIx, ObjectIx};

/// Notes in `variables` everything that the question reaches.
///
/// # Errors
/// [`EvalError::WorkExceeded`] past the edges that may be visited, [`EvalError::Interrupted`].
pub(super) fn reach<'a>(
    rows: &mut Rows<'a>,
    holding: &mut Holding<'a>,
    variables: &mut Variables<'a>,
) -> Result<(), EvalError> {
    let query = rows.asked.query;
    let mut reach = Reach {
        rows,
        holding,
        variables,
        seen: HashSet::new(),
        open: VecDeque::new(),
    };
    reach.node(query.resource, query.member);
    while let Some(key) = reach.open.pop_front() {
        reach.look_at(key)?;
    }
    Ok(())
}

struct Reach<'r, 'a> {
    rows: &'r mut Rows<'a>,
    holding: &'r mut Holding<'a>,
    variables: &'r mut Variables<'a>,
    seen: HashSet<NodeKey>,
    open: VecDeque<NodeKey>,
}

impl Reach<'_, '_> {
    fn node(&mut self, object: ObjectIx, member: MemberIx) {
        let asked = self.rows.asked;
        let subject = asked.query.subject;
        let is_itself = subject.set == Some(member) && subject.object == object;
        let key = NodeKey { member, object };
        if !is_itself && super::may_hold(&asked, member) && self.seen.insert(key) {
            self.open.push_back(key);
        }
    }

    fn look_at(&mut self, key: NodeKey) -> Result<(), EvalError> {
        let snapshot = self.rows.asked.snapshot;
        match &snapshot.plan().member(key.member).steps {
            Steps::Relation(steps) => self.relation(steps, key.object),
            Steps::Permission(node) => self.permission(node, key.object),
        }
    }

    fn relation(&mut self, steps: &RelationSteps, object: ObjectIx) -> Result<(), EvalError> {
        let subject = self.rows.asked.query.subject;
        match subject.set {
            None => {
                for (definition, class) in &steps.objects {
                    if *definition == subject.definition {
                        self.direct(*class, object)?;
                    }
                }
                for (definition, class) in &steps.wildcards {
                    if *definition == subject.definition {
                        let everybody = ObjectIx::WILDCARD_SUBJECT;
                        if let Some(edge) = self.rows.edge(*class, object, everybody)? {
                            self.variables.meet(edge);
                        }
                    }
                }
            }
            Some(member) => {
                for set in steps.sets.iter().filter(|set| set.member == member) {
                    self.direct(set.class, object)?;
                }
            }
        }
        for set in &steps.sets {
            self.walk(set.class, Some(set.member), object)?;
        }
        Ok(())
    }

    fn permission(&mut self, node: &Node, object: ObjectIx) -> Result<(), EvalError> {
        match node {
            Node::Nil | Node::SelfObject(_) => Ok(()),
            Node::Member(member) => {
                self.node(object, *member);
                Ok(())
            }
            Node::Arrow(_, steps) => steps
                .iter()
                .try_for_each(|step| self.walk(step.class, step.target, object)),
            Node::Union(operands) | Node::Intersection(operands) => operands
                .iter()
                .try_for_each(|operand| self.permission(operand, object)),
            Node::Exclusion(left, right) => {
                self.permission(left, object)?;
                self.permission(right, object)
            }
        }
    }

    /// The relationship of the asked subject itself.
    fn direct(&mut self, class: ClassIx, object: ObjectIx) -> Result<(), EvalError> {
        let row = Row {
            class,
            resource: object,
            subject: self.rows.asked.query.subject.object,
        };
        match self.rows.edge(class, object, row.subject)? {
            Some(edge) => self.variables.meet(edge),
            None => self.variables.miss(row),
        }
        Ok(())
    }

    /// The relationships that lead on to `target`, and those that could.
    fn walk(
        &mut self,
        class: ClassIx,
        target: Option<MemberIx>,
        object: ObjectIx,
    ) -> Result<(), EvalError> {
        for edge in self.rows.edges(class, object)? {
            self.variables.meet(edge);
            if let Some(target) = target {
                self.node(edge.row.subject, target);
            }
        }
        let own = Row {
            class,
            resource: object,
            subject: self.rows.asked.query.subject.object,
        };
        if self.rows.asked.is_subject_of(own) {
            self.direct(class, object)?;
        }
        let Some(target) = target.filter(|_| self.variables.takes_more()) else {
            return Ok(());
        };
        let layout = self.rows.asked.snapshot.layout();
        let schema = self.rows.asked.snapshot.schema();
        let key = layout.key(class);
        let is_same_kind = schema.member(key.relation).definition == key.definition;
        for subject in self.holding.objects(target)?.iter().copied() {
            let row = Row {
                class,
                resource: object,
                subject,
            };
            let is_itself = is_same_kind && subject == object;
            if !is_itself && self.rows.edge(class, object, subject)?.is_none() {
                self.variables.miss(row);
            }
        }
        Ok(())
    }
}
