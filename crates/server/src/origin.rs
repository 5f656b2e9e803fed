//! By which way a call came, for records of what it decides.

use http::HeaderMap;
use identity::{Origin, TraceContext};

/// The header that names a trace.
const TRACEPARENT: &str = "traceparent";
/// What a path begins with, and the protocol that it is of; services that JSON is transcoded to have the path of the service.
const PROTOCOLS: [(&str, &str); 6] = [
    ("/authzed.", "authzed"),
    ("/remit.", "remit"),
    ("/envoy.", "ext_authz"),
    ("/edge/", "edge"),
    ("/kubernetes/", "kubernetes"),
    ("/access/", "authzen"),
];

/// By which way a call of `path` came.
pub(crate) fn of(path: &str, headers: &HeaderMap, request_id: &str) -> Origin {
    let known = PROTOCOLS.iter().find(|(begin, _)| path.starts_with(begin));
    let trace = headers.get(TRACEPARENT).and_then(|it| it.to_str().ok());
    Origin {
        protocol: known.map_or("other", |(_, protocol)| protocol),
        request_id: request_id.to_owned(),
        trace: trace.and_then(TraceContext::parse),
    }
}
