//! Sinks that are servers: what they get, and what becomes of it when they are away.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::collector::{Act, Collector};
use crate::running::{PATIENCE, lines, numbered, question, resources, start};

fn to(collector: &Collector, more: &str) -> String {
    let address = collector.address;
    format!(
        "[[sink]]\nname = \"far\"\nhttp = \"http://{address}/logs?a=b\"\nflush_milliseconds = 20\n{more}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gets_compressed_arrays_with_its_token() {
    let collector = Collector::start(&[], Act::Answer(200));
    let running = start(&to(
        &collector,
        "bearer_token_file = \"token\"\nbatch_events_max = 7\n",
    ))
    .await;
    std::fs::write(running.folder.path().join("token"), "s3cret\n").unwrap();
    running.ask_numbered(0..50).await;
    assert_eq!(running.stop(PATIENCE).await, []);
    let mut events = resources(&collector.events());
    events.sort();
    let mut expected = numbered(0..50);
    expected.sort();
    assert_eq!(events, expected);
    for taken in collector.taken() {
        assert!(
            taken.head.starts_with("post /logs?a=b http/1.1"),
            "{}",
            taken.head
        );
        for line in [
            "content-type: application/json",
            "content-encoding: gzip",
            "authorization: bearer s3cret",
        ] {
            assert!(taken.head.contains(line), "{}", taken.head);
        }
        let batch: Vec<serde_json::Value> = serde_json::from_slice(&taken.body).unwrap();
        assert!(batch.len() <= 7);
    }
}

/// One thread asks, so that there is one order.
#[tokio::test]
async fn a_server_that_fails_cuts_and_hangs_gets_all_in_order_once_it_is_well() {
    let ill = [
        Act::Cut,
        Act::Answer(500),
        Act::Hang,
        Act::Answer(302),
        Act::Answer(429),
    ];
    let collector = Collector::start(&ill, Act::Answer(200));
    let running = start(&to(
        &collector,
        "timeout_seconds = 8\nbatch_events_max = 16\n",
    ))
    .await;
    running.ask_numbered(0..100).await;
    let delivered = "remit_decision_log_delivered_total{sink=\"far\"}";
    running.metric_comes_to(delivered, 100.0).await;
    assert_eq!(resources(&collector.events()), numbered(0..100));
    let failures = running.metric("remit_decision_log_sink_failures_total{sink=\"far\"}");
    assert!(failures >= 5.0, "{failures}");
    assert_eq!(running.metric("remit_decision_log_dropped_total"), 0.0);
    assert_eq!(running.stop(PATIENCE).await, []);
}

#[tokio::test]
async fn a_server_that_was_not_there_gets_all_once_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let running = start(&format!(
        "[[sink]]\nname = \"far\"\nhttp = \"http://{address}/\"\nflush_milliseconds = 1\n"
    ))
    .await;
    running.ask_numbered(0..20).await;
    running
        .metric_comes_to("remit_decision_log_sink_failures_total{sink=\"far\"}", 1.0)
        .await;
    let collector = Collector::start_on(TcpListener::bind(address).unwrap(), &[], Act::Answer(200));
    running
        .metric_comes_to("remit_decision_log_delivered_total{sink=\"far\"}", 20.0)
        .await;
    assert_eq!(resources(&collector.events()), numbered(0..20));
    assert_eq!(running.stop(PATIENCE).await, []);
}

/// Checks go on, another sink gets everything, and what is lost is counted to the last one.
#[tokio::test]
async fn a_server_that_hangs_holds_up_nobody_and_loses_what_does_not_fit() {
    let collector = Collector::start(&[], Act::Hang);
    let sinks = to(
        &collector,
        "queue_events_max = 10\ntimeout_seconds = 600\n[[sink]]\nname = \"near\"\nfile = \"log\"\n",
    );
    let running = start(&sinks).await;
    running.ask_numbered(0..10).await;
    // The ten are on their way before there is more.
    let near = "remit_decision_log_delivered_total{sink=\"near\"}";
    running.metric_comes_to(near, 10.0).await;
    running.ask_numbered(10..300).await;
    running.metric_comes_to(near, 300.0).await;
    let dropped = "remit_decision_log_dropped_total{reason=\"sink_full\",sink=\"far\"}";
    running.metric_comes_to(dropped, 290.0).await;
    assert_eq!(running.metric(dropped), 290.0);
    assert_eq!(
        resources(&lines(&running.folder.path().join("log"))),
        numbered(0..300)
    );
    let left = running.stop(Duration::from_millis(300)).await;
    assert_eq!(
        (left.len(), left[0].sink.as_str(), left[0].events),
        (1, "far", 10)
    );
    assert_eq!(
        running.metric("remit_decision_log_dropped_total{reason=\"stopped\",sink=\"far\"}"),
        10.0
    );
    assert_eq!(collector.events().len(), 0);
}

/// As each one does before long, if nothing is sent.
#[tokio::test]
async fn a_server_that_ends_idle_connections_gets_the_next_batch_at_once() {
    let collector = Collector::start(&[], Act::Answer(200));
    let running = start(&to(&collector, "")).await;
    let delivered = "remit_decision_log_delivered_total{sink=\"far\"}";
    for number in 0..6 {
        running.ask_numbered(number..number + 1).await;
        running
            .metric_comes_to(delivered, (number + 1) as f64)
            .await;
        collector.end_connections();
    }
    assert_eq!(running.stop(PATIENCE).await, []);
    assert_eq!(resources(&collector.events()), numbered(0..6));
    let failures = running.metric("remit_decision_log_sink_failures_total{sink=\"far\"}");
    assert_eq!(failures, 0.0);
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_sent_in_parts() {
    let too_large = [Act::Answer(413), Act::Answer(413), Act::Answer(200)];
    let collector = Collector::start(&too_large, Act::Answer(200));
    let running = start(&format!(
        "[[sink]]\nhttp = \"http://{}/\"\nflush_milliseconds = 600000\nbatch_events_max = 64\n",
        collector.address
    ))
    .await;
    running.ask_numbered(0..64).await;
    assert_eq!(running.stop(PATIENCE).await, []);
    assert_eq!(resources(&collector.events()), numbered(0..64));
    assert!(collector.requests() >= 4);
    // One that is too large by itself is lost, and told.
    let collector = Collector::start(&[], Act::Answer(413));
    let running = start(&to(&collector, "")).await;
    running.ask_numbered(0..3).await;
    let refused = "remit_decision_log_dropped_total{reason=\"refused\",sink=\"far\"}";
    running.metric_comes_to(refused, 3.0).await;
    collector.now(Act::Answer(200));
    running.ask_numbered(3..4).await;
    assert_eq!(running.stop(PATIENCE).await, []);
    assert_eq!(resources(&collector.events()), numbered(3..4));
}

#[tokio::test]
async fn decisions_that_the_buffer_has_no_room_for_are_counted_and_answered() {
    let text = "[buffer]\nevents_max = 1\n[[sink]]\nfile = \"log\"\n";
    let running = start(text).await;
    let many: Vec<_> = (0..500)
        .map(|n| question(&format!("doc:n{n}"), "view", "user:ann", "{}"))
        .collect();
    let anybody = identity::Caller::without_authentication();
    let newest = ops::Consistency::MinimizeLatency;
    let answered = ops::check::check_bulk(&running.node, &anybody, newest, &many)
        .await
        .unwrap();
    assert_eq!(answered.answer.len(), 500);
    let recorded = running.metric("remit_decision_log_events_total{outcome=\"recorded\"}");
    let dropped =
        running.metric("remit_decision_log_dropped_total{reason=\"buffer_full\",sink=\"\"}");
    assert!(dropped > 0.0 && recorded > 0.0);
    assert_eq!(recorded + dropped, 500.0);
    assert_eq!(running.events().await.len() as f64, recorded);
}

/// The fields of a message of protobuf: their numbers, and the bytes of those that have some.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        number
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                let number = varint(&mut bytes);
                found.push((key >> 3, number.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            other => panic!("wire type {other}"),
        };
        let (field, rest) = bytes.split_at(length);
        found.push((key >> 3, field.to_vec()));
        bytes = rest;
    }
    found
}

fn below(bytes: &[u8], path: &[u64]) -> Vec<Vec<u8>> {
    let Some((first, rest)) = path.split_first() else {
        return vec![bytes.to_vec()];
    };
    let found = fields(bytes)
        .into_iter()
        .filter(|(number, _)| number == first);
    found.flat_map(|(_, field)| below(&field, rest)).collect()
}

#[tokio::test]
async fn a_collector_of_opentelemetry_gets_log_records() {
    let collector = Collector::start(&[Act::Answer(503)], Act::Answer(200));
    let text = format!(
        "[[sink]]\notlp = \"http://{}/v1/logs\"\nflush_milliseconds = 20\n",
        collector.address
    );
    let running = start(&text).await;
    running.ask_numbered(0..5).await;
    assert_eq!(running.stop(PATIENCE).await, []);
    let mut events = Vec::new();
    for taken in collector.taken() {
        assert!(
            taken.head.contains("content-type: application/x-protobuf"),
            "{}",
            taken.head
        );
        // resource_logs, scope_logs, log_records
        for record in below(&taken.body, &[1, 2, 2]) {
            let body = below(&record, &[5, 1]).remove(0);
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(below(&record, &[12]), [b"remit.decision"]);
            let nanos = u64::from_le_bytes(below(&record, &[1])[0].as_slice().try_into().unwrap());
            assert!(nanos > 1_700_000_000_000_000_000);
            events.push(event);
        }
        assert_eq!(below(&taken.body, &[1, 1, 1, 1]), [b"service.name"]);
    }
    assert_eq!(resources(&events), numbered(0..5));
}

/// What it refuses for good is not sent again, and not taken for delivered.
#[tokio::test]
async fn what_a_collector_of_opentelemetry_takes_only_in_part_is_lost_in_part() {
    let collector = Collector::start(&[Act::TakeBut(2)], Act::TakeBut(9));
    let text = format!(
        "[[sink]]\nname = \"far\"\notlp = \"http://{}/v1/logs\"\nflush_milliseconds = 600000\nbatch_events_max = 5\n",
        collector.address
    );
    let running = start(&text).await;
    running.ask_numbered(0..5).await;
    let refused = "remit_decision_log_dropped_total{reason=\"refused\",sink=\"far\"}";
    let delivered = "remit_decision_log_delivered_total{sink=\"far\"}";
    running.metric_comes_to(refused, 2.0).await;
    running.metric_comes_to(delivered, 3.0).await;
    // More than there were are all of them.
    running.ask_numbered(5..10).await;
    running.metric_comes_to(refused, 7.0).await;
    assert_eq!(running.stop(PATIENCE).await, []);
    assert_eq!(running.metric(delivered), 3.0);
    assert_eq!(running.metric(refused), 7.0);
    assert_eq!(collector.requests(), 2);
}

/// An alarm sees growth, and what is not there does not grow.
#[tokio::test]
async fn what_may_be_lost_is_counted_from_nothing() {
    let running = start("[[sink]]\nname = \"near\"\nfile = \"log\"\n").await;
    let told = running.told();
    for (reason, sink) in [
        ("buffer_full", ""),
        ("busy", ""),
        ("too_large", ""),
        ("sink_full", "near"),
        ("refused", "near"),
        ("stopped", "near"),
    ] {
        let line =
            format!("remit_decision_log_dropped_total{{reason=\"{reason}\",sink=\"{sink}\"}} 0\n");
        assert!(told.contains(&line), "{line} in {told}");
    }
    for name in ["sink_failures", "delivered"] {
        let line = format!("remit_decision_log_{name}_total{{sink=\"near\"}} 0\n");
        assert!(told.contains(&line), "{line} in {told}");
    }
    assert_eq!(running.stop(PATIENCE).await, []);
}

#[tokio::test]
async fn what_waits_to_be_made_into_events_is_told() {
    let running = start("[[sink]]\nname = \"near\"\nfile = \"log\"\n").await;
    let since = Instant::now();
    let mut asked = 0;
    // It is looked at each 20 ms, and then nothing waits any more.
    while running.metric("remit_decision_log_buffer_bytes{sink=\"\"}") == 0.0 {
        assert!(since.elapsed() < PATIENCE);
        running.ask_numbered(asked..asked + 1).await;
        asked += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(running.stop(PATIENCE).await, []);
}
