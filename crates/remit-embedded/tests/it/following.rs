//! A replica has what its server has: writes, schemas, locks, large commits and what was written while it was not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::RelationshipFilter;
use remit_embedded::{Consistency, Decision, Engine, Kind, Token};
use store::Digest;
use testkit::rng::Rng;

use crate::running::{SCHEMA, anybody, eventually, question, start, view};

const NEWEST: Consistency = Consistency::MinimizeLatency;

fn digest(snapshot: &::engine::graph::Snapshot) -> (u64, String) {
    let mut digest = Digest::default();
    let rows = snapshot.relationships(&RelationshipFilter::default());
    rows.for_each(|row| digest.add(&row));
    (digest.count(), digest.to_string())
}

async fn rows(engine: &Engine) -> Vec<String> {
    let mut reading = engine.read(NEWEST, None).await.unwrap();
    let mut rows = Vec::new();
    loop {
        let page = reading.next_page(10_000);
        if page.is_empty() {
            return rows;
        }
        rows.extend(page.iter().map(ToString::to_string));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_answered_from_at_its_token() {
    let running = start().await;
    running.write(&["+doc:a#viewer@user:ann"]).await;
    let replica = running.replica().await;
    assert_eq!(
        view(&replica, NEWEST, "doc:a", "user:ann").await.unwrap(),
        Decision::Allowed
    );
    for round in 0..50 {
        let row = format!("doc:r{round}#viewer@user:ann");
        let doc = format!("doc:r{round}");
        let token = running.write(&[&format!("+{row}")]).await;
        let fresh = Consistency::AtLeastAsFresh(token);
        assert_eq!(
            view(&replica, fresh, &doc, "user:ann").await.unwrap(),
            Decision::Allowed
        );
        let gone = running.write(&[&format!("-{row}")]).await;
        let full = Consistency::FullyConsistent;
        assert_eq!(
            view(&replica, full, &doc, "user:ann").await.unwrap(),
            Decision::Denied
        );
        // The past is answered from as well, both before and after.
        let before = Consistency::AtExactSnapshot(token);
        assert_eq!(
            view(&replica, before, &doc, "user:ann").await.unwrap(),
            Decision::Allowed
        );
        let after = Consistency::AtExactSnapshot(gone);
        assert_eq!(
            view(&replica, after, &doc, "user:ann").await.unwrap(),
            Decision::Denied
        );
    }
    let health = replica.health();
    assert!(
        health.is_connected && health.interruptions == 0,
        "{health:?}"
    );
    assert_eq!(health.revision, running.node.snapshot().revision());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_from_before_the_replica_and_from_elsewhere_are_told_apart() {
    let running = start().await;
    let old = running.write(&["+doc:a#viewer@user:ann"]).await;
    running.write(&["-doc:a#viewer@user:ann"]).await;
    let replica = running.replica().await;
    let fresh = Consistency::AtLeastAsFresh(old);
    assert_eq!(
        view(&replica, fresh, "doc:a", "user:ann").await.unwrap(),
        Decision::Denied
    );
    // It was never held here, and is made from the log of the server.
    let exact = Consistency::AtExactSnapshot(old);
    assert_eq!(
        view(&replica, exact, "doc:a", "user:ann").await.unwrap(),
        Decision::Allowed
    );
    let beyond = Token {
        revision: model::Revision(old.revision.0 + 1_000),
        ..old
    };
    let refused = view(
        &replica,
        Consistency::AtLeastAsFresh(beyond),
        "doc:a",
        "user:ann",
    )
    .await;
    assert_eq!(refused.unwrap_err().kind, Kind::RevisionGone);
    let forged = Token {
        hash: [7; 8],
        ..old
    };
    let refused = view(
        &replica,
        Consistency::AtLeastAsFresh(forged),
        "doc:a",
        "user:ann",
    )
    .await;
    assert_eq!(refused.unwrap_err().kind, Kind::InvalidArgument);
    let strange = Token {
        history: model::HistoryId([7; 8]),
        ..old
    };
    let refused = view(
        &replica,
        Consistency::AtLeastAsFresh(strange),
        "doc:a",
        "user:ann",
    )
    .await;
    assert_eq!(refused.unwrap_err().kind, Kind::InvalidArgument);
    assert!(replica.ready().is_ok());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_denies_and_a_schema_changes_what_is_answered() {
    let running = start().await;
    running
        .write(&["+doc:a#viewer@user:ann", "+doc:a#viewer@user:*"])
        .await;
    // One lock is there when the replica loads, the other comes later.
    running.lock("user:eve").await;
    let replica = running.replica().await;
    let pinned = replica.pin().unwrap();
    assert_eq!(
        view(&replica, NEWEST, "doc:a", "user:eve").await.unwrap(),
        Decision::Denied
    );
    assert_eq!(
        view(&replica, NEWEST, "doc:a", "user:bob").await.unwrap(),
        Decision::Allowed
    );
    let token = running.lock("user:bob").await;
    let fresh = Consistency::AtLeastAsFresh(token);
    assert_eq!(
        view(&replica, fresh, "doc:a", "user:bob").await.unwrap(),
        Decision::Denied
    );
    let bob = question("doc:a", "user:bob");
    let pinned = pinned
        .check(&bob.resource, "view", &bob.subject, &bob.context)
        .unwrap();
    assert_eq!(pinned, Decision::Denied);
    // Explanations say it.
    let told = replica
        .explain(NEWEST, &bob)
        .await
        .unwrap()
        .answer
        .explanation;
    assert_eq!(
        told.root.reason.as_deref(),
        Some("`user:bob` is locked: left")
    );

    let other = SCHEMA.replace("viewer - banned", "banned");
    let token = ops::schema::write(&running.node, &anybody(), &other)
        .await
        .unwrap();
    let fresh = Consistency::AtLeastAsFresh(token);
    assert_eq!(
        view(&replica, fresh, "doc:a", "user:ann").await.unwrap(),
        Decision::Denied
    );
    assert!(replica.schema().contains("permission view = banned"));
    let before = view(
        &replica,
        Consistency::AtExactSnapshot(of_no_commit(token)),
        "doc:a",
        "user:ann",
    );
    assert!(before.await.is_err());
    running.stop().await;
}

/// A token with the hash of another revision than its own.
fn of_no_commit(token: Token) -> Token {
    Token {
        revision: model::Revision(token.revision.0 - 1),
        ..token
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_many_megabytes_and_all_kinds_of_rows_come_over_whole() {
    let running = start().await;
    running
        .write(&[
            "+doc:a#viewer@user:ann[hour:{\"now\":9007199254740993}]",
            "+doc:a#viewer@user:bob[expiration:2999-01-01T00:00:00Z]",
            "+doc:a#viewer@user:*",
            "+doc:a#viewer@group:eng#member",
        ])
        .await;
    let replica = running.replica().await;
    let import = async |from: usize| {
        let mut import = ops::bulk::Import::default();
        let rows = (from..from + 40_000).map(|n| {
            let (doc, user) = ("d".repeat(40), "u".repeat(40));
            format!("doc:{doc}{n}#viewer@user:{user}{n}")
                .parse()
                .unwrap()
        });
        import.add(&running.node, rows).unwrap();
        import.commit(&running.node, &anybody()).await.unwrap();
    };
    // By the log, as one commit of some 4 MB.
    import(0).await;
    replica.pin_at(Consistency::FullyConsistent).await.unwrap();
    let expected = digest(&running.node.snapshot());
    assert_eq!(rows(&replica).await.len() as u64, expected.0);
    let loaded = running.replica().await;
    assert_eq!(rows(&loaded).await, rows(&replica).await);
    import(40_000).await;
    for engine in [&replica, &loaded] {
        engine.pin_at(Consistency::FullyConsistent).await.unwrap();
        assert_eq!(engine.relationship_count(), 80_000 + 4 + 2);
    }
    running.stop().await;
}

/// Random writes beside checks: what is answered at a token is what the server answers at that token.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_the_server_at_their_token_while_it_comes_and_goes() {
    let mut running = start().await;
    let replica = Arc::new(running.replica().await);
    let mut rng = Rng::new(7);
    let (mut allowed, mut compared) = (0, 0);
    for restart in 0..4 {
        let is_over = Arc::new(AtomicBool::new(false));
        let asking = {
            let (replica, is_over) = (Arc::clone(&replica), Arc::clone(&is_over));
            tokio::spawn(async move {
                let (mut rng, mut answers) = (Rng::new(restart), Vec::new());
                while !is_over.load(Ordering::Relaxed) {
                    let doc = format!("doc:d{}", rng.below(5));
                    let user = format!("user:u{}", rng.below(5));
                    let asked = question(&doc, &user);
                    let answered = replica.check(NEWEST, &asked).await.unwrap();
                    answers.push((asked, answered.answer, answered.at));
                    tokio::time::sleep(Duration::from_micros(300)).await;
                }
                answers
            })
        };
        for _ in 0..150 {
            let relation = *rng.pick(&["viewer", "banned"]);
            let sign = *rng.pick(&["+", "+", "-"]);
            let row = format!(
                "{sign}doc:d{}#{relation}@user:u{}",
                rng.below(5),
                rng.below(5)
            );
            let token = running.write(&[&row]).await;
            if rng.chance(20) {
                let fresh = Consistency::AtLeastAsFresh(token);
                let answered = replica
                    .check(fresh, &question("doc:d0", "user:u0"))
                    .await
                    .unwrap();
                assert!(answered.at.revision >= token.revision);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for (asked, answer, at) in asking.await.unwrap() {
            let exact = Consistency::AtExactSnapshot(at);
            let right = ops::check::check(&running.node, &anybody(), exact, &asked)
                .await
                .unwrap();
            assert_eq!(right.answer, answer, "{asked:?} at {at}");
            allowed += usize::from(answer == Decision::Allowed);
            compared += 1;
        }
        let stopped = running.stop().await;
        // What is there is answered from meanwhile; what has to be asked for is not to be had.
        assert!(view(&replica, NEWEST, "doc:d0", "user:u0").await.is_ok());
        let away = view(&replica, Consistency::FullyConsistent, "doc:d0", "user:u0").await;
        assert_eq!(away.unwrap_err().kind, Kind::Unavailable);
        running = stopped.start().await;
        let is_back = eventually(async || replica.pin_at(Consistency::FullyConsistent).await.ok());
        is_back.await;
    }
    assert!(allowed > 50 && compared > 200, "{allowed} of {compared}");
    let health = replica.health();
    assert!(health.interruptions >= 4, "{health:?}");
    running.stop().await;
}

/// Once a day elsewhere, ten times a second here.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_compared_with_its_server() {
    let running = start().await;
    running.write(&["+doc:a#viewer@user:ann"]).await;
    let mut follow = running.follow();
    follow.pace.compare_every = Some(Duration::from_millis(100));
    let replica = Engine::follow(follow).await.unwrap();
    let mut registry = prometheus_client::registry::Registry::default();
    replica.register_metrics(&mut registry);
    let measured = eventually(async || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let is_compared = text.lines().any(|line| {
            line.starts_with("remit_store_comparisons_total{outcome=\"alike\"}")
                && !line.ends_with(" 0")
        });
        is_compared.then_some(text)
    });
    let measured = measured.await;
    assert!(!measured.contains("outcome=\"different\"} 1"), "{measured}");
    replica.ready().unwrap();
    running.stop().await;
}
