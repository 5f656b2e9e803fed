//! What a look-up may still do: so many edges, and only for as long as somebody waits for it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::eval::Environment;
use crate::eval::edge;
use crate::eval::value::{EvalError, Value};
use crate::graph::{Annotation, Snapshot};

/// Tells a look-up that nobody waits for it any more. It ends soon after with [`EvalError::Interrupted`].
pub type Interrupt = AtomicBool;

/// Edges visited between two looks at the interrupt.
const EDGES_PER_LOOK: u64 = 4_096;

pub(super) struct Work<'a> {
    pub(super) environment: Environment<'a>,
    interrupt: &'a Interrupt,
    edges_visited: u64,
}

impl<'a> Work<'a> {
    pub(super) fn new(environment: Environment<'a>, interrupt: &'a Interrupt) -> Self {
        Self {
            environment,
            interrupt,
            edges_visited: 0,
        }
    }

    pub(super) fn visit(&mut self) -> Result<(), EvalError> {
        self.spend(1)?;
        if self.edges_visited.is_multiple_of(EDGES_PER_LOOK) {
            self.look()?;
        }
        Ok(())
    }

    /// Counts edges that were visited elsewhere on behalf of the look-up.
    pub(super) fn spend(&mut self, edges: u64) -> Result<(), EvalError> {
        let edges_visited_max = self.environment.edges_visited_max;
        self.edges_visited = self.edges_visited.saturating_add(edges);
        if self.edges_visited > edges_visited_max {
            return Err(EvalError::WorkExceeded { edges_visited_max });
        }
        Ok(())
    }

    /// The circumstances of a part that keeps all of its edges in memory: what is left of the work, and not too much at once.
    pub(super) fn part(&self) -> Environment<'a> {
        /// Edges whose equations are in memory together, at some 50 bytes each.
        const EDGES_TOGETHER_MAX: u64 = 10_000_000;
        let left = self
            .environment
            .edges_visited_max
            .saturating_sub(self.edges_visited);
        let mut part = self.environment;
        part.edges_visited_max = left.min(EDGES_TOGETHER_MAX);
        part
    }

    /// # Errors
    /// [`EvalError::Interrupted`] once nobody waits.
    pub(super) fn look(&self) -> Result<(), EvalError> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(EvalError::Interrupted);
        }
        Ok(())
    }

    /// What an edge counts for.
    pub(super) fn edge(
        &mut self,
        snapshot: &Snapshot,
        annotation: Option<&Annotation>,
    ) -> Result<Value, EvalError> {
        self.visit()?;
        Ok(edge::value(snapshot.schema(), annotation, self.environment))
    }
}
