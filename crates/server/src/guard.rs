//! Who calls: without a credential that is good a call does not reach its handler.

use std::sync::Arc;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response};
use identity::{
    AuthenticateError, Authenticator, Authorization, Caller, PeerCertificate, Presented,
};
use tonic::Status;
use tonic::body::Body;

use crate::config::Authentication;

/// Services that anybody may ask: whether the server is up, and what it speaks.
const OPEN_SERVICES: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The header that says in whose name a call is made.
pub(crate) const ON_BEHALF_OF: &str = "remit-on-behalf-of";

/// Somebody who is not let in.
pub(crate) struct Refused {
    pub(crate) status: Status,
    /// What to come back with, as HTTP says it.
    challenge: Option<HeaderValue>,
    is_unknown: bool,
    /// The kind of what is wrong, for those who count.
    pub(crate) why: &'static str,
}

/// Marks the answer to somebody who is not known, where its code says that they may not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unknown;

/// The caller of the method at `path`, over a connection that was made with `certificate`.
///
/// # Errors
/// [`Refused`] without a credential where there has to be one, and with one that is not good.
pub(crate) async fn admit(
    authentication: &Authentication,
    path: &str,
    headers: &HeaderMap,
    certificate: Option<Arc<PeerCertificate>>,
) -> Result<Caller, Refused> {
    let authenticator = match authentication {
        Authentication::None => return Ok(Caller::without_authentication()),
        Authentication::Required(authenticator) => authenticator,
    };
    if OPEN_SERVICES.iter().any(|open| path.starts_with(open)) {
        return Ok(Caller::without_authentication());
    }
    let presented = Presented {
        authorization: authorization(headers),
        certificate: certificate.as_deref(),
    };
    let caller = authenticator.authenticate(&presented).await;
    let caller = caller.map_err(|error| Refused::of(&error, authenticator))?;
    in_whose_name(caller, headers).map_err(|status| Refused {
        status,
        challenge: None,
        is_unknown: false,
        why: "on_behalf_of",
    })
}

/// The caller, in the name of another if the call says so. Whether it may is for the operation to judge.
fn in_whose_name(caller: Caller, headers: &HeaderMap) -> Result<Caller, Status> {
    let mut given = headers.get_all(ON_BEHALF_OF).iter();
    let principal = match (given.next(), given.next()) {
        (None, _) => return Ok(caller),
        (Some(header), None) => header.to_str().ok().and_then(|text| text.parse().ok()),
        (Some(_), Some(_)) => None,
    };
    match principal {
        Some(principal) => Ok(caller.on_behalf_of(principal)),
        None => Err(Status::invalid_argument(format!(
            "`{ON_BEHALF_OF}` names one caller, as in `remit/user:ann`"
        ))),
    }
}

fn authorization(headers: &HeaderMap) -> Authorization<'_> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Authorization::None,
        (Some(header), None) => match header.to_str() {
            Ok(header) => Authorization::One(header),
            Err(_) => Authorization::Unreadable,
        },
        (Some(_), Some(_)) => Authorization::Unreadable,
    }
}

impl Refused {
    fn of(error: &AuthenticateError, authenticator: &Authenticator) -> Self {
        let challenge = authenticator.challenge(error);
        Self {
            status: status(error),
            challenge: challenge.and_then(|text| HeaderValue::try_from(text).ok()),
            is_unknown: matches!(error, AuthenticateError::UnknownKey),
            why: kind(error),
        }
    }

    /// The answer to the call.
    pub(crate) fn into_http(self) -> Response<Body> {
        let mut response = self.status.into_http();
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if self.is_unknown {
            response.extensions_mut().insert(Unknown);
        }
        response
    }
}

/// Every kind of what is wrong with a credential.
pub(crate) const KINDS: [&str; 10] = [
    "no_credential",
    "malformed",
    "unknown_key",
    "unrecognized",
    "token",
    "minted_token",
    "certificate",
    "scope",
    "keys_unavailable",
    "on_behalf_of",
];

/// What is wrong with a credential, without anything that it holds.
fn kind(error: &AuthenticateError) -> &'static str {
    match error {
        AuthenticateError::Missing => "no_credential",
        AuthenticateError::Malformed | AuthenticateError::Dpop => "malformed",
        AuthenticateError::UnknownKey => "unknown_key",
        AuthenticateError::Unrecognized => "unrecognized",
        AuthenticateError::Token(_) => "token",
        AuthenticateError::Minted(_) => "minted_token",
        AuthenticateError::Certificate(_) => "certificate",
        AuthenticateError::InsufficientScope { .. } => "scope",
        AuthenticateError::KeysUnavailable { .. } => "keys_unavailable",
    }
}

fn status(error: &AuthenticateError) -> Status {
    match error {
        AuthenticateError::Missing | AuthenticateError::Malformed | AuthenticateError::Dpop => {
            Status::unauthenticated(format!("Request unauthenticated with bearer: {error}"))
        }
        // As clients of the API know it, where there is nothing but keys.
        AuthenticateError::UnknownKey => {
            Status::permission_denied("invalid preshared key: invalid token")
        }
        AuthenticateError::Unrecognized
        | AuthenticateError::Token(_)
        | AuthenticateError::Minted(_)
        | AuthenticateError::Certificate(_) => Status::unauthenticated(error.to_string()),
        AuthenticateError::InsufficientScope { .. } => Status::permission_denied(error.to_string()),
        AuthenticateError::KeysUnavailable { .. } => Status::unavailable(error.to_string()),
    }
}
