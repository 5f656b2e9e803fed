//! Parts are erased while the log is exported and verified: both are whole.

use std::cell::RefCell;
use std::path::Path;

use indicatif::ProgressBar;
use model::{Operation, RelationshipUpdate, Revision, Timestamp};
use store::audit::tree::Question;
use store::audit::verify::Verifier;
use store::audit::{AuditQuery, ErasedParts};
use store::{AuditLog, Base, ChangeRequest, CommitRequest, Provenance, SqliteStore, Store};

use super::*;
use crate::commands::audit::{export, verify};

/// Entries that come at once.
const PAGE: usize = 7;

/// A log that is erased from when it is read from some entry on.
struct InUse {
    store: SqliteStore,
    plan: RefCell<Vec<(u64, &'static [u64])>>,
    /// An entry that is as it was before something was erased from it.
    put_back: Option<Entry>,
}

impl InUse {
    async fn commit(&self, changes: Vec<ChangeRequest>) {
        let request = CommitRequest {
            base: Base::of_schema(Revision(0)),
            preconditions: Vec::new(),
            changes,
            idempotency_key: None,
            provenance: Provenance {
                actor: "test".to_owned(),
                reason: None,
                metadata: None,
                origin: None,
            },
            now: Timestamp::EPOCH,
        };
        self.store.commit(request).await.unwrap();
    }

    fn log(&self) -> &dyn AuditLog {
        self.store.audit().unwrap()
    }
}

impl Log for InUse {
    async fn state(&self) -> anyhow::Result<(u64, Hash)> {
        let size = self.log().state().await?.size;
        let question = Question::Root(size);
        let hashes = self.log().hashes(question.places()).await?;
        Ok((size, question.answer(&hashes).unwrap()[0]))
    }

    async fn entries(&self, from: u64, entries_max: u32) -> anyhow::Result<Vec<Entry>> {
        let due: Vec<&[u64]> = {
            let mut plan = self.plan.borrow_mut();
            let due = plan.extract_if(.., |(at, _)| *at <= from);
            due.map(|(_, indices)| indices).collect()
        };
        for indices in due {
            let of = |index: &u64| ErasedParts {
                index: *index,
                parts: vec![4],
            };
            let erased = indices.iter().map(of).collect();
            self.commit(vec![ChangeRequest::Erase(erased)]).await;
        }
        let query = AuditQuery {
            from,
            entries_max: if entries_max == 1 { 1 } else { PAGE },
            bytes_max: usize::MAX,
        };
        let mut entries = self.log().entries(query).await?;
        if let Some(kept) = &self.put_back {
            let altered = entries.iter_mut().filter(|entry| entry.index == kept.index);
            altered.for_each(|entry| entry.clone_from(kept));
        }
        Ok(entries)
    }

    async fn checkpoints(&self, _: u64) -> anyhow::Result<Vec<AuditCheckpoint>> {
        Ok(Vec::new())
    }
}

/// What is erased when it is read from which entry on: entries that were not read yet, that were read, and both.
const MEANWHILE: [&[(u64, &[u64])]; 6] = [
    &[(21, &[30])],
    &[(21, &[5])],
    &[(21, &[5, 30])],
    &[(7, &[1]), (14, &[2, 39]), (21, &[38, 3])],
    // While it is read on because of the first one.
    &[(35, &[36]), (40, &[39, 4])],
    &[(0, &[39, 0]), (35, &[0, 38]), (40, &[1])],
];

async fn of_forty(plan: &[(u64, &'static [u64])]) -> InUse {
    let in_use = InUse {
        store: SqliteStore::memory().unwrap(),
        plan: RefCell::new(plan.to_vec()),
        put_back: None,
    };
    for number in 0..40 {
        let row = format!("document:d{number}#viewer@user:u{number}");
        let update = RelationshipUpdate {
            operation: Operation::Create,
            relationship: row.parse().unwrap(),
        };
        in_use
            .commit(vec![ChangeRequest::Relationship(update)])
            .await;
    }
    in_use
}

fn of_file(path: &Path) -> store::audit::verify::Report {
    verify::of_file(path, Verifier::new(Vec::new()), &|_| {}).unwrap()
}

#[tokio::test]
async fn an_export_is_whole_though_it_is_erased_from_meanwhile() {
    for plan in MEANWHILE {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.jsonl");
        let in_use = of_forty(plan).await;
        let written = export::write(&in_use, &file, &ProgressBar::hidden()).await;
        let (size, root) = written.unwrap();
        let report = of_file(&file);
        assert!(report.is_whole(), "{plan:?}: {:?}", report.findings);
        assert_eq!((report.size, report.root), (size, root), "{plan:?}");
        assert!(size >= 40);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}

#[tokio::test]
async fn a_server_is_whole_though_it_is_erased_from_while_it_is_verified() {
    for plan in MEANWHILE {
        let in_use = of_forty(plan).await;
        let verifying = verify::of_server(&in_use, Verifier::new(Vec::new()), &|_| {});
        let report = verifying.await.unwrap();
        assert!(report.is_whole(), "{plan:?}: {:?}", report.findings);
        assert!(report.size >= 40);
    }
}

#[tokio::test]
async fn an_export_hides_no_part_that_was_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut in_use = of_forty(&[]).await;
    in_use.put_back = in_use.entry(5).await.unwrap();
    let erased = ErasedParts {
        index: 5,
        parts: vec![4],
    };
    in_use
        .commit(vec![ChangeRequest::Erase(vec![erased])])
        .await;
    let file = folder.path().join("audit.jsonl");
    let written = export::write(&in_use, &file, &ProgressBar::hidden()).await;
    written.unwrap();
    let verifying = verify::of_server(&in_use, Verifier::new(Vec::new()), &|_| {});
    for report in [of_file(&file), verifying.await.unwrap()] {
        assert_eq!(report.finding_count, 1, "{report:?}");
        let what = &report.findings[0].what;
        assert!(what.contains("part 4 is there"), "{what}");
    }
}
