//! Asking again: what may be, how often, and what an idempotency key makes of it.

use std::time::{Duration, Instant};

use remit_client::{Batching, Check, Client, ErrorKind, IdempotencyKey, Retry};
use tonic::Code;

use crate::fixed::{ALLOWS, Answer, Fixed};
use crate::running::{builder, touch};

fn check() -> Check {
    Check::new("document:a", "view", "user:ann").unwrap()
}

fn client(fixed: &Fixed, retry: Retry) -> Client {
    builder(&[fixed.endpoint()])
        .retry(retry)
        .batching(Batching::off())
        .build()
        .unwrap()
}

fn quick() -> Retry {
    Retry {
        backoff_min: Duration::from_micros(10),
        backoff_max: Duration::from_micros(100),
        ..Retry::default()
    }
}

#[tokio::test]
async fn a_check_is_asked_again_where_that_helps() {
    for code in [Code::Unavailable, Code::ResourceExhausted, Code::Aborted] {
        let fixed = Fixed::start(Answer::FailsFirst(code, 2)).await;
        let client = client(&fixed, Retry::default());
        assert!(
            client.check(check()).await.unwrap().is_allowed(),
            "{code:?}"
        );
        assert_eq!((fixed.seen().len(), client.counts().retries), (3, 2));
    }
    for code in [
        Code::InvalidArgument,
        Code::FailedPrecondition,
        Code::Internal,
    ] {
        let fixed = Fixed::start(Answer::FailsFirst(code, 1)).await;
        let client = client(&fixed, Retry::default());
        assert!(client.check(check()).await.is_err(), "{code:?}");
        assert_eq!(fixed.seen().len(), 1);
    }
    let fixed = Fixed::start(Answer::Fails(Code::ResourceExhausted)).await;
    let error = client(&fixed, quick()).check(check()).await.unwrap_err();
    assert_eq!(
        (error.kind(), fixed.seen().len()),
        (ErrorKind::Overloaded, 4)
    );
}

#[tokio::test]
async fn retries_are_a_share_of_the_calls() {
    const CALLS: u64 = 2_000;
    let fixed = Fixed::start(Answer::Fails(Code::ResourceExhausted)).await;
    let retry = Retry {
        attempts_max: 10,
        share_max: 0.1,
        burst_max: 20,
        ..quick()
    };
    let client = client(&fixed, retry);
    let began = Instant::now();
    for _ in 0..CALLS {
        assert!(client.check(check()).await.is_err());
    }
    let (counts, attempts) = (client.counts(), fixed.seen().len() as u64);
    assert_eq!(attempts, CALLS + counts.retries);
    // Without a budget they would be 18,000.
    let most = CALLS / 10 + 20;
    assert!(
        counts.retries <= most && counts.retries >= most - 5,
        "{counts:?}"
    );
    assert!(counts.retries_refused > CALLS / 2, "{counts:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_write_is_sent_again_only_if_it_was_not_applied() {
    let write = || touch(["document:a#viewer@user:ann"]);
    // The server says that it did nothing.
    for code in [Code::ResourceExhausted, Code::Aborted] {
        let fixed = Fixed::start(Answer::FailsFirst(code, 1)).await;
        assert!(client(&fixed, quick()).write(write()).await.is_ok());
        assert_eq!(fixed.seen().len(), 2, "{code:?}");
    }
    // It may have done it.
    for code in [
        Code::Unavailable,
        Code::Internal,
        Code::Unknown,
        Code::Cancelled,
    ] {
        let fixed = Fixed::start(Answer::FailsFirst(code, 1)).await;
        let error = client(&fixed, quick()).write(write()).await.unwrap_err();
        let seen = (error.kind(), fixed.seen().len());
        assert_eq!(seen, (ErrorKind::OutcomeUnknown, 1), "{code:?}");
    }
    let fixed = Fixed::start(Answer::Hangs).await;
    let hangs = write().with_deadline(Duration::from_millis(50));
    let error = client(&fixed, quick()).write(hangs).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    // It refused.
    let fixed = Fixed::start(Answer::Fails(Code::FailedPrecondition)).await;
    let error = client(&fixed, quick()).write(write()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
}

#[tokio::test]
async fn a_write_with_a_key_is_sent_again_with_the_same_key() {
    let fixed = Fixed::start(Answer::FailsFirst(Code::Unavailable, 2)).await;
    let write = touch(["document:a#viewer@user:ann"]);
    let write = write.with_idempotency_key(IdempotencyKey::random());
    assert!(client(&fixed, quick()).write(write).await.is_ok());
    let keys: Vec<_> = fixed
        .seen()
        .into_iter()
        .map(|seen| seen.idempotency_key)
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(
        keys[0].is_some() && keys.iter().all(|key| *key == keys[0]),
        "{keys:?}"
    );
    assert_ne!(IdempotencyKey::random(), IdempotencyKey::random());
}

#[tokio::test]
async fn what_never_reached_a_server_is_tried_until_the_deadline() {
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    // Whoever is there answers for who is not, and nobody waits for long.
    let client = builder(&[gone.clone(), fixed.endpoint()])
        .batching(Batching::off())
        .build()
        .unwrap();
    for _ in 0..20 {
        assert!(client.check(check()).await.unwrap().is_allowed());
    }
    // It was asked again at no cost, and left alone from then on.
    assert_eq!((client.counts().retries, fixed.seen().len()), (0, 20));
    let alone = builder(&[gone]).build().unwrap();
    let write = touch(["document:a#viewer@user:ann"]).with_deadline(Duration::from_millis(200));
    let error = alone.write(write).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

/// One endpoint is gone and the other does not answer: a write may have been made there, with a key or without.
#[tokio::test]
async fn a_write_that_is_under_way_is_not_told_that_it_reached_nobody() {
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    for key in [None, Some(IdempotencyKey::random())] {
        // Whichever is asked first.
        for is_turned in [false, true] {
            let hangs = Fixed::start(Answer::Hangs).await;
            let mut endpoints = [gone.clone(), hangs.endpoint()];
            if is_turned {
                endpoints.reverse();
            }
            let client = builder(&endpoints).build().unwrap();
            let write = touch(["document:a#viewer@user:ann"]);
            let write = write.with_deadline(Duration::from_millis(500));
            let (write, kind) = match key.clone() {
                Some(key) => (write.with_idempotency_key(key), ErrorKind::DeadlineExceeded),
                None => (write, ErrorKind::OutcomeUnknown),
            };
            let error = client.write(write).await.unwrap_err();
            assert_eq!(hangs.seen().len(), 1);
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_left_alone_after_a_while() {
    let (hangs, well) = (
        Fixed::start(Answer::Hangs).await,
        Fixed::start(Answer::Says(ALLOWS)).await,
    );
    let client = builder(&[hangs.endpoint(), well.endpoint()])
        .batching(Batching::off())
        .build()
        .unwrap();
    let mut late = 0;
    for _ in 0..40 {
        let check = check().with_deadline(Duration::from_millis(20));
        late += usize::from(client.check(check).await.is_err());
    }
    assert!((5..=8).contains(&late), "{late} were late");
    assert!(well.seen().len() >= 32);
}
