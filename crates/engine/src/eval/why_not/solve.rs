//! The ways to make a question a yes: what each part takes to be true or to be false, component by component.
//!
//! Within a circle a yes is a least fixed point, so its ways grow from none; a no is a greatest one, so its ways shrink from
//! nothing needed. A circle through the right side of an exclusion has neither: what is found there is not all.

use std::collections::HashSet;

use super::equations::Formula;
use super::variables::{Variable, Variables};
use super::ways::{Effort, Literal, Ways};
use crate::eval::components::components;

/// Equations in the order in which they can be solved, with what is needed of each.
pub(super) struct Plan<'p> {
    formulas: &'p [Formula],
    needs: Needs,
    /// Those first that others rest on.
    components: Vec<Component>,
    /// Whether no circle goes through the right side of an exclusion.
    is_exact: bool,
}

struct Component {
    nodes: Vec<usize>,
    is_circle: bool,
}

impl<'p> Plan<'p> {
    /// Of equations whose first is the question.
    pub(super) fn of(formulas: &'p [Formula]) -> Self {
        let mut is_exact = true;
        let components = by_component(formulas)
            .into_iter()
            .map(|nodes| {
                let (is_circle, is_through_exclusion) = circles(formulas, &nodes);
                is_exact &= !is_through_exclusion;
                Component { nodes, is_circle }
            })
            .collect();
        Self {
            formulas,
            needs: needed(formulas),
            components,
            is_exact,
        }
    }

    pub(super) fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// The ways to a yes where the changes of `taken` are made already.
    pub(super) fn solve(
        &self,
        variables: &Variables<'_>,
        taken: &[Literal],
        effort: &mut Effort,
    ) -> Ways {
        let ways_max = effort.ways_max;
        let mut solver = Solver {
            plan: self,
            variables,
            taken,
            ways: vec![[Ways::none(), Ways::none()]; self.formulas.len()],
            effort,
        };
        for component in &self.components {
            solver.component(component);
        }
        solver.effort.ways_max = ways_max;
        let yes = solver.ways.first_mut().map(|[yes, _]| std::mem::take(yes));
        yes.unwrap_or_default()
    }
}

/// Whether a node is needed as a yes, and as a no.
type Needs = Vec<[bool; 2]>;

/// Which nodes are needed as what.
fn needed(formulas: &[Formula]) -> Needs {
    let mut needs = vec![[false; 2]; formulas.len()];
    let mut open = vec![(0usize, false)];
    while let Some((node, is_negated)) = open.pop() {
        let Some(need) = needs
            .get_mut(node)
            .and_then(|needs| needs.get_mut(usize::from(is_negated)))
        else {
            continue;
        };
        if std::mem::replace(need, true) {
            continue;
        }
        if let Some(formula) = formulas.get(node) {
            formula.each_node(is_negated, &mut |node, is_negated| {
                open.push((node as usize, is_negated));
            });
        }
    }
    needs
}

/// Whether nodes of a component lead to each other, and whether they do so through the right side of an exclusion.
fn circles(formulas: &[Formula], nodes: &[usize]) -> (bool, bool) {
    let members: HashSet<usize> = nodes.iter().copied().collect();
    let mut found = (false, false);
    for formula in nodes.iter().filter_map(|node| formulas.get(*node)) {
        formula.each_node(false, &mut |node, is_negated| {
            if members.contains(&(node as usize)) {
                found = (true, found.1 || is_negated);
            }
        });
    }
    found
}

/// The nodes of each component, those first that others rest on.
fn by_component(formulas: &[Formula]) -> Vec<Vec<usize>> {
    let successors: Vec<Vec<u32>> = formulas
        .iter()
        .map(|formula| {
            let mut found = Vec::new();
            formula.each_node(false, &mut |node, _| found.push(node));
            found
        })
        .collect();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (node, number) in components(&successors).into_iter().enumerate() {
        let number = number as usize;
        if members.len() <= number {
            members.resize_with(number + 1, Vec::new);
        }
        if let Some(component) = members.get_mut(number) {
            component.push(node);
        }
    }
    members
}

struct Solver<'s, 'a> {
    plan: &'s Plan<'s>,
    variables: &'s Variables<'a>,
    taken: &'s [Literal],
    /// Of each node, the ways to a yes and those to a no.
    ways: Vec<[Ways; 2]>,
    effort: &'s mut Effort,
}

/// Rounds in a component for each of its nodes, and at least; a circle through an exclusion may never settle.
const ROUNDS_PER_NODE: usize = 2;
const ROUNDS_MIN: usize = 16;
/// What each node of a circle is thought to cost for each of its ways; a large circle keeps fewer.
const COST_PER_WAY: u64 = 32;
const WAYS_IN_CIRCLE_MIN: usize = 4;

impl Solver<'_, '_> {
    fn component(&mut self, component: &Component) {
        if !component.is_circle {
            self.round(component);
            return;
        }
        for node in &component.nodes {
            if let Some([_, no]) = self.ways.get_mut(*node) {
                *no = Ways::nothing_needed();
            }
        }
        let ways_max = self.effort.ways_max;
        // Half of what is left is for what comes after.
        let kept_back = self.effort.combinations_left / 2;
        self.effort.combinations_left -= kept_back;
        let cost = (component.nodes.len() as u64).saturating_mul(COST_PER_WAY);
        let affordable = usize::try_from(self.effort.combinations_left / cost.max(1));
        let affordable = affordable.unwrap_or(usize::MAX).max(WAYS_IN_CIRCLE_MIN);
        self.effort.ways_max = ways_max.min(affordable);
        let rounds = ROUNDS_MIN.max(component.nodes.len().saturating_mul(ROUNDS_PER_NODE));
        let is_settled = (0..rounds).any(|_| !self.round(component));
        self.effort.is_truncated |= !is_settled;
        self.effort.combinations_left += kept_back;
        self.effort.ways_max = ways_max;
    }

    /// Works out each node anew; whether any has moved.
    fn round(&mut self, component: &Component) -> bool {
        let plan = self.plan;
        let mut has_moved = false;
        // Those further from the question come first, since the others rest on them.
        for node in component.nodes.iter().rev() {
            let needs = plan.needs.get(*node).copied().unwrap_or_default();
            for (side, is_yes) in [(0, true), (1, false)] {
                let needed = plan.formulas.get(*node);
                let Some(formula) = needed.filter(|_| needs.get(side) == Some(&true)) else {
                    continue;
                };
                if !self.effort.spend(1) {
                    return false;
                }
                let ways = self.ways_to(formula, is_yes);
                let known = self.ways.get_mut(*node).and_then(|it| it.get_mut(side));
                if let Some(known) = known.filter(|known| **known != ways) {
                    *known = ways;
                    has_moved = true;
                }
            }
        }
        has_moved
    }

    fn ways_to(&mut self, formula: &Formula, is_yes: bool) -> Ways {
        match formula {
            Formula::Known(value) => settled(*value == Some(is_yes)),
            Formula::Kept(number) => self.kept(*number, is_yes),
            Formula::Put(number) => self.put(*number, is_yes),
            Formula::Holds(number) => self.holds(*number, is_yes),
            Formula::Node(node) => {
                let ways = self.ways.get(*node as usize);
                let ways = ways.and_then(|ways| ways.get(usize::from(!is_yes)));
                ways.cloned().unwrap_or_default()
            }
            Formula::Any(operands) if is_yes => self.either(operands, is_yes),
            Formula::Any(operands) => self.each(operands, is_yes),
            Formula::All(operands) if is_yes => self.each(operands, is_yes),
            Formula::All(operands) => self.either(operands, is_yes),
            Formula::Not(operand) => self.ways_to(operand, !is_yes),
        }
    }

    fn either(&mut self, operands: &[Formula], is_yes: bool) -> Ways {
        let mut ways = Ways::none();
        for operand in operands {
            if !self.effort.spend(1) {
                break;
            }
            let of_operand = self.ways_to(operand, is_yes);
            ways = ways.or(of_operand, self.effort);
        }
        ways
    }

    fn each(&mut self, operands: &[Formula], is_yes: bool) -> Ways {
        let mut ways = Ways::nothing_needed();
        for operand in operands {
            if !self.effort.spend(1) {
                return Ways::none();
            }
            let of_operand = self.ways_to(operand, is_yes);
            ways = ways.and(of_operand, self.effort);
            if ways.is_none() {
                break;
            }
        }
        ways
    }

    fn kept(&self, number: u32, is_yes: bool) -> Ways {
        if self.has_taken(number * 2) || self.has_taken(number * 2 + 1) {
            return settled(!is_yes);
        }
        let may_remove =
            matches!(self.variables.get(number), Some(Variable::Row(row)) if row.may_remove);
        match is_yes {
            true => Ways::nothing_needed(),
            false if may_remove => self.by(number * 2 + 1),
            false => Ways::none(),
        }
    }

    fn put(&self, number: u32, is_yes: bool) -> Ways {
        let is_put = self.has_taken(number * 2);
        if is_put || self.has_taken(number * 2 + 1) {
            return settled(is_put == is_yes);
        }
        match is_yes {
            true => self.by(number * 2),
            false => Ways::nothing_needed(),
        }
    }

    fn holds(&self, number: u32, is_yes: bool) -> Ways {
        let holds = self.has_taken(number * 2);
        if holds || self.has_taken(number * 2 + 1) {
            return settled(holds == is_yes);
        }
        match self.variables.get(number) {
            Some(Variable::Condition(condition)) if condition.value == Some(is_yes) => {
                Ways::nothing_needed()
            }
            Some(Variable::Condition(_) | Variable::Row(_)) | None => {
                self.by(number * 2 + u32::from(!is_yes))
            }
        }
    }

    fn by(&self, literal: Literal) -> Ways {
        match self.effort.changes_max {
            0 => Ways::none(),
            _ => Ways::by(literal),
        }
    }

    fn has_taken(&self, literal: Literal) -> bool {
        self.taken.binary_search(&literal).is_ok()
    }
}

/// What cannot be changed any more.
fn settled(is_so: bool) -> Ways {
    match is_so {
        true => Ways::nothing_needed(),
        false => Ways::none(),
    }
}
