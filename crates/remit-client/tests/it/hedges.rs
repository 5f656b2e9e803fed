//! Checks that are asked a second time when the first takes long.

use std::time::{Duration, Instant};

use remit_client::{Batching, Check, Client, Hedge};

use crate::proxy::Proxy;
use crate::running::{Site, builder, touch};

const DEADLINE: Duration = Duration::from_secs(20);

fn check() -> Check {
    let check = Check::new("document:a", "view", "user:ann").unwrap();
    check.with_deadline(DEADLINE)
}

async fn site() -> Site {
    let (site, client) = Site::with_schema().await;
    client
        .write(touch(["document:a#viewer@user:ann"]))
        .await
        .unwrap();
    site
}

fn hedged(endpoints: &[String], hedge: Hedge) -> Client {
    builder(endpoints)
        .hedge(hedge)
        .batching(Batching::off())
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_endpoint_is_passed_by() {
    let site = site().await;
    let (stalls, flows) = (
        Proxy::before(site.address).await,
        Proxy::before(site.address).await,
    );
    let endpoints = [stalls.endpoint(), flows.endpoint()];
    let hedge = Hedge {
        burst_max: 100,
        ..Hedge::after(Duration::from_millis(150))
    };
    let client = hedged(&endpoints, hedge);
    for _ in 0..4 {
        assert!(client.check(check()).await.unwrap().is_allowed());
    }
    stalls.stall(true);
    let began = Instant::now();
    for _ in 0..20 {
        assert!(client.check(check()).await.unwrap().is_allowed());
    }
    // Without hedges the first of them would have taken all of its deadline.
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    let counts = client.counts();
    // After five the stalled one is left alone, and nobody has to be asked twice.
    assert!((1..=12).contains(&counts.hedges), "{counts:?}");
    assert!(
        (1..=counts.hedges).contains(&counts.hedges_won),
        "{counts:?}"
    );
    let plain = builder(&[stalls.endpoint()]).build().unwrap();
    let short = check().with_deadline(Duration::from_millis(100));
    assert!(plain.check(short).await.is_err(), "it does not stall");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_endpoint_the_second_attempt_has_a_connection_of_its_own() {
    let site = site().await;
    let proxy = Proxy::before(site.address).await;
    let client = hedged(
        &[proxy.endpoint()],
        Hedge::after(Duration::from_millis(150)),
    );
    assert!(client.check(check()).await.unwrap().is_allowed());
    proxy.stall_first();
    let began = Instant::now();
    assert!(client.check(check()).await.unwrap().is_allowed());
    assert!(began.elapsed() < DEADLINE);
    assert_eq!(proxy.connections(), 2);
    assert!(client.counts().hedges_won >= 1, "{:?}", client.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_attempts_are_a_share_of_the_calls() {
    let site = site().await;
    let proxy = Proxy::before(site.address).await;
    // Each check takes longer than that: all would be asked twice, if there were no bound.
    let hedge = Hedge {
        burst_max: 3,
        ..Hedge::after(Duration::from_nanos(1))
    };
    let client = hedged(&[proxy.endpoint()], hedge);
    for _ in 0..400 {
        assert!(client.check(check()).await.unwrap().is_allowed());
    }
    let counts = client.counts();
    assert!((15..=23).contains(&counts.hedges), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_delay_may_be_what_most_calls_take() {
    let site = site().await;
    let proxy = Proxy::before(site.address).await;
    let client = hedged(&[proxy.endpoint()], Hedge::after_p95());
    for _ in 0..50 {
        assert!(client.check(check()).await.unwrap().is_allowed());
    }
    assert_eq!(client.counts().hedges, 0, "nothing is known yet");
    for _ in 0..300 {
        assert!(client.check(check()).await.unwrap().is_allowed());
    }
    proxy.stall_first();
    let began = Instant::now();
    assert!(client.check(check()).await.unwrap().is_allowed());
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert!(client.counts().hedges_won >= 1);
}
