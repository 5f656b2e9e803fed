//! What is left of the nodes that are neither a yes nor a no: what they lack, what failed, how deep they lie.

use std::collections::BTreeSet;

use super::OracleError;
use super::equations::{Equations, Formula, Leaf};
use super::solution::Solution;

/// The undecided parts of every node's equation; only these bear on the value of an undecided node.
pub(super) struct Undecided<'a> {
    equations: &'a Equations,
    solution: &'a Solution<'a>,
    parts: Vec<Parts>,
}

/// The undecided parts of one equation; empty for a node that is decided.
#[derive(Default)]
struct Parts {
    missing: BTreeSet<String>,
    errors: BTreeSet<OracleError>,
    nodes: BTreeSet<usize>,
    /// Those of `nodes` that stand on the right side of an exclusion.
    nodes_excluded: BTreeSet<usize>,
}

impl<'a> Undecided<'a> {
    pub(super) fn new(equations: &'a Equations, solution: &'a Solution<'a>) -> Self {
        let parts = equations.formulas.iter().map(|formula| {
            let mut parts = Parts::default();
            parts.collect(solution, formula, false);
            parts
        });
        Self {
            equations,
            solution,
            parts: parts.collect(),
        }
    }

    /// The missing names of all that the node depends on.
    pub(super) fn missing(&self, node: usize) -> BTreeSet<String> {
        self.parts_below(node)
            .flat_map(|(_, parts)| parts.missing.clone())
            .collect()
    }

    /// The errors of all that the node depends on.
    pub(super) fn errors(&self, node: usize) -> BTreeSet<OracleError> {
        let mut errors = BTreeSet::new();
        for (below, parts) in self.parts_below(node) {
            errors.extend(parts.errors.iter().cloned());
            if parts
                .nodes_excluded
                .iter()
                .any(|excluded| self.depends_on(*excluded).contains(&below))
            {
                errors.insert(OracleError::CyclicExclusion);
            }
        }
        errors
    }

    /// The height of a conditional node: one more than that of the deepest part below it.
    ///
    /// Nodes that depend on each other all rest on the same parts outside of their circle, and have one height.
    pub(super) fn height_conditional(&self, node: usize) -> u32 {
        let yes = self.solution.heights_allowed();
        let circles: Vec<_> = self
            .depends_on(node)
            .into_iter()
            .map(|below| (below, self.circle(below)))
            .collect();
        let mut heights = vec![0; self.parts.len()];
        loop {
            let mut next = heights.clone();
            for (below, circle) in &circles {
                let tallest = circle
                    .iter()
                    .filter_map(|member| self.equations.formulas.get(*member))
                    .map(|formula| self.part_height(formula, circle, &heights, &yes))
                    .max();
                if let Some(height) = next.get_mut(*below) {
                    *height = tallest.unwrap_or(0).saturating_add(1);
                }
            }
            if next == heights {
                return heights.get(node).copied().unwrap_or(0);
            }
            heights = next;
        }
    }

    fn part_height(
        &self,
        formula: &Formula,
        circle: &BTreeSet<usize>,
        conditional: &[u32],
        yes: &[u32],
    ) -> u32 {
        if self.solution.is_allowed(formula) {
            return self.solution.formula_height(formula, yes);
        }
        if !self.solution.is_undecided(formula) {
            return 0;
        }
        let height = |formula| self.part_height(formula, circle, conditional, yes);
        match formula {
            Formula::Leaf(_) => 0,
            Formula::Node(node) if circle.contains(node) => 0,
            Formula::Node(node) => conditional.get(*node).copied().unwrap_or(0),
            Formula::Any(operands) | Formula::All(operands) => {
                operands.iter().map(height).max().unwrap_or(0)
            }
            Formula::Without(left, right) => height(left).max(height(right)),
        }
    }

    /// The undecided nodes that depend on `node` and on which it depends, and itself.
    fn circle(&self, node: usize) -> BTreeSet<usize> {
        let below = self.depends_on(node).into_iter();
        below
            .filter(|other| self.depends_on(*other).contains(&node))
            .collect()
    }

    fn parts_below(&self, node: usize) -> impl Iterator<Item = (usize, &Parts)> {
        let below = self.depends_on(node).into_iter();
        below.filter_map(|below| Some((below, self.parts.get(below)?)))
    }

    /// `node` and every undecided node that it is made of, directly or not.
    fn depends_on(&self, node: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([node]);
        let mut open = vec![node];
        while let Some(parts) = open.pop().and_then(|node| self.parts.get(node)) {
            open.extend(parts.nodes.iter().filter(|next| found.insert(**next)));
        }
        found
    }
}

impl Parts {
    fn collect(&mut self, solution: &Solution<'_>, formula: &Formula, excluded: bool) {
        if !solution.is_undecided(formula) {
            return;
        }
        match formula {
            Formula::Leaf(Leaf::Yes | Leaf::No) => {}
            Formula::Leaf(Leaf::Missing(names)) => self.missing.extend(names.iter().cloned()),
            Formula::Leaf(Leaf::Failed(error)) => {
                self.errors.insert(error.clone());
            }
            Formula::Node(node) => {
                self.nodes.insert(*node);
                if excluded {
                    self.nodes_excluded.insert(*node);
                }
            }
            Formula::Any(operands) | Formula::All(operands) => {
                for operand in operands {
                    self.collect(solution, operand, excluded);
                }
            }
            Formula::Without(left, right) => {
                self.collect(solution, left, excluded);
                self.collect(solution, right, true);
            }
        }
    }
}
