//! Look-ups and reads over connections that break.

use std::time::Duration;

use futures_util::{FutureExt as _, TryStreamExt as _};
use remit_client::{
    Client, Consistency, ErrorKind, Filter, FoundSubject, LookupResources, LookupSubjects, Read,
    Retry,
};

use crate::proxy::Proxy;
use crate::running::{Site, builder, touch};

const COUNT: usize = 6_000;
/// Some hundreds of results, so that some dozens of connections break.
const CUT_AFTER: u64 = 60_000;

/// A server with many documents of one user, and many users of one document, behind a relay that cuts.
async fn site() -> (Site, Client, Proxy, Client) {
    let (site, direct) = Site::with_schema().await;
    let rows: Vec<String> = (0..COUNT)
        .flat_map(|number| {
            [
                format!("document:d{number:05}#viewer@user:ann"),
                format!("document:all#viewer@user:u{number:05}"),
            ]
        })
        .collect();
    for some in rows.chunks(1_000) {
        direct.write(touch(some)).await.unwrap();
    }
    let proxy = Proxy::before(site.address).await;
    let breaking = builder(&[proxy.endpoint()]).build().unwrap();
    (site, direct, proxy, breaking)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_of_resources_goes_on_where_it_broke() {
    let (_site, direct, proxy, breaking) = site().await;
    proxy.cut_after(CUT_AFTER);
    let lookup = || LookupResources::new("document", "view", "user:ann").unwrap();
    let mut results = breaking.lookup_resources(lookup());
    let mut found = Vec::new();
    while let Some(one) = results.next().await.unwrap() {
        assert!(one.membership.is_sure());
        found.push(one.id);
        if found.len() == 10 {
            // What comes later is no part of the answer: it goes on with the snapshot that it began with.
            let later = touch([
                "document:d99999#viewer@user:ann",
                "document:all#banned@user:u00001",
            ]);
            direct.write(later).await.unwrap();
        }
    }
    let expected: Vec<String> = (0..COUNT).map(|number| format!("d{number:05}")).collect();
    assert_eq!(found, expected);
    let resumptions = breaking.counts().resumptions;
    assert!(
        resumptions >= 5 && proxy.cuts() >= 5,
        "{resumptions} {}",
        proxy.cuts()
    );

    let limited = lookup()
        .with_limit(1_000)
        .with_consistency(Consistency::FullyConsistent);
    let some = breaking
        .lookup_resources(limited)
        .collect(COUNT)
        .await
        .unwrap();
    let some: Vec<String> = some.into_iter().map(|one| one.id).collect();
    assert_eq!(some, expected[..1_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_a_look_up_of_subjects_with_everybody() {
    let (_site, direct, proxy, breaking) = site().await;
    let rows = [
        "document:all#viewer@user:*",
        "document:all#banned@user:u00007",
    ];
    let at = direct.write(touch(rows)).await.unwrap();
    proxy.cut_after(CUT_AFTER);
    let lookup = LookupSubjects::new("document:all", "view", "user").unwrap();
    let lookup = lookup.with_consistency(Consistency::AtLeastAsFresh(at));
    let results = breaking.lookup_subjects(lookup).into_stream();
    let found: Vec<FoundSubject> = results.try_collect().await.unwrap();
    let ids: Vec<&str> = found
        .iter()
        .map(|found| match found {
            FoundSubject::One { id, .. } => id.as_str(),
            FoundSubject::Everybody { excluded, .. } => {
                assert_eq!(excluded[0].0, "u00007");
                "*"
            }
        })
        .collect();
    let numbers = (0..COUNT).filter(|number| *number != 7);
    let mut expected = vec!["*".to_owned()];
    expected.extend(numbers.map(|number| format!("u{number:05}")));
    assert_eq!(ids, expected);
    assert!(
        breaking.counts().resumptions >= 5,
        "{:?}",
        breaking.counts()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_a_read() {
    let (_site, direct, proxy, breaking) = site().await;
    let filter = || Filter::of_object("document:all").unwrap();
    let expected: Vec<String> = texts(&direct, Read::matching(filter())).await;
    assert_eq!(expected.len(), COUNT);
    proxy.cut_after(CUT_AFTER);
    assert_eq!(texts(&breaking, Read::matching(filter())).await, expected);
    assert!(
        breaking.counts().resumptions >= 5,
        "{:?}",
        breaking.counts()
    );
    let some = Read::matching(filter()).with_limit(700);
    assert_eq!(texts(&breaking, some).await, expected[..700]);
}

async fn texts(client: &Client, read: Read) -> Vec<String> {
    let read = read.with_consistency(Consistency::FullyConsistent);
    let rows = client.read(read).collect(COUNT).await.unwrap();
    let text = |row: &remit_client::Relationship| format!("{}@{}", row.resource(), row.subject());
    rows.iter().map(text).collect()
}

/// Whoever waits for a result may stop to wait, as in one branch of a `select`, and ask on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_is_given_up_costs_nothing() {
    let (_site, _direct, proxy, through) = site().await;
    let lookup = LookupResources::new("document", "view", "user:ann").unwrap();
    let mut results = through.lookup_resources(lookup);
    let mut found = vec![results.next().await.unwrap().unwrap().id];
    let counts = through.counts();
    proxy.stall(true);
    let mut given_up = 0;
    loop {
        match results.next().now_or_never() {
            Some(next) => match next.unwrap() {
                Some(one) => found.push(one.id),
                None => break,
            },
            None => {
                given_up += 1;
                // There is but the one call.
                assert_eq!(through.counts(), counts);
                proxy.stall(false);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    assert!(given_up > 0, "there was nothing to wait for");
    let expected: Vec<String> = (0..COUNT).map(|number| format!("d{number:05}")).collect();
    assert_eq!(found, expected);
    assert_eq!(through.counts(), counts);
}

/// Where every connection breaks before a result, there is an end to trying.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_begins_is_given_up() {
    let (_site, _direct, proxy, breaking) = site().await;
    proxy.cut_after(1);
    let lookup = LookupResources::new("document", "view", "user:ann").unwrap();
    let mut results = breaking.lookup_resources(lookup.clone());
    let error = results.next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        results.next().await.unwrap().is_none(),
        "it ends after an error"
    );
    assert!(proxy.cuts() <= 20, "{} cuts", proxy.cuts());
    // Nor does it go on where it may not try again.
    proxy.cut_after(CUT_AFTER);
    let never = Retry {
        burst_max: 0,
        share_max: 0.0,
        ..Retry::default()
    };
    let once = builder(&[proxy.endpoint()]).retry(never).build().unwrap();
    let broken = once.lookup_resources(lookup).collect(COUNT).await;
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_was_asked_for_is_an_error() {
    let (_site, direct, _proxy, _) = site().await;
    let lookup = LookupResources::new("document", "view", "user:ann").unwrap();
    let error = direct
        .lookup_resources(lookup)
        .collect(100)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    let unknown = LookupResources::new("document", "unknown", "user:ann").unwrap();
    let error = direct.lookup_resources(unknown).next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
}
