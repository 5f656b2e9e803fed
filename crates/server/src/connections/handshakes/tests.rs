//! Handshakes that are made of nothing but waits, in virtual time where they take time.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

const LONG: Duration = Duration::from_secs(3_600);

type Made = JoinHandle<Result<&'static str, NoHandshake>>;

fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A handshake whose client answers when it is told to.
fn begin(handshakes: &Arc<Handshakes>, peer: &str, time_max: Duration) -> (Arc<Notify>, Made) {
    let (handshakes, peer, client) = (Arc::clone(handshakes), at(peer), Arc::new(Notify::new()));
    let answers = Arc::clone(&client);
    let made = tokio::spawn(async move {
        let handshake = async move {
            answers.notified().await;
            "made"
        };
        handshakes.make(peer, time_max, || false, handshake).await
    });
    (client, made)
}

/// Until all tasks have done what they can without time going on.
async fn settled() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_stalls_gives_way_to_who_comes_and_to_nobody_else() {
    let handshakes = Handshakes::worked_on(2, 1);
    let (_, first) = begin(&handshakes, "10.0.0.1", LONG);
    let (slow, second) = begin(&handshakes, "10.0.0.1", LONG);
    tokio::time::sleep(CLIENT_MAX * 60).await;
    assert!(!first.is_finished(), "nobody waits");
    let (client, third) = begin(&handshakes, "10.0.0.1", LONG);
    assert_eq!(first.await.unwrap(), Err(NoHandshake::GaveWay));
    client.notify_one();
    assert_eq!(third.await.unwrap(), Ok("made"));
    slow.notify_one();
    assert_eq!(second.await.unwrap(), Ok("made"));
    assert_eq!(handshakes.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_has_its_time_though_others_wait_and_does_not_get_more_by_dripping() {
    let handshakes = Handshakes::worked_on(1, 1);
    let drips = Arc::new(Notify::new());
    let (peer, drip, of) = (at("10.0.0.1"), Arc::clone(&drips), Arc::clone(&handshakes));
    let dripping = tokio::spawn(async move {
        let handshake = async {
            loop {
                drip.notified().await;
            }
        };
        let made: Result<(), _> = of.make(peer, LONG, || false, handshake).await;
        made
    });
    settled().await;
    let (client, waits) = begin(&handshakes, "10.0.0.1", LONG);
    let step = CLIENT_MAX / 10;
    for _ in 0..9 {
        tokio::time::sleep(step).await;
        drips.notify_one();
        settled().await;
        assert!(!dripping.is_finished());
        assert_eq!(handshakes.counts(), (1, 1));
    }
    for _ in 0..2 {
        tokio::time::sleep(step).await;
        drips.notify_one();
    }
    assert_eq!(dripping.await.unwrap(), Err(NoHandshake::GaveWay));
    client.notify_one();
    assert_eq!(waits.await.unwrap(), Ok("made"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_or_takes_too_long_is_told_from_the_others() {
    let handshakes = Handshakes::worked_on(1, 1);
    let long = LONG / 2;
    let (_, held_up) = begin(&handshakes, "10.0.0.1", long);
    assert_eq!(held_up.await.unwrap(), Err(NoHandshake::Slow));
    // What is held up by the server does not give way.
    let (of, peer) = (Arc::clone(&handshakes), at("10.0.0.1"));
    let held_up = tokio::spawn(async move {
        let never = std::future::pending::<()>();
        of.make(peer, LONG, || true, never).await
    });
    settled().await;
    let (_, waits) = begin(&handshakes, "10.0.0.2", CLIENT_MAX * 2);
    assert_eq!(waits.await.unwrap(), Err(NoHandshake::Waited));
    assert_eq!(handshakes.counts(), (1, 0));
    assert_eq!(held_up.await.unwrap(), Err(NoHandshake::Slow));
    assert_eq!(handshakes.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flood_from_one_address_is_one_of_those_that_have_turns() {
    let handshakes = Handshakes::worked_on(1, 1);
    let (held, first) = begin(&handshakes, "10.0.0.1", LONG);
    settled().await;
    let flood: Vec<_> = (0..50)
        .map(|_| begin(&handshakes, "10.0.0.1", LONG))
        .collect();
    settled().await;
    let (client, polite) = begin(&handshakes, "10.0.0.2", LONG);
    settled().await;
    assert_eq!(handshakes.counts(), (1, 51));
    held.notify_one();
    assert_eq!(first.await.unwrap(), Ok("made"));
    let (next, _) = &flood[0];
    next.notify_one();
    client.notify_one();
    assert_eq!(polite.await.unwrap(), Ok("made"));
    assert!(flood.iter().filter(|(_, made)| made.is_finished()).count() <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_are_worked_on_at_once_than_may_be() {
    let handshakes = Handshakes::worked_on(100, 2);
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let all = (0..100).map(|_| {
        let (of, at_once, most) = (
            Arc::clone(&handshakes),
            Arc::clone(&at_once),
            Arc::clone(&most),
        );
        let mut steps = 0;
        let handshake = poll_fn(move |context| {
            let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            std::hint::black_box((0..50_000_u64).fold(0, |sum, n| sum ^ n.wrapping_mul(n)));
            at_once.fetch_sub(1, Ordering::SeqCst);
            steps += 1;
            context.waker().wake_by_ref();
            if steps == 5 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        tokio::spawn(async move { of.make(at("10.0.0.1"), LONG, || false, handshake).await })
    });
    for made in all.collect::<Vec<_>>() {
        assert_eq!(made.await.unwrap(), Ok(()));
    }
    let most = most.load(Ordering::SeqCst);
    assert!((1..=2).contains(&most), "{most} at once");
    assert_eq!(handshakes.counts(), (0, 0));
}
