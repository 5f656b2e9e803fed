//! Opening: what is no store, or no whole one, or somebody else's, is told apart and never opened as an empty one.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use model::{Operation, Revision};
use rusqlite::Connection;
use store::{BackupError, LogError, LogQuery, OpenError, RestoreError, SqliteStore, Store};
use tempfile::TempDir;

use crate::support::{block_on, log, request, update};

/// A closed store with 2,000 relationships in 20 commits.
fn filled() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    let store = SqliteStore::open(&path).unwrap();
    for part in 0..20 {
        let rows = (0..100).map(|row| {
            update(
                Operation::Create,
                &format!("document:d{part}r{row}#viewer@user:ann"),
            )
        });
        block_on(store.commit(request(rows.collect()))).unwrap();
    }
    block_on(store.close()).unwrap();
    drop(store);
    (folder, path)
}

fn refused(path: &Path) -> OpenError {
    match SqliteStore::open(path) {
        Ok(_) => panic!("`{}` was opened", path.display()),
        Err(error) => {
            assert!(
                error
                    .to_string()
                    .contains(path.file_name().unwrap().to_str().unwrap()),
                "{error}"
            );
            error
        }
    }
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

/// SQLite would take it for the file's own, and write what it holds into the file.
#[test]
fn nothing_gets_a_name_beside_the_log_of_what_was_there_before() {
    let (folder, path) = filled();
    let new = folder.path().join("new.db");
    for suffix in ["-wal", "-journal"] {
        let left = folder.path().join(format!("new.db{suffix}"));
        fs::write(&left, "what is left").unwrap();
        let mut ignored = |_| {};
        let opened = SqliteStore::open(&new)
            .map(drop)
            .map_err(|it| it.to_string());
        let restored = SqliteStore::restore(&path, &new, &mut ignored);
        let backed_up = SqliteStore::backup_file(&path, &new, &mut ignored);
        let copied = store::SqliteTarget::create(&new);
        for refused in [
            opened,
            restored.map(drop).map_err(|it| it.to_string()),
            backed_up.map(drop).map_err(|it| it.to_string()),
            copied.map(drop).map_err(|it| it.to_string()),
        ] {
            let told = refused.unwrap_err();
            assert!(told.contains(&format!("new.db{suffix}`")), "{told}");
            assert!(told.contains("move it away"), "{told}");
        }
        assert!(!new.exists());
        fs::remove_file(left).unwrap();
    }
    SqliteStore::restore(&path, &new, &mut |_| {}).unwrap();
    drop(SqliteStore::open(&new).unwrap());
}

#[test]
fn a_second_opener_is_refused_while_readers_go_on() {
    let (folder, path) = filled();
    let store = SqliteStore::open(&path).unwrap();
    assert!(matches!(refused(&path), OpenError::InUse { .. }));
    #[cfg(unix)]
    {
        let link = folder.path().join("remit.db-link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(
            SqliteStore::open(&link),
            Err(OpenError::InUse { .. })
        ));
    }
    let rows: i64 = Connection::open(&path)
        .unwrap()
        .query_row(
            "SELECT count(*) FROM relationship WHERE subject_id = 'ann'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(rows, 2_000);
    block_on(store.close()).unwrap();
    // Closed but not dropped: the file is free already.
    drop(SqliteStore::open(&path).unwrap());
    drop(folder);
}

#[test]
fn what_is_no_database_of_ours_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    for content in [
        &b""[..],
        b"definition user {}",
        &[0; 8192],
        b"SQLite format 3\0",
    ] {
        fs::write(&path, content).unwrap();
        assert!(matches!(refused(&path), OpenError::NotADatabase { .. }));
        assert_eq!(fs::read(&path).unwrap(), content, "it is left as it was");
    }
    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA application_id = 7; CREATE TABLE mine (a)")
        .unwrap();
    drop(other);
    assert!(matches!(
        refused(&path),
        OpenError::NotOurs {
            application_id: 7,
            ..
        }
    ));
    assert!(matches!(
        SqliteStore::open(folder.path()),
        Err(OpenError::Io { .. })
    ));
    let nowhere = folder.path().join("missing/remit.db");
    assert!(matches!(refused(&nowhere), OpenError::Io { .. }));
}

#[test]
fn a_newer_or_foreign_form_is_named() {
    let (_folder, path) = filled();
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    assert!(matches!(
        refused(&path),
        OpenError::NewerFormat {
            found: 99,
            known: 3,
            ..
        }
    ));
    let file = Connection::open(&path).unwrap();
    file.execute_batch("PRAGMA user_version = 1; UPDATE migration SET checksum = zeroblob(32)")
        .unwrap();
    drop(file);
    assert!(matches!(
        refused(&path),
        OpenError::OtherMigration { number: 1, .. }
    ));
}

#[test]
fn a_truncated_file_is_damaged() {
    let (_folder, path) = filled();
    let whole = fs::read(&path).unwrap();
    for part in 1..20 {
        fs::write(&path, &whole[..whole.len() * part / 20]).unwrap();
        let error = refused(&path);
        assert!(
            matches!(error, OpenError::Damaged { .. }),
            "{part}/20: {error:?}"
        );
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(log(&SqliteStore::open(&path).unwrap(), 0).len(), 20);
}

#[test]
fn an_altered_log_is_damaged() {
    for sql in [
        "UPDATE log_entry SET actor = 'eve' WHERE revision = 19",
        "UPDATE log_entry SET changes = x'0100' WHERE revision = 20",
        "UPDATE log_entry SET hash = zeroblob(32) WHERE revision = 18",
        "DELETE FROM log_entry WHERE revision = 19",
    ] {
        let (_folder, path) = filled();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        assert!(matches!(refused(&path), OpenError::Damaged { .. }), "{sql}");
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let (_folder, path) = filled();
    let mut whole = Vec::new();
    fs::File::open(&path)
        .unwrap()
        .read_to_end(&mut whole)
        .unwrap();
    for page in 0..whole.len() / 4096 {
        fs::write(&path, &whole).unwrap();
        overwrite(&path, page as u64 * 4096, &[0xa5; 100]);
        // Whether it shows at once depends on the page; that it is an error and no panic does not.
        let Ok(store) = SqliteStore::open(&path) else {
            continue;
        };
        let _ = store.scan(&mut |_, row| {
            let _ = row.to_relationship();
            std::ops::ControlFlow::Continue(())
        });
    }
}

#[test]
fn a_leftover_of_an_interrupted_creation_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    fs::write(folder.path().join("remit.db.new"), b"half").unwrap();
    let store = SqliteStore::open(&path).unwrap();
    block_on(store.commit(request(vec![]))).unwrap();
}

#[test]
fn an_entry_of_a_later_form_stops_the_reader_and_is_never_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    let store = SqliteStore::open(&path).unwrap();
    // More than are verified on opening, so that the store comes up.
    for _ in 0..100 {
        block_on(store.commit(request(vec![]))).unwrap();
    }
    drop(store);
    let file = Connection::open(&path).unwrap();
    file.execute_batch("UPDATE log_entry SET changes = x'09' WHERE revision = 3")
        .unwrap();
    drop(file);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(log(&store, 0).len(), 2);
    let query = LogQuery {
        after: Revision(2),
        entries_max: 9,
        bytes_max: 9,
    };
    let stopped = block_on(store.log(query));
    assert!(matches!(
        stopped,
        Err(LogError::NewerFormat {
            revision: Revision(3),
            version: 9
        })
    ));
}

#[test]
fn each_restore_is_a_history_of_its_own() {
    let (folder, path) = filled();
    let copies = ["one.db", "two.db"].map(|name| folder.path().join(name));
    let identities = copies
        .each_ref()
        .map(|to| SqliteStore::restore(&path, to, &mut |_| {}).unwrap());
    let original = SqliteStore::open(&path).unwrap();
    for (copy, identity) in copies.iter().zip(identities) {
        let copy = SqliteStore::open(copy).unwrap();
        assert_eq!(
            (copy.identity(), copy.identity().store),
            (identity, original.identity().store)
        );
        assert_eq!(log(&copy, 0), log(&original, 0));
        assert_ne!(identity, original.identity());
    }
    assert_ne!(identities[0], identities[1]);
    let text = folder.path().join("text");
    fs::write(&text, "no store").unwrap();
    let refused = SqliteStore::restore(&text, &folder.path().join("three.db"), &mut |_| {});
    assert!(matches!(
        refused,
        Err(RestoreError::Source(OpenError::NotADatabase { .. }))
    ));
    let refused = SqliteStore::restore(&path, &copies[0], &mut |_| {});
    assert!(matches!(
        refused,
        Err(RestoreError::Copy(BackupError::Exists { .. }))
    ));
}
