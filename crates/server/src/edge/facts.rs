//! What proxies say of requests, as the rules read it.

use std::collections::BTreeMap;

use edge::{Fact, Facts};
use http::HeaderMap;
use model::Value;
use remit_proto::envoy::config::core::v3::{Metadata, address::Address};
use remit_proto::envoy::service::auth::v3::AttributeContext;
use remit_proto::envoy::service::auth::v3::attribute_context::HttpRequest;

use crate::convert::values_from_wire;

/// The filter of Envoy that verifies tokens.
const JWT_FILTER: &str = "envoy.filters.http.jwt_authn";

/// What Envoy says over gRPC.
#[derive(Debug)]
pub(super) struct OfEnvoy {
    attributes: AttributeContext,
    http: HttpRequest,
}

impl OfEnvoy {
    pub(super) fn new(mut attributes: AttributeContext) -> Self {
        let request = attributes.request.take();
        Self {
            attributes,
            http: request.and_then(|it| it.http).unwrap_or_default(),
        }
    }

    /// What the client presented.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.http.headers.get("authorization").map(String::as_str)
    }
}

impl Facts for OfEnvoy {
    fn method(&self) -> &str {
        &self.http.method
    }

    fn host(&self) -> &str {
        &self.http.host
    }

    fn target(&self) -> &str {
        &self.http.path
    }

    fn header(&self, name: &str) -> Option<String> {
        self.http.headers.get(name).cloned()
    }

    fn fact(&self, of: Fact<'_>) -> Option<Value> {
        let source = self.attributes.source.as_ref();
        match of {
            Fact::Address => {
                let address = source?.address.as_ref()?.address.as_ref()?;
                let Address::SocketAddress(socket) = address;
                Some(Value::String(socket.address.clone()))
            }
            Fact::Principal => {
                let principal = source.map(|source| source.principal.clone())?;
                (!principal.is_empty()).then_some(Value::String(principal))
            }
            Fact::Claims { payload } => {
                let metadata = self.attributes.metadata_context.as_ref()?;
                let of_filter = metadata.filter_metadata.get(JWT_FILTER)?;
                match values_from_wire(of_filter.clone()).ok()? {
                    Value::Map(mut kept) => kept.remove(payload),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::List(_) => None,
                }
            }
            Fact::Extensions => {
                let extensions = self.attributes.context_extensions.iter();
                let texts = extensions.map(|(name, it)| (name.clone(), Value::String(it.clone())));
                Some(Value::Map(texts.collect()))
            }
            Fact::RouteMetadata => {
                let metadata = self.attributes.route_metadata_context.as_ref();
                Some(metadata.map_or_else(|| Value::Map(BTreeMap::new()), by_filter))
            }
        }
    }
}

fn by_filter(metadata: &Metadata) -> Value {
    let filters = metadata.filter_metadata.iter();
    let values = filters.filter_map(|(name, values)| {
        let values = values_from_wire(values.clone()).ok()?;
        Some((name.clone(), values))
    });
    Value::Map(values.collect())
}

/// What a proxy says over HTTP: the request itself, and no more.
#[derive(Debug)]
pub(super) struct OfHttp {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
}

impl Facts for OfHttp {
    fn method(&self) -> &str {
        &self.method
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.get_all(name).iter();
        let values: Option<Vec<&str>> = values.map(|value| value.to_str().ok()).collect();
        values
            .filter(|values| !values.is_empty())
            .map(|it| it.join(","))
    }

    fn fact(&self, of: Fact<'_>) -> Option<Value> {
        match of {
            Fact::Address
            | Fact::Principal
            | Fact::Claims { .. }
            | Fact::Extensions
            | Fact::RouteMetadata => None,
        }
    }
}
