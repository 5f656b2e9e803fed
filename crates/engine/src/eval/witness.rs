//! The relationships that made a decision: alone on an empty graph they lead to the same one.
//!
//! A yes takes one derivation, the shortest of those that rest on nothing decided later. A no takes what keeps it a no whatever else is in the witness: nothing for an
//! absence, but the right side of an exclusion that bites, and the one object of an `.all` that does not grant. The
//! argument, by induction over the equations: each part keeps its value in every graph between the witness and the
//! whole.

use std::collections::{BTreeSet, HashSet};

use super::formula::{Formula, Row};
use super::solve::Solution;

/// The rows of the witness, in the order of the graph.
pub(super) fn rows(solution: &Solution) -> BTreeSet<Row> {
    let mut search = Search {
        solution,
        rows: BTreeSet::new(),
        seen: HashSet::from([0]),
        open: vec![0],
    };
    while let Some(node) = search.open.pop() {
        search.part(solution.formula(node));
    }
    search.rows
}

struct Search<'a> {
    solution: &'a Solution,
    rows: BTreeSet<Row>,
    seen: HashSet<u32>,
    open: Vec<u32>,
}

impl<'a> Search<'a> {
    fn part(&mut self, formula: &'a Formula) {
        if self.solution.is_yes(formula) {
            self.yes(formula);
        } else if self.solution.is_no(formula) {
            self.no(formula);
        } else {
            self.undecided(formula);
        }
    }

    fn node(&mut self, node: u32) {
        if self.seen.insert(node) {
            self.open.push(node);
        }
    }

    fn yes(&mut self, formula: &'a Formula) {
        match formula {
            Formula::Known(_) => {}
            Formula::Node(node) => self.node(*node),
            Formula::Edge { row, behind, .. } => {
                self.rows.insert(*row);
                self.part(behind);
            }
            Formula::Any(operands) => {
                let yes = operands
                    .iter()
                    .filter(|operand| self.solution.is_yes(operand));
                let order = |operand: &&Formula| {
                    (self.solution.turn(operand), self.solution.height(operand))
                };
                if let Some(first) = yes.min_by_key(order) {
                    self.part(first);
                }
            }
            Formula::All(operands) => operands.iter().for_each(|operand| self.part(operand)),
            Formula::Without(sides) => {
                self.part(&sides.0);
                self.part(&sides.1);
            }
        }
    }

    fn no(&mut self, formula: &'a Formula) {
        match formula {
            Formula::Known(_) => {}
            Formula::Node(node) => self.node(*node),
            // The row itself is not needed, but should it be there what lies behind it must stay a no.
            Formula::Edge { behind, .. } => {
                if self.solution.is_no(behind) {
                    self.part(behind);
                }
            }
            Formula::Any(operands) => operands.iter().for_each(|operand| self.part(operand)),
            Formula::All(operands) => {
                let no = operands
                    .iter()
                    .filter(|operand| self.solution.is_no(operand));
                if let Some(operand) = no.min_by_key(|operand| self.solution.turn(operand)) {
                    if let Formula::Edge { row, .. } = operand {
                        self.rows.insert(*row);
                    }
                    self.part(operand);
                }
            }
            Formula::Without(sides) => {
                let by_left = self.solution.is_no(&sides.0);
                let by_right = self.solution.is_yes(&sides.1);
                let is_left_first = self.solution.turn(&sides.0) <= self.solution.turn(&sides.1);
                if by_left && (is_left_first || !by_right) {
                    self.part(&sides.0);
                } else {
                    self.part(&sides.1);
                }
            }
        }
    }

    fn undecided(&mut self, formula: &'a Formula) {
        match formula {
            Formula::Known(_) => {}
            Formula::Node(node) => self.node(*node),
            Formula::Edge { row, behind, .. } => {
                self.rows.insert(*row);
                self.part(behind);
            }
            Formula::Any(operands) | Formula::All(operands) => {
                operands.iter().for_each(|operand| self.part(operand));
            }
            Formula::Without(sides) => {
                self.part(&sides.0);
                self.part(&sides.1);
            }
        }
    }
}
