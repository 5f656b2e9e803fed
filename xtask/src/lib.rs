//! The project's chores as a library, so that tests can run them as the commands do.

pub mod codegen;
