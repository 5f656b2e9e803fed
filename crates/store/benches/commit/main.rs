//! How fast commits become durable, and how fast they are read back, beside what the medium itself can do.
//!
//! ```text
//! cargo bench -p store --bench commit                     SQLite, in a folder of the system's temporary one
//! cargo bench -p store --bench commit -- sqlite FOLDER    on the disk that holds FOLDER
//! cargo bench -p store --bench commit -- postgres         a server of the bench's own, with its data in the temporary folder
//! ```

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

mod load;
mod postgres;
mod sqlite;

use std::path::PathBuf;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    match arguments.next().as_deref() {
        Some("postgres") => postgres::run(),
        None | Some("sqlite") => {
            let folder = arguments
                .next()
                .map_or_else(std::env::temp_dir, PathBuf::from);
            let folder = tempfile::tempdir_in(folder).unwrap();
            sqlite::run(folder.path());
        }
        Some(other) => load::say(&format!(
            "`{other}` is no store: expected `sqlite` or `postgres`"
        )),
    }
}
