//! Data that is made to be hard: each question about it has a bounded cost and the outcome that is told here.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use engine::eval::EvalError;
use engine::graph::Snapshot;
use model::{Context, Decision};
use serde::{Deserialize, Serialize};

use crate::in_process::{decide, load_rows, look_up};
use crate::results::{Entry, Results, median};
use crate::served::Wanted;
use crate::workload::{Question, Sink, object, row, subject};

/// Times that each question is asked; the median counts.
const ROUNDS: usize = 5;

/// What a question about a hard case came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Adversarial {
    pub(crate) case: String,
    pub(crate) relationships: usize,
    pub(crate) question: String,
    pub(crate) outcome: String,
    pub(crate) milliseconds: f64,
}

/// Data of about so many hard entities, and what is asked of it.
struct Case {
    name: &'static str,
    schema: &'static str,
    /// Of these entities at full size, at least so many in a smaller run.
    entities: (u64, u64),
    fill: fn(u64, &mut Sink<'_>),
    asked: &'static [Asked],
}

struct Asked {
    way: Way,
    resource: &'static str,
    permission: &'static str,
    subject: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Copy)]
enum Way {
    Check,
    LookUp(Wanted),
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Allowed,
    Denied,
    /// Every derivation is too long.
    DepthExceeded,
    /// So many results.
    Found(Count),
}

#[derive(Clone, Copy, PartialEq)]
enum Count {
    None,
    One,
    /// Each of the entities.
    All,
}

const GROUPS: &str = "definition user {}
definition group {
  relation member: user | group#member
}
definition document {
  relation viewer: user | group#member
  permission view = viewer
}
";

const FOLDERS: &str = "definition user {}
definition folder {
  relation parent: folder
  relation viewer: user
  permission view = viewer + parent->view
}
";

const SHARED: &str = "definition user {}
definition document {
  relation viewer: user | user:*
  relation banned: user | user:*
  permission view = viewer - banned
}
";

const CHECK: Way = Way::Check;
const RESOURCES: Way = Way::LookUp(Wanted::Resources);
const SUBJECTS: Way = Way::LookUp(Wanted::Subjects);

const CASES: [Case; 5] = [
    Case {
        name: "a group with 10 million members",
        schema: GROUPS,
        entities: (10_000_000, 10),
        fill: |members, sink| {
            sink(row(
                ("document", "d"),
                "viewer",
                ("group", "all", Some("member")),
            ));
            for member in 0..members {
                let id = member.to_string();
                sink(row(("group", "all"), "member", ("user", &id, None)));
            }
        },
        asked: &[
            asked(CHECK, "d", "view", "5", Outcome::Allowed),
            asked(CHECK, "d", "view", "nobody", Outcome::Denied),
            asked(RESOURCES, "", "view", "5", Outcome::Found(Count::One)),
            asked(SUBJECTS, "d", "view", "", Outcome::Found(Count::All)),
        ],
    },
    Case {
        name: "a user in 10 thousand groups, documents for 10 thousand others",
        schema: GROUPS,
        entities: (10_000, 10),
        fill: |groups, sink| {
            for group in 0..groups {
                let (own, other) = (format!("own{group}"), format!("other{group}"));
                sink(row(("group", &own), "member", ("user", "ann", None)));
                sink(row(
                    ("document", "d"),
                    "viewer",
                    ("group", &other, Some("member")),
                ));
                sink(row(
                    ("document", "e"),
                    "viewer",
                    ("group", &other, Some("member")),
                ));
            }
            sink(row(
                ("document", "e"),
                "viewer",
                ("group", "own5", Some("member")),
            ));
        },
        asked: &[
            asked(CHECK, "d", "view", "ann", Outcome::Denied),
            asked(CHECK, "e", "view", "ann", Outcome::Allowed),
            asked(RESOURCES, "", "view", "ann", Outcome::Found(Count::One)),
            asked(SUBJECTS, "d", "view", "", Outcome::Found(Count::None)),
        ],
    },
    Case {
        name: "a chain of 10 thousand folders",
        schema: FOLDERS,
        entities: (10_000, 100),
        fill: |folders, sink| {
            for folder in 1..folders {
                let (below, above) = (folder.to_string(), (folder - 1).to_string());
                sink(row(("folder", &below), "parent", ("folder", &above, None)));
            }
            sink(row(("folder", "0"), "viewer", ("user", "ann", None)));
        },
        asked: &[
            asked(CHECK, "40", "view", "ann", Outcome::Allowed),
            asked(CHECK, "90", "view", "ann", Outcome::DepthExceeded),
            asked(CHECK, "40", "view", "bob", Outcome::Denied),
            asked(SUBJECTS, "40", "view", "", Outcome::Found(Count::One)),
        ],
    },
    Case {
        name: "a dense circle: each of 300 folders in every other",
        schema: FOLDERS,
        entities: (300, 30),
        fill: |folders, sink| {
            for (below, above) in
                (0..folders).flat_map(|it| (0..folders).map(move |other| (it, other)))
            {
                if below != above {
                    let (below, above) = (below.to_string(), above.to_string());
                    sink(row(("folder", &below), "parent", ("folder", &above, None)));
                }
            }
            sink(row(("folder", "9"), "viewer", ("user", "ann", None)));
        },
        asked: &[
            asked(CHECK, "3", "view", "ann", Outcome::Allowed),
            asked(CHECK, "3", "view", "bob", Outcome::Denied),
            asked(RESOURCES, "", "view", "ann", Outcome::Found(Count::All)),
            asked(SUBJECTS, "3", "view", "", Outcome::Found(Count::One)),
        ],
    },
    Case {
        name: "a million documents for everybody but one, each",
        schema: SHARED,
        entities: (1_000_000, 20),
        fill: |documents, sink| {
            for document in 0..documents {
                let id = document.to_string();
                sink(row(("document", &id), "viewer", ("user", "*", None)));
                sink(row(("document", &id), "banned", ("user", "bob", None)));
            }
        },
        asked: &[
            asked(CHECK, "7", "view", "ann", Outcome::Allowed),
            asked(CHECK, "7", "view", "bob", Outcome::Denied),
            asked(RESOURCES, "", "view", "ann", Outcome::Found(Count::All)),
            asked(RESOURCES, "", "view", "bob", Outcome::Found(Count::None)),
        ],
    },
];

const fn asked(
    way: Way,
    resource: &'static str,
    permission: &'static str,
    subject: &'static str,
    outcome: Outcome,
) -> Asked {
    Asked {
        way,
        resource,
        permission,
        subject,
        outcome,
    }
}

/// Asks every case, at the size that its name tells divided by `divisor`.
///
/// # Errors
/// When an outcome is not the one that it is to be.
pub(crate) fn run(divisor: u64, results: &mut Results<'_>) -> anyhow::Result<()> {
    for case in &CASES {
        let (at_full_size, at_least) = case.entities;
        let entities = (at_full_size / divisor.max(1)).max(at_least);
        let snapshot = load_rows(case.schema, |sink| (case.fill)(entities, sink))?;
        for asked in case.asked {
            let result = ask(case, entities, &snapshot, asked);
            results(Entry::Adversarial(result.context(case.name)?))?;
        }
    }
    Ok(())
}

fn ask(
    case: &Case,
    entities: u64,
    snapshot: &Snapshot,
    asked: &Asked,
) -> anyhow::Result<Adversarial> {
    // The first definition is the subject's, the last that of what is asked for.
    let kind = case.schema.rsplit("definition ").next().unwrap_or_default();
    let (kind, _) = kind.split_once(' ').context("no definition")?;
    let or_any = |id: &'static str| if id.is_empty() { "any" } else { id };
    let question = Question {
        resource: object(kind, or_any(asked.resource)),
        permission: asked.permission,
        subject: subject("user", or_any(asked.subject)),
        context: Context::default(),
    };
    let mut times = Vec::new();
    let mut outcome = String::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        outcome = match asked.way {
            Way::Check => checked(snapshot, &question)?,
            Way::LookUp(wanted) => {
                format!("{} found", look_up(snapshot, wanted, &question)?.count())
            }
        };
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let expected = match asked.outcome {
        Outcome::Allowed => "allowed".to_owned(),
        Outcome::Denied => "denied".to_owned(),
        Outcome::DepthExceeded => "depth exceeded".to_owned(),
        Outcome::Found(Count::None) => "0 found".to_owned(),
        Outcome::Found(Count::One) => "1 found".to_owned(),
        Outcome::Found(Count::All) => format!("{entities} found"),
    };
    let question = match asked.way {
        Way::Check => format!(
            "{}#{}@{}",
            question.resource, asked.permission, question.subject
        ),
        Way::LookUp(Wanted::Resources) => {
            format!("what may {} {}", question.subject, asked.permission)
        }
        Way::LookUp(Wanted::Subjects) => {
            format!("who may {} {}", asked.permission, question.resource)
        }
    };
    ensure!(
        outcome == expected,
        "{question}: {outcome} instead of {expected}"
    );
    Ok(Adversarial {
        case: case.name.to_owned(),
        relationships: snapshot.relationship_count(),
        question,
        outcome,
        milliseconds: median(times, |time| *time).context("no round was measured")?,
    })
}

fn checked(snapshot: &Snapshot, question: &Question) -> anyhow::Result<String> {
    let outcome = match decide(snapshot, question) {
        Ok(Decision::Allowed) => "allowed",
        Ok(Decision::Denied) => "denied",
        Ok(Decision::Conditional { .. }) => "conditional",
        Err(EvalError::DepthExceeded { .. }) => "depth exceeded",
        Err(error) => return Err(error.into()),
    };
    Ok(outcome.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hard_case_has_its_outcome() {
        let mut count = 0;
        let mut each = |_| {
            count += 1;
            Ok(())
        };
        run(1_000, &mut each).unwrap();
        assert_eq!(
            count,
            CASES.iter().map(|case| case.asked.len()).sum::<usize>()
        );
    }
}
