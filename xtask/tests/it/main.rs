//! The tests of the project's chores.

mod codegen;
