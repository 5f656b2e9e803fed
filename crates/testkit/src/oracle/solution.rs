//! The bounds of every node, and how deep a yes lies.

use super::equations::{Equations, Formula, Leaf};

/// A lower and an upper bound of truth for each node: the well-founded model.
///
/// The right side of an exclusion turns bounds around: what is surely taken away bounds from above. It is read from
/// the bounds of the round before, so that each bound is a least fixpoint of a monotone step; the rounds only narrow
/// the interval, until it stays.
pub(super) struct Solution<'a> {
    equations: &'a Equations,
    lower: Vec<bool>,
    upper: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Lower,
    Upper,
}

/// No height: what is not derivable, and more than any limit.
const UNBOUNDED: u32 = u32::MAX;

impl<'a> Solution<'a> {
    pub(super) fn new(equations: &'a Equations) -> Self {
        let count = equations.formulas.len();
        let mut solution = Self {
            equations,
            lower: vec![false; count],
            upper: vec![true; count],
        };
        loop {
            let lower = solution.least_fixpoint(Bound::Lower);
            let lower_changed = lower != solution.lower;
            solution.lower = lower;
            let upper = solution.least_fixpoint(Bound::Upper);
            let upper_changed = upper != solution.upper;
            solution.upper = upper;
            if !lower_changed && !upper_changed {
                return solution;
            }
        }
    }

    /// Whether the node is surely granted.
    pub(super) fn lower(&self, node: usize) -> bool {
        at(&self.lower, node)
    }

    /// Whether the node may be granted.
    pub(super) fn upper(&self, node: usize) -> bool {
        at(&self.upper, node)
    }

    fn least_fixpoint(&self, bound: Bound) -> Vec<bool> {
        let mut values = vec![false; self.equations.formulas.len()];
        loop {
            let next: Vec<bool> = self
                .equations
                .formulas
                .iter()
                .map(|formula| self.holds(formula, bound, &values))
                .collect();
            if next == values {
                return values;
            }
            values = next;
        }
    }

    fn holds(&self, formula: &Formula, bound: Bound, values: &[bool]) -> bool {
        match formula {
            Formula::Leaf(Leaf::Yes) => true,
            Formula::Leaf(Leaf::No) => false,
            Formula::Leaf(Leaf::Missing(_) | Leaf::Failed(_)) => bound == Bound::Upper,
            Formula::Node(node) => at(values, *node),
            Formula::Any(operands) => operands.iter().any(|f| self.holds(f, bound, values)),
            Formula::All(operands) => operands.iter().all(|f| self.holds(f, bound, values)),
            Formula::Without(left, right) => {
                self.holds(left, bound, values)
                    && match bound {
                        Bound::Lower => !self.holds(right, Bound::Upper, &self.upper),
                        Bound::Upper => !self.holds(right, Bound::Lower, &self.lower),
                    }
            }
        }
    }

    /// Whether a part of an equation is a yes.
    pub(super) fn is_allowed(&self, formula: &Formula) -> bool {
        self.holds(formula, Bound::Lower, &self.lower)
    }

    /// Whether a part of an equation is neither a yes nor a no.
    pub(super) fn is_undecided(&self, formula: &Formula) -> bool {
        !self.is_allowed(formula) && self.holds(formula, Bound::Upper, &self.upper)
    }

    /// The height of an allowed node: one more than that of the shallowest derivation below it.
    pub(super) fn height_allowed(&self, node: usize) -> u32 {
        at(&self.heights_allowed(), node)
    }

    /// The heights of all nodes that are a yes; [`UNBOUNDED`] for the others.
    pub(super) fn heights_allowed(&self) -> Vec<u32> {
        let mut heights = vec![UNBOUNDED; self.equations.formulas.len()];
        loop {
            let next: Vec<u32> = self
                .equations
                .formulas
                .iter()
                .map(|formula| self.formula_height(formula, &heights).saturating_add(1))
                .collect();
            if next == heights {
                return heights;
            }
            heights = next;
        }
    }

    /// The height of a part that is a yes; [`UNBOUNDED`] for any other.
    pub(super) fn formula_height(&self, formula: &Formula, heights: &[u32]) -> u32 {
        if !self.is_allowed(formula) {
            return UNBOUNDED;
        }
        let operands = |operands: &[Formula]| -> Vec<u32> {
            operands
                .iter()
                .map(|operand| self.formula_height(operand, heights))
                .collect()
        };
        match formula {
            Formula::Leaf(_) => 0,
            Formula::Node(node) => at(heights, *node),
            Formula::Any(any) => operands(any).into_iter().min().unwrap_or(UNBOUNDED),
            Formula::All(all) => operands(all).into_iter().max().unwrap_or(0),
            // What is taken away is a no, which needs no derivation.
            Formula::Without(left, _) => self.formula_height(left, heights),
        }
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "a node is only made with its equation"
)]
fn at<T: Copy>(values: &[T], node: usize) -> T {
    // PANIC: every vector of a solution has one value for each node.
    values[node]
}
