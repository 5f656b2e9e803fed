//! What proxies ask: Envoy's external authorization, over gRPC and over HTTP, and forward authentication as nginx, Caddy and
//! Traefik know it.
//!
//! The adapters make [`edge::Facts`] of what the proxy sent; [`judge`] has the rules and the node and comes to a verdict. The proxy
//! calls with a credential of its own, and the checks are made as that caller. Nothing but a verdict that allows is answered with success.

mod counters;
mod ext_authz;
mod facts;
mod http;
mod judge;

use std::sync::Arc;

use arc_swap::ArcSwap;
use edge::Rules;
use prometheus_client::registry::Registry;

use counters::Counters;
pub(crate) use ext_authz::ExtAuthz;
pub(crate) use http::ProxyApi;
pub(crate) use judge::Judge;

/// The paths that are for proxies alone.
const PATHS: &str = "/edge/";

/// The rules that are in force, and what is counted of them.
#[derive(Debug)]
pub struct Edge {
    rules: ArcSwap<Rules>,
    counters: Counters,
}

impl Edge {
    /// Takes these rules.
    #[must_use]
    pub fn new(rules: Rules) -> Arc<Self> {
        let edge = Self {
            rules: ArcSwap::from_pointee(rules),
            counters: Counters::default(),
        };
        edge.counters.note_read(true);
        Arc::new(edge)
    }

    /// Takes other rules, at once for every request after it. What was counted of routes that are gone is forgotten.
    pub fn replace(&self, rules: Rules) {
        let old = self.rules.load_full();
        for gone in old
            .names()
            .filter(|old| !rules.names().any(|new| new == *old))
        {
            self.counters.forget(gone);
        }
        self.rules.store(Arc::new(rules));
        self.counters.note_read(true);
    }

    /// Notes that there are rules to be taken that cannot be: those that there are stay in force.
    pub fn note_unreadable(&self) {
        self.counters.note_read(false);
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.counters.register(registry);
    }
}

/// Whether a path is for proxies: it is never answered as a call of gRPC, whose failures look like success to them.
pub(crate) fn is_for_proxies(path: &str) -> bool {
    path.starts_with(PATHS)
}
