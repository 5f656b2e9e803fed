//! How the server guards itself: its settings, and as many files as the system lets it open.

use std::sync::Arc;
use std::time::Duration;

use server::overload::{LimitsInForce, MemorySettings, Settings};

use crate::arguments::Overload;

pub(super) fn settings(given: &Overload, limits: Arc<LimitsInForce>) -> Settings {
    let per_address = given.connections_per_address_max as usize;
    Settings {
        limits,
        connections_max: given.connections_max as usize,
        connections_per_peer_max: (per_address > 0).then_some(per_address),
        handshakes_max: given.tls_handshakes_max as usize,
        connection_calls_max: given.connection_calls_max,
        stall_max: Duration::from_secs(given.stall_seconds_max),
        idle_max: Duration::from_secs(given.idle_seconds_max),
        memory: MemorySettings {
            bytes_max: given.memory_max_mib.map(|mib| mib.saturating_mul(1 << 20)),
            ..MemorySettings::default()
        },
        drain: Duration::from_secs(given.drain_seconds),
        ..Settings::default()
    }
}

/// Lets the process open as many files as it may, since each connection is one; says so if that is too few.
pub(super) fn raise_file_limit(given: &Overload) {
    /// For the store, listeners and what else there is.
    const OTHERS: u64 = 128;
    let wanted = u64::from(given.connections_max).saturating_add(OTHERS);
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) if files < wanted => tracing::warn!(
            files,
            wanted,
            "the system lets this process open fewer files than it may have connections; raise the limit (`LimitNOFILE`)"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}
