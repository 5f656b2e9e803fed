//! What a watch tells, and in which order.

use std::sync::Arc;
use std::time::Duration;

use model::Relationship;
use ops::bulk::Import;
use ops::watch::{Event, Filter, Request, Settings, Start};

use crate::running::{Running, caller, eventually, next, next_text, start, text, until};

fn all_kinds(start: Start) -> Request {
    Request {
        start,
        has_schema_updates: true,
        has_checkpoints: true,
        ..Request::default()
    }
}

/// Heartbeats come and go with the clock of the machine, so a test that counts events has none.
fn without_heartbeat() -> Settings {
    Settings {
        heartbeat: Duration::from_secs(1_000_000),
        ..Settings::default()
    }
}

/// Commits of every kind; the last one has a token that nothing else has.
async fn history(running: &Running) -> model::Token {
    running
        .write(&["*doc:a#viewer@user:ann", "+doc:b#viewer@user:ann"])
        .await;
    running.write(&["+doc:a#viewer@user:ann"]).await;
    running.write(&["-doc:none#viewer@user:ann"]).await;
    running
        .write_with(
            &["+doc:a#viewer@user:ann[hour:{\"now\":1}]"],
            Some("{\"who\":\"me\"}"),
        )
        .await;
    running
        .write(&["+folder:f#viewer@user:ann", "-doc:b#viewer@user:ann"])
        .await;
    running.write(&["-doc:a#viewer@user:ann"]).await;
    running
        .write(&["+doc:e#viewer@user:bob[expiration:1970-01-01T00:00:30Z]"])
        .await;
    let schema = format!("{}definition later {{}}\n", crate::running::SCHEMA);
    ops::schema::write(&running.node, &caller(), &schema)
        .await
        .unwrap();
    running.advance(3_600);
    assert_eq!(
        ops::housekeeping::remove_expired(&running.node)
            .await
            .unwrap(),
        1
    );
    running.write(&["+doc:last#viewer@user:ann"]).await
}

const TOLD: [&str; 8] = [
    "2 +doc:a#viewer@user:ann +doc:b#viewer@user:ann",
    "5 +doc:a#viewer@user:ann[hour:{\"now\":1}]{\"who\":\"me\"}",
    "6 +folder:f#viewer@user:ann -doc:b#viewer@user:ann",
    "7 -doc:a#viewer@user:ann[hour:{\"now\":1}]",
    "8 +doc:e#viewer@user:bob[expiration:1970-01-01T00:00:30Z]",
    "9 schema",
    "11 +doc:last#viewer@user:ann",
    "11 checkpoint",
];

#[tokio::test(flavor = "multi_thread")]
async fn one_event_for_each_commit_that_says_something() {
    let running = start(without_heartbeat()).await;
    let last = history(&running).await;
    let mut watching = running.watch(all_kinds(Start::Oldest)).await.unwrap();
    assert_eq!(next_text(&mut watching).await, "0 checkpoint");
    assert_eq!(next_text(&mut watching).await, "1 schema");
    assert_eq!(next_text(&mut watching).await, "1 checkpoint");
    for line in TOLD {
        let told = next_text(&mut watching).await;
        assert_eq!(told, line);
        let revision = told.split_once(' ').unwrap().0;
        if revision != "11" {
            assert_eq!(
                next_text(&mut watching).await,
                format!("{revision} checkpoint")
            );
        }
    }
    // Nobody asked for the rest here.
    let mut bare = running.watch_from(Start::Oldest).await;
    assert_eq!(next_text(&mut bare).await, "0 checkpoint");
    for line in TOLD.iter().filter(|line| !line.ends_with("schema")).take(6) {
        assert_eq!(next_text(&mut bare).await, *line);
    }
    assert_eq!(last.revision.0, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_anywhere_gives_the_same_rest() {
    // With and without the ring.
    for recent_commits_max in [1_000, 1] {
        let running = start(Settings {
            recent_commits_max,
            ..without_heartbeat()
        })
        .await;
        let last = history(&running).await;
        let mut watching = running.watch(all_kinds(Start::Oldest)).await.unwrap();
        let mut events = until(&mut watching, last).await;
        events.push(next(&mut watching).await.unwrap());
        let texts: Vec<String> = events.iter().map(text).collect();
        for (place, event) in events.iter().enumerate() {
            let start = Start::After(event.through());
            let mut resumed = running.watch(all_kinds(start)).await.unwrap();
            let rest = texts.iter().skip(place + 1).filter(|line| {
                // The checkpoint of the commit itself was for those who had not heard of it.
                !line.starts_with(&format!("{} ", event.through().revision))
            });
            for line in rest {
                assert_eq!(
                    next_text(&mut resumed).await,
                    *line,
                    "after {}",
                    text(event)
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_are_told_in_the_order_of_their_commits() {
    const WRITERS: usize = 8;
    const WRITES: usize = 60;
    let running = Arc::new(
        start(Settings {
            recent_commits_max: 16,
            ..without_heartbeat()
        })
        .await,
    );
    let mut early = running.watch_from(Start::Now).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let running = Arc::clone(&running);
            tokio::spawn(async move {
                let mut tokens = Vec::new();
                for n in 0..WRITES {
                    let row = format!("+doc:d{writer}#viewer@user:u{n}");
                    tokens.push((running.write(&[&row]).await, row));
                }
                tokens
            })
        })
        .collect();
    // One begins in the midst of it and reads the log until it meets the ring.
    eventually(async || (running.node.snapshot().revision().0 > 100).then_some(())).await;
    let mut late = running.watch_from(Start::Oldest).await;
    assert_eq!(next_text(&mut late).await, "0 checkpoint");
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    written.sort_by_key(|(token, _)| token.revision);
    for watching in [&mut early, &mut late] {
        for (token, row) in &written {
            let event = next(watching).await.unwrap();
            assert_eq!(event.through(), *token);
            assert_eq!(text(&event), format!("{} {row}", token.revision));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_fell_off_the_ring_take_turns_and_join_it_again() {
    let running = start(Settings {
        recent_commits_max: 4,
        catching_up_max: 1,
        ..without_heartbeat()
    })
    .await;
    for n in 0..300 {
        running
            .write(&[&format!("+doc:d{n}#viewer@user:ann")])
            .await;
    }
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(running.watch_from(Start::Oldest).await);
    }
    let last = running.write(&["+doc:last#viewer@user:ann"]).await;
    let reading = watches.into_iter().map(|mut watching| {
        tokio::spawn(async move {
            let events = until(&mut watching, last).await;
            let revisions: Vec<u64> = events
                .iter()
                .map(|event| event.through().revision.0)
                .collect();
            let expected: Vec<u64> = std::iter::once(0).chain(2..=302).collect();
            assert_eq!(revisions, expected);
        })
    });
    for reading in reading.collect::<Vec<_>>() {
        reading.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_now_is_told_nothing_old() {
    let running = start(without_heartbeat()).await;
    running.write(&["+doc:old#viewer@user:ann"]).await;
    let mut watching = running.watch_from(Start::Now).await;
    running.write(&["+doc:new#viewer@user:ann"]).await;
    assert_eq!(next_text(&mut watching).await, "3 +doc:new#viewer@user:ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_and_checkpoints_go_on_without_them() {
    let running = start(Settings {
        heartbeat: Duration::from_millis(5),
        ..Settings::default()
    })
    .await;
    let names = |names: &[&str]| {
        Filter::Definitions(names.iter().map(|name| name.parse().unwrap()).collect())
    };
    let viewer_of = |id: &str| model::RelationshipFilter {
        definition: Some("doc".parse().unwrap()),
        resource_id: Some(model::ResourceIdFilter::Prefix(id.parse().unwrap())),
        ..Default::default()
    };
    let cases = [
        (names(&["folder"]), "2 +folder:f#viewer@user:ann"),
        (
            names(&["folder", "doc"]),
            "2 +doc:a#viewer@user:ann +folder:f#viewer@user:ann +doc:bb#viewer@user:ann",
        ),
        (
            Filter::Relationships(vec![viewer_of("b")]),
            "2 +doc:bb#viewer@user:ann",
        ),
        (
            Filter::Relationships(vec![viewer_of("b"), viewer_of("a")]),
            "2 +doc:a#viewer@user:ann +doc:bb#viewer@user:ann",
        ),
    ];
    let start = Start::Now;
    let mut watches = Vec::new();
    for (filter, told) in cases {
        let request = Request {
            start,
            filter,
            ..Request::default()
        };
        watches.push((running.watch(request).await.unwrap(), told));
    }
    let unknown = Request {
        start,
        filter: names(&["nosuch"]),
        has_checkpoints: true,
        ..Request::default()
    };
    let mut unknown = running.watch(unknown).await.unwrap();
    let rows = [
        "+doc:a#viewer@user:ann",
        "+folder:f#viewer@user:ann",
        "+doc:bb#viewer@user:ann",
    ];
    let token = running.write(&rows).await;
    for (watching, told) in &mut watches {
        assert_eq!(next_text(watching).await, *told);
    }
    let events = until(&mut unknown, token).await;
    assert!(
        events
            .iter()
            .all(|event| matches!(event, Event::Checkpoint { .. }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_is_no_news_but_writing_over_it_is() {
    let running = start(without_heartbeat()).await;
    let row = "doc:a#viewer@user:ann[expiration:1970-01-01T00:00:30Z]";
    let mut watching = running.watch_from(Start::Now).await;
    running.write(&[&format!("+{row}")]).await;
    running.advance(100);
    // It counts as absent: there is nothing to delete, and creating it is no conflict.
    running.write(&["-doc:a#viewer@user:ann"]).await;
    running.write(&["*doc:a#viewer@user:ann"]).await;
    running.write(&["-doc:a#viewer@user:ann"]).await;
    for line in [
        &format!("2 +{row}"),
        "4 +doc:a#viewer@user:ann",
        "5 -doc:a#viewer@user:ann",
    ] {
        assert_eq!(next_text(&mut watching).await, line);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_commit_comes_in_parts_and_is_never_half_lost() {
    const ROWS: usize = 30_000;
    // Too large for the ring as well.
    let running = start(Settings {
        recent_bytes_max: 1 << 20,
        ..without_heartbeat()
    })
    .await;
    let mut live = running.watch_from(Start::Now).await;
    let before = running.write(&["+doc:before#viewer@user:ann"]).await;
    let rows = (0..ROWS).map(|n| {
        let row = format!("doc:d{}#viewer@user:u{n}", n % 7);
        row.parse::<Relationship>().unwrap()
    });
    let mut import = Import::default();
    import.add(&running.node, rows).unwrap();
    import.commit(&running.node, &caller()).await.unwrap();
    let after = running.write(&["+doc:after#viewer@user:ann"]).await;
    assert_eq!(next(&mut live).await.unwrap().through(), before);
    let mut late = running.watch_from(Start::After(before)).await;
    for watching in [&mut live, &mut late] {
        let mut parts = until(watching, after).await;
        assert_eq!(text(&parts.pop().unwrap()), "4 +doc:after#viewer@user:ann");
        let (last, earlier) = parts.split_last().unwrap();
        assert!(earlier.len() >= 2, "{} parts", parts.len());
        assert_eq!(last.through().revision.0, 3);
        // Whoever resumes here is given the whole commit again.
        assert!(earlier.iter().all(|part| part.through() == before));
        let rows = parts.iter().map(|part| match part {
            Event::Updates(updates) => updates.updates().len(),
            Event::SchemaUpdated { .. } | Event::Checkpoint { .. } => 0,
        });
        assert_eq!(rows.sum::<usize>(), ROWS);
    }
    let one = Request {
        start: Start::After(before),
        filter: Filter::Relationships(vec![model::RelationshipFilter {
            subject: Some(model::SubjectFilter {
                definition: "user".parse().unwrap(),
                id: Some(model::SubjectId::Object("u29999".parse().unwrap())),
                relation: model::SubjectRelationFilter::Any,
            }),
            ..Default::default()
        }]),
        ..Request::default()
    };
    let mut one = running.watch(one).await.unwrap();
    assert_eq!(next_text(&mut one).await, "3 +doc:d4#viewer@user:u29999");
}
