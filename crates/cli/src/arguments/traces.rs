//! The arguments of `remit serve` that are about traces.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use server::TraceSettings;

/// Where traces go, and of how many calls.
#[derive(Debug, Args)]
pub(crate) struct Traces {
    /// The collector that traces go to, by OTLP over gRPC: `http://HOST:4317`, or `https://`. Without one nothing is traced. What
    /// OpenTelemetry names `OTEL_EXPORTER_OTLP_ENDPOINT` is taken where this is not given.
    #[arg(long, env = "REMIT_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// Headers of what is sent to the collector, such as its key: `NAME=VALUE`, more after commas.
    #[arg(
        long,
        env = "REMIT_OTLP_HEADERS",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "NAME=VALUE"
    )]
    pub(crate) otlp_headers: Vec<String>,
    /// The authorities of the collector's certificate (PEM); those that the system trusts, if this is not given.
    #[arg(long, env = "REMIT_OTLP_CA", value_name = "FILE")]
    pub(crate) otlp_ca: Option<PathBuf>,
    /// The part of the calls that is traced, of those whose caller says nothing about it.
    #[arg(
        long,
        env = "REMIT_TRACE_RATIO",
        default_value_t = 0.01,
        value_name = "0 TO 1"
    )]
    pub(crate) trace_ratio: f64,
    /// Calls a second that are traced because their callers trace them (`traceparent`).
    #[arg(
        long,
        env = "REMIT_TRACES_FOLLOWED_PER_SECOND_MAX",
        default_value_t = 100
    )]
    pub(crate) traces_followed_per_second_max: u32,
    /// As OpenTelemetry names the collector.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        hide = true,
        value_name = "URL"
    )]
    pub(crate) otel_exporter_otlp_endpoint: Option<String>,
    /// As OpenTelemetry names the headers.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide = true,
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "NAME=VALUE"
    )]
    pub(crate) otel_exporter_otlp_headers: Vec<String>,
}

impl Traces {
    /// What the server is set to.
    ///
    /// # Errors
    /// For a file that cannot be read, and for a header without a name, which is not repeated.
    pub(crate) fn settings(&self) -> anyhow::Result<Option<TraceSettings>> {
        let given = [&self.otlp_endpoint, &self.otel_exporter_otlp_endpoint];
        let mut given = given.into_iter().flatten().filter(|it| !it.is_empty());
        let Some(endpoint) = given.next().cloned() else {
            return Ok(None);
        };
        let headers = if self.otlp_headers.is_empty() {
            &self.otel_exporter_otlp_headers
        } else {
            &self.otlp_headers
        };
        let pair = |header: &String| {
            let pair = header.split_once('=');
            let pair = pair.map(|(name, value)| (name.trim().to_lowercase(), value.trim().into()));
            pair.context("a header for the collector of traces is not of the form NAME=VALUE")
        };
        let authorities_pem = self.otlp_ca.as_ref().map(|file| {
            let read = std::fs::read_to_string(file);
            read.with_context(|| format!("`{}` cannot be read", file.display()))
        });
        Ok(Some(TraceSettings {
            endpoint,
            headers: headers.iter().map(pair).collect::<anyhow::Result<_>>()?,
            authorities_pem: authorities_pem.transpose()?,
            ratio: self.trace_ratio,
            followed_per_second_max: self.traces_followed_per_second_max,
            service_name: "remit".to_owned(),
        }))
    }
}
