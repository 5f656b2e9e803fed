//! What is told of each call, whichever protocol it came by: how many, how long, what came of it, and for a few the whole way.
//!
//! [`Observing::begin`] is asked before a call is judged, [`Observed`] ends with it: when it is answered, when its stream has ended, or
//! when its caller gave it up. [`meters`] counts without a lock; [`traces`] makes spans of the calls that are sampled, which is
//! decided before anything is recorded. Labels are names of the server's own, never what a caller sends.

mod meters;
mod outcome;
mod process;
mod traces;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use http_body::Frame;
use ops::stages::Record;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use prost::bytes::Bytes;
use tonic::Status;
use tonic::body::Body;

use meters::{Meter, Meters, Place};
pub(crate) use outcome::Outcome;
pub(crate) use process::ProcessCollector;
use traces::{Sampled, Traces};
pub use traces::{TraceSettings, TracesError};

/// A protocol that calls come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
    AuthZen,
    ExtAuthz,
    ForwardAuth,
    Kubernetes,
}

impl Protocol {
    const ALL: [Self; 6] = [
        Self::Grpc,
        Self::Http,
        Self::AuthZen,
        Self::ExtAuthz,
        Self::ForwardAuth,
        Self::Kubernetes,
    ];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::AuthZen => "authzen",
            Self::ExtAuthz => "ext_authz",
            Self::ForwardAuth => "forward_auth",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// How a call came, where that is not told by its path as one of gRPC; among the extensions of its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CameBy {
    pub(crate) protocol: Protocol,
    /// The name that its method is counted under; none for that of the path.
    pub(crate) method: Option<&'static str>,
}

/// What all calls are observed with.
#[derive(Debug)]
pub(crate) struct Observing {
    meters: Meters,
    traces: Option<Traces>,
    refused: Family<OfRefusal, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRefusal {
    why: &'static str,
}

impl Observing {
    /// # Errors
    /// [`TracesError`] for traces that can go nowhere.
    pub(crate) fn new(traces: Option<TraceSettings>) -> Result<Self, TracesError> {
        let refused = Family::default();
        // So that a rate is seen of the first ones.
        for why in crate::guard::KINDS {
            drop(refused.get_or_create(&OfRefusal { why }));
        }
        Ok(Self {
            meters: Meters::new(),
            traces: traces.map(Traces::start).transpose()?,
            refused,
        })
    }

    pub(crate) fn register(self: &Arc<Self>, registry: &mut Registry) {
        meters::register(self, registry);
        registry.register(
            "remit_callers_refused",
            "Calls whose credential was not good, by the kind of what was wrong with it",
            self.refused.clone(),
        );
        if let Some(traces) = &self.traces {
            traces.register(registry);
        }
    }

    /// Begins to observe a call.
    pub(crate) fn begin(self: &Arc<Self>, request: &Request<Body>) -> Observed {
        let came_by = request.extensions().get::<CameBy>().copied();
        let place = self.meters.place(came_by, request.uri().path());
        let traces = self.traces.as_ref();
        let sampled = traces.and_then(|traces| traces.sample(request.headers()));
        self.meters.began(place.protocol);
        Observed {
            observing: Arc::clone(self),
            place,
            begun: Instant::now(),
            sampled: sampled.map(Box::new),
            record: None,
            is_over: false,
        }
    }

    /// Counts a request that was answered before it became a call.
    pub(crate) fn note_answered(&self, protocol: Protocol, response: &Response<Body>) {
        let place = self.meters.other(protocol);
        let outcome = Outcome::of(response);
        self.meters.meter(place).outcomes.add(outcome.place(), 1);
    }

    /// Counts a call whose credential is not good; `why` is one of a fixed few.
    pub(crate) fn note_refused(&self, why: &'static str) {
        self.refused.get_or_create(&OfRefusal { why }).inc();
    }

    /// Sends what is left of the traces, for as long as that may take at most.
    pub(crate) async fn close(&self) {
        if let Some(traces) = &self.traces {
            traces.close().await;
        }
    }
}

/// A call that is observed, until this is dropped.
#[derive(Debug)]
pub(crate) struct Observed {
    observing: Arc<Observing>,
    place: Place,
    begun: Instant,
    sampled: Option<Box<Sampled>>,
    record: Option<Box<Record>>,
    is_over: bool,
}

impl Observed {
    /// Whether the call is traced.
    pub(crate) fn is_sampled(&self) -> bool {
        self.sampled.is_some()
    }

    /// The id of the call's trace, if it is traced.
    pub(crate) fn trace_id(&self) -> Option<String> {
        self.sampled.as_ref().map(|sampled| sampled.trace_id_text())
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.place.protocol
    }

    /// Takes what a traced call went through.
    pub(crate) fn take(&mut self, record: Record) {
        self.record = Some(Box::new(record));
    }

    /// The answer has begun: a call is over with it, a stream goes on until its body ends.
    pub(crate) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        let trace_id = self.trace_id();
        let took = self.begun.elapsed();
        self.meter().note_begun(took, trace_id);
        let outcome = Outcome::of(&response);
        if !self.place.is_streaming || !outcome.is_ok() {
            self.end(outcome);
            return response;
        }
        response.map(|body| {
            Body::new(ObservedBody {
                body,
                observed: self,
            })
        })
    }

    fn meter(&self) -> &Meter {
        self.observing.meters.meter(self.place)
    }

    fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let meter = self.meter();
        meter.outcomes.add(outcome.place(), 1);
        if self.place.is_streaming {
            meter.streams.observe(self.begun.elapsed());
        }
        self.observing.meters.ended(self.place.protocol);
        let (Some(sampled), Some(traces)) = (self.sampled.take(), &self.observing.traces) else {
            return;
        };
        let call = traces::Call {
            method: self.observing.meters.name(self.place),
            protocol: self.place.protocol,
            outcome,
            begun: self.begun,
        };
        traces.send(&sampled, &call, self.record.as_deref());
    }
}

impl Drop for Observed {
    /// A call that nobody waits for any more.
    fn drop(&mut self) {
        self.end(Outcome::cancelled());
    }
}

/// The body of a stream, whose end is that of the call.
struct ObservedBody {
    body: Body,
    observed: Observed,
}

impl http_body::Body for ObservedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.observed.end(Outcome::of_headers(trailers));
                }
            }
            Poll::Ready(Some(Err(status))) => self.observed.end(Outcome::of_code(status.code())),
            Poll::Ready(None) => self.observed.end(Outcome::ok()),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
