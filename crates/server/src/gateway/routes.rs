//! Which paths there are: one for every method of the descriptors that carries a `google.api.http` annotation.

use std::collections::HashMap;

use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use prost_types::FileDescriptorSet;
use remit_proto::FILE_DESCRIPTOR_SET;

/// Why the routes cannot be had from the descriptors: a fault of the build, not of a request.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// The descriptors cannot be read.
    #[error("the descriptors cannot be read")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// The descriptors of details of errors cannot be read.
    #[error("the descriptors of details of errors cannot be read")]
    Details(#[from] prost::DecodeError),
    /// A type that the gateway rests on is not described.
    #[error("`{name}` is not described")]
    Undescribed {
        /// Its full name.
        name: &'static str,
    },
    /// An annotation asks for something other than `post` with the whole message as body.
    #[error("the route of `{method}` is not a plain `post` path with body `*`")]
    Unsupported {
        /// The full name of the method.
        method: String,
    },
    /// Two methods have one path.
    #[error("`{path}` is the route of two methods")]
    Twice {
        /// The path.
        path: String,
    },
    /// The description for clients cannot be encoded.
    #[error("the OpenAPI document cannot be encoded")]
    OpenApi(#[from] serde_json::Error),
}

/// A method and the way to it.
#[derive(Debug)]
pub(super) struct Route {
    /// What is called.
    pub(super) method: MethodDescriptor,
    /// The method's path in gRPC.
    pub(super) grpc_path: PathAndQuery,
}

/// The routes by path.
pub(super) type Routes = HashMap<String, Route>;

/// The types of every service, of what errors have as details, and of the annotations.
pub(super) fn descriptors() -> Result<DescriptorPool, RoutesError> {
    let mut pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
    let details = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)?;
    let details = details.file.into_iter();
    // Beside it stands a second description of `google.rpc.Status`.
    pool.add_file_descriptor_protos(details.filter(|file| file.name() == "error_details.proto"))?;
    Ok(pool)
}

/// Every method that is described, as gRPC calls it, and whether a stream answers it; health and reflection among them.
pub(crate) fn methods() -> Vec<(String, bool)> {
    let own = descriptors().ok();
    let more = [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let more = more
        .iter()
        .filter_map(|it| DescriptorPool::decode(*it).ok());
    let mut methods = Vec::new();
    for pool in own.into_iter().chain(more) {
        for service in pool.services() {
            let each = service.methods().map(|method| {
                let name = format!("{}/{}", service.full_name(), method.name());
                (name, method.is_server_streaming())
            });
            methods.extend(each);
        }
    }
    methods
}

/// The routes of every annotated method, whether its service is served or not: one that is not says so itself.
pub(super) fn routes(pool: &DescriptorPool) -> Result<Routes, RoutesError> {
    const HTTP: &str = "google.api.http";
    let annotation = pool
        .get_extension_by_name(HTTP)
        .ok_or(RoutesError::Undescribed { name: HTTP })?;
    let mut routes = Routes::new();
    let services: Vec<_> = pool.services().collect();
    for method in services.iter().flat_map(|service| service.methods()) {
        let options = method.options();
        if !options.has_extension(&annotation) {
            continue;
        }
        let unsupported = || RoutesError::Unsupported {
            method: method.full_name().to_owned(),
        };
        let rule = options.get_extension(&annotation);
        let path = rule.as_message().and_then(plain_post);
        let path = path.ok_or_else(unsupported)?;
        let grpc_path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let route = Route {
            grpc_path: grpc_path.parse().map_err(|_| unsupported())?,
            method,
        };
        if routes.insert(path.clone(), route).is_some() {
            return Err(RoutesError::Twice { path });
        }
    }
    Ok(routes)
}

/// The path of a rule that is a `post` of the whole message and nothing else.
fn plain_post(rule: &DynamicMessage) -> Option<String> {
    let text = |name: &str| Some(rule.get_field_by_name(name)?.as_str()?.to_owned());
    let path = text("post")?;
    let has_bindings = rule.has_field_by_name("additional_bindings");
    let is_plain = path.starts_with('/') && !path.contains(['{', '*', ':']);
    (is_plain && text("body")? == "*" && !has_bindings && text("response_body")?.is_empty())
        .then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_annotated_method_has_its_route() {
        let pool = descriptors().unwrap();
        let routes = routes(&pool).unwrap();
        let annotation = pool.get_extension_by_name("google.api.http").unwrap();
        let annotated: usize = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter(|method| method.options().has_extension(&annotation))
            .count();
        assert_eq!(routes.len(), annotated);
        // The authzed API alone has 27.
        assert!(routes.len() >= 27, "{}", routes.len());
        let check = &routes["/v1/permissions/check"];
        assert_eq!(
            check.grpc_path.as_str(),
            "/authzed.api.v1.PermissionsService/CheckPermission"
        );
    }
}
