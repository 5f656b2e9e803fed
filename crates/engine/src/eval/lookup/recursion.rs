//! Members that lead back to themselves through data: folders in folders, groups in groups.
//!
//! First comes what is certain, round by round from what needs no other object of the same kind: each round looks only
//! at the objects next to those that the round before has found. Then, if anything hangs on a condition, the same for
//! what is undecided, until no more reasons are found. A round is one level of a derivation, so that depth is exact
//! enough to tell when the limit may matter.

use std::rc::Rc;

use hashbrown::{HashMap, HashSet};
use schema::{MemberIx, Quantifier};

use super::resources::{Search, Stop};
use super::set::Set;
use crate::eval::memo::NodeKey;
use crate::eval::plan::{Node, Steps};
use crate::eval::value::{EvalError, Value};
use crate::graph::{ClassIx, ObjectIx};

/// Where a member of a component is used by one of the same component.
#[derive(Debug, Clone, Copy)]
struct Use {
    /// The member that uses it.
    by: MemberIx,
    /// The edges between the objects of the two; none if they are of the same object.
    through: Option<ClassIx>,
    /// Whether nothing but unions lies between: what is certain there is certain here.
    is_union: bool,
}

/// The uses of each member of a component.
#[derive(Default)]
struct Uses {
    of: HashMap<MemberIx, Vec<Use>>,
    /// Whether one lies on the right side of an exclusion.
    is_excluded: bool,
}

impl Search<'_, '_> {
    pub(super) fn solve_recursive(&mut self, members: &[MemberIx]) -> Result<(), Stop> {
        let uses = self.uses(members);
        if uses.is_excluded && !self.is_generous {
            return Err(Stop::Equations);
        }
        for member in members {
            self.sets.insert(*member, Rc::default());
        }
        let mut first = Vec::new();
        for member in members {
            first.push((*member, self.member_set(*member)?));
        }
        let mut found = Vec::new();
        let mut maybe = HashSet::new();
        for (member, set) in first {
            let key = |object| NodeKey {
                member,
                object: ObjectIx(object),
            };
            found.extend(set.yes.iter().map(key));
            maybe.extend(set.other.keys().copied().map(key));
            let certain = Set {
                yes: set.yes,
                height: set.height,
                ..Set::default()
            };
            self.sets.insert(member, Rc::new(certain));
        }
        self.find_certain(&uses, found, &mut maybe)?;
        maybe.retain(|key| !self.is_certain(*key));
        self.find_undecided(&uses, maybe.into_iter().collect())?;
        Ok(())
    }

    fn find_certain(
        &mut self,
        uses: &Uses,
        mut found: Vec<NodeKey>,
        maybe: &mut HashSet<NodeKey>,
    ) -> Result<(), EvalError> {
        while !found.is_empty() {
            self.work.look()?;
            let mut next: HashMap<NodeKey, u16> = HashMap::new();
            let mut asked = HashSet::new();
            for key in found {
                let height = self.sets.get(&key.member).map_or(0, |set| set.height);
                for usage in uses.of.get(&key.member).into_iter().flatten() {
                    self.each_user(key.object, *usage, |search, user, edge| {
                        if search.is_certain(user) || next.contains_key(&user) {
                            return Ok(());
                        }
                        match edge {
                            Value::No => {}
                            Value::Undecided(_) => {
                                maybe.insert(user);
                            }
                            Value::Yes if usage.is_union => {
                                next.insert(user, height.saturating_add(1));
                            }
                            Value::Yes => {
                                if !asked.insert(user) {
                                    return Ok(());
                                }
                                match search.node_at(user.member, user.object)? {
                                    (Value::No, _) => {}
                                    (Value::Yes, height) => {
                                        next.insert(user, height);
                                    }
                                    (Value::Undecided(_), _) => {
                                        maybe.insert(user);
                                    }
                                }
                            }
                        }
                        Ok(())
                    })?;
                }
            }
            for (key, height) in &next {
                self.add(*key, Value::Yes, *height);
            }
            found = next.into_keys().collect();
        }
        Ok(())
    }

    fn find_undecided(&mut self, uses: &Uses, mut asked: Vec<NodeKey>) -> Result<(), EvalError> {
        let height_max = self.work.environment.depth_max.saturating_add(1);
        while !asked.is_empty() {
            self.work.look()?;
            let mut changed = Vec::new();
            for key in asked {
                let (value, height) = self.node_at(key.member, key.object)?;
                if value == Value::No {
                    continue;
                }
                let before = self
                    .sets
                    .get(&key.member)
                    .and_then(|set| set.other.get(&key.object.0))
                    .cloned();
                self.add(key, value, height.min(height_max));
                let after = self
                    .sets
                    .get(&key.member)
                    .and_then(|set| set.other.get(&key.object.0));
                if after != before.as_ref() {
                    changed.push(key);
                }
            }
            let mut next = HashSet::new();
            for key in changed {
                for usage in uses.of.get(&key.member).into_iter().flatten() {
                    self.each_user(key.object, *usage, |search, user, edge| {
                        if *edge != Value::No && !search.is_certain(user) {
                            next.insert(user);
                        }
                        Ok(())
                    })?;
                }
            }
            asked = next.into_iter().collect();
        }
        Ok(())
    }

    fn is_certain(&self, key: NodeKey) -> bool {
        self.sets
            .get(&key.member)
            .is_some_and(|set| set.yes.contains(key.object.0))
    }

    fn add(&mut self, key: NodeKey, value: Value, height: u16) {
        let set = self.sets.entry(key.member).or_default();
        Rc::make_mut(set).insert(key.object.0, value, height);
    }

    /// Calls `visit` with each node that uses one of `object`, and what the edge between them counts for.
    fn each_user(
        &mut self,
        object: ObjectIx,
        usage: Use,
        mut visit: impl FnMut(&mut Self, NodeKey, &Value) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let key = |object| NodeKey {
            member: usage.by,
            object,
        };
        let Some(class) = usage.through else {
            return visit(self, key(object), &Value::Yes);
        };
        let edges = self.snapshot.class(class);
        let is_plain = edges.annotated_count() == 0;
        for (resource, _) in edges.resources(object) {
            let resource = ObjectIx(resource);
            let edge = if is_plain {
                self.work.visit()?;
                Value::Yes
            } else {
                let edge = edges.edge(resource, object);
                let annotation = edge.as_ref().and_then(|edge| edge.annotation());
                self.work.edge(self.snapshot, annotation)?
            };
            visit(self, key(resource), &edge)?;
        }
        Ok(())
    }

    fn uses(&self, members: &[MemberIx]) -> Uses {
        let mut uses = Uses::default();
        for by in members {
            match self.steps(*by) {
                Steps::Relation(steps) => {
                    for step in steps
                        .sets
                        .iter()
                        .filter(|step| members.contains(&step.member))
                    {
                        uses.add(step.member, *by, Some(step.class), true);
                    }
                }
                Steps::Permission(node) => uses.collect(node, *by, members, true),
            }
        }
        uses
    }
}

impl Uses {
    fn add(&mut self, member: MemberIx, by: MemberIx, through: Option<ClassIx>, is_union: bool) {
        self.of.entry(member).or_default().push(Use {
            by,
            through,
            is_union,
        });
    }

    fn collect(&mut self, node: &Node, by: MemberIx, members: &[MemberIx], is_union: bool) {
        match node {
            Node::Nil | Node::SelfObject(_) => {}
            Node::Member(member) => {
                if members.contains(member) {
                    self.add(*member, by, None, is_union);
                }
            }
            Node::Arrow(quantifier, steps) => {
                let is_union = is_union && *quantifier == Quantifier::Any;
                for step in steps {
                    if let Some(target) = step.target.filter(|target| members.contains(target)) {
                        self.add(target, by, Some(step.class), is_union);
                    }
                }
            }
            Node::Union(operands) => {
                for operand in operands {
                    self.collect(operand, by, members, is_union);
                }
            }
            Node::Intersection(operands) => {
                for operand in operands {
                    self.collect(operand, by, members, false);
                }
            }
            Node::Exclusion(left, right) => {
                self.collect(left, by, members, false);
                let before: usize = self.of.values().map(Vec::len).sum();
                self.collect(right, by, members, false);
                self.is_excluded |= self.of.values().map(Vec::len).sum::<usize>() > before;
            }
        }
    }
}
