//! The walk that answers nearly every check: depth first, cheap branches first, done at the first branch that decides.
//!
//! It never guesses. Where the order of the walk could show in the answer it gives up with [`Stop::Solve`]: past the
//! depth limit (a shorter derivation may exist elsewhere), in a circle that is not plainly a yes or a no, and in a circle
//! through an exclusion.
//!
//! A circle of relationships adds nothing: a node that is met again below itself counts as a no. What was found by that
//! assumption is only remembered once the node at the head of the circle has turned out to be a no indeed; a yes needs
//! no such care, since it cannot rest on the assumption (no exclusion lies in between).

use schema::{MemberIx, Quantifier, Schema};
use smallvec::SmallVec;

use super::Environment;
use super::climb::Climbs;
use super::edge;
use super::memo::{Memo, NodeKey};
use super::plan::{ArrowStep, Node, Plan, RelationSteps, Steps};
use super::query::{Query, Subject};
use super::value::Value;
use crate::graph::{Annotation, ClassIx, ObjectIx, Snapshot};

/// Why the walk ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The equations have to be solved.
    Solve,
    /// Too many edges were visited.
    WorkExceeded,
}

/// Circles met before it is cheaper to solve the equations than to walk around in them again and again.
const CIRCLES_MAX: u32 = 256;

/// Walks, and counts the edges that it visits.
pub(super) fn check(
    snapshot: &Snapshot,
    query: &Query,
    environment: Environment<'_>,
) -> (Result<Value, Stop>, u64) {
    let mut walk = Walk {
        snapshot,
        plan: snapshot.plan(),
        schema: snapshot.schema(),
        definition_count: snapshot.schema().definitions().len(),
        subject: query.subject,
        environment,
        edges_visited: 0,
        memo: Memo::default(),
        path: SmallVec::new(),
        exclusions: 0,
        circles: 0,
        head: NO_HEAD,
        deepest: 0,
        climbs: Climbs::default(),
    };
    let value = walk.node(query.resource, query.member, 1);
    (value, walk.edges_visited)
}

/// A node that is being worked on, and how many right sides of exclusions lie above it.
struct Open {
    key: NodeKey,
    exclusions: u32,
}

const NO_HEAD: usize = usize::MAX;

pub(super) struct Walk<'a> {
    pub(super) snapshot: &'a Snapshot,
    plan: &'a Plan,
    pub(super) schema: &'a Schema,
    definition_count: usize,
    pub(super) subject: Subject,
    pub(super) environment: Environment<'a>,
    edges_visited: u64,
    memo: Memo,
    /// The recursive nodes between the root and here.
    path: SmallVec<[Open; 16]>,
    exclusions: u32,
    circles: u32,
    /// The place in `path` of the highest node that was assumed to be a no since this was last reset.
    head: usize,
    /// The deepest level since this was last reset.
    deepest: u16,
    pub(super) climbs: Climbs,
}

impl<'a> Walk<'a> {
    fn node(&mut self, object: ObjectIx, member: MemberIx, depth: u16) -> Result<Value, Stop> {
        let plan: &'a Plan = self.plan;
        let member_plan = plan.member(member);
        if !member_plan.may_hold(self.subject, self.definition_count) {
            return Ok(Value::No);
        }
        if depth > self.environment.depth_max {
            return Err(Stop::Solve);
        }
        self.deepest = self.deepest.max(depth);
        if self.subject.set == Some(member) && self.subject.object == object {
            return Ok(Value::Yes);
        }
        if !member_plan.is_recursive {
            return self.steps(&member_plan.steps, object, depth);
        }
        let key = NodeKey { member, object };
        if let Some((value, below)) = self.memo.known(key) {
            let deepest = depth.saturating_add(*below);
            if deepest > self.environment.depth_max {
                return Err(Stop::Solve);
            }
            self.deepest = self.deepest.max(deepest);
            return Ok(value.clone());
        }
        if let Some(place) = self.path.iter().position(|open| open.key == key) {
            return self.circle(place);
        }
        self.recursive(key, &member_plan.steps, depth)
    }

    /// A node is met below itself.
    fn circle(&mut self, place: usize) -> Result<Value, Stop> {
        self.circles += 1;
        let through_exclusion = self
            .path
            .get(place)
            .is_none_or(|open| open.exclusions != self.exclusions);
        if through_exclusion || self.circles > CIRCLES_MAX {
            return Err(Stop::Solve);
        }
        self.head = self.head.min(place);
        Ok(Value::No)
    }

    fn recursive(&mut self, key: NodeKey, steps: &'a Steps, depth: u16) -> Result<Value, Stop> {
        let place = self.path.len();
        self.path.push(Open {
            key,
            exclusions: self.exclusions,
        });
        let outer_head = std::mem::replace(&mut self.head, NO_HEAD);
        let outer_deepest = std::mem::replace(&mut self.deepest, depth);
        let value = self.steps(steps, key.object, depth)?;
        self.path.pop();
        let below = self.deepest.saturating_sub(depth);
        self.deepest = self.deepest.max(outer_deepest);
        let in_circle = self.head <= place;
        if in_circle && matches!(value, Value::Undecided(_)) {
            return Err(Stop::Solve);
        }
        let rests_on_assumption = self.head < place && value == Value::No;
        if rests_on_assumption {
            self.head = self.head.min(outer_head);
        } else {
            self.memo.keep(key, (value.clone(), below));
            self.head = outer_head;
        }
        Ok(value)
    }

    fn steps(&mut self, steps: &'a Steps, object: ObjectIx, depth: u16) -> Result<Value, Stop> {
        match steps {
            Steps::Relation(relation) => self.relation(relation, object, depth),
            Steps::Permission(node) => self.permission(node, object, depth),
        }
    }

    fn permission(&mut self, node: &'a Node, object: ObjectIx, depth: u16) -> Result<Value, Stop> {
        match node {
            Node::Nil => Ok(Value::No),
            Node::SelfObject(definition) => {
                let subject = Subject {
                    definition: *definition,
                    object,
                    set: None,
                };
                Ok(if self.subject == subject {
                    Value::Yes
                } else {
                    Value::No
                })
            }
            Node::Member(member) => self.node(object, *member, depth + 1),
            Node::Arrow(Quantifier::Any, steps) => self.arrow_any(steps, object, depth),
            Node::Arrow(Quantifier::All, steps) => self.arrow_all(steps, object, depth),
            Node::Union(operands) => {
                let mut value = Value::No;
                for operand in operands {
                    value = value.or(self.permission(operand, object, depth)?);
                    if value == Value::Yes {
                        break;
                    }
                }
                Ok(value)
            }
            Node::Intersection(operands) => {
                let mut value = Value::Yes;
                for operand in operands {
                    value = value.and(self.permission(operand, object, depth)?);
                    if value == Value::No {
                        break;
                    }
                }
                Ok(value)
            }
            Node::Exclusion(left, right) => {
                let left = self.permission(left, object, depth)?;
                if left == Value::No {
                    return Ok(left);
                }
                self.exclusions += 1;
                let right = self.permission(right, object, depth);
                self.exclusions -= 1;
                Ok(left.without(right?))
            }
        }
    }

    fn relation(
        &mut self,
        steps: &'a RelationSteps,
        object: ObjectIx,
        depth: u16,
    ) -> Result<Value, Stop> {
        let mut value = Value::No;
        if self.subject.set.is_none() {
            let ends = [
                (&steps.objects, self.subject.object),
                (&steps.wildcards, ObjectIx::WILDCARD_SUBJECT),
            ];
            for (classes, end) in ends {
                for (definition, class) in classes {
                    if *definition == self.subject.definition {
                        value = value.or(self.edge(*class, object, end)?);
                    }
                }
            }
        }
        for set in &steps.sets {
            if value == Value::Yes {
                break;
            }
            value = value.or(self.any(set.class, set.member, object, depth)?);
        }
        Ok(value)
    }

    fn arrow_any(
        &mut self,
        steps: &[ArrowStep],
        object: ObjectIx,
        depth: u16,
    ) -> Result<Value, Stop> {
        let mut value = Value::No;
        for step in steps {
            if let Some(target) = step.target {
                value = value.or(self.any(step.class, target, object, depth)?);
            }
            if value == Value::Yes {
                break;
            }
        }
        Ok(value)
    }

    /// Whether one of the subjects of `object` in `class` has the subject in `target`.
    fn any(
        &mut self,
        class: ClassIx,
        target: MemberIx,
        object: ObjectIx,
        depth: u16,
    ) -> Result<Value, Stop> {
        let snapshot: &'a Snapshot = self.snapshot;
        if !self
            .plan
            .member(target)
            .may_hold(self.subject, self.definition_count)
        {
            return Ok(Value::No);
        }
        let subjects = snapshot.class(class).subjects(object);
        if let Some(value) = self.climb(class, target, object, &subjects, depth)? {
            return Ok(value);
        }
        let mut value = Value::No;
        for (subject, annotation) in subjects {
            let edge = self.edge_value(annotation)?;
            if edge == Value::No {
                continue;
            }
            let granted = self.node(ObjectIx(subject), target, depth + 1)?;
            value = value.or(edge.and(granted));
            if value == Value::Yes {
                break;
            }
        }
        Ok(value)
    }

    fn arrow_all(
        &mut self,
        steps: &[ArrowStep],
        object: ObjectIx,
        depth: u16,
    ) -> Result<Value, Stop> {
        let snapshot: &'a Snapshot = self.snapshot;
        let mut value = Value::Yes;
        let mut is_empty = true;
        for step in steps {
            for (subject, annotation) in snapshot.class(step.class).subjects(object) {
                if annotation.is_some_and(|annotation| annotation.is_expired(self.environment.now))
                {
                    continue;
                }
                is_empty = false;
                let edge = self.edge_value(annotation)?;
                let granted = match step.target {
                    Some(target) if edge != Value::No => {
                        self.node(ObjectIx(subject), target, depth + 1)?
                    }
                    Some(_) | None => Value::No,
                };
                value = value.and(edge.and(granted));
                if value == Value::No {
                    return Ok(value);
                }
            }
        }
        Ok(if is_empty { Value::No } else { value })
    }

    pub(super) fn edge(
        &mut self,
        class: ClassIx,
        object: ObjectIx,
        end: ObjectIx,
    ) -> Result<Value, Stop> {
        let snapshot: &'a Snapshot = self.snapshot;
        match snapshot.class(class).edge(object, end) {
            Some(edge) => self.edge_value(edge.annotation()),
            None => Ok(Value::No),
        }
    }

    pub(super) fn edge_value(&mut self, annotation: Option<&Annotation>) -> Result<Value, Stop> {
        self.visit()?;
        Ok(edge::value(self.schema, annotation, self.environment))
    }

    pub(super) fn visit(&mut self) -> Result<(), Stop> {
        self.edges_visited += 1;
        if self.edges_visited > self.environment.edges_visited_max {
            return Err(Stop::WorkExceeded);
        }
        Ok(())
    }

    pub(super) fn relation_steps(&self, member: MemberIx) -> Option<&'a RelationSteps> {
        let plan: &'a Plan = self.plan;
        match &plan.member(member).steps {
            Steps::Relation(steps) => Some(steps),
            Steps::Permission(_) => None,
        }
    }

    pub(super) fn may_hold(&self, member: MemberIx) -> bool {
        self.plan
            .member(member)
            .may_hold(self.subject, self.definition_count)
    }

    pub(super) fn note_depth(&mut self, depth: u16) {
        self.deepest = self.deepest.max(depth);
    }
}
