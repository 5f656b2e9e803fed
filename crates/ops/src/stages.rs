//! What a call went through, for whoever traces it: the stages it took its time for, and what it was about.
//!
//! Nothing is kept of a call that is not traced: an operation that begins a stage looks whether somebody records, which costs a look at
//! the memory of the task. What is recorded is a value ([`Record`]) that a server makes spans of; nothing here knows how those are sent.
//! No id of a resource or of a subject is recorded.

use std::cell::RefCell;
use std::time::Instant;

use model::{Decision, Revision};

/// Stages of one call that are recorded; more are left out, and counted.
const STAGES_MAX: usize = 64;

/// What a call went through.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Record {
    /// The stages, in the order of their ends.
    pub stages: Vec<Stage>,
    /// How many were left out.
    pub left_out: u32,
    /// What was asked for, and what was decided, if the call was one check.
    pub check: Option<Check>,
    /// Questions that were decided.
    pub decided: u32,
    /// The revision that the call was answered from.
    pub revision: Option<Revision>,
}

/// A stage of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// What was done.
    pub name: &'static str,
    /// When it began.
    pub begun: Instant,
    /// When it was done.
    pub ended: Instant,
}

/// A question as far as it may be told, by names of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The definition of the resource.
    pub definition: String,
    /// The permission.
    pub permission: String,
    /// What was decided.
    pub decision: &'static str,
}

tokio::task_local! {
    static RECORD: RefCell<Record>;
}

/// Awaits `call`, and tells what it went through.
pub async fn recorded<F: Future>(call: F) -> (F::Output, Record) {
    let recording = async {
        let output = call.await;
        let record = RECORD.with(RefCell::take);
        (output, record)
    };
    RECORD.scope(RefCell::default(), recording).await
}

/// A stage that goes on until this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Option<(&'static str, Instant)>);

/// Begins a stage, if somebody records.
pub(crate) fn begin(name: &'static str) -> Running {
    Running(is_recorded().then(|| (name, Instant::now())))
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some((name, begun)) = self.0 else {
            return;
        };
        let ended = Instant::now();
        note(|record| {
            if record.stages.len() < STAGES_MAX {
                record.stages.push(Stage { name, begun, ended });
            } else {
                record.left_out += 1;
            }
        });
    }
}

/// Notes which revision answers.
pub(crate) fn note_revision(revision: Revision) {
    note(|record| record.revision = Some(revision));
}

/// Notes a decision, by names of the schema.
pub(crate) fn note_decision<'n, E>(
    names: impl FnOnce() -> (&'n str, &'n str),
    decision: &Result<Decision, E>,
) {
    note(|record| {
        record.decided += 1;
        let (definition, permission) = names();
        let is_first = record.decided == 1;
        record.check = is_first.then(|| Check {
            definition: definition.to_owned(),
            permission: permission.to_owned(),
            decision: text(decision),
        });
    });
}

fn text<E>(decision: &Result<Decision, E>) -> &'static str {
    match decision {
        Ok(Decision::Allowed) => "allowed",
        Ok(Decision::Denied) => "denied",
        Ok(Decision::Conditional { .. }) => "conditional",
        Err(_) => "error",
    }
}

fn is_recorded() -> bool {
    RECORD.try_with(|_| ()).is_ok()
}

fn note(change: impl FnOnce(&mut Record)) {
    // An error means that nobody records, or that the call was given up.
    let _unrecorded = RECORD.try_with(|record| {
        if let Ok(mut record) = record.try_borrow_mut() {
            change(&mut record);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stages_are_recorded_across_waits_and_only_where_somebody_records() {
        let work = async |name: &'static str| {
            let _running = begin(name);
            tokio::task::yield_now().await;
            note_revision(Revision(7));
        };
        work("nobody records").await;
        let ((), record) = recorded(async {
            work("one").await;
            work("two").await;
            note_decision::<()>(|| ("doc", "view"), &Ok(Decision::Denied));
        })
        .await;
        let names: Vec<_> = record.stages.iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["one", "two"]);
        assert!(record.stages.iter().all(|stage| stage.begun <= stage.ended));
        assert_eq!(record.revision, Some(Revision(7)));
        assert_eq!(record.check.unwrap().decision, "denied");
    }

    #[tokio::test]
    async fn what_is_recorded_has_a_bound_and_many_decisions_name_nothing() {
        let ((), record) = recorded(async {
            for _ in 0..STAGES_MAX + 3 {
                drop(begin("turn"));
                note_decision::<()>(|| ("doc", "view"), &Ok(Decision::Allowed));
            }
        })
        .await;
        assert_eq!((record.stages.len(), record.left_out), (STAGES_MAX, 3));
        assert_eq!(
            (record.check, record.decided),
            (None, STAGES_MAX as u32 + 3)
        );
    }
}
