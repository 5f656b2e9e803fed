//! From a resource downwards: every node that it can reach, each with the set of all subjects of the asked kind that have
//! it, from the nodes that lead to nothing else up to the one that is asked.
//!
//! A wildcard is the default of a set, so an exclusion from it stays exact for subjects that no relationship names.
//! Nodes that lead to each other in a circle through unions alone all come to the same set. Any other circle takes the
//! equations of each subject.

use std::rc::Rc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;
use schema::{DefinitionIx, MemberIx, Quantifier};

use super::resources::Stop;
use super::set::Set;
use super::work::Work;
use crate::eval::components::components;
use crate::eval::memo::NodeKey;
use crate::eval::plan::{ArrowStep, Node, RelationSteps, Steps};
use crate::eval::query::{Subject, UNKNOWN_SUBJECT};
use crate::eval::value::{EvalError, Value};
use crate::graph::{ClassIx, ObjectIx, Snapshot};

/// What a node is made of, for all subjects at once.
enum Formula {
    /// Boxed: most formulas are nodes, and there may be as many as edges.
    Known(Box<Set>),
    Node(u32),
    /// A relationship that counts as far as its value says, and what lies behind it.
    Edge(Value, Box<Formula>),
    Any(Vec<Formula>),
    All(Vec<Formula>),
    Without(Box<(Formula, Formula)>),
}

/// Which subjects are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) definition: DefinitionIx,
    /// The relation or permission of subject sets; none for the objects themselves.
    pub(super) set: Option<MemberIx>,
}

/// The nodes that a resource can reach.
pub(super) struct Reached {
    formulas: Vec<Formula>,
}

struct Builder<'a, 'w> {
    snapshot: &'a Snapshot,
    kind: Kind,
    work: &'w mut Work<'a>,
    nodes: Vec<NodeKey>,
    numbers: HashMap<NodeKey, u32, foldhash::fast::FixedState>,
}

impl Reached {
    /// Collects what `root` can reach.
    ///
    /// # Errors
    /// [`EvalError::WorkExceeded`] and [`EvalError::Interrupted`].
    pub(super) fn from<'a>(
        snapshot: &'a Snapshot,
        root: NodeKey,
        kind: Kind,
        work: &mut Work<'a>,
    ) -> Result<Self, EvalError> {
        let mut builder = Builder {
            snapshot,
            kind,
            work,
            nodes: Vec::new(),
            numbers: HashMap::default(),
        };
        builder.node(root.member, root.object);
        let mut formulas = Vec::new();
        while let Some(key) = builder.nodes.get(formulas.len()).copied() {
            formulas.push(builder.formula(key)?);
        }
        Ok(Self { formulas })
    }

    /// The subjects that are named anywhere: no other one differs from the default.
    pub(super) fn named(&self) -> RoaringBitmap {
        let mut named = RoaringBitmap::new();
        for formula in &self.formulas {
            formula.each_known(&mut |set| {
                named |= &set.yes;
                named.extend(set.other.keys().copied());
            });
        }
        named
    }

    /// The set of the root, before the depth limit is applied.
    ///
    /// # Errors
    /// [`Stop::Equations`] for a circle that is not made of unions alone; [`EvalError::Interrupted`].
    pub(super) fn solve(&self, work: &Work<'_>) -> Result<Set, Stop> {
        let successors: Vec<Vec<u32>> = self.formulas.iter().map(Formula::nodes).collect();
        let mut circles: Vec<Vec<u32>> = Vec::new();
        for (node, number) in components(&successors).into_iter().enumerate() {
            let number = number as usize;
            if circles.len() <= number {
                circles.resize_with(number + 1, Vec::new);
            }
            if let Some(circle) = circles.get_mut(number) {
                circle.push(node as u32);
            }
        }
        let mut users = vec![0u32; self.formulas.len()];
        for node in successors.iter().flatten() {
            if let Some(users) = users.get_mut(*node as usize) {
                *users += 1;
            }
        }
        let mut solved = Solved {
            sets: vec![None; self.formulas.len()],
            users,
        };
        for circle in &circles {
            work.look()?;
            self.solve_circle(circle, &successors, &mut solved)?;
            for node in circle
                .iter()
                .filter_map(|node| successors.get(*node as usize))
                .flatten()
            {
                solved.used(*node);
            }
        }
        Ok(Rc::unwrap_or_clone(solved.set(0)))
    }

    fn solve_circle(
        &self,
        circle: &[u32],
        successors: &[Vec<u32>],
        solved: &mut Solved,
    ) -> Result<(), Stop> {
        let formula = |node: &u32| self.formulas.get(*node as usize);
        if let [node] = circle {
            let leads_to_itself = successors
                .get(*node as usize)
                .is_some_and(|next| next.contains(node));
            if !leads_to_itself {
                let set = formula(node)
                    .map(|formula| formula.value(solved))
                    .unwrap_or_default();
                solved.keep(*node, Rc::new(set.raised()));
                return Ok(());
            }
        }
        let is_united = circle
            .iter()
            .filter_map(formula)
            .all(|formula| formula.is_union_of(circle));
        if !is_united {
            return Err(Stop::Equations);
        }
        let mut united = Set::default();
        for formula in circle.iter().filter_map(formula) {
            united = united.or(&formula.value(solved));
        }
        // A shortest derivation meets a node at most once.
        for _ in circle {
            united = united.raised();
        }
        let united = Rc::new(united);
        for node in circle {
            solved.keep(*node, Rc::clone(&united));
        }
        Ok(())
    }
}

/// The sets of the nodes so far, each for as long as a node that uses it is to come.
struct Solved {
    sets: Vec<Option<Rc<Set>>>,
    users: Vec<u32>,
}

impl Solved {
    /// The set of a node; an empty one while its circle is being solved.
    fn set(&self, node: u32) -> Rc<Set> {
        self.sets
            .get(node as usize)
            .cloned()
            .flatten()
            .unwrap_or_default()
    }

    fn keep(&mut self, node: u32, set: Rc<Set>) {
        if let Some(place) = self.sets.get_mut(node as usize) {
            *place = Some(set);
        }
    }

    fn used(&mut self, node: u32) {
        const ROOT: u32 = 0;
        let Some(users) = self.users.get_mut(node as usize) else {
            return;
        };
        *users = users.saturating_sub(1);
        if *users == 0
            && node != ROOT
            && let Some(place) = self.sets.get_mut(node as usize)
        {
            *place = None;
        }
    }
}

impl Formula {
    fn value(&self, solved: &Solved) -> Set {
        match self {
            Self::Known(set) => (**set).clone(),
            Self::Node(node) => (*solved.set(*node)).clone(),
            Self::Edge(edge, behind) => behind.value(solved).under(edge),
            Self::Any(operands) => {
                let mut set = Set::default();
                for operand in operands {
                    set = match operand {
                        Self::Node(node) => set.or(&solved.set(*node)),
                        Self::Known(known) => set.or(known),
                        Self::Edge(..) | Self::Any(_) | Self::All(_) | Self::Without(_) => {
                            set.or(&operand.value(solved))
                        }
                    };
                }
                set
            }
            Self::All(operands) => {
                let mut all: Option<Set> = None;
                for operand in operands {
                    let set = operand.value(solved);
                    let both = match all {
                        Some(all) => all.and(&set),
                        None => set,
                    };
                    if both.is_empty() {
                        return both;
                    }
                    all = Some(both);
                }
                all.unwrap_or_default()
            }
            Self::Without(sides) => {
                let left = sides.0.value(solved);
                if left.is_empty() {
                    return left;
                }
                left.without(&sides.1.value(solved))
            }
        }
    }

    fn nodes(&self) -> Vec<u32> {
        let mut found = Vec::new();
        self.each_node(&mut |node| found.push(node));
        found
    }

    fn each_node(&self, visit: &mut dyn FnMut(u32)) {
        match self {
            Self::Known(_) => {}
            Self::Node(node) => visit(*node),
            Self::Edge(_, behind) => behind.each_node(visit),
            Self::Any(operands) | Self::All(operands) => {
                operands.iter().for_each(|operand| operand.each_node(visit));
            }
            Self::Without(sides) => {
                sides.0.each_node(visit);
                sides.1.each_node(visit);
            }
        }
    }

    fn each_known(&self, visit: &mut dyn FnMut(&Set)) {
        match self {
            Self::Known(set) => visit(set),
            Self::Node(_) => {}
            Self::Edge(_, behind) => behind.each_known(visit),
            Self::Any(operands) | Self::All(operands) => {
                operands
                    .iter()
                    .for_each(|operand| operand.each_known(visit));
            }
            Self::Without(sides) => {
                sides.0.each_known(visit);
                sides.1.each_known(visit);
            }
        }
    }

    /// Whether nodes of `circle` only come in through unions and certain relationships.
    fn is_union_of(&self, circle: &[u32]) -> bool {
        match self {
            Self::Known(_) | Self::Node(_) => true,
            Self::Any(operands) => operands.iter().all(|operand| operand.is_union_of(circle)),
            Self::Edge(Value::Yes, behind) => behind.is_union_of(circle),
            Self::Edge(..) | Self::All(_) | Self::Without(_) => {
                let mut is_apart = true;
                self.each_node(&mut |node| is_apart &= circle.binary_search(&node).is_err());
                is_apart
            }
        }
    }
}

impl<'a> Builder<'a, '_> {
    /// The node; nothing if it can never have a subject of the asked kind.
    fn node(&mut self, member: MemberIx, object: ObjectIx) -> Formula {
        let definition_count = self.snapshot.schema().definitions().len();
        let anybody = Subject {
            definition: self.kind.definition,
            object: UNKNOWN_SUBJECT,
            set: self.kind.set,
        };
        let plan = self.snapshot.plan().member(member);
        if !plan.may_hold(anybody, definition_count) {
            return Formula::Known(Box::default());
        }
        let key = NodeKey { member, object };
        let next = self.nodes.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.nodes.push(key);
        }
        Formula::Node(number)
    }

    fn formula(&mut self, key: NodeKey) -> Result<Formula, EvalError> {
        let snapshot: &'a Snapshot = self.snapshot;
        let formula = match &snapshot.plan().member(key.member).steps {
            Steps::Relation(steps) => self.relation(steps, key.object)?,
            Steps::Permission(node) => self.permission(node, key.object)?,
        };
        // A set is a member of itself.
        Ok(if self.kind.set == Some(key.member) {
            Formula::Any(vec![
                Formula::Known(Box::new(Set::one(key.object.0))),
                formula,
            ])
        } else {
            formula
        })
    }

    fn relation(&mut self, steps: &RelationSteps, object: ObjectIx) -> Result<Formula, EvalError> {
        let mut known = Set::default();
        if self.kind.set.is_none() {
            for (definition, class) in &steps.wildcards {
                if *definition == self.kind.definition
                    && let Some(edge) = self
                        .snapshot
                        .class(*class)
                        .edge(object, ObjectIx::WILDCARD_SUBJECT)
                {
                    let value = self.work.edge(self.snapshot, edge.annotation())?;
                    known.default = known.default.or(value);
                }
            }
            for (definition, class) in &steps.objects {
                if *definition == self.kind.definition {
                    self.subjects(*class, object, &mut known)?;
                }
            }
        }
        let mut operands = vec![Formula::Known(Box::new(known))];
        for step in &steps.sets {
            self.edges(step.class, Some(step.member), object, false, &mut operands)?;
        }
        Ok(Formula::Any(operands))
    }

    fn subjects(
        &mut self,
        class: ClassIx,
        object: ObjectIx,
        to: &mut Set,
    ) -> Result<(), EvalError> {
        let mut named = Set::default();
        for (subject, annotation) in self.snapshot.class(class).subjects(object) {
            let value = self.work.edge(self.snapshot, annotation)?;
            named.insert(subject, value, 0);
        }
        *to = std::mem::take(to).or(&named);
        Ok(())
    }

    fn permission(&mut self, node: &Node, object: ObjectIx) -> Result<Formula, EvalError> {
        let mut each = |operands: &[Node]| -> Result<Vec<Formula>, EvalError> {
            operands
                .iter()
                .map(|operand| self.permission(operand, object))
                .collect()
        };
        Ok(match node {
            Node::Nil => Formula::Known(Box::default()),
            Node::SelfObject(definition) => {
                let is_asked = self.kind.set.is_none() && self.kind.definition == *definition;
                Formula::Known(Box::new(if is_asked {
                    Set::one(object.0)
                } else {
                    Set::default()
                }))
            }
            Node::Member(member) => self.node(*member, object),
            Node::Arrow(quantifier, steps) => self.arrow(*quantifier, steps, object)?,
            Node::Union(operands) => Formula::Any(each(operands)?),
            Node::Intersection(operands) => Formula::All(each(operands)?),
            Node::Exclusion(left, right) => Formula::Without(Box::new((
                self.permission(left, object)?,
                self.permission(right, object)?,
            ))),
        })
    }

    fn arrow(
        &mut self,
        quantifier: Quantifier,
        steps: &[ArrowStep],
        object: ObjectIx,
    ) -> Result<Formula, EvalError> {
        let is_all = quantifier == Quantifier::All;
        let mut edges = Vec::new();
        for step in steps {
            self.edges(step.class, step.target, object, is_all, &mut edges)?;
        }
        Ok(if is_all {
            Formula::All(edges)
        } else {
            Formula::Any(edges)
        })
    }

    /// Adds what the unexpired edges of `object` lead to; those that lead to nothing only where `keeps_nothing`.
    fn edges(
        &mut self,
        class: ClassIx,
        target: Option<MemberIx>,
        object: ObjectIx,
        keeps_nothing: bool,
        edges: &mut Vec<Formula>,
    ) -> Result<(), EvalError> {
        let now = self.work.environment.now;
        for (subject, annotation) in self.snapshot.class(class).subjects(object) {
            if annotation.is_some_and(|annotation| annotation.is_expired(now)) {
                self.work.visit()?;
                continue;
            }
            let edge = self.work.edge(self.snapshot, annotation)?;
            let behind = match target {
                Some(target) if edge != Value::No => self.node(target, ObjectIx(subject)),
                Some(_) | None => Formula::Known(Box::default()),
            };
            match (&behind, &edge) {
                (Formula::Known(_), _) if keeps_nothing => edges.push(behind),
                (Formula::Known(_), _) => {}
                (_, Value::Yes) => edges.push(behind),
                (_, Value::No | Value::Undecided(_)) => {
                    edges.push(Formula::Edge(edge, Box::new(behind)))
                }
            }
        }
        Ok(())
    }
}
