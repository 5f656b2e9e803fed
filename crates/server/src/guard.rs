//! Who calls: without a valid key a call does not reach its handler.

use http::HeaderMap;
use identity::{AuthenticateError, Caller};
use tonic::Status;

use crate::config::Authentication;

/// Services that anybody may ask: whether the server is up, and what it speaks.
const OPEN_SERVICES: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The caller of the method at `path`.
///
/// # Errors
/// Unauthenticated without a key where there has to be one, PermissionDenied with one that is not known.
pub(crate) fn admit(
    authentication: &Authentication,
    path: &str,
    headers: &HeaderMap,
) -> Result<Caller, Status> {
    let keys = match authentication {
        Authentication::None => return Ok(Caller::without_authentication()),
        Authentication::PresharedKeys(keys) => keys,
    };
    if OPEN_SERVICES.iter().any(|open| path.starts_with(open)) {
        return Ok(Caller::without_authentication());
    }
    let header = headers
        .get(http::header::AUTHORIZATION)
        .and_then(|header| header.to_str().ok());
    keys.authenticate(header).map_err(|error| match error {
        AuthenticateError::Missing | AuthenticateError::Malformed => {
            Status::unauthenticated(format!("Request unauthenticated with bearer: {error}"))
        }
        AuthenticateError::UnknownKey => {
            Status::permission_denied("invalid preshared key: invalid token")
        }
    })
}
