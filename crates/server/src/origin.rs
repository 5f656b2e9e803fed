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
    Origin {
        protocol: known.map_or("other", |(_, protocol)| protocol),
        request_id: request_id.to_owned(),
        trace: trace(headers),
    }
}

/// The trace that a call is part of. What cannot be read counts as absent, and so do two: nobody can tell which one it is.
pub(crate) fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    let (Some(header), None) = (given.next(), given.next()) else {
        return None;
    };
    TraceContext::parse(header.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_with_two_traces_is_of_none() {
        let mut headers = HeaderMap::new();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.append(TRACEPARENT, parent.parse().unwrap());
        let one = of("/access/v1/evaluation", &headers, "id").trace;
        assert_eq!(one, TraceContext::parse(parent));
        headers.append(TRACEPARENT, parent.parse().unwrap());
        assert_eq!(of("/access/v1/evaluation", &headers, "id").trace, None);
    }
}
