//! The audit log as an auditor meets it: what was altered is found, what was erased is gone, and what was kept elsewhere tells of a cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Operation, Revision};
use rusqlite::Connection;
use rusqlite::types::Value;
use store::audit::export::Line;
use store::audit::proof::{Proof, ProofError};
use store::audit::tree::Question;
use store::audit::verify::{Report, Verifier, verify_store};
use store::audit::{
    AuditQuery, Checkpoint, ErasedParts, Part, SigningKey, StoredCheckpoint, VerifyingKey,
};
use store::copy::{Next, Source, copy};
use store::{
    AuditLog, ChangeRequest, PostgresConfig, PostgresStore, PostgresTarget, RecordKey,
    SqliteSource, SqliteStore, SqliteTarget, Store, StoreError,
};
use testkit::postgres::{Server, database_of};

use crate::support::{block_on, request, update};

mod erasing;

fn commit(store: &dyn Store, changes: Vec<ChangeRequest>) {
    let mut request = request(changes);
    request.base.schema_revision = block_on(store.head()).unwrap().schema_revision;
    request.provenance.reason = Some("TICKET-1".to_owned());
    request.provenance.origin = Some("127.0.0.1:9 by preshared key one".to_owned());
    block_on(store.commit(request)).unwrap();
}

fn create(text: &str) -> ChangeRequest {
    update(Operation::Create, text)
}

fn delete(text: &str) -> ChangeRequest {
    update(Operation::Delete, text)
}

fn key() -> SigningKey {
    SigningKey::parse(&SigningKey::fresh_line("audit.example.com").unwrap()).unwrap()
}

fn audit(store: &dyn Store) -> &dyn AuditLog {
    store.audit().unwrap()
}

/// What a node does once in a while.
fn sign(store: &dyn Store, key: &SigningKey) -> StoredCheckpoint {
    let size = block_on(audit(store).state()).unwrap().size;
    let root = answer(store, Question::Root(size))[0];
    let checkpoint = Checkpoint::of(store.identity(), size, root);
    let note = key.sign(&checkpoint.text()).to_string();
    block_on(audit(store).keep_checkpoint(StoredCheckpoint { size, note })).unwrap()
}

fn answer(store: &dyn Store, question: Question) -> Vec<store::audit::Hash> {
    let hashes = block_on(audit(store).hashes(question.places())).unwrap();
    question.answer(&hashes).unwrap()
}

fn verified(source: &dyn Source, keys: &[VerifyingKey]) -> Report {
    verify_store(source, Verifier::new(keys.to_vec()), &mut |_| {}).unwrap()
}

fn whole(source: &dyn Source, keys: &[VerifyingKey]) -> Report {
    let report = verified(source, keys);
    assert!(report.is_whole(), "{:?}", report.findings);
    report
}

/// A store with 300 commits of all kinds, an erasure among them, and two checkpoints; closed.
fn filled(folder: &Path, key: &SigningKey) -> PathBuf {
    let path = folder.join("one.db");
    let store = SqliteStore::open(&path).unwrap();
    commit(
        &store,
        vec![ChangeRequest::Schema("definition user {}".to_owned())],
    );
    for number in 0..296 {
        let record = ChangeRequest::Record {
            key: RecordKey::new("lock", "user:bob").unwrap(),
            value: Some(format!("lost {number}").into_bytes()),
        };
        let row = format!("document:d{number}#viewer@user:u{number}");
        commit(&store, vec![create(&row), record]);
    }
    sign(&store, key);
    commit(&store, vec![delete("document:d7#viewer@user:u7")]);
    let of = |index| ErasedParts {
        index,
        parts: vec![5],
    };
    commit(&store, vec![ChangeRequest::Erase(vec![of(8), of(9)])]);
    commit(&store, vec![create("document:last#viewer@user:u1")]);
    sign(&store, key);
    block_on(store.close()).unwrap();
    path
}

/// Every value of every row of the audit tables, altered in one place.
const COLUMNS: [(&str, &str, &[&str]); 4] = [
    ("audit_entry", "idx", &["idx", "header", "leaf", "body"]),
    ("audit_node", "idx", &["level", "idx", "hash"]),
    ("audit_checkpoint", "size", &["size", "note"]),
    ("audit_log", "one", &["begin"]),
];

#[test]
fn any_byte_of_the_audit_log_that_was_altered_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let keys = [key.public().clone()];
    let path = filled(folder.path(), &key);
    let report = whole(&SqliteSource::open(&path).unwrap(), &keys);
    assert_eq!((report.size, report.signed_count), (300, 2));
    let mut tried = 0;
    for (table, order, columns) in COLUMNS {
        let connection = Connection::open(&path).unwrap();
        let count: i64 = connection
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap();
        drop(connection);
        for column in columns {
            // Some rows of the large table, and every byte of one of them.
            for row in [0, count / 2, 8, count - 1] {
                if row >= count {
                    continue;
                }
                let bytes = if row == 8 || count < 3 { 150 } else { 3 };
                tried += alter(&path, (table, order, column, row), bytes, &keys);
            }
        }
    }
    assert!(tried > 300, "{tried}");
    whole(&SqliteSource::open(&path).unwrap(), &keys);
}

/// Alters one value in up to `count` places, one after the other, and expects each to be found. Returns how many.
fn alter(
    path: &Path,
    (table, order, column, row): (&str, &str, &str, i64),
    count: usize,
    keys: &[VerifyingKey],
) -> usize {
    let connection = Connection::open(path).unwrap();
    let of_row = format!("FROM {table} ORDER BY {order} LIMIT 1 OFFSET {row}");
    let read = |what: &str| -> Value {
        let select = format!("SELECT {what} {of_row}");
        connection.query_row(&select, [], |row| row.get(0)).unwrap()
    };
    let (before, at) = (read(column), read(order));
    let places = match &before {
        Value::Blob(bytes) => bytes.len(),
        Value::Text(text) => text.len(),
        Value::Integer(_) | Value::Null | Value::Real(_) => 1,
    };
    let step = places.div_ceil(count).max(1);
    let mut tried = 0;
    for place in (0..places).step_by(step) {
        let altered = match before.clone() {
            Value::Blob(mut bytes) => {
                bytes[place] ^= 1 << (place % 8);
                Value::Blob(bytes)
            }
            Value::Text(text) => {
                let mut bytes = text.into_bytes();
                bytes[place] ^= 1;
                match String::from_utf8(bytes) {
                    Ok(text) => Value::Text(text),
                    Err(_) => continue,
                }
            }
            Value::Integer(number) => Value::Integer(number + 1_000),
            other @ (Value::Null | Value::Real(_)) => panic!("{other:?}"),
        };
        let set = |value: &Value, at: &Value| {
            let update = format!("UPDATE {table} SET {column} = ?1 WHERE {order} = ?2");
            assert_eq!(connection.execute(&update, [value, at]).unwrap(), 1);
        };
        set(&altered, &at);
        let report = SqliteSource::open(path)
            .map(|source| verify_store(&source, Verifier::new(keys.to_vec()), &mut |_| {}));
        let is_found = match report {
            Ok(Ok(report)) => !report.is_whole(),
            // What cannot be read at all is found as well.
            Ok(Err(_)) | Err(_) => true,
        };
        assert!(is_found, "{table}.{column}, row {row}, place {place}");
        let moved = if column == order { &altered } else { &at };
        set(&before, moved);
        tried += 1;
    }
    tried
}

#[test]
fn what_was_cut_off_added_or_put_elsewhere_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let keys = [key.public().clone()];
    let path = filled(folder.path(), &key);
    let kept = {
        let source = SqliteSource::open(&path).unwrap();
        source.audit_checkpoints(0, 10).unwrap()
    };
    for (sql, told) in [
        ("DELETE FROM audit_entry WHERE idx = 17", "in its place"),
        ("DELETE FROM audit_entry WHERE idx >= 299", "cut off"),
        ("DELETE FROM audit_node", "lacks hash"),
        (
            "UPDATE audit_entry SET (header, leaf, body) = \
             (SELECT header, leaf, body FROM audit_entry WHERE idx = 20) WHERE idx = 21",
            "entry 20",
        ),
        (
            "UPDATE log_entry SET actor = 'eve' WHERE revision = 100",
            "something else of revision 100",
        ),
        // Whoever cuts the checkpoints too is found by the log of commits, as long as that is kept.
        (
            "DELETE FROM audit_entry WHERE idx >= 290; DELETE FROM audit_checkpoint",
            "has no entry of it",
        ),
    ] {
        let other = folder.path().join("other.db");
        fs::copy(&path, &other).unwrap();
        Connection::open(&other)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        let connection = Connection::open(&other).unwrap();
        connection
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        // The end of the log of commits is verified when it is opened, which finds what is altered there.
        let source = SqliteSource::open(&other).unwrap();
        let report = verified(&source, &keys);
        let all = format!("{:?}", report.findings);
        assert!(all.contains(told), "{sql}: {all}");
    }
    // Whoever cuts all of that is found by who kept a checkpoint elsewhere.
    let other = folder.path().join("cut.db");
    fs::copy(&path, &other).unwrap();
    let cut = "DELETE FROM audit_entry WHERE idx >= 299; DELETE FROM audit_checkpoint; \
         DELETE FROM log_entry WHERE revision > 299";
    Connection::open(&other)
        .unwrap()
        .execute_batch(cut)
        .unwrap();
    let source = SqliteSource::open(&other).unwrap();
    whole(&source, &[]);
    let mut verifier = Verifier::new(keys.to_vec());
    verifier.checkpoint("the one that was kept", None, &kept[1].note);
    let report = verify_store(&source, verifier, &mut |_| {}).unwrap();
    assert!(report.findings[0].what.contains("cut off"), "{report:?}");
    assert_eq!(report.finding_count, 1, "{report:?}");
}

#[test]
fn what_was_torn_out_by_hand_is_told_from_what_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let path = filled(folder.path(), &key);
    let entry = {
        let source = SqliteSource::open(&path).unwrap();
        let query = AuditQuery {
            from: 40,
            entries_max: 1,
            bytes_max: 0,
        };
        source.audit_entries(query).unwrap().remove(0)
    };
    let torn = entry.body().unwrap().without(&[5]).unwrap().encode();
    let connection = Connection::open(&path).unwrap();
    let update = "UPDATE audit_entry SET body = ?1 WHERE idx = 40";
    connection.execute(update, [torn]).unwrap();
    drop(connection);
    let report = verified(&SqliteSource::open(&path).unwrap(), &[]);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    let finding = &report.findings[0];
    assert_eq!(finding.place, "entry 40");
    assert!(finding.what.contains("part 5 is gone"), "{finding:?}");
}

#[test]
fn who_was_erased_is_nowhere_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let name = "zoe-maria-quist";
    let store = SqliteStore::open(&path).unwrap();
    let mut erased = Vec::new();
    for number in 0..400_u64 {
        // Large commits too, whose rows take pages of their own.
        let others = (0..number % 40)
            .map(|other| create(&format!("document:x{number}o{other}#viewer@user:ann")));
        let row = format!("document:d{number}#viewer@user:{name}{number}");
        let mut changes: Vec<ChangeRequest> = others.collect();
        let part = 4 + changes.len() as u32;
        changes.push(create(&row));
        commit(&store, changes);
        erased.push(ErasedParts {
            index: number,
            parts: vec![part],
        });
    }
    for number in 0..400 {
        let row = format!("document:d{number}#viewer@user:{name}{number}");
        commit(&store, vec![delete(&row)]);
        erased.push(ErasedParts {
            index: 400 + number,
            parts: vec![4],
        });
    }
    let holds = |path: &Path| {
        let files = ["", "-wal"].map(|end| {
            let path = PathBuf::from(format!("{}{end}", path.display()));
            fs::read(path).unwrap_or_default()
        });
        let needle = name.as_bytes();
        files
            .concat()
            .windows(needle.len())
            .any(|window| window == needle)
    };
    assert!(holds(&path));
    commit(&store, vec![ChangeRequest::Erase(erased)]);
    let later = model::Timestamp::from_seconds(4_000_000_000, 0).unwrap();
    block_on(store.trim(later)).unwrap();
    block_on(store.close()).unwrap();
    drop(store);
    assert!(!holds(&path), "the name is in the file still");
    let report = whole(&SqliteSource::open(&path).unwrap(), &[]);
    assert_eq!((report.size, report.erased_count), (801, 800));
}

#[test]
fn a_log_that_nobody_signed_is_none_that_the_keys_vouch_for() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let keys = [key.public().clone()];
    let path = filled(folder.path(), &key);
    whole(&SqliteSource::open(&path).unwrap(), &keys);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute("DELETE FROM audit_checkpoint", [])
        .unwrap();
    drop(connection);
    let source = SqliteSource::open(&path).unwrap();
    let report = verified(&source, &keys);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert!(
        report.findings[0].what.contains("no checkpoint"),
        "{report:?}"
    );
    whole(&source, &[]);
    let empty = SqliteStore::open(&folder.path().join("empty.db")).unwrap();
    block_on(empty.close()).unwrap();
    whole(
        &SqliteSource::open(&folder.path().join("empty.db")).unwrap(),
        &keys,
    );
}

/// An export of the log, with its checkpoints.
fn export(source: &dyn Source) -> Vec<String> {
    let everything = AuditQuery {
        from: 0,
        entries_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    let entries = source.audit_entries(everything).unwrap();
    let checkpoints = source.audit_checkpoints(0, 100).unwrap();
    let root = whole(source, &[]).root;
    let mut lines = vec![Line::opening(
        entries.len() as u64,
        root,
        checkpoints.len() as u64,
    )];
    lines.extend(
        checkpoints
            .into_iter()
            .map(|kept| Line::Checkpoint(kept.note)),
    );
    lines.extend(entries.iter().map(|entry| Line::entry(entry).unwrap()));
    lines.iter().map(|line| line.to_text().unwrap()).collect()
}

/// Whether an export is whole; none if it cannot be read.
fn read(lines: &[String], keys: &[VerifyingKey]) -> Option<bool> {
    let mut verifier = Verifier::new(keys.to_vec());
    let (mut checkpoints, mut expected) = (0, None);
    for line in lines {
        match Line::parse(line).ok()? {
            Line::RemitAudit(opening) => {
                verifier.root("the first line", opening.size, opening.root().ok()?);
                expected = Some(opening.checkpoints);
            }
            Line::Checkpoint(note) => {
                checkpoints += 1;
                verifier.checkpoint("checkpoint", None, &note);
            }
            Line::Entry(line) => verifier.entry(&line.to_entry().ok()?, |_, _| {}),
        }
    }
    Some(verifier.finish().is_whole() && expected == Some(checkpoints))
}

#[test]
fn any_byte_of_an_export_that_was_altered_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let key = key();
    let keys = [key.public().clone()];
    let store = SqliteStore::open(&path).unwrap();
    commit(
        &store,
        vec![ChangeRequest::Schema("definition user {}".to_owned())],
    );
    let record = ChangeRequest::Record {
        key: RecordKey::new("preshared_key", "one").unwrap(),
        value: Some(vec![0xff; 32]),
    };
    commit(
        &store,
        vec![create("document:a#viewer@user:\u{61}nn"), record],
    );
    let erased = ErasedParts {
        index: 1,
        parts: vec![0, 5],
    };
    commit(&store, vec![ChangeRequest::Erase(vec![erased])]);
    sign(&store, &key);
    block_on(store.close()).unwrap();
    let lines = export(&SqliteSource::open(&path).unwrap());
    assert_eq!(read(&lines, &keys), Some(true));
    let mut tried = 0;
    for line in 0..lines.len() {
        for at in 0..lines[line].len() {
            for bit in [0, 1, 5] {
                let mut bytes = lines[line].clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(text) = String::from_utf8(bytes) else {
                    continue;
                };
                let mut altered = lines.clone();
                altered[line] = text;
                assert_ne!(read(&altered, &keys), Some(true), "{}", altered[line]);
                tried += 1;
            }
        }
        let mut without = lines.clone();
        without.remove(line);
        assert_ne!(read(&without, &keys), Some(true), "{}", lines[line]);
    }
    assert!(tried > 3_000, "{tried}");
}

#[test]
fn one_entry_is_proven_to_whoever_has_the_public_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let path = filled(folder.path(), &key);
    let store = SqliteStore::open(&path).unwrap();
    let kept = block_on(audit(&store).last_checkpoint()).unwrap().unwrap();
    let query = AuditQuery {
        from: 123,
        entries_max: 1,
        bytes_max: 0,
    };
    let proof = Proof {
        entry: block_on(audit(&store).entries(query)).unwrap().remove(0),
        path: answer(
            &store,
            Question::Inclusion {
                index: 123,
                size: 300,
            },
        ),
        checkpoint: kept.note,
    };
    let text = proof.to_text().unwrap();
    let keys = [key.public().clone()];
    let read = Proof::parse(&text).unwrap();
    assert_eq!(read, proof);
    assert_eq!(read.check(&keys).unwrap().size, 300);
    assert!(matches!(read.check(&[]), Err(ProofError::Unsigned)));
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let altered = String::from_utf8(bytes).ok();
        let altered = altered.and_then(|text| Proof::parse(&text).ok());
        assert!(
            altered.is_none_or(|proof| proof.check(&keys).is_err()),
            "{at}"
        );
    }
}

#[test]
fn a_file_of_before_gets_an_audit_log_from_its_next_commit_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let store = SqliteStore::open(&path).unwrap();
    for number in 0..5 {
        commit(
            &store,
            vec![create(&format!("document:d{number}#viewer@user:ann"))],
        );
    }
    block_on(store.close()).unwrap();
    drop(store);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "DROP TABLE audit_entry; DROP TABLE audit_node; DROP TABLE audit_checkpoint; DROP TABLE audit_log; \
             DELETE FROM migration WHERE number = 3; PRAGMA user_version = 2",
        )
        .unwrap();
    drop(connection);
    // It can be copied as it is, and the copy has one from there on.
    let source = SqliteSource::open(&path).unwrap();
    assert!(verify_store(&source, Verifier::new(Vec::new()), &mut |_| {}).is_err());
    let moved = folder.path().join("moved.db");
    let mut target = SqliteTarget::create(&moved).unwrap();
    copy(&source, &mut target, &mut |_| Next::Finish).unwrap();
    drop(target);
    let store = SqliteStore::open(&moved).unwrap();
    commit(&store, vec![create("document:later#viewer@user:ann")]);
    assert_eq!(whole(&SqliteSource::open(&moved).unwrap(), &[]).size, 1);
    let store = SqliteStore::open(&path).unwrap();
    commit(&store, vec![create("document:later#viewer@user:ann")]);
    let state = block_on(audit(&store).state()).unwrap();
    assert_eq!((state.begin, state.size), (5, 1));
    let report = whole(&SqliteSource::open(&path).unwrap(), &[]);
    assert_eq!(report.revisions, Some((Revision(6), Revision(6))));
}

fn database(server: &Server) -> PostgresConfig {
    let config: PostgresConfig = server.database().parse().unwrap();
    PostgresStore::migrate(&config, None).unwrap();
    config
}

/// What the server says to a statement that it refuses.
fn refused(server: &Server, url: &str, sql: &str) -> String {
    let output = server.sql(database_of(url), sql);
    assert!(!output.status.success(), "{sql}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_audit_log_moves_with_its_store_and_what_was_erased_meanwhile_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["fsync=off"]);
    let key = key();
    let keys = [key.public().clone()];
    let path = filled(folder.path(), &key);
    let store = SqliteStore::open(&path).unwrap();
    let config = database(&server);
    let mut target = PostgresTarget::begin(&config).unwrap();
    let mut rounds = 0;
    let source = SqliteSource::open(&path).unwrap();
    let copied = copy(&source, &mut target, &mut |progress| {
        let store::CopyProgress::CaughtUp(_) = progress else {
            return Next::Follow;
        };
        rounds += 1;
        if rounds == 1 {
            let erased = ErasedParts {
                index: 30,
                parts: vec![5],
            };
            commit(&store, vec![ChangeRequest::Erase(vec![erased])]);
            return Next::Follow;
        }
        Next::Finish
    });
    copied.unwrap();
    drop(target);
    let there = PostgresStore::open(&config).unwrap();
    let report = whole(&there, &keys);
    assert_eq!(
        (report.size, report.erased_count, report.signed_count),
        (301, 3, 2)
    );
    commit(&there, vec![create("document:there#viewer@user:ann")]);
    let checkpoint = sign(&there, &key);
    let report = whole(&there, &keys);
    assert_eq!((report.size, report.histories.len()), (302, 2));

    let back = folder.path().join("back.db");
    let mut target = SqliteTarget::create(&back).unwrap();
    copy(&there, &mut target, &mut |_| Next::Finish).unwrap();
    drop(target);
    let source = SqliteSource::open(&back).unwrap();
    let report = whole(&source, &keys);
    assert_eq!(
        (report.size, report.signed_count, report.signed_size),
        (302, 3, checkpoint.size)
    );

    // A backup of before is shorter than what was signed since.
    let mut verifier = Verifier::new(keys.to_vec());
    verifier.checkpoint("the newest", None, &checkpoint.note);
    let older = SqliteSource::open(&path).unwrap();
    let report = verify_store(&older, verifier, &mut |_| {}).unwrap();
    assert!(report.findings[0].what.contains("cut off"), "{report:?}");
}

#[test]
fn nodes_that_sign_at_once_keep_one_checkpoint_of_a_size() {
    let server = Server::start(&["fsync=off"]);
    let config = database(&server);
    let nodes = [(); 2].map(|()| Arc::new(PostgresStore::open(&config).unwrap()));
    let keys = [key(), key()];
    for number in 0..20 {
        commit(
            &*nodes[0],
            vec![create(&format!("document:d{number}#viewer@user:ann"))],
        );
        let signed: Vec<StoredCheckpoint> = std::thread::scope(|scope| {
            let signing = nodes.iter().zip(&keys);
            let signing: Vec<_> = signing
                .map(|(node, key)| scope.spawn(move || sign(&**node, key)))
                .collect();
            signing.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(signed[0], signed[1]);
    }
    let keys = keys.map(|key| key.public().clone());
    assert_eq!(whole(&*nodes[1], &keys).signed_count, 20);
}

#[test]
fn a_program_of_before_commits_nothing_that_is_not_audited() {
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    let config: PostgresConfig = url.parse().unwrap();
    PostgresStore::migrate(&config, None).unwrap();
    let store = PostgresStore::open(&config).unwrap();
    commit(&store, vec![create("document:a#viewer@user:ann")]);
    // As one puts the head forward that does not know of the audit log.
    let told = refused(
        &server,
        &url,
        "UPDATE remit.head SET revision = revision + 1",
    );
    assert!(told.contains("head_is_audited"), "{told}");
    commit(&store, vec![create("document:b#viewer@user:ann")]);
    assert_eq!(whole(&store, &[]).size, 2);
}

#[test]
fn the_role_that_serves_changes_of_the_audit_log_what_an_erasure_takes_and_no_more() {
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    server.query(&url, "CREATE ROLE serving LOGIN");
    let config: PostgresConfig = url.parse().unwrap();
    PostgresStore::migrate(&config, Some("serving")).unwrap();
    let serving = url.replacen("remit@", "serving@", 1);
    assert_ne!(serving, url);
    let store = PostgresStore::open(&serving.parse().unwrap()).unwrap();
    for number in 0..257 {
        commit(
            &store,
            vec![create(&format!("document:d{number}#viewer@user:ann"))],
        );
    }
    sign(&store, &key());
    let erased = ErasedParts {
        index: 0,
        parts: vec![4],
    };
    commit(&store, vec![ChangeRequest::Erase(vec![erased])]);
    whole(&store, &[]);
    for sql in [
        "DELETE FROM remit.audit_entry",
        "UPDATE remit.audit_entry SET leaf = leaf",
        "UPDATE remit.audit_node SET hash = hash",
        "DELETE FROM remit.audit_checkpoint",
        "UPDATE remit.audit_checkpoint SET note = note",
    ] {
        let told = refused(&server, &url, &format!("SET ROLE serving; {sql}"));
        assert!(told.contains("permission denied"), "{sql}: {told}");
    }
}

#[test]
fn parts_are_told_in_the_order_in_which_they_are_numbered() {
    let store = SqliteStore::memory().unwrap();
    commit(&store, vec![create("document:a#viewer@user:ann")]);
    let query = AuditQuery {
        from: 0,
        entries_max: 1,
        bytes_max: 0,
    };
    let entry = block_on(audit(&store).entries(query)).unwrap().remove(0);
    let body = entry.body().unwrap();
    let parts: Vec<Part> = body.parts().map(|(_, part)| part.clone()).collect();
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        Part::Actor("test".to_owned()),
        Part::Reason(text("TICKET-1")),
        Part::Metadata(None),
        Part::Origin(text("127.0.0.1:9 by preshared key one")),
        Part::Relationship {
            before: None,
            after: text("document:a#viewer@user:ann"),
        },
    ];
    assert_eq!(parts, expected);
    let beyond = store::audit::Place { level: 1, index: 0 };
    let missing = block_on(audit(&store).hashes(vec![beyond]));
    assert!(matches!(missing, Err(StoreError::Corrupt { .. })));
}
