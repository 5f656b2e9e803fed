//! Kills: a process that writes is killed at random moments, and nothing that it acknowledged may be missing.
//!
//! The test binary runs itself as that process: libtest takes the store's path for the name of a test that does not
//! exist, and [`the_process_that_is_killed`] finds it among its arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use model::{CommitHash, Operation, Revision};
use store::{ChangeRequest, LogEntry, SqliteStore, Store};

use crate::support::{block_on, log, request, update};

const PATH_ARGUMENT: &str = "store-to-write=";
const WRITERS: usize = 8;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let kills = if std::env::var_os("RUN_SLOW_TESTS").is_some() {
        300
    } else {
        30
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crash.db");
    let mut acknowledged = BTreeMap::new();
    let mut state = 42u64;
    for kill in 0..kills {
        // A linear congruence, for moments that are the same in every run as far as the machine allows.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let moment = Duration::from_micros((state >> 33) % 120_000);
        run_and_kill(&path, moment, &mut acknowledged);
        check(&path, &acknowledged, kill);
    }
    assert!(acknowledged.len() > kills, "the killed processes did write");
}

/// Writes pairs for ever; does nothing unless it was started by [`run_and_kill`].
#[test]
fn the_process_that_is_killed() {
    let path = std::env::args()
        .find_map(|argument| argument.strip_prefix(PATH_ARGUMENT).map(str::to_owned));
    let Some(path) = path else {
        return;
    };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(Path::new(&path)).unwrap());
    let first = block_on(store.head()).unwrap().revision.0;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || write_for_ever(&**store, &format!("r{first}w{writer}")));
        }
    });
}

fn write_for_ever(store: &dyn Store, name: &str) {
    for step in 0u64.. {
        let id = format!("{name}s{step}");
        let committed = block_on(store.commit(request(pair(&id)))).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {} {id}", committed.revision).unwrap();
        out.flush().unwrap();
    }
}

/// Two rows that are only ever written together, with enough between them to spread over pages.
fn pair(id: &str) -> Vec<ChangeRequest> {
    let rows = ["aaa", "zzz"].map(|definition| format!("{definition}:{id}#viewer@user:ann"));
    rows.iter()
        .map(|row| update(Operation::Create, row))
        .collect()
}

fn run_and_kill(path: &Path, moment: Duration, acknowledged: &mut BTreeMap<u64, String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "crash::the_process_that_is_killed",
        ])
        .arg(format!("{PATH_ARGUMENT}{}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = lines_of(&mut child);
    // The moment counts from the first acknowledgement, since starting takes longer than most moments.
    let mut all = vec![lines.recv_timeout(Duration::from_secs(60)).unwrap()];
    let end = std::time::Instant::now() + moment;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(std::time::Instant::now())) {
            Ok(line) => all.push(line),
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => panic!("the writing process ended by itself"),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    all.extend(lines);
    for (revision, id) in all {
        assert_eq!(
            acknowledged.insert(revision, id),
            None,
            "revision {revision} was acknowledged twice"
        );
    }
}

/// The acknowledgements of the child, as they come.
fn lines_of(child: &mut Child) -> mpsc::Receiver<(u64, String)> {
    let (sender, lines) = mpsc::channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let Some((_, fields)) = line.split_once("acknowledged ") else {
                continue;
            };
            // The last line may be cut short by the kill; what was not read whole was not heard.
            let Some((revision, id)) = fields.split_once(' ') else {
                continue;
            };
            if sender
                .send((revision.parse().unwrap(), id.to_owned()))
                .is_err()
            {
                return;
            }
        }
    });
    lines
}

fn check(path: &Path, acknowledged: &BTreeMap<u64, String>, kill: usize) {
    let store = SqliteStore::open(path).unwrap();
    let entries = log(&store, 0);
    let mut previous = CommitHash::ZERO;
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(entry.revision, Revision(at as u64 + 1), "kill {kill}");
        assert_eq!(
            (entry.previous, entry.hash),
            (previous, entry.computed_hash()),
            "kill {kill}"
        );
        previous = entry.hash;
    }
    for (revision, id) in acknowledged {
        let entry = entries.get(*revision as usize - 1);
        let ids = entry.map(written_ids).unwrap_or_default();
        assert!(
            ids == [id.as_str(); 2],
            "kill {kill}: revision {revision} was acknowledged with `{id}` and holds {ids:?}"
        );
    }
    let (mut firsts, mut seconds) = (BTreeSet::new(), BTreeSet::new());
    let scanned = store.scan(&mut |_, row| {
        let half = if row.resource_definition == "aaa" {
            &mut firsts
        } else {
            &mut seconds
        };
        half.insert(row.resource_id.to_owned());
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    assert_eq!(firsts, seconds, "kill {kill}: half of a commit is there");
    let logged: BTreeSet<_> = entries
        .iter()
        .flat_map(written_ids)
        .map(str::to_owned)
        .collect();
    assert_eq!(
        firsts, logged,
        "kill {kill}: the rows are not those of the log"
    );
}

fn written_ids(entry: &LogEntry) -> Vec<&str> {
    entry
        .changes
        .iter()
        .filter_map(|change| Some(change.after.as_ref()?.resource.id.as_str()))
        .collect()
}
