//! Checks that go together: when, with whom, and that each is answered as it would be alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use remit_client::{Batching, Check, Client, Consistency, Context, ErrorKind, Relationship, Write};

use crate::fixed::{ALLOWS, Answer, Fixed};
use crate::running::{Random, Site, builder, touch};

fn check(number: usize) -> Check {
    Check::new(&format!("document:{number}"), "view", "user:ann").unwrap()
}

/// A client that has one call under way at most.
fn one_at_a_time(fixed: &Fixed, size_max: usize) -> Client {
    let batching = Batching {
        size_max,
        under_way_max: 1,
        waiting_max: 100,
        ..Batching::default()
    };
    builder(&[fixed.endpoint()])
        .batching(batching)
        .build()
        .unwrap()
}

/// Asks so many at once, of which the first is under way before the others come.
async fn ask(
    client: &Client,
    fixed: &Fixed,
    checks: Vec<Check>,
) -> Vec<tokio::task::JoinHandle<bool>> {
    fixed.script.turns.forget_permits(usize::MAX);
    let before = fixed.seen().len();
    let mut asking = Vec::new();
    for check in checks {
        let client = client.clone();
        asking.push(tokio::spawn(async move {
            client.check(check).await.unwrap().is_allowed()
        }));
        if asking.len() == 1 {
            fixed.has_seen(before + 1).await;
        }
    }
    // All others have joined by now: they need no more than a turn each.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    asking
}

#[tokio::test]
async fn the_first_goes_at_once_and_the_others_together() {
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let client = one_at_a_time(&fixed, 4);
    let asking = ask(&client, &fixed, (0..10).map(check).collect()).await;
    assert_eq!(fixed.seen().len(), 1);
    fixed.script.turns.add_permits(100);
    for asked in asking {
        assert!(asked.await.unwrap());
    }
    let sizes: Vec<usize> = fixed.seen().iter().map(|seen| seen.items.len()).collect();
    assert_eq!(sizes, [1, 4, 4, 1]);
    assert!(fixed.seen().iter().all(|seen| seen.has_deadline));
    let counts = client.counts();
    assert_eq!(
        (counts.batches, counts.checks_batched, counts.calls),
        (2, 8, 4)
    );
}

#[tokio::test]
async fn a_caller_that_gives_up_takes_nobody_with_it() {
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let client = one_at_a_time(&fixed, 10);
    let mut asking = ask(&client, &fixed, (0..6).map(check).collect()).await;
    // One that waits, and the very one whose call is under way.
    let (third, first) = (asking.remove(3), asking.remove(0));
    for given_up in [third, first] {
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
    }
    fixed.script.turns.add_permits(100);
    for asked in asking {
        assert!(asked.await.unwrap());
    }
    let sizes: Vec<usize> = fixed.seen().iter().map(|seen| seen.items.len()).collect();
    assert_eq!(sizes, [1, 4]);
}

#[tokio::test]
async fn nobody_waits_long_for_one_slow_call() {
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let client = builder(&[fixed.endpoint()]).build().unwrap();
    let asking = ask(&client, &fixed, (0..21).map(check).collect()).await;
    // The first has no answer; the others go beside it, in one call.
    fixed.has_seen(2).await;
    let sizes: Vec<usize> = fixed.seen().iter().map(|seen| seen.items.len()).collect();
    assert_eq!(sizes, [1, 20]);
    fixed.script.turns.add_permits(100);
    for asked in asking {
        assert!(asked.await.unwrap());
    }
}

#[tokio::test]
async fn other_names_and_other_consistencies_stay_apart() {
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let client = one_at_a_time(&fixed, 100);
    let mut checks = vec![check(0)];
    for number in 1..31 {
        checks.push(match number % 3 {
            0 => check(number),
            1 => check(number).on_behalf_of("remit/user:ann").unwrap(),
            _ => check(number).with_consistency(Consistency::FullyConsistent),
        });
    }
    let asking = ask(&client, &fixed, checks).await;
    fixed.script.turns.add_permits(100);
    for asked in asking {
        assert!(asked.await.unwrap());
    }
    for seen in fixed.seen() {
        let requirement = format!("{:?}", seen.consistency.unwrap().requirement.unwrap());
        for item in &seen.items {
            let number: usize = item.resource.as_ref().unwrap().object_id.parse().unwrap();
            let principal = (number % 3 == 1).then_some("remit/user:ann");
            assert_eq!(seen.principal.as_deref(), principal, "{number}");
            let is_fully = requirement.contains("FullyConsistent");
            assert_eq!(is_fully, number > 0 && number % 3 == 2, "{number}");
        }
    }
    assert!(client.counts().batches >= 2);
}

#[tokio::test]
async fn one_that_makes_a_call_fail_fails_alone() {
    let fixed = Fixed::start(Answer::Chokes("7")).await;
    let client = one_at_a_time(&fixed, 100);
    let answers = client.check_all((0..20).map(check)).await;
    for (number, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(decision) => assert!(decision.is_allowed() && number != 7),
            Err(error) => assert_eq!((error.kind(), number), (ErrorKind::Invalid, 7)),
        }
    }
}

#[tokio::test]
async fn no_more_wait_than_may() {
    let fixed = Fixed::start(Answer::Hangs).await;
    let client = one_at_a_time(&fixed, 10);
    let checks = (0..150).map(|number| check(number).with_deadline(Duration::from_millis(300)));
    let answers = client.check_all(checks).await;
    let of = |kind: ErrorKind| {
        let of_kind = answers
            .iter()
            .filter(|answer| answer.as_ref().is_err_and(|error| error.kind() == kind));
        of_kind.count()
    };
    assert_eq!(
        of(ErrorKind::Overloaded) + of(ErrorKind::DeadlineExceeded),
        150
    );
    assert!(
        of(ErrorKind::Overloaded) >= 40,
        "{}",
        of(ErrorKind::Overloaded)
    );
}

/// Random relationships and questions, some of which fail: asked together, each is answered as it is alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn together_is_as_alone() {
    let (site, client) = Site::with_schema().await;
    let alone = site.builder().batching(Batching::off()).build().unwrap();
    let mut random = Random(7);
    let mut rows: Vec<String> = (0..400)
        .map(|_| {
            let (document, user) = (random.below(40), random.below(30));
            match random.below(4) {
                0 => format!("document:{document}#banned@user:{user}"),
                1 => format!("document:{document}#viewer@group:{}#member", user % 5),
                2 => format!("group:{}#member@user:{user}", document % 5),
                _ => format!("document:{document}#viewer@user:{user}"),
            }
        })
        .collect();
    rows.sort();
    rows.dedup();
    client.write(touch(rows)).await.unwrap();
    let conditional = Relationship::new("document:c#viewer@user:1").unwrap();
    let conditional = conditional
        .with_caveat("from_home", Context::new())
        .unwrap();
    let at = client.write(Write::new().touch(conditional)).await.unwrap();
    let checks: Vec<Check> = (0..1_500)
        .map(|_| {
            let (document, user) = (random.below(45), format!("user:{}", random.below(33)));
            let check = match random.below(20) {
                0 => Check::new("document:1", "unknown", &user),
                1 => Check::new("nothing:1", "view", &user),
                2 => Check::new("document:c", "view", "user:1"),
                3 => Check::new("document:c", "view", "user:1").map(|check| {
                    let ip = ["10.0.0.1", "10.0.0.2"][random.below(2) as usize];
                    check.with_context(Context::new().with("ip", ip))
                }),
                _ => Check::new(&format!("document:{document}"), "view", &user),
            };
            let consistency = Consistency::AtExactSnapshot(at.clone());
            check.unwrap().with_consistency(consistency)
        })
        .collect();
    let together = client.check_all(checks.clone()).await;
    let counts = client.counts();
    assert!(
        counts.batches > 5 && counts.checks_batched > 1_400,
        "{counts:?}"
    );
    let mut kinds = [0; 4];
    for (check, together) in checks.into_iter().zip(together) {
        let text = format!("{check:?}");
        match (alone.check(check).await, together) {
            (Ok(alone), Ok(together)) => {
                kinds[usize::from(alone.is_allowed())
                    + 2 * usize::from(!alone.missing().is_empty())] += 1;
                assert_eq!(alone, together, "{text}");
            }
            (Err(alone), Err(together)) => {
                kinds[3] += 1;
                assert_eq!(alone.kind(), together.kind(), "{text}");
            }
            (alone, together) => panic!("{text}: alone {alone:?}, together {together:?}"),
        }
    }
    assert!(kinds.iter().all(|count| *count > 30), "{kinds:?}");
    assert_eq!(alone.counts().batches, 0);
}

#[tokio::test]
async fn a_client_that_is_idle_adds_no_wait() {
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let client = builder(&[fixed.endpoint()]).build().unwrap();
    let count = AtomicUsize::new(0);
    for number in 0..50 {
        assert!(client.check(check(number)).await.unwrap().is_allowed());
        count.fetch_add(1, Ordering::Relaxed);
    }
    // Each went alone, and at once: none was held back for another.
    assert!(fixed.seen().iter().all(|seen| seen.items.len() == 1));
    assert_eq!(client.counts().batches, 0);
}
