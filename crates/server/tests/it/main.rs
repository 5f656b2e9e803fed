//! The server as its clients see it: over real connections, against real stores.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod alarms;
mod authzen;
mod bad_input;
mod callers;
mod counters;
mod edge;
mod expand;
mod gateway;
mod golden;
mod handshakes;
mod http_client;
mod idempotency;
mod kubernetes;
mod life;
mod lookup;
mod metadata;
mod metrics;
mod observe;
mod older_names;
mod otlp;
mod overload;
mod peer;
mod reflection;
mod refusals;
mod remit_permissions;
mod running;
mod scenarios;
mod schema_plan;
mod starting;
mod tls;
mod tokens;
mod trace;
mod watch;
mod wire;
