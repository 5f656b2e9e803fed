//! Random schemas, data and questions: an engine of its own and a replica of a server answer as the naive evaluator does.

use model::{Clock as _, Decision, Timestamp};
use remit_embedded::{Consistency, Engine, Follow, Owned, Pace, Place, Settings, Storage};
use schema::Schema;
use testkit::{Case, oracle};

use crate::running::{anybody, start};

const CASES: u64 = 60;

fn settings(case: &Case) -> Settings {
    let mut settings = Settings::default();
    settings.limits.depth_max = case.depth_max;
    settings
}

/// Cases whose answers do not hang on the instant, with relationships that last.
fn cases() -> impl Iterator<Item = (Case, Schema)> {
    let cases = (0..).map(testkit::case);
    let cases = cases.filter_map(|mut case| {
        let schema = Schema::compile(&case.schema_text).ok()?;
        let now = model::SystemClock.now();
        case.relationships.iter_mut().for_each(|row| {
            // The clock here is that of the machine: what would have expired is out, what has not stays.
            row.expires_at = row.expires_at.map(|_| Timestamp::MAX);
        });
        case.questions
            .iter_mut()
            .for_each(|question| question.now = now);
        (case.relationships.len() >= 5 && case.questions.len() >= 3).then_some((case, schema))
    });
    cases.take(CASES as usize)
}

/// Holds the answers of `engine` to the naive evaluator's; how many were allowed.
async fn hold(engine: &Engine, case: &Case, schema: &Schema) -> usize {
    let mut allowed = 0;
    let pinned = engine.pin().unwrap();
    for question in &case.questions {
        let right = oracle::check(schema, &case.relationships, question, case.depth_max).ok();
        let found = pinned.check(
            &question.resource,
            question.member.as_str(),
            &question.subject,
            &question.context,
        );
        assert_eq!(found.ok(), right, "{case}");
        let asked = remit_embedded::Question {
            resource: question.resource.clone(),
            permission: question.member.to_string(),
            subject: question.subject.clone(),
            context: question.context.clone(),
        };
        let found = engine.check(Consistency::FullyConsistent, &asked).await;
        assert_eq!(found.ok().map(|found| found.answer), right, "{case}");
        allowed += usize::from(right == Some(Decision::Allowed));
    }
    allowed
}

async fn open(case: &Case) -> Owned {
    let storage = Storage {
        settings: settings(case),
        ..Place::Memory.into()
    };
    let engine = Engine::open(storage).await.unwrap();
    engine.write_schema(&case.schema_text).await.unwrap();
    engine
        .import(case.relationships.iter().cloned())
        .await
        .unwrap();
    engine
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_of_its_own_answers_as_the_naive_evaluator_does() {
    let mut allowed = 0;
    for (case, schema) in cases() {
        let engine = open(&case).await;
        allowed += hold(&engine, &case, &schema).await;
        engine.close().await.unwrap();
    }
    assert!(allowed > 30, "{allowed}");
}

/// The same, loaded over the wire and then by the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_answers_as_the_naive_evaluator_does() {
    let mut allowed = 0;
    for (number, (case, schema)) in cases().take(20).enumerate() {
        let running = start().await;
        let write = async || {
            ops::schema::write(&running.node, &anybody(), &case.schema_text)
                .await
                .unwrap();
            let mut import = ops::bulk::Import::default();
            import
                .add(&running.node, case.relationships.iter().cloned())
                .unwrap();
            import.commit(&running.node, &anybody()).await.unwrap();
        };
        let is_loaded = number % 2 == 0;
        if is_loaded {
            write().await;
        }
        let replica = Engine::follow(Follow {
            settings: settings(&case),
            pace: Pace::default(),
            ..running.follow()
        });
        let replica = replica.await.unwrap();
        if !is_loaded {
            write().await;
            replica.pin_at(Consistency::FullyConsistent).await.unwrap();
        }
        allowed += hold(&replica, &case, &schema).await;
        drop(replica);
        running.stop().await;
    }
    assert!(allowed > 10, "{allowed}");
}
