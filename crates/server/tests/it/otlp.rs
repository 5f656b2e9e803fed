//! Traces of calls, as a collector gets them; and collectors that do not take them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::{Check, Client, LookupResources, Relationship, Traceparent, Write};
use server::TraceSettings;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

use crate::life::{SCHEMA, touch};
use crate::observe::{series, told};
use crate::running::{Running, start_traced, write_schema};

/// How long to wait for what has to happen; far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a collector does with spans.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Takes,
    /// All but one of each batch.
    TakesButOne,
    Refuses,
    Hangs,
}

#[derive(Debug, Clone)]
struct Collector {
    manner: Manner,
    spans: Arc<Mutex<Vec<Span>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if let Some(key) = request.metadata().get("api-key") {
            let key = key.to_str().unwrap().to_owned();
            self.keys.lock().unwrap().push(key);
        }
        match self.manner {
            Manner::Takes | Manner::TakesButOne => {}
            Manner::Refuses => return Err(Status::unavailable("no")),
            Manner::Hangs => std::future::pending().await,
        }
        let scopes = request.into_inner().resource_spans.into_iter();
        let scopes = scopes.flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        self.spans.lock().unwrap().extend(spans);
        let rejected = (self.manner == Manner::TakesButOne).then(|| ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "one too many".to_owned(),
        });
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: rejected,
        }))
    }
}

async fn collector(manner: Manner) -> (Collector, SocketAddr) {
    let collector = Collector {
        manner,
        spans: Arc::default(),
        keys: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TraceServiceServer::new(collector.clone());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let serving = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(serving.serve_with_incoming(incoming));
    (collector, address)
}

async fn traced_to(address: SocketAddr, ratio: f64) -> (Running, Client) {
    let running = start_traced(TraceSettings {
        endpoint: format!("http://{address}"),
        headers: vec![("api-key".to_owned(), "collector-key".to_owned())],
        authorities_pem: None,
        ratio,
        followed_per_second_max: 1_000,
        service_name: "remit".to_owned(),
    })
    .await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    (running, client)
}

/// Asks whether ann may view a document, as part of a trace if there is one.
async fn ask(client: &Client, traceparent: Option<&str>) {
    let object = |kind: &str, id: &str| wire::ObjectReference {
        object_type: kind.to_owned(),
        object_id: id.to_owned(),
    };
    let mut request = Request::new(wire::CheckPermissionRequest {
        consistency: Some(wire::Consistency {
            requirement: Some(Requirement::FullyConsistent(true)),
        }),
        resource: Some(object("doc", "a")),
        permission: "view".to_owned(),
        subject: Some(wire::SubjectReference {
            object: Some(object("user", "ann")),
            optional_relation: String::new(),
        }),
        ..Default::default()
    });
    if let Some(traceparent) = traceparent {
        let metadata = request.metadata_mut();
        metadata.insert("traceparent", traceparent.parse().unwrap());
        metadata.insert("tracestate", "vendor=7".parse().unwrap());
    }
    client
        .permissions()
        .check_permission(request)
        .await
        .unwrap();
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|it| it.key == key)?;
    let value = attribute.value.clone()?.value?;
    if let Value::IntValue(number) = value {
        return Some(number.to_string());
    }
    let Value::StringValue(text) = value else {
        panic!("{value:?}");
    };
    Some(text)
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CHECK: &str = "authzed.api.v1.PermissionsService/CheckPermission";

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_goes_on_here() {
    let (collector, address) = collector(Manner::Takes).await;
    let (running, client) = traced_to(address, 0.0).await;
    ask(&client, None).await;
    ask(&client, Some(&format!("00-{TRACE}-b7ad6b7169203331-00"))).await;
    ask(&client, Some(&format!("00-{TRACE}-b7ad6b7169203331-01"))).await;
    let text = told(&running).await;
    let exemplar = format!("# {{trace_id=\"{TRACE}\"}}");
    assert!(text.contains(&exemplar), "{text}");
    // What waits is sent when the server stops.
    running.stop().await;
    let spans = collector.spans.lock().unwrap().clone();
    let own = spans.iter().find(|span| span.name == CHECK).unwrap();
    assert_eq!(spans.iter().filter(|span| span.name == CHECK).count(), 1);
    assert_eq!(own.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(own.trace_state, "vendor=7");
    for (key, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", CHECK),
        ("rpc.response.status_code", "OK"),
        ("remit.decision", "allowed"),
        ("remit.permission", "view"),
        ("remit.resource.type", "doc"),
        ("remit.revision", "2"),
    ] {
        assert_eq!(attribute(own, key).as_deref(), Some(value), "{key}");
    }
    let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, [CHECK, "evaluate", "wait for a snapshot"]);
    for span in &spans {
        assert_eq!(
            span.trace_id,
            0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()
        );
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(span.start_time_unix_nano >= own.start_time_unix_nano);
        if span.name != CHECK {
            assert_eq!(span.parent_span_id, own.span_id);
        }
        // No id of a resource, a subject or a caller.
        let written = format!("{span:?}");
        assert!(
            !written.contains("ann") && !written.contains("test-key"),
            "{written}"
        );
    }
    let keys = collector.keys.lock().unwrap().clone();
    assert!(!keys.is_empty() && keys.iter().all(|key| key == "collector-key"));
}

/// As a service asks that traces its requests: the calls of the client, without a request made by hand.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_asks_is_part_of_its_callers_trace() {
    let (collector, address) = collector(Manner::Takes).await;
    let (running, client) = traced_to(address, 0.0).await;
    let span = |number: u64| {
        let text = format!("00-{TRACE}-{number:016x}-01");
        Traceparent::new(&text).unwrap()
    };
    let view = || Check::new("doc:a", "view", "user:ann").unwrap();
    assert!(client.check(view()).await.unwrap().is_allowed());
    let traced = view().with_traceparent(span(1));
    assert!(client.check(traced).await.unwrap().is_allowed());
    let two = [view(), view(), view()].map(|check| check.with_traceparent(span(2)));
    for decision in client.check_all(two).await {
        assert!(decision.unwrap().is_allowed());
    }
    let row = Relationship::new("doc:b#viewer@user:ann").unwrap();
    let write = Write::new().touch(row).with_traceparent(span(3));
    client.write(write).await.unwrap();
    let all = LookupResources::new("doc", "view", "user:ann").unwrap();
    let all = client.lookup_resources(all.with_traceparent(span(4)));
    assert_eq!(all.collect(10).await.unwrap().len(), 2);
    running.stop().await;
    let spans = collector.spans.lock().unwrap().clone();
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!(spans.iter().all(|span| span.trace_id == trace), "{spans:?}");
    let from = |number: u64| {
        let of_call = |span: &&Span| span.parent_span_id == number.to_be_bytes();
        let mut names: Vec<_> = spans.iter().filter(of_call).collect();
        names.sort_by_key(|span| span.start_time_unix_nano);
        let names = names
            .into_iter()
            .map(|span| span.name.rsplit_once('/').unwrap().1);
        names.collect::<Vec<_>>()
    };
    assert_eq!(from(1), ["CheckPermission"]);
    // How many of them go together depends on how soon the first is sent.
    let together = from(2);
    assert!((1..=3).contains(&together.len()), "{together:?}");
    assert!(
        together.iter().all(|name| name.starts_with("Check")),
        "{together:?}"
    );
    assert_eq!(from(3), ["WriteRelationships"]);
    assert_eq!(from(4), ["LookupResources"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_shows_how_long_the_store_took() {
    let (collector, address) = collector(Manner::Takes).await;
    let (running, client) = traced_to(address, 1.0).await;
    until(async || {
        let spans = collector.spans.lock().unwrap();
        spans.iter().any(|span| span.name == "store commit")
    })
    .await;
    drop(client);
    running.stop().await;
}

/// A collector that is away, refuses or hangs costs spans, and neither calls nor the stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_takes_nothing_holds_nobody_up() {
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = away.local_addr().unwrap();
    drop(away);
    let refuses = collector(Manner::Refuses).await.1;
    let hangs = collector(Manner::Hangs).await.1;
    for address in [gone, refuses, hangs] {
        let (running, client) = traced_to(address, 1.0).await;
        // More than the queue and all batches under way hold.
        let asking = async {
            for _ in 0..4_000 {
                ask(&client, None).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap();
        let text = told(&running).await;
        let spans = |outcome: &str| {
            series(
                &text,
                &format!("remit_traces_spans_total{{outcome=\"{outcome}\"}}"),
            )
        };
        assert_eq!(spans("sent"), 0.0);
        assert!(spans("dropped") + spans("failed") > 0.0, "{text}");
        drop(client);
        tokio::time::timeout(PATIENCE, running.stop())
            .await
            .unwrap();
    }
}

/// Whoever goes by the number of spans that were sent is not told of some that are missing.
#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_collector_refuses_of_a_batch_have_failed() {
    let (_, address) = collector(Manner::TakesButOne).await;
    let (running, client) = traced_to(address, 1.0).await;
    let spans = async |outcome: &str| {
        let name = format!("remit_traces_spans_total{{outcome=\"{outcome}\"}}");
        series(&told(&running).await, &name)
    };
    until(async || spans("failed").await > 0.0).await;
    assert!(spans("sent").await > 0.0);
    drop(client);
    running.stop().await;
}
