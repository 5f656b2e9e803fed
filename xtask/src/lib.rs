//! The project's chores as a library, so that tests can run them as the commands do.

use std::path::{Path, PathBuf};

pub mod bench;
pub mod check;
pub mod codegen;
pub mod command;
pub mod deploy;
pub mod fuzz;
pub mod history;
pub mod mutants;
pub mod release;
pub mod supply;
pub mod upgrade;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
