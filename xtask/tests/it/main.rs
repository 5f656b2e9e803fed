//! The tests of the repository itself.

mod codegen;
mod tidy;
