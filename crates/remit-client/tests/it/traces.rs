//! The trace that a call is part of, as a server is told it: by every attempt, and by no call that another made.

use std::cell::RefCell;
use std::time::Duration;

use remit_client::proto::authzed::api::v1 as wire;
use remit_client::{Batching, Builder, Check, Client, Hedge, Retry, Traceparent};
use tonic::{Code, Request};

use crate::fixed::{ALLOWS, Answer, Fixed};
use crate::running::{builder, touch};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// A span of the trace, recorded or not.
fn span(number: u64, is_recorded: bool) -> Traceparent {
    let text = format!("00-{TRACE}-{number:016x}-0{}", u8::from(is_recorded));
    Traceparent::new(&text).unwrap()
}

fn text(number: u64, is_recorded: bool) -> Option<String> {
    let text = format!("00-{TRACE}-{number:016x}-0{}", u8::from(is_recorded));
    Some(text)
}

fn check() -> Check {
    let check = Check::new("document:a", "view", "user:ann").unwrap();
    check.with_deadline(LONG)
}

fn alone(builder: Builder) -> Client {
    builder.batching(Batching::off()).build().unwrap()
}

fn told(fixed: &Fixed) -> Vec<Option<String>> {
    let seen = fixed.seen().into_iter();
    seen.map(|seen| seen.traceparent).collect()
}

#[tokio::test]
async fn every_attempt_carries_it() {
    let fixed = Fixed::start(Answer::FailsFirst(Code::Unavailable, 3)).await;
    let retry = Retry {
        backoff_min: Duration::from_micros(10),
        backoff_max: Duration::from_micros(100),
        ..Retry::default()
    };
    let client = alone(builder(&[fixed.endpoint()]).retry(retry));
    let asked = client.check(check().with_traceparent(span(7, true))).await;
    assert!(asked.unwrap().is_allowed());
    assert_eq!(told(&fixed), vec![text(7, true); 4]);
    assert!(client.check(check()).await.unwrap().is_allowed());
    assert_eq!(told(&fixed)[4], None);
}

#[tokio::test]
async fn a_second_attempt_beside_the_first_carries_it() {
    let (stalls, answers) = (
        Fixed::start(Answer::Hangs).await,
        Fixed::start(Answer::Says(ALLOWS)).await,
    );
    let hedge = Hedge {
        burst_max: 100,
        ..Hedge::after(Duration::from_millis(1))
    };
    let both = builder(&[stalls.endpoint(), answers.endpoint()]).hedge(hedge);
    let client = alone(both);
    while client.counts().hedges_won == 0 {
        let asked = client.check(check().with_traceparent(span(8, true))).await;
        assert!(asked.unwrap().is_allowed());
    }
    stalls.has_seen(1).await;
    for fixed in [&stalls, &answers] {
        let told = told(fixed);
        assert!(told.iter().all(|it| *it == text(8, true)), "{told:?}");
        assert!(!told.is_empty());
    }
}

#[tokio::test]
async fn what_is_recorded_goes_with_its_own_alone_and_what_is_not_goes_with_others() {
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let client = builder(&[fixed.endpoint()]).build().unwrap();
    let ask = |given: Vec<Option<Traceparent>>| {
        let checks = given.into_iter().map(|given| match given {
            Some(given) => check().with_traceparent(given),
            None => check(),
        });
        client.check_all(checks.collect::<Vec<_>>())
    };
    let recorded = |number| Some(span(number, true));
    let silent = |number| Some(span(number, false));
    let given = [1, 1, 1, 2, 2, 2].map(recorded).into_iter();
    let given = given.chain([3, 4, 5].map(silent)).chain([None, None]);
    for decision in ask(given.collect()).await {
        assert!(decision.unwrap().is_allowed());
    }
    let seen = fixed.seen();
    for number in [1, 2] {
        let of_span = seen
            .iter()
            .filter(|it| it.traceparent == text(number, true));
        let items: usize = of_span.map(|it| it.items.len()).sum();
        assert_eq!(items, 3, "{seen:?}");
    }
    // The others went with each other: together they are of no span.
    let others: Vec<_> = seen
        .iter()
        .filter(|it| {
            it.traceparent
                .as_deref()
                .is_none_or(|it| it.ends_with("-00"))
        })
        .collect();
    let items: usize = others.iter().map(|it| it.items.len()).sum();
    assert!(items == 5 && others.len() < 5, "{seen:?}");
    let several = others.iter().filter(|it| it.items.len() > 1);
    assert!(
        several.into_iter().all(|it| it.traceparent.is_none()),
        "{seen:?}"
    );
    for decision in ask(vec![silent(6); 3]).await {
        assert!(decision.unwrap().is_allowed());
    }
    let told = told(&fixed).split_off(seen.len());
    assert!(
        !told.is_empty() && told.iter().all(|it| *it == text(6, false)),
        "{told:?}"
    );
}

/// As a service does whose current span is the task's, or the thread's.
#[tokio::test]
async fn a_provider_is_asked_where_the_call_is_made() {
    thread_local! {
        static CURRENT: RefCell<Option<Traceparent>> = const { RefCell::new(None) };
    }
    let set = |span: Option<Traceparent>| CURRENT.with_borrow_mut(|current| *current = span);
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let provider = || CURRENT.with_borrow(Clone::clone);
    let client = builder(&[fixed.endpoint()]).traceparent(provider);
    let client = client.build().unwrap();
    set(Some(span(1, true)));
    assert!(client.check(check()).await.unwrap().is_allowed());
    set(Some(span(2, true)));
    client
        .write(touch(["document:a#viewer@user:ann"]))
        .await
        .unwrap();
    // What a call says itself counts.
    let own = check().with_traceparent(span(3, false));
    assert!(client.check(own).await.unwrap().is_allowed());
    // Calls that are made by hand are part of it, unless they say otherwise.
    let by_hand = || Request::new(wire::WriteRelationshipsRequest::default());
    set(Some(span(4, true)));
    client
        .permissions()
        .write_relationships(by_hand())
        .await
        .unwrap();
    let mut own = by_hand();
    let metadata = own.metadata_mut();
    metadata.insert("traceparent", text(5, true).unwrap().parse().unwrap());
    client.permissions().write_relationships(own).await.unwrap();
    set(None);
    assert!(client.check(check()).await.unwrap().is_allowed());
    let expected = [
        text(1, true),
        text(2, true),
        text(3, false),
        text(4, true),
        text(5, true),
        None,
    ];
    assert_eq!(told(&fixed), expected);
}
