//! Calls, counted by protocol, method and outcome, and how long they took.
//!
//! A method is one of the descriptors or of the server's own APIs; whatever else is called counts as `other`. Each pair of a protocol
//! and a method has its numbers in shards, so that two calls do not wait for each other to be counted. Only the calls that are traced
//! take a lock, for the exemplars that lead to their traces.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ops::tally::{Bounds, Durations, Tallies};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::registry::{Registry, Unit};

use super::{CameBy, Observing, Outcome, Protocol};
use crate::gateway::methods;

/// Bounds of how long an answer takes to begin, in microseconds.
const CALLS: Bounds = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];
/// Bounds of how long streams go on, in microseconds.
const STREAMS: Bounds = &[
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    60_000_000,
    600_000_000,
    3_600_000_000,
    86_400_000_000,
];
/// Methods that no descriptor has.
const API_METHODS: [&str; 8] = [
    "evaluation",
    "evaluations",
    "search/subject",
    "search/resource",
    "search/action",
    "discovery",
    "authorize",
    "check",
];
/// The name of every other method.
const OTHER: &str = "other";

/// Where a call is counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) protocol: Protocol,
    pub(super) is_streaming: bool,
    method: usize,
}

/// The numbers of one method by one protocol.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) outcomes: Tallies,
    pub(super) streams: Durations,
    begun: Durations,
    sampled: HistogramWithExemplars<[(&'static str, String); 1]>,
}

impl Default for Meter {
    fn default() -> Self {
        let bounds = CALLS.iter().map(|micros| *micros as f64 / 1e6);
        Self {
            outcomes: Tallies::new(Outcome::COUNT),
            streams: Durations::new(STREAMS),
            begun: Durations::new(CALLS),
            sampled: HistogramWithExemplars::new(bounds),
        }
    }
}

impl Meter {
    /// Takes in that an answer began, with the trace that shows how, if there is one.
    pub(super) fn note_begun(&self, took: Duration, trace_id: Option<String>) {
        self.begun.observe(took);
        if let Some(trace_id) = trace_id {
            let label = Some([("trace_id", trace_id)]);
            self.sampled.observe(took.as_secs_f64(), label, None);
        }
    }
}

#[derive(Debug)]
struct Method {
    name: String,
    is_streaming: bool,
}

/// The numbers of all calls.
#[derive(Debug)]
pub(super) struct Meters {
    methods: Vec<Method>,
    by_name: HashMap<String, usize>,
    /// By protocol, then by method.
    meters: Vec<OnceLock<Meter>>,
    /// What is counted where there is no such place, which cannot be.
    nowhere: Meter,
    under_way: Tallies,
}

impl Meters {
    pub(super) fn new() -> Self {
        let described = methods().into_iter();
        let described = described.map(|(name, is_streaming)| Method { name, is_streaming });
        let named = |name: &&str| Method {
            name: (*name).to_owned(),
            is_streaming: false,
        };
        let apis = API_METHODS.iter().chain(std::iter::once(&OTHER)).map(named);
        let methods: Vec<Method> = described.chain(apis).collect();
        let by_name = methods.iter().enumerate();
        let by_name = by_name.map(|(place, method)| (method.name.clone(), place));
        let places = methods.len() * Protocol::ALL.len();
        Self {
            by_name: by_name.collect(),
            meters: (0..places).map(|_| OnceLock::new()).collect(),
            methods,
            nowhere: Meter::default(),
            under_way: Tallies::new(Protocol::ALL.len()),
        }
    }

    /// Where a call is counted that came so.
    pub(super) fn place(&self, came_by: Option<CameBy>, path: &str) -> Place {
        let own = came_by.and_then(|it| it.method);
        let name = own.unwrap_or_else(|| path.strip_prefix('/').unwrap_or(path));
        let protocol = came_by.map_or(Protocol::Grpc, |it| it.protocol);
        let Some(method) = self.by_name.get(name).copied() else {
            return self.other(protocol);
        };
        let is_streaming = self.methods.get(method).is_some_and(|it| it.is_streaming);
        let is_ext_authz = came_by.is_none() && name.starts_with("envoy.");
        Place {
            protocol: if is_ext_authz {
                Protocol::ExtAuthz
            } else {
                protocol
            },
            is_streaming,
            method,
        }
    }

    /// Where what has no name is counted.
    pub(super) fn other(&self, protocol: Protocol) -> Place {
        Place {
            protocol,
            is_streaming: false,
            method: self.methods.len().saturating_sub(1),
        }
    }

    pub(super) fn name(&self, place: Place) -> &str {
        let method = self.methods.get(place.method);
        method.map_or(OTHER, |method| method.name.as_str())
    }

    pub(super) fn meter(&self, place: Place) -> &Meter {
        let at = place.protocol as usize * self.methods.len() + place.method;
        let meter = self.meters.get(at);
        meter.map_or(&self.nowhere, |meter| meter.get_or_init(Meter::default))
    }

    pub(super) fn began(&self, protocol: Protocol) {
        self.under_way.add(protocol as usize, 1);
    }

    pub(super) fn ended(&self, protocol: Protocol) {
        self.under_way.take_back(protocol as usize, 1);
    }

    /// Each pair that was called, with its labels.
    fn called(&self) -> impl Iterator<Item = ([(&'static str, &str); 2], &Meter)> {
        let by_protocol = Protocol::ALL
            .into_iter()
            .zip(self.meters.chunks(self.methods.len()));
        by_protocol.flat_map(|(protocol, meters)| {
            let each = self.methods.iter().zip(meters);
            each.filter_map(move |(method, meter)| {
                let labels = [
                    ("protocol", protocol.text()),
                    ("method", method.name.as_str()),
                ];
                Some((labels, meter.get()?))
            })
        })
    }
}

/// Adds the numbers of all calls to what is told.
pub(super) fn register(observing: &Arc<Observing>, registry: &mut Registry) {
    registry.register_collector(Box::new(CallCollector(Arc::clone(observing))));
}

#[derive(Debug)]
struct CallCollector(Arc<Observing>);

impl Collector for CallCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let meters = &self.0.meters;
        calls(meters, &mut encoder)?;
        let seconds = Some(&Unit::Seconds);
        let help = "From the arrival of a call's head until its answer begins";
        let mut metric =
            encoder.encode_descriptor("remit_call", help, seconds, MetricType::Histogram)?;
        for (labels, meter) in meters.called().filter(|(_, meter)| meter.begun.count() > 0) {
            meter.begun.encode(&mut metric.encode_family(&labels)?)?;
        }
        let help = "The same of the calls that are traced, with exemplars that lead to the traces";
        let mut metric =
            encoder.encode_descriptor("remit_call_traced", help, seconds, MetricType::Histogram)?;
        for (labels, meter) in meters.called() {
            if self.0.traces.is_some() && meter.begun.count() > 0 {
                meter.sampled.encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "From the arrival of a call's head until the end of the stream that answers it";
        let mut metric =
            encoder.encode_descriptor("remit_stream", help, seconds, MetricType::Histogram)?;
        for (labels, meter) in meters
            .called()
            .filter(|(_, meter)| meter.streams.count() > 0)
        {
            meter.streams.encode(&mut metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn calls(meters: &Meters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Calls that are over, by what came of them";
    let mut metric = encoder.encode_descriptor("remit_calls", help, None, MetricType::Counter)?;
    for ([protocol, method], meter) in meters.called() {
        for outcome in Outcome::all() {
            let count = meter.outcomes.sum(outcome.place());
            if count > 0 {
                let labels = [protocol, method, ("outcome", outcome.text())];
                let mut series = metric.encode_family(&labels)?;
                series.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
    }
    let help = "Calls that are under way, streams among them";
    let mut metric =
        encoder.encode_descriptor("remit_calls_under_way", help, None, MetricType::Gauge)?;
    for protocol in Protocol::ALL {
        let count = meters.under_way.sum(protocol as usize);
        let label = [("protocol", protocol.text())];
        let mut series = metric.encode_family(&label)?;
        series.encode_gauge(&i64::try_from(count).unwrap_or(0))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_methods_that_nobody_serves_are_one() {
        let meters = Meters::new();
        for number in 0..1_000_000 {
            let place = meters.place(None, &format!("/no.such.Service/Method{number}"));
            meters.meter(place).outcomes.add(Outcome::ok().place(), 1);
        }
        let called: Vec<_> = meters.called().collect();
        assert_eq!(called.len(), 1);
        assert_eq!(called[0].0, [("protocol", "grpc"), ("method", "other")]);
        assert_eq!(called[0].1.outcomes.sum(Outcome::ok().place()), 1_000_000);
    }

    #[test]
    fn a_call_is_counted_by_its_protocol_and_method() {
        let meters = Meters::new();
        let told = |came_by, path: &str| {
            let place = meters.place(came_by, path);
            let name = meters.name(place).to_owned();
            (place.protocol.text(), name, place.is_streaming)
        };
        let check = "authzed.api.v1.PermissionsService/CheckPermission";
        assert_eq!(
            told(None, &format!("/{check}")),
            ("grpc", check.to_owned(), false)
        );
        let watch = "authzed.api.v1.WatchService/Watch";
        assert_eq!(
            told(None, &format!("/{watch}")),
            ("grpc", watch.to_owned(), true)
        );
        let http = CameBy {
            protocol: Protocol::Http,
            method: None,
        };
        assert_eq!(
            told(Some(http), &format!("/{check}")),
            ("http", check.to_owned(), false)
        );
        let envoy = "envoy.service.auth.v3.Authorization/Check";
        assert_eq!(
            told(None, &format!("/{envoy}")),
            ("ext_authz", envoy.to_owned(), false)
        );
        let authzen = CameBy {
            protocol: Protocol::AuthZen,
            method: Some("evaluation"),
        };
        assert_eq!(told(Some(authzen), "/access/v1/evaluation").1, "evaluation");
        assert_eq!(told(None, ""), ("grpc", "other".to_owned(), false));
    }
}
