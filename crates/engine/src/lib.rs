//! The answers: the graph in memory and the evaluator over it. Pure: no I/O, no clock, no store.

pub mod eval;
pub mod graph;
pub mod scenario;
