//! The scenario files of the repository, for every runner of them.

use std::io;
use std::path::{Path, PathBuf};

/// A scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioFile {
    /// Its path under `scenarios`, for example `arrow/all-of-none.yaml`.
    pub name: String,
    /// Its folder, which a `schemaFile` is relative to.
    pub folder: PathBuf,
    /// Its text.
    pub text: String,
}

/// Every scenario file of the repository, sorted by name.
///
/// # Errors
/// If a file or a folder cannot be read.
pub fn corpus() -> io::Result<Vec<ScenarioFile>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut files = Vec::new();
    for idea in std::fs::read_dir(&root)? {
        let folder = idea?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&folder)? {
            let path = file?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let name = path.strip_prefix(&root).unwrap_or(&path);
                files.push(ScenarioFile {
                    name: name.display().to_string(),
                    folder: folder.clone(),
                    text: std::fs::read_to_string(&path)?,
                });
            }
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}
