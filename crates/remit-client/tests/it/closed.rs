//! Nothing but an allow is an allow: whatever else comes about, the handler behind a check does not run.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use remit_client::{AuthorizeLayer, Batching, Check, Client, Credentials, Retry};
use tonic::Code;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::fixed::{ALLOWS, Answer, Fixed};
use crate::running::builder;

const CODES: [Code; 16] = [
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

fn check() -> Check {
    let check = Check::new("document:a", "view", "user:ann").unwrap();
    check.with_deadline(Duration::from_millis(150))
}

/// What a protected service answers, and how often its handler ran. Two checks, so that they may go together.
async fn protected(client: &Client) -> (StatusCode, usize) {
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ran);
    let handler = service_fn(move |_: Request<String>| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    });
    let layer = AuthorizeLayer::new(client.clone(), |_| {
        Ok(vec![check(), check(), check(), check()])
    });
    let request = Request::new(String::new());
    let answer = layer.layer(handler).oneshot(request).await.unwrap();
    (answer.status(), ran.load(Ordering::SeqCst))
}

async fn expect_closed(fixed: &Fixed, what: &str) {
    for batching in [Batching::default(), Batching::off()] {
        let client = builder(&[fixed.endpoint()])
            .batching(batching)
            .retry(Retry::never())
            .build()
            .unwrap();
        let decision = client.check(check()).await;
        assert!(
            !decision.is_ok_and(|decision| decision.is_allowed()),
            "{what}"
        );
        let (status, ran) = protected(&client).await;
        assert_eq!(ran, 0, "{what} let a handler run");
        assert!(
            [StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE].contains(&status),
            "{what}: {status}"
        );
    }
}

#[tokio::test]
async fn no_failure_is_an_allow() {
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let client = builder(&[fixed.endpoint()]).build().unwrap();
    // It would run, if it were allowed.
    assert_eq!(protected(&client).await, (StatusCode::OK, 1));
    for code in CODES {
        fixed.answers(Answer::Fails(code));
        expect_closed(&fixed, &format!("{code:?}")).await;
    }
    for number in [-1, 0, 1, 3, 4, 100] {
        fixed.answers(Answer::Says(number));
        expect_closed(&fixed, &format!("permissionship {number}")).await;
    }
    fixed.answers(Answer::Tokenless);
    expect_closed(&fixed, "an answer without a token").await;
    fixed.answers(Answer::Hangs);
    expect_closed(&fixed, "an answer that never comes").await;
}

#[tokio::test]
async fn answers_that_do_not_fit_the_questions_are_none() {
    for (answer, what) in [(Answer::Short, "too few"), (Answer::Turned, "turned")] {
        let fixed = Fixed::start(answer).await;
        let batching = Batching {
            under_way_max: 1,
            ..Batching::default()
        };
        let client = builder(&[fixed.endpoint()])
            .batching(batching)
            .build()
            .unwrap();
        let checks = (0..10)
            .map(|number| Check::new(&format!("document:{number}"), "view", "user:ann").unwrap());
        let answers = client.check_all(checks).await;
        assert!(client.counts().batches > 0);
        assert!(answers.iter().all(Result::is_err), "{what}: {answers:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_no_allow() {
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let client = builder(&[gone]).build().unwrap();
    assert_eq!(
        protected(&client).await,
        (StatusCode::SERVICE_UNAVAILABLE, 0)
    );
    let error = client.check(check()).await.unwrap_err();
    assert!(error.to_string().contains("deadline"), "{error}");
}

#[tokio::test]
async fn no_credential_is_no_allow() {
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let nothing = Credentials::callback(|| async { Err("the vault is closed".into()) });
    let client = Client::builder([fixed.endpoint()])
        .credentials(nothing)
        .build()
        .unwrap();
    assert_eq!(
        protected(&client).await,
        (StatusCode::SERVICE_UNAVAILABLE, 0)
    );
    let error = client.check(check()).await.unwrap_err();
    assert_eq!(error.kind(), remit_client::ErrorKind::Credential);
    assert!(error.to_string().contains("the vault is closed"), "{error}");
    assert!(fixed.seen().is_empty());
}
