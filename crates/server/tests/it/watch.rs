//! Watching over a real connection. What a peer of the API was seen to answer is in [`as_the_peer_tells_it`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::SystemClock;
use ops::Settings;
use prost::Message as _;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use remit_client::proto::authzed::api::v1::{WatchKind, WatchRequest, WatchResponse};
use remit_client::{Client, Transport};
use server::convert;
use store::SqliteStore;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::life::{touch, with_schema};
use crate::running::{Running, start, start_with, write_schema};

const SCHEMA: &str = "caveat ccc(aaa int) {\n aaa == 1\n}\ncaveat many(each list<int>, one int) {\n one in each\n}\n\
    definition user {}\ndefinition doc {\n relation viewer: user | user with ccc | user with many\n}\ndefinition other {\n \
    relation viewer: user\n}\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes lines of `CREATE`, `TOUCH` and `DELETE` and gives the token.
async fn write(client: &Client, lines: &[&str], has_metadata: bool) -> String {
    let updates = lines.iter().map(|line| {
        let (word, row) = line.split_once(' ').unwrap();
        let operation = Operation::from_str_name(&format!("OPERATION_{word}")).unwrap();
        wire::RelationshipUpdate {
            operation: operation.into(),
            relationship: Some(convert::relationship_to_wire(&row.parse().unwrap())),
        }
    });
    let metadata = model::Context::from_json("{\"who\":\"me\"}").unwrap();
    let request = wire::WriteRelationshipsRequest {
        updates: updates.collect(),
        optional_transaction_metadata: has_metadata.then(|| convert::context_to_wire(&metadata)),
        ..Default::default()
    };
    let written = client.permissions().write_relationships(request).await;
    written.unwrap().into_inner().written_at.unwrap().token
}

async fn import(client: &Client, rows: impl Iterator<Item = String>) {
    let relationships: Vec<_> = rows
        .map(|row| convert::relationship_to_wire(&row.parse().unwrap()))
        .collect();
    let pages = relationships
        .chunks(20)
        .map(|page| wire::ImportBulkRelationshipsRequest {
            relationships: page.to_vec(),
        });
    let pages = tokio_stream::iter(pages.collect::<Vec<_>>());
    let imported = client.permissions().import_bulk_relationships(pages).await;
    imported.unwrap();
}

async fn watch(client: &Client, request: WatchRequest) -> Streaming<WatchResponse> {
    client.watch().watch(request).await.unwrap().into_inner()
}

async fn refusal(client: &Client, request: impl tonic::IntoRequest<WatchRequest>) -> Status {
    client.watch().watch(request).await.unwrap_err()
}

/// The next message, or the status that ends the stream.
async fn next(stream: &mut Streaming<WatchResponse>) -> Result<WatchResponse, Status> {
    let next = tokio::time::timeout(PATIENCE, stream.message()).await;
    // Neither silence nor an end without a status will do.
    next.unwrap().map(Option::unwrap)
}

fn token(message: &WatchResponse) -> &str {
    &message.changes_through.as_ref().unwrap().token
}

fn after(token: &str) -> WatchRequest {
    WatchRequest {
        optional_start_cursor: Some(wire::ZedToken {
            token: token.to_owned(),
        }),
        ..Default::default()
    }
}

fn of_kinds(kinds: &[WatchKind]) -> WatchRequest {
    WatchRequest {
        optional_update_kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
        ..Default::default()
    }
}

fn of_types(types: &[&str]) -> WatchRequest {
    WatchRequest {
        optional_object_types: types.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

fn of_filter(filter: wire::RelationshipFilter) -> WatchRequest {
    WatchRequest {
        optional_relationship_filters: vec![filter],
        ..Default::default()
    }
}

fn from(value: &'static str, request: WatchRequest) -> Request<WatchRequest> {
    let mut request = Request::new(request);
    request
        .metadata_mut()
        .insert(convert::WATCH_FROM, value.parse().unwrap());
    request
}

/// A message as a line; its updates are sorted, since the peer gives them in no order.
fn text(message: &WatchResponse) -> String {
    let mut updates: Vec<String> = message
        .updates
        .iter()
        .map(|update| {
            let row = convert::relationship_from_wire(update.relationship.clone().unwrap());
            let word = update.operation().as_str_name().replace("OPERATION_", "");
            format!("{word} {}", row.unwrap())
        })
        .collect();
    updates.sort();
    if message.schema_updated {
        updates.push("schema".to_owned());
    }
    if message.is_checkpoint {
        updates.push("checkpoint".to_owned());
    }
    if let Some(metadata) = &message.optional_transaction_metadata {
        assert_eq!(
            message.full_revision_metadata,
            std::slice::from_ref(metadata)
        );
        let metadata = convert::context_from_wire(metadata.clone()).unwrap();
        updates.push(metadata.to_json());
    }
    updates.join(", ")
}

/// The messages before that of `last`, without heartbeats: those come when they will.
async fn told(stream: &mut Streaming<WatchResponse>, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut before = String::new();
    loop {
        let message = next(stream).await.unwrap();
        if token(&message) == last && !message.is_checkpoint {
            return lines;
        }
        if !message.is_checkpoint || token(&message) == before {
            lines.push(text(&message));
        }
        before = if message.is_checkpoint {
            String::new()
        } else {
            token(&message).to_owned()
        };
    }
}

/// The writes of the recorded watches, after `doc:0`; each watch saw all of them.
async fn script(client: &Client) -> String {
    write_schema(client, &format!("{SCHEMA}definition later {{}}\n")).await;
    let first = [
        "CREATE doc:1#viewer@user:b[ccc:{\"aaa\":1}]",
        "TOUCH doc:1#viewer@user:a",
        "TOUCH other:1#viewer@user:a",
    ];
    write(client, &first, true).await;
    write(client, &["TOUCH doc:1#viewer@user:a"], false).await;
    write(client, &["DELETE doc:1#viewer@user:a"], false).await;
    write(client, &["DELETE doc:1#viewer@user:nosuch"], false).await;
    let two = ["TOUCH doc:3#viewer@user:a", "TOUCH doc:2#viewer@user:a"];
    write(client, &two, false).await;
    write(client, &["DELETE doc:2#viewer@user:a"], false).await;
    write_schema(client, SCHEMA).await;
    let gone = [
        "DELETE doc:3#viewer@user:a",
        "DELETE other:1#viewer@user:a",
        "DELETE doc:1#viewer@user:b",
    ];
    write(client, &gone, false).await;
    let end = [
        "TOUCH doc:3#viewer@user:end",
        "TOUCH other:3#viewer@user:end",
    ];
    write(client, &end, false).await
}

const CREATED: &str = "TOUCH doc:1#viewer@user:a, TOUCH doc:1#viewer@user:b[ccc:{\"aaa\":1}], TOUCH other:1#viewer@user:a, \
    {\"who\":\"me\"}";
const DELETED: &str = "DELETE doc:1#viewer@user:b[ccc:{\"aaa\":1}], DELETE doc:3#viewer@user:a, DELETE other:1#viewer@user:a";
const UPDATES: [&str; 5] = [
    CREATED,
    "DELETE doc:1#viewer@user:a",
    "TOUCH doc:2#viewer@user:a, TOUCH doc:3#viewer@user:a",
    "DELETE doc:2#viewer@user:a",
    DELETED,
];

/// The one difference: the peer's in-memory store tells of the schema unasked, and of what was before the call.
#[tokio::test(flavor = "multi_thread")]
async fn as_the_peer_tells_it() {
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    let t0 = write(&client, &["TOUCH doc:0#viewer@user:z"], false).await;
    let of_third = of_filter(wire::RelationshipFilter {
        resource_type: "doc".to_owned(),
        optional_resource_id: "3".to_owned(),
        ..Default::default()
    });
    let of_third_lines = vec!["TOUCH doc:3#viewer@user:a", "DELETE doc:3#viewer@user:a"];
    let [created, one, two, three, deleted] = UPDATES;
    let cases = [
        (WatchRequest::default(), UPDATES.to_vec()),
        (
            of_kinds(&[
                WatchKind::IncludeRelationshipUpdates,
                WatchKind::IncludeSchemaUpdates,
                WatchKind::IncludeCheckpoints,
            ]),
            ["schema", created, one, two, three, "schema", deleted]
                .into_iter()
                .flat_map(|line| [line, "checkpoint"])
                .collect(),
        ),
        (
            of_kinds(&[WatchKind::IncludeSchemaUpdates]),
            vec!["schema", created, one, two, three, "schema", deleted],
        ),
        (
            of_types(&["other"]),
            vec![
                "TOUCH other:1#viewer@user:a, {\"who\":\"me\"}",
                "DELETE other:1#viewer@user:a",
            ],
        ),
        (of_third.clone(), of_third_lines.clone()),
        (
            WatchRequest {
                optional_start_cursor: after(&t0).optional_start_cursor,
                ..of_third
            },
            of_third_lines,
        ),
        // Not an error, and nothing to tell but what else was asked for.
        (
            of_types(&["nosuch", "other"]),
            vec![
                "TOUCH other:1#viewer@user:a, {\"who\":\"me\"}",
                "DELETE other:1#viewer@user:a",
            ],
        ),
    ];
    let mut watches = Vec::new();
    for (request, lines) in cases {
        watches.push((watch(&client, request).await, lines));
    }
    let last = script(&client).await;
    for (mut stream, lines) in watches {
        assert_eq!(told(&mut stream, &last).await, lines);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_said() {
    let (running, client) = with_schema().await;
    let empty = wire::RelationshipFilter::default();
    let id_and_prefix = wire::RelationshipFilter {
        optional_resource_id: "a".to_owned(),
        optional_resource_id_prefix: "b".to_owned(),
        ..empty.clone()
    };
    let both = WatchRequest {
        optional_object_types: vec!["doc".to_owned()],
        ..of_filter(wire::RelationshipFilter {
            resource_type: "doc".to_owned(),
            ..empty.clone()
        })
    };
    let not_ours = "failed to decode start revision: error decoding zedtoken: the token is not one that this server gives out";
    let cases = [
        (
            Request::new(both),
            "cannot specify both object types and relationship filters",
        ),
        (Request::new(after("AAAA")), not_ours),
        // The peer replays everything for this one, which is a token of its own kind.
        (Request::new(after("GgwKCjEwMDAwMDAwMDA=")), not_ours),
        (
            Request::new(after("")),
            "validation error: optional_start_cursor.token: must be at least 1 bytes",
        ),
        (
            Request::new(of_types(&["Doc"])),
            "validation error: optional_object_types[0]: does not match regex pattern \
             `^([a-z][a-z0-9_]{1,62}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9]$`",
        ),
        (
            Request::new(of_filter(id_and_prefix)),
            "the relationship filter provided is not valid: resource_id and resource_id_prefix cannot be set at the same time",
        ),
        (
            Request::new(of_filter(empty)),
            "the relationship filter provided is not valid: at least one field must be set",
        ),
        (
            from("yesterday", WatchRequest::default()),
            "the header `remit-watch-from` has to be `now` or `oldest`",
        ),
        (
            from("oldest", after("AAAA")),
            "cannot specify both a start cursor and the header `remit-watch-from`",
        ),
    ];
    for (request, message) in cases {
        let status = refusal(&client, request).await;
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, message)
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_filter_has_its_reason_and_a_stranger_is_kept_out() {
    let (running, client) = with_schema().await;
    let empty = wire::RelationshipFilter::default();
    let details = refusal(&client, of_filter(empty)).await.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(
        (
            info.reason.as_str(),
            info.domain.as_str(),
            info.metadata.get("filter")
        ),
        (
            "ERROR_REASON_INVALID_FILTER",
            "authzed.com",
            Some(&String::new())
        )
    );
    let stranger = running.client_with(None, Transport::Plaintext).await;
    let status = refusal(&stranger, WatchRequest::default()).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_store_and_of_the_future_are_refused() {
    let (running, client) = with_schema().await;
    let (other, other_client) = with_schema().await;
    let foreign = touch(&other_client, &["doc:a#viewer@user:ann"])
        .await
        .unwrap();
    let good = touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    let forged = model::Token {
        hash: [7; 8],
        ..good
    };
    let future = model::Token {
        revision: model::Revision(1_000),
        ..good
    };
    for (token, code, message) in [
        (
            foreign,
            Code::InvalidArgument,
            "start revision was generated by a different datastore instance",
        ),
        (forged, Code::InvalidArgument, "invalid revision requested"),
        (
            future,
            Code::OutOfRange,
            "invalid revision: the token's revision is beyond the head",
        ),
    ] {
        let status = refusal(&client, after(&token.to_string())).await;
        assert_eq!(status.code(), code);
        assert!(status.message().starts_with(message), "{status:?}");
    }
    other.stop().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_oldest_on_and_on_from_any_token() {
    let (running, client) = with_schema().await;
    for row in [
        "doc:a#viewer@user:ann",
        "doc:b#viewer@user:ann",
        "doc:c#viewer@user:ann",
    ] {
        touch(&client, &[row]).await.unwrap();
    }
    let request = from("oldest", WatchRequest::default());
    let mut stream = client.watch().watch(request).await.unwrap().into_inner();
    let reach = next(&mut stream).await.unwrap();
    assert_eq!(text(&reach), "checkpoint");
    let mut resume = vec![token(&reach).to_owned()];
    let mut lines = Vec::new();
    for _ in 0..3 {
        let message = next(&mut stream).await.unwrap();
        resume.push(token(&message).to_owned());
        lines.push(text(&message));
    }
    assert_eq!(lines.first().unwrap(), "TOUCH doc:a#viewer@user:ann");
    for (place, token) in resume.iter().enumerate() {
        let mut resumed = watch(&client, after(token)).await;
        for line in lines.iter().skip(place) {
            assert_eq!(text(&next(&mut resumed).await.unwrap()), *line);
        }
    }
    drop(stream);
    running.stop().await;
}

async fn small(watches: ops::watch::Settings) -> (Running, Client) {
    let settings = Settings {
        watch: watches,
        ..Settings::default()
    };
    let store = Arc::new(SqliteStore::memory().unwrap());
    let running = start_with(store, Arc::new(SystemClock), None, settings).await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    (running, client)
}

/// Opens a watch once the place of another one is free.
async fn once_free(client: &Client, request: &WatchRequest) -> Streaming<WatchResponse> {
    let asking = async {
        loop {
            match client.watch().watch(request.clone()).await {
                Ok(stream) => return stream.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_frees_its_place() {
    let (running, client) = small(ops::watch::Settings {
        watches_max: 1,
        ..Default::default()
    })
    .await;
    // By giving up the call, and by losing the connection.
    let stream = watch(&client, WatchRequest::default()).await;
    drop(stream);
    let stream = once_free(&client, &WatchRequest::default()).await;
    drop(stream);
    drop(client);
    let client = running.client().await;
    once_free(&client, &WatchRequest::default()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_too_slowly_is_told_and_resumes() {
    const ROWS: usize = 20_000;
    let (running, client) = small(ops::watch::Settings {
        watches_max: 1,
        stall_max: Duration::from_millis(200),
        ..Default::default()
    })
    .await;
    let mut slow = watch(&client, WatchRequest::default()).await;
    let before = write(&client, &["TOUCH doc:a#viewer@user:first"], false).await;
    // Many times what the connection takes by itself.
    let long = "a".repeat(1_000);
    import(
        &client,
        (0..ROWS).map(|n| format!("doc:d{n}#viewer@user:{long}{n}")),
    )
    .await;
    drop(once_free(&client, &WatchRequest::default()).await);
    let status = loop {
        match next(&mut slow).await {
            // Not one of the parts has the token of the whole, which did not come.
            Ok(message) => assert_eq!(token(&message), before),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status
            .message()
            .starts_with("watch disconnected: watch fell too far behind"),
        "{status:?}"
    );
    // A slow machine may be let go again, and is given the whole commit once more.
    let rows = 'whole: loop {
        let mut resumed = once_free(&client, &after(&before)).await;
        let mut rows = 0;
        while let Ok(message) = next(&mut resumed).await {
            rows += message.updates.len();
            if token(&message) != before {
                break 'whole rows;
            }
        }
    };
    assert_eq!(rows, ROWS);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_larger_than_a_stock_client_takes() {
    const STOCK_CLIENT_BYTES_MAX: usize = 4 << 20;
    const ROWS: usize = 120;
    let (running, client) = small(ops::watch::Settings::default()).await;
    let mut stream = watch(&client, WatchRequest::default()).await;
    // Short in JSON, and six times as long in protobuf.
    let numbers = vec!["1"; 12_000].join(",");
    let row = |n: usize| format!("doc:d{n}#viewer@user:a[many:{{\"each\":[{numbers}]}}]");
    import(&client, (0..ROWS).map(row)).await;
    let end = write(&client, &["TOUCH doc:end#viewer@user:a"], false).await;
    let (mut rows, mut bytes) = (0, 0);
    loop {
        let message = next(&mut stream).await.unwrap();
        if token(&message) == end {
            break;
        }
        assert!(message.encoded_len() < STOCK_CLIENT_BYTES_MAX);
        rows += message.updates.len();
        bytes += message.encoded_len();
    }
    assert_eq!(rows, ROWS);
    assert!(bytes > 3 * STOCK_CLIENT_BYTES_MAX, "{bytes}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_does_not_wait_for_watches() {
    let (running, client) = with_schema().await;
    let mut stream = watch(&client, WatchRequest::default()).await;
    touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    next(&mut stream).await.unwrap();
    let begin = Instant::now();
    running.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(4), "the grace is 5 s");
    assert_eq!(
        next(&mut stream).await.unwrap_err().code(),
        Code::Unavailable
    );
}
