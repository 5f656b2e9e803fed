//! Spans on their way to a collector, by OTLP over gRPC.
//!
//! One task sends what waits in a bounded queue, in batches. Whoever hands spans over never waits: what does not fit is dropped and
//! counted. A collector that refuses, hangs or is away gets each batch a few times, and a stop waits for it only so long.

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::span::text;
use super::{TraceSettings, TracesError};

/// Calls whose spans may wait.
const WAITING_MAX: usize = 2_048;
/// Calls whose spans go together.
const BATCH_MAX: usize = 512;
/// How long the first spans of a batch wait for more.
const LINGER: Duration = Duration::from_secs(1);
/// How long a collector may take for a batch.
const EXPORT_MAX: Duration = Duration::from_secs(5);
/// How often a batch is sent, at most.
const TRIES_MAX: u32 = 3;
/// How long before the second try; twice as long before each further one.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long a stop waits for what is left.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// The way of spans.
pub(super) struct Exporter {
    queue: mpsc::Sender<Vec<Span>>,
    stopping: watch::Sender<bool>,
    sending: Mutex<Option<JoinHandle<()>>>,
    counts: Counts,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    spans: Family<OfSpan, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSpan {
    outcome: &'static str,
}

impl Counts {
    fn note(&self, outcome: &'static str, spans: usize) {
        let of = self.spans.get_or_create(&OfSpan { outcome });
        of.inc_by(spans as u64);
    }
}

impl Exporter {
    pub(super) fn start(settings: TraceSettings) -> Result<Self, TracesError> {
        let sink = Sink::new(&settings)?;
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let (stopping, stopped) = watch::channel(false);
        let counts = Counts::default();
        // So that they are told from the start, and an alarm sees them grow.
        for outcome in ["sent", "dropped", "failed"] {
            counts.note(outcome, 0);
        }
        let sending = tokio::spawn(send_all(sink, waiting, stopped, counts.clone()));
        Ok(Self {
            queue,
            stopping,
            sending: Mutex::new(Some(sending)),
            counts,
        })
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "remit_traces_spans",
            "Spans of traces: sent, dropped since too many waited, or failed since the collector did not take them",
            self.counts.spans.clone(),
        );
    }

    /// Puts spans in the queue, if there is room.
    pub(super) fn send(&self, spans: Vec<Span>) {
        match self.queue.try_send(spans) {
            Ok(()) => {}
            Err(TrySendError::Full(spans) | TrySendError::Closed(spans)) => {
                self.counts.note("dropped", spans.len());
            }
        }
    }

    /// Sends what waits, as long as that takes at most.
    pub(super) async fn close(&self) {
        self.stopping.send_replace(true);
        let sending = {
            let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
            sending.take()
        };
        let Some(mut sending) = sending else {
            return;
        };
        if tokio::time::timeout(CLOSE_MAX, &mut sending).await.is_err() {
            sending.abort();
            tracing::warn!("the collector of traces did not take the last spans in time");
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// Sends batch after batch until it is to stop and nothing waits any more.
async fn send_all(
    mut sink: Sink,
    mut waiting: mpsc::Receiver<Vec<Span>>,
    mut stopped: watch::Receiver<bool>,
    counts: Counts,
) {
    let mut is_failing = false;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            count = waiting.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
            _ = stopped.wait_for(|stopped| *stopped) => waiting.close(),
        }
        if !*stopped.borrow() {
            let filling = async {
                while batch.len() < BATCH_MAX {
                    let room = BATCH_MAX - batch.len();
                    if waiting.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            tokio::select! {
                _full = tokio::time::timeout(LINGER, filling) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }
        let spans: Vec<Span> = batch.drain(..).flatten().collect();
        let count = spans.len();
        if count == 0 {
            continue;
        }
        match sink.export(spans, &mut stopped).await {
            Ok(0) => {
                is_failing = false;
                counts.note("sent", count);
            }
            // What it refuses of a batch is not to be sent again.
            Ok(rejected) => {
                let rejected = rejected.min(count);
                counts.note("sent", count - rejected);
                counts.note("failed", rejected);
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(
                        rejected,
                        "the collector of traces refuses a part of the spans; they are lost"
                    );
                }
            }
            Err(status) => {
                counts.note("failed", count);
                // Once, and not for each batch: what a collector says may be long, and is another's text.
                if !std::mem::replace(&mut is_failing, true) {
                    let code = status.code();
                    tracing::warn!(
                        ?code,
                        "the collector of traces takes no spans; they are lost"
                    );
                }
            }
        }
    }
}

/// The collector.
struct Sink {
    client: TraceServiceClient<Channel>,
    headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    resource: Resource,
}

/// How to get to a collector, and what is sent along.
pub(super) struct Way {
    endpoint: Endpoint,
    headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
}

impl Way {
    pub(super) fn of(settings: &TraceSettings) -> Result<Self, TracesError> {
        let wrong = || TracesError::Endpoint {
            endpoint: settings.endpoint.clone(),
        };
        let is_tls = settings.endpoint.starts_with("https://");
        if !is_tls && !settings.endpoint.starts_with("http://") {
            return Err(wrong());
        }
        let endpoint = Endpoint::from_shared(settings.endpoint.clone()).map_err(|_| wrong())?;
        let mut endpoint = endpoint.connect_timeout(EXPORT_MAX);
        if is_tls {
            let tls = ClientTlsConfig::new();
            let tls = match &settings.authorities_pem {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls.with_native_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(TracesError::Tls)?;
        }
        let mut headers = Vec::new();
        for (place, (name, value)) in settings.headers.iter().enumerate() {
            let wrong = TracesError::Header { place: place + 1 };
            let read = name.parse().ok().zip(value.parse().ok());
            headers.push(read.ok_or(wrong)?);
        }
        Ok(Self { endpoint, headers })
    }
}

impl Sink {
    fn new(settings: &TraceSettings) -> Result<Self, TracesError> {
        let Way { endpoint, headers } = Way::of(settings)?;
        let attributes = vec![
            text("service.name", &settings.service_name),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ];
        Ok(Self {
            client: TraceServiceClient::new(endpoint.connect_lazy()),
            headers,
            resource: Resource {
                attributes,
                ..Resource::default()
            },
        })
    }

    /// Sends spans; how many of them the collector refuses for good.
    async fn export(
        &mut self,
        spans: Vec<Span>,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<usize, tonic::Status> {
        let scope = InstrumentationScope {
            name: "remit".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let message = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let mut pause = RETRY_PAUSE;
        let mut tries = 1;
        loop {
            let mut request = tonic::Request::new(message.clone());
            for (name, value) in &self.headers {
                request.metadata_mut().insert(name.clone(), value.clone());
            }
            let sent = tokio::time::timeout(EXPORT_MAX, self.client.export(request)).await;
            let status = match sent {
                Ok(Ok(answer)) => {
                    let rejected = answer.into_inner().partial_success;
                    let rejected = rejected.map_or(0, |it| it.rejected_spans);
                    return Ok(usize::try_from(rejected).unwrap_or(0));
                }
                Ok(Err(status)) => status,
                Err(_) => tonic::Status::deadline_exceeded("the collector did not answer in time"),
            };
            if tries == TRIES_MAX || *stopped.borrow() {
                return Err(status);
            }
            tries += 1;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
            pause *= 2;
        }
    }
}
