//! Exact answers from equations: the well-founded model, component by component.
//!
//! A value is an interval of truth: yes is (1, 1), no is (0, 0), conditional and error are (0, 1) with their flags. Within
//! a component the bounds alternate: the lower ones are the least fixed point in which the right side of an exclusion
//! is read from the upper bounds, and the other way round, until nothing moves. What stays undecided takes the flags of
//! all that it depends on; if it depends on itself through the right side of an exclusion it is a cyclic exclusion.
//!
//! Height is the length of the shortest derivation of a yes and of the whole of a conditional value, where nodes that
//! depend on each other count once. A no needs no derivation.

use model::Decision;

use super::Environment;
use super::components::components;
use super::formula::{Equations, Formula};
use super::memo::NodeKey;
use super::query::{Query, Subject};
use super::value::{EvalError, Flags, Value};
use crate::graph::Snapshot;

/// The equations of a question with the value of every node.
pub(super) struct Solution {
    pub(super) equations: Equations,
    nodes: Vec<NodeValue>,
    depth_max: u16,
    turns: u32,
}

#[derive(Debug, Clone, Default)]
struct NodeValue {
    lower: bool,
    upper: bool,
    /// The bounds of the round before, lower and upper: what the right sides of exclusions are read from.
    settled: (bool, bool),
    flags: Flags,
    /// Of a yes or an undecided node; [`UNBOUNDED`] while unknown.
    height: u32,
    /// The turn in which it became a yes or a no; components have their turns one after the other.
    turn: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Lower,
    Upper,
}

/// On which side of an exclusion a part stands; the right side of any around it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

const UNBOUNDED: u32 = u32::MAX;

/// Solves the equations of `query`.
///
/// # Errors
/// [`EvalError::WorkExceeded`] if they are too many. Every other error is a value.
pub(super) fn solve(
    snapshot: &Snapshot,
    query: &Query,
    environment: Environment<'_>,
) -> Result<Solution, EvalError> {
    let asked = NodeKey {
        member: query.member,
        object: query.resource,
    };
    solve_all(snapshot, &[asked], query.subject, environment)
}

/// Solves the equations of several nodes, each another one, for one subject.
///
/// # Errors
/// As [`solve`].
pub(super) fn solve_all(
    snapshot: &Snapshot,
    asked: &[NodeKey],
    subject: Subject,
    environment: Environment<'_>,
) -> Result<Solution, EvalError> {
    let equations = Equations::of(snapshot, asked, subject, environment)?;
    let successors: Vec<Vec<u32>> = equations
        .formulas
        .iter()
        .map(Formula::node_references)
        .collect();
    let mut members: Vec<Vec<u32>> = Vec::new();
    for (node, number) in components(&successors).into_iter().enumerate() {
        let number = number as usize;
        if members.len() <= number {
            members.resize_with(number + 1, Vec::new);
        }
        if let Some(component) = members.get_mut(number) {
            component.push(node as u32);
        }
    }
    let start = NodeValue {
        upper: true,
        settled: (false, true),
        height: UNBOUNDED,
        ..NodeValue::default()
    };
    let nodes = vec![start; equations.formulas.len()];
    let mut solution = Solution {
        equations,
        nodes,
        depth_max: environment.depth_max,
        turns: 0,
    };
    for component in members {
        solution.solve_bounds(&component);
        solution.solve_heights(&component);
        solution.solve_undecided(&component);
    }
    Ok(solution)
}

impl Solution {
    /// How many edges were visited for the equations.
    pub(super) fn edges_visited(&self) -> u64 {
        self.equations.edges_visited
    }

    /// What the question comes to.
    pub(super) fn decision(&self) -> Result<Decision, EvalError> {
        self.decision_of(0)
    }

    /// What a node would come to were it the question.
    pub(super) fn decision_of(&self, node: u32) -> Result<Decision, EvalError> {
        let node = self.node(node);
        let value = if node.lower {
            Value::Yes
        } else if node.upper {
            Value::Undecided(Box::new(node.flags.clone()))
        } else {
            Value::No
        };
        let decision = value.into_decision()?;
        if decision != Decision::Denied && node.height > u32::from(self.depth_max) {
            return Err(EvalError::DepthExceeded {
                depth_max: self.depth_max,
            });
        }
        Ok(decision)
    }

    pub(super) fn formula(&self, node: u32) -> &Formula {
        const NOTHING: &Formula = &Formula::Known(Value::No);
        self.equations
            .formulas
            .get(node as usize)
            .unwrap_or(NOTHING)
    }

    /// What a node stands for.
    #[expect(
        clippy::indexing_slicing,
        reason = "a node's number is only made with its key"
    )]
    pub(super) fn key(&self, node: u32) -> NodeKey {
        // PANIC: as above.
        self.equations.nodes[node as usize]
    }

    pub(super) fn is_yes(&self, formula: &Formula) -> bool {
        self.holds(formula, Bound::Lower)
    }

    pub(super) fn is_no(&self, formula: &Formula) -> bool {
        !self.holds(formula, Bound::Upper)
    }

    /// Whether an undecided part rests on an error.
    pub(super) fn has_errors(&self, formula: &Formula) -> bool {
        let mut parts = Parts::default();
        self.collect_parts(formula, false, &mut parts);
        !parts.flags.errors.is_empty()
            || parts
                .nodes
                .iter()
                .any(|(node, _)| !self.node(*node).flags.errors.is_empty())
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a node's number is only made with its value"
    )]
    fn node(&self, node: u32) -> &NodeValue {
        // PANIC: there is one value for each equation, and a reference is the number of an equation.
        &self.nodes[node as usize]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a node's number is only made with its value"
    )]
    fn node_mut(&mut self, node: u32) -> &mut NodeValue {
        // PANIC: as above.
        &mut self.nodes[node as usize]
    }

    fn holds(&self, formula: &Formula, bound: Bound) -> bool {
        self.holds_in(formula, bound, Side::Left)
    }

    /// Whether a bound holds. However many right sides of exclusions lie around a node, it is read as settled: a node that
    /// depends on itself through one has no answer, even where two of them would cancel.
    fn holds_in(&self, formula: &Formula, bound: Bound, side: Side) -> bool {
        match formula {
            Formula::Known(value) => value.holds(bound),
            Formula::Node(node) => {
                let value = self.node(*node);
                match (side, bound) {
                    (Side::Left, Bound::Lower) => value.lower,
                    (Side::Left, Bound::Upper) => value.upper,
                    (Side::Right, Bound::Lower) => value.settled.0,
                    (Side::Right, Bound::Upper) => value.settled.1,
                }
            }
            Formula::Edge { value, behind, .. } => {
                value.holds(bound) && self.holds_in(behind, bound, side)
            }
            Formula::Any(operands) => operands
                .iter()
                .any(|operand| self.holds_in(operand, bound, side)),
            Formula::All(operands) => operands
                .iter()
                .all(|operand| self.holds_in(operand, bound, side)),
            Formula::Without(sides) => {
                let other = match bound {
                    Bound::Lower => Bound::Upper,
                    Bound::Upper => Bound::Lower,
                };
                self.holds_in(&sides.0, bound, side) && !self.holds_in(&sides.1, other, Side::Right)
            }
        }
    }

    fn solve_bounds(&mut self, component: &[u32]) {
        let mut changed = true;
        while changed {
            self.least_fixed_point(component, Bound::Lower);
            changed = self.settle(component);
            self.least_fixed_point(component, Bound::Upper);
            changed |= self.settle(component);
        }
    }

    /// Settles the bounds of a component; whether any has moved.
    fn settle(&mut self, component: &[u32]) -> bool {
        let mut changed = false;
        self.turns += 1;
        let turn = self.turns;
        for node in component {
            let value = self.node_mut(*node);
            let bounds = (value.lower, value.upper);
            if value.settled != bounds {
                changed = true;
                value.turn = turn;
            }
            value.settled = bounds;
        }
        changed
    }

    /// The turn in which a part that is a yes or a no became so. What justifies a part never has a later one, and what
    /// an exclusion takes away has an earlier one: so a justification by turns does not go in a circle.
    pub(super) fn turn(&self, formula: &Formula) -> u32 {
        let is_yes = self.is_yes(formula);
        match formula {
            Formula::Known(_) => 0,
            Formula::Node(node) => self.node(*node).turn,
            Formula::Edge { value, .. } if *value == Value::No => 0,
            Formula::Edge { behind, .. } => self.turn(behind),
            Formula::Any(operands) | Formula::All(operands) => {
                let is_any = matches!(formula, Formula::Any(_));
                let turns = operands
                    .iter()
                    .filter(|operand| self.is_yes(operand) == is_yes)
                    .map(|o| self.turn(o));
                // One operand makes a yes of any and a no of all; otherwise it takes each of them.
                if is_any == is_yes {
                    turns.min().unwrap_or(0)
                } else {
                    turns.max().unwrap_or(0)
                }
            }
            Formula::Without(sides) if is_yes => self.turn(&sides.0).max(self.turn(&sides.1)),
            Formula::Without(sides) => {
                let left = self.is_no(&sides.0).then(|| self.turn(&sides.0));
                let right = self.is_yes(&sides.1).then(|| self.turn(&sides.1));
                left.into_iter().chain(right).min().unwrap_or(0)
            }
        }
    }

    /// Starts the bound of a component's nodes from false and raises it until nothing moves.
    fn least_fixed_point(&mut self, component: &[u32], bound: Bound) {
        for node in component {
            self.set(*node, bound, false);
        }
        let mut changed = true;
        while changed {
            changed = false;
            for node in component {
                let is_set = match bound {
                    Bound::Lower => self.node(*node).lower,
                    Bound::Upper => self.node(*node).upper,
                };
                if !is_set && self.holds(self.formula(*node), bound) {
                    self.set(*node, bound, true);
                    changed = true;
                }
            }
        }
    }

    fn set(&mut self, node: u32, bound: Bound, holds: bool) {
        let value = self.node_mut(node);
        match bound {
            Bound::Lower => value.lower = holds,
            Bound::Upper => value.upper = holds,
        }
    }

    /// The heights of the nodes that are a yes.
    fn solve_heights(&mut self, component: &[u32]) {
        let mut changed = true;
        while changed {
            changed = false;
            for node in component {
                if !self.node(*node).lower {
                    continue;
                }
                let height = self.height(self.formula(*node)).saturating_add(1);
                if height < self.node(*node).height {
                    self.node_mut(*node).height = height;
                    changed = true;
                }
            }
        }
    }

    /// The length of the shortest derivation of a part that is a yes.
    pub(super) fn height(&self, formula: &Formula) -> u32 {
        if !self.is_yes(formula) {
            return UNBOUNDED;
        }
        match formula {
            Formula::Known(_) => 0,
            Formula::Node(node) => self.node(*node).height,
            Formula::Edge { behind, .. } => self.height(behind),
            Formula::Any(operands) => operands
                .iter()
                .map(|operand| self.height(operand))
                .min()
                .unwrap_or(UNBOUNDED),
            Formula::All(operands) => operands
                .iter()
                .map(|operand| self.height(operand))
                .max()
                .unwrap_or(0),
            Formula::Without(sides) => self.height(&sides.0),
        }
    }

    /// The flags and heights of the nodes that are neither a yes nor a no.
    fn solve_undecided(&mut self, component: &[u32]) {
        let undecided: Vec<u32> = component
            .iter()
            .copied()
            .filter(|node| self.node(*node).lower != self.node(*node).upper)
            .collect();
        if undecided.is_empty() {
            return;
        }
        let parts: Vec<Parts> = undecided.iter().map(|node| self.parts(*node)).collect();
        let local = |node: &u32| undecided.binary_search(node).ok().map(|ix| ix as u32);
        let successors: Vec<Vec<u32>> = parts
            .iter()
            .map(|part| {
                part.nodes
                    .iter()
                    .filter_map(|(node, _)| local(node))
                    .collect()
            })
            .collect();
        let circle_of = components(&successors);
        let circles = circle_of.iter().max().map_or(0, |last| last + 1);
        for circle in 0..circles {
            let members: Vec<usize> = (0..undecided.len())
                .filter(|ix| circle_of.get(*ix) == Some(&circle))
                .collect();
            self.solve_circle(&undecided, &parts, &members);
        }
    }

    /// Undecided nodes that depend on each other share their flags and their height.
    fn solve_circle(&mut self, undecided: &[u32], parts: &[Parts], members: &[usize]) {
        let is_member = |node: &u32| {
            undecided
                .binary_search(node)
                .is_ok_and(|ix| members.binary_search(&ix).is_ok())
        };
        let mut flags = Flags::default();
        let mut height = 0;
        for part in members.iter().filter_map(|ix| parts.get(*ix)) {
            flags.merge(part.flags.clone());
            height = height.max(part.height);
            for (node, is_excluded) in &part.nodes {
                if is_member(node) {
                    if *is_excluded {
                        flags.errors.insert(EvalError::CyclicExclusion);
                    }
                } else {
                    flags.merge(self.node(*node).flags.clone());
                    height = height.max(self.node(*node).height);
                }
            }
        }
        for node in members.iter().filter_map(|ix| undecided.get(*ix)) {
            let value = self.node_mut(*node);
            value.flags = flags.clone();
            value.height = height.saturating_add(1);
        }
    }

    fn parts(&self, node: u32) -> Parts {
        let mut parts = Parts::default();
        self.collect_parts(self.formula(node), false, &mut parts);
        parts
    }

    fn collect_parts(&self, formula: &Formula, is_excluded: bool, parts: &mut Parts) {
        if self.is_yes(formula) {
            parts.height = parts.height.max(self.height(formula));
            return;
        }
        if self.is_no(formula) {
            return;
        }
        match formula {
            Formula::Known(value) => parts.take(value),
            Formula::Node(node) => parts.nodes.push((*node, is_excluded)),
            Formula::Edge { value, behind, .. } => {
                parts.take(value);
                self.collect_parts(behind, is_excluded, parts);
            }
            Formula::Any(operands) | Formula::All(operands) => {
                for operand in operands {
                    self.collect_parts(operand, is_excluded, parts);
                }
            }
            Formula::Without(sides) => {
                self.collect_parts(&sides.0, is_excluded, parts);
                self.collect_parts(&sides.1, true, parts);
            }
        }
    }
}

/// What the value of an undecided node rests on: its own flags, other undecided nodes (and whether on the right side of
/// an exclusion), and the height of what is a yes among it.
#[derive(Default)]
struct Parts {
    flags: Flags,
    nodes: Vec<(u32, bool)>,
    height: u32,
}

impl Parts {
    fn take(&mut self, value: &Value) {
        match value {
            Value::No | Value::Yes => {}
            Value::Undecided(flags) => self.flags.merge((**flags).clone()),
        }
    }
}

impl Value {
    fn holds(&self, bound: Bound) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Undecided(_) => bound == Bound::Upper,
        }
    }
}

impl Formula {
    fn node_references(&self) -> Vec<u32> {
        let mut found = Vec::new();
        self.each_node(&mut |node| found.push(node));
        found
    }

    fn each_node(&self, visit: &mut dyn FnMut(u32)) {
        match self {
            Self::Known(_) => {}
            Self::Node(node) => visit(*node),
            Self::Edge { behind, .. } => behind.each_node(visit),
            Self::Any(operands) | Self::All(operands) => {
                operands.iter().for_each(|operand| operand.each_node(visit));
            }
            Self::Without(sides) => {
                sides.0.each_node(visit);
                sides.1.each_node(visit);
            }
        }
    }
}
