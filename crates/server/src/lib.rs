//! The protocols: each decodes a message, calls one operation and encodes what it returns. No thought of its own.
//!
//! [`listen`] and [`Listening::serve`] run a server over a node; `calls` is what every call passes, `gateway` the same
//! services as JSON over HTTP; [`convert`] is the border, where messages become domain
//! types and back; `overload` what is refused when there is too much to do; `error` has the one table from failures to codes. A library, so that tests start it in their process.

pub mod convert;
pub mod overload;

mod audit_tiles;
mod authzed;
mod authzen;
mod calls;
mod config;
mod connections;
mod deadline;
mod edge;
mod ending;
mod error;
mod gateway;
mod guard;
mod http_api;
mod kubernetes;
mod metadata;
mod metrics;
mod observe;
mod origin;
#[cfg(test)]
mod polled;
mod remit;
mod serve;
mod starting;
mod tls;

use identity::Caller;
use tonic::{Request, Status};

pub use crate::edge::Edge;
pub use authzen::{PublicUrl, PublicUrlError};
pub use config::{Authentication, Config, HttpAddress, Tls};
pub use gateway::RoutesError;
pub use observe::{TraceSettings, TracesError};
pub use serve::{Listening, ServeError, listen};
pub use starting::{Addresses, Starting, start};
pub use tls::{TlsError, TlsHandle};

/// The caller that the guard let in. A call that got here without one is refused.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| Status::unauthenticated("the call did not pass authentication"))
}
