//! The committed wire types are the ones `proto/` generates.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use xtask::codegen;

#[test]
fn committed_code_is_fresh() {
    let dir = tempfile::tempdir().unwrap();
    codegen::generate(dir.path()).unwrap();
    let fresh = files(dir.path()).unwrap();
    let committed = files(Path::new(codegen::COMMITTED_DIR)).unwrap();

    assert!(
        committed.keys().eq(fresh.keys()),
        "run `cargo xtask codegen` and remove what it does not write: {:?} are committed, {:?} fresh",
        committed.keys(),
        fresh.keys(),
    );
    for (name, bytes) in &fresh {
        assert!(
            committed[name] == *bytes,
            "`{name}` is stale: run `cargo xtask codegen`"
        );
    }
}

fn files(dir: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, fs::read(entry.path())?);
    }
    Ok(files)
}
