//! Sessions, whose checks see their writes, whichever node answers.

use std::sync::Arc;

use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::{Check, Delete, Filter, LookupResources, Token};

use crate::fixed::{ALLOWS, Answer, Fixed};
use crate::running::{Site, builder, touch};

fn check(number: usize) -> Check {
    Check::new(&format!("document:{number}"), "view", "user:ann").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_sees_its_writes_on_every_node() {
    let (site, client) = Site::with_schema().await;
    let other = Site::start_on(Arc::clone(&site.store), None).await;
    let both = builder(&[site.endpoint(), other.endpoint()])
        .build()
        .unwrap();
    let session = both.session();
    assert_eq!(session.token(), None);
    for number in 0..100 {
        let row = format!("document:{number}#viewer@user:ann");
        let token = session.write(touch([row])).await.unwrap();
        assert_eq!(session.token(), Some(token));
        assert!(
            session.check(check(number)).await.unwrap().is_allowed(),
            "{number}"
        );
    }
    let filter = Filter::of_object("document:5").unwrap();
    let deleted = session.delete(Delete::matching(filter)).await.unwrap();
    assert_eq!((deleted.count, session.token()), (1, Some(deleted.token)));
    assert!(!session.check(check(5)).await.unwrap().is_allowed());
    let lookup = LookupResources::new("document", "view", "user:ann").unwrap();
    let found = session
        .lookup_resources(lookup)
        .collect(1_000)
        .await
        .unwrap();
    assert_eq!(found.len(), 99);
    // Another service goes on with what was passed on.
    let text = session.token().unwrap().to_string();
    let elsewhere = client.session();
    elsewhere.observe(Token::new(&text).unwrap());
    assert!(elsewhere.check(check(99)).await.unwrap().is_allowed());
    assert!(!elsewhere.check(check(5)).await.unwrap().is_allowed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_at_the_same_time_are_all_seen() {
    let (site, client) = Site::with_schema().await;
    let other = Site::start_on(Arc::clone(&site.store), None).await;
    let both = builder(&[site.endpoint(), other.endpoint()])
        .build()
        .unwrap();
    for round in 0..20 {
        let session = both.session();
        let numbers = round * 8..(round + 1) * 8;
        let writes = numbers.clone().map(|number| {
            let session = session.clone();
            tokio::spawn(async move {
                let row = format!("document:{number}#viewer@user:ann");
                session.write(touch([row])).await.unwrap();
            })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap();
        }
        for number in numbers {
            assert!(session.check(check(number)).await.unwrap().is_allowed());
        }
        let settled = session.settle(check(0)).await.unwrap();
        assert!(settled.is_some() && session.token() == settled);
    }
    drop(client);
}

#[tokio::test]
async fn what_is_in_no_known_order_is_asked_fully_consistent_once() {
    let fixed = Fixed::start(Answer::Says(ALLOWS)).await;
    let session = builder(&[fixed.endpoint()]).build().unwrap().session();
    let asked = |fixed: &Fixed| {
        let seen = fixed.seen().pop().unwrap();
        seen.consistency.unwrap().requirement.unwrap()
    };
    assert!(session.check(check(1)).await.unwrap().is_allowed());
    assert!(matches!(asked(&fixed), Requirement::MinimizeLatency(true)));
    session.observe(Token::new("one").unwrap());
    assert!(session.check(check(1)).await.unwrap().is_allowed());
    let Requirement::AtLeastAsFresh(token) = asked(&fixed) else {
        panic!("{:?}", asked(&fixed));
    };
    assert_eq!(token.token, "one");
    session.observe(Token::new("other").unwrap());
    assert_eq!(session.token(), None);
    assert!(session.check(check(1)).await.unwrap().is_allowed());
    assert!(matches!(asked(&fixed), Requirement::FullyConsistent(true)));
    // The answer's token is as fresh as both.
    assert_eq!(session.token(), Some(Token::new("fixed").unwrap()));
    assert!(session.check(check(1)).await.unwrap().is_allowed());
    assert!(matches!(asked(&fixed), Requirement::AtLeastAsFresh(_)));
}
