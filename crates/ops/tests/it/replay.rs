//! What was decided is decided the same again: with other schemas and rows by then, expirations, and locks that came and went.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use identity::Caller;
use model::{
    Clock as _, Context, Decision, ObjectRef, Operation, RelationshipUpdate, SubjectId, SubjectRef,
};
use ops::check::{self, Question};
use ops::decisions::{Decided, Recorder, Seen};
use ops::replay::{Replay, replay};
use ops::write::{self, Write};
use ops::{Consistency, Kind, Node, Settings, lock, trace};
use store::{SqliteStore, Store};
use testkit::generate;
use testkit::rng::Rng;

use crate::access::{caller, change, enforced};
use crate::running::{Hand, caller as anybody};

/// A decision as it was told.
#[derive(Debug, Clone)]
struct Kept {
    question: Question,
    seen: Seen,
    outcome: Result<Decision, (Kind, Option<ops::Reason>)>,
}

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Keeping(Mutex<Vec<Kept>>);

impl Recorder for Keeping {
    fn record(&self, decided: &Decided<'_>) {
        let Some(seen) = decided.seen else {
            return;
        };
        let asked = &decided.asked;
        let outcome = decided.outcome.cloned();
        self.0.lock().unwrap().push(Kept {
            question: Question {
                resource: asked.resource.clone(),
                permission: asked.permission.to_owned(),
                subject: asked.subject.clone(),
                context: asked.context.clone(),
            },
            seen,
            outcome: outcome.map_err(|error| (error.kind, error.reason)),
        });
    }
}

impl Kept {
    fn replay(&self) -> Replay {
        Replay {
            question: self.question.clone(),
            at: self.seen.token,
            now: self.seen.now,
            locks_at: Some(self.seen.lock.at),
        }
    }
}

fn as_object(subject: &SubjectRef) -> Option<ObjectRef> {
    match &subject.id {
        SubjectId::Wildcard => None,
        SubjectId::Object(id) => Some(ObjectRef {
            definition: subject.definition.clone(),
            id: id.clone(),
        }),
    }
}

/// Asks the questions of a case while its rows come and go, time passes and subjects are locked; what was told of that.
async fn asked(seed: u64) -> (Arc<Node>, Vec<Kept>) {
    let case = generate::case(seed);
    let mut rng = Rng::new(seed);
    let keeping = Arc::new(Keeping::default());
    let clock = Arc::new(Hand::at(1_893_499_200_000_000 - 3_600_000_000));
    let settings = Settings {
        staleness_max: Duration::from_secs(1_000_000),
        snapshots_retained: Duration::from_secs(1_000_000),
        limits: model::Limits {
            depth_max: case.depth_max,
            ..model::Limits::default()
        },
        decisions: Some(Arc::clone(&keeping) as Arc<dyn Recorder>),
        ..Settings::default()
    };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::memory().unwrap());
    let node = Node::start(store, Arc::clone(&clock) as _, settings)
        .await
        .unwrap();
    ops::schema::write(&node, &anybody(), &case.schema_text)
        .await
        .unwrap();
    let mut token = None;
    for question in &case.questions {
        let changed = case.relationships.iter().filter(|_| rng.chance(30));
        let updates = changed.map(|row| RelationshipUpdate {
            operation: if row.expires_at.is_none_or(|at| at > clock.now()) && rng_keeps(row) {
                Operation::Touch
            } else {
                Operation::Delete
            },
            relationship: row.clone(),
        });
        let updates: Vec<_> = updates.collect();
        let write = Write {
            updates,
            ..Write::default()
        };
        if !write.updates.is_empty()
            && let Ok(written) = write::write(&node, &anybody(), write).await
        {
            token.get_or_insert(written);
        }
        if let Some(subject) = as_object(&question.subject).filter(|_| rng.chance(6)) {
            // Either it is locked, or no longer.
            if lock::unlock(&node, &anybody(), &subject).await.is_err() {
                lock::lock(&node, &anybody(), &subject, "a test")
                    .await
                    .unwrap();
            }
        }
        clock.advance(rng.between(0, 600) as i64);
        let question = Question {
            resource: question.resource.clone(),
            permission: question.member.to_string(),
            subject: question.subject.clone(),
            context: question.context.clone(),
        };
        let consistency = match token.filter(|_| rng.chance(30)) {
            Some(token) => Consistency::AtExactSnapshot(token),
            None => Consistency::MinimizeLatency,
        };
        let _failed = check::check(&node, &anybody(), consistency, &question).await;
    }
    // By when all that expires has.
    clock.advance(48 * 3_600);
    let kept = keeping.0.lock().unwrap().clone();
    (node, kept)
}

/// Whether a row is to be there more often than not; by its text, so that the runs of a seed are alike.
fn rng_keeps(row: &model::Relationship) -> bool {
    !row.to_string().len().is_multiple_of(3)
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_on_random_schemas_replay_as_they_were() {
    let (mut replayed, mut denied_by_lock, mut failed, mut expired) = (0, 0, 0, 0);
    for seed in 0..100 {
        let (node, kept) = asked(seed).await;
        for kept in &kept {
            let again = replay(&node, &anybody(), &kept.replay()).await;
            let again = again.unwrap_or_else(|error| panic!("seed {seed}, {kept:?}: {error}"));
            let outcome = again
                .answer
                .decision
                .map_err(|error| (error.kind, error.reason));
            assert_eq!(outcome, kept.outcome, "seed {seed}, {:?}", kept.question);
            assert_eq!(
                again.answer.is_locked, kept.seen.lock.is_locked,
                "seed {seed}"
            );
            replayed += 1;
            denied_by_lock += usize::from(kept.seen.lock.is_locked);
            failed += usize::from(kept.outcome.is_err());
            // The instant counts, and not only the snapshot.
            let late = Replay {
                now: node.now(),
                ..kept.replay()
            };
            let late = replay(&node, &anybody(), &late).await.unwrap();
            let late = late
                .answer
                .decision
                .map_err(|error| (error.kind, error.reason));
            expired += usize::from(late != kept.outcome);
        }
        node.stop();
    }
    // What is hard did occur.
    assert!(replayed > 1_000, "{replayed}");
    assert!(
        denied_by_lock > 10 && expired > 5,
        "{denied_by_lock} {expired}"
    );
    assert!(failed > 0, "{failed}");
}

async fn seen(node: &Node, caller: &Caller, subject: &str) -> Result<bool, ops::Error> {
    let (view, question) = (
        node.view(Consistency::MinimizeLatency).await?,
        Question {
            resource: "doc:a".parse().unwrap(),
            permission: "viewer".to_owned(),
            subject: subject.parse().unwrap(),
            context: Context::default(),
        },
    );
    let asked = Replay {
        question,
        at: view.token,
        now: view.now,
        locks_at: None,
    };
    let replayed = replay(node, caller, &asked).await?;
    Ok(replayed.answer.decision? == Decision::Allowed)
}

#[tokio::test(flavor = "multi_thread")]
async fn replaying_takes_the_right_to_see_what_a_permission_rests_on() {
    let running = enforced().await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let rows = [
        "+doc:a#viewer@user:ann",
        "+remit/type:doc#checker@remit/key:ann",
    ];
    change(&running.node, &root, &rows).await.unwrap();
    assert!(seen(&running.node, &root, "user:ann").await.unwrap());
    let refused = seen(&running.node, &ann, "user:ann").await.unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
    let rows = ["+remit/type:doc#reader@remit/key:ann"];
    change(&running.node, &root, &rows).await.unwrap();
    assert!(seen(&running.node, &ann, "user:ann").await.unwrap());
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_instant_before_the_snapshot_or_in_the_future_is_replayed() {
    let running = enforced().await;
    let root = caller("root").await;
    let token = change(&running.node, &root, &["+doc:a#viewer@user:ann"])
        .await
        .unwrap();
    let view = running
        .node
        .view(Consistency::MinimizeLatency)
        .await
        .unwrap();
    for micros in [-1, 60_000_000] {
        let asked = Replay {
            question: Question {
                resource: "doc:a".parse().unwrap(),
                permission: "viewer".to_owned(),
                subject: "user:ann".parse().unwrap(),
                context: Context::default(),
            },
            at: token,
            now: view.now.saturating_add_micros(micros),
            locks_at: None,
        };
        let refused = replay(&running.node, &root, &asked).await.unwrap_err();
        assert_eq!(refused.kind, Kind::InvalidArgument, "{micros}");
    }
    running.node.stop();
}

/// Before the snapshot there was no telling who would be locked then; and the log would be read from its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn no_locks_of_before_the_snapshot_are_replayed() {
    let running = enforced().await;
    let root = caller("root").await;
    let token = change(&running.node, &root, &["+doc:a#viewer@user:ann"])
        .await
        .unwrap();
    let view = running
        .node
        .view(Consistency::MinimizeLatency)
        .await
        .unwrap();
    let at = token.revision.0;
    for (locks_at, expected) in [
        (1, Err(Kind::InvalidArgument)),
        (at - 1, Err(Kind::InvalidArgument)),
        (at, Ok(Decision::Allowed)),
    ] {
        let asked = Replay {
            question: Question {
                resource: "doc:a".parse().unwrap(),
                permission: "viewer".to_owned(),
                subject: "user:ann".parse().unwrap(),
                context: Context::default(),
            },
            at: token,
            now: view.now,
            locks_at: Some(model::Revision(locks_at)),
        };
        let replayed = replay(&running.node, &root, &asked).await;
        let decision = replayed.map(|replayed| replayed.answer.decision.unwrap());
        assert_eq!(decision.map_err(|error| error.kind), expected, "{locks_at}");
    }
    running.node.stop();
}

const NESTED: &str = "definition user {}\ndefinition doc {\n relation parent: doc\n relation viewer: user\n permission view = viewer \
                      + parent->view\n}\n";

/// What is locked is denied, traced or not, and whatever an evaluation would come to.
#[tokio::test(flavor = "multi_thread")]
async fn a_traced_check_of_a_locked_subject_replays_as_it_was() {
    let keeping = Arc::new(Keeping::default());
    let settings = Settings {
        limits: model::Limits {
            depth_max: 3,
            ..model::Limits::default()
        },
        decisions: Some(Arc::clone(&keeping) as Arc<dyn Recorder>),
        ..Settings::default()
    };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::memory().unwrap());
    let clock = Arc::new(model::SystemClock);
    let node = Node::start(store, clock, settings).await.unwrap();
    ops::schema::write(&node, &anybody(), NESTED).await.unwrap();
    // Deeper than it is followed.
    let rows = (0..9).map(|number| format!("doc:{number}#parent@doc:{}", number + 1));
    let rows = rows.chain(["doc:9#viewer@user:ann".to_owned()]);
    let updates = rows.map(|row| RelationshipUpdate {
        operation: Operation::Touch,
        relationship: row.parse().unwrap(),
    });
    let write = Write {
        updates: updates.collect(),
        ..Write::default()
    };
    write::write(&node, &anybody(), write).await.unwrap();
    let question = Question {
        resource: "doc:0".parse().unwrap(),
        permission: "view".to_owned(),
        subject: "user:ann".parse().unwrap(),
        context: Context::default(),
    };
    let newest = Consistency::MinimizeLatency;
    let traced = trace::check(&node, &anybody(), newest, &question).await;
    traced.unwrap().answer.decision.unwrap_err();
    let ann = "user:ann".parse().unwrap();
    lock::lock(&node, &anybody(), &ann, "a test").await.unwrap();
    let traced = trace::check(&node, &anybody(), newest, &question).await;
    let traced = traced.unwrap().answer;
    assert_eq!(traced.decision.unwrap(), Decision::Denied);
    assert!(traced.trace.is_some());
    let plain = check::check(&node, &anybody(), newest, &question).await;
    assert_eq!(plain.unwrap().answer, Decision::Denied);
    let kept = keeping.0.lock().unwrap().clone();
    assert_eq!(kept.len(), 3);
    for kept in kept {
        let again = replay(&node, &anybody(), &kept.replay()).await.unwrap();
        let outcome = again
            .answer
            .decision
            .map_err(|error| (error.kind, error.reason));
        assert_eq!(outcome, kept.outcome);
        assert_eq!(again.answer.is_locked, kept.seen.lock.is_locked);
    }
    node.stop();
}
