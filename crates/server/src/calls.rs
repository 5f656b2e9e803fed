//! The way of a call, whichever protocol it came by: its metadata, who calls, its deadline, its service.

use tonic::service::Routes;
use tower::Layer as _;

use crate::config::Authentication;
use crate::deadline::{Deadline, Timed};
use crate::guard::{Guard, Guarded};
use crate::metadata::{Tag, Tagged};

/// Every service behind all that a call passes. A clone shares the services.
pub(crate) type Calls = Tagged<Guarded<Timed<Routes>>>;

/// Puts before `services` what every call passes.
pub(crate) fn calls(
    services: Routes,
    authentication: Authentication,
    call_max: std::time::Duration,
) -> Calls {
    let timed = Deadline::new(call_max).layer(services.prepare());
    Tag.layer(Guard::new(authentication).layer(timed))
}
