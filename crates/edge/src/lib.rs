//! What a proxy asks about a request, and what is to be checked for it: attributes in, a verdict out. No I/O, no clock.
//!
//! Operators write [`Rules`] (`reading` reads the file and tells every fault at once). A request is a [`Facts`]; [`Rules::find`]
//! finds its route by host, method and path ([`path`], [`template`]), [`Found::ask`] works out the questions, and
//! [`Asked::verdict`] makes of their answers what the proxy is to do. Expressions are those of caveats
//! ([`schema::caveat::Computation`]).
//!
//! INVARIANT: nothing is allowed by default, by a fault, or for want of a value.

pub mod path;
pub mod template;

mod attributes;
mod cases;
mod fault;
mod host;
mod reading;
mod reference;
mod route;
mod rules;
mod text;
mod trust;
mod verdict;

pub use attributes::{Fact, Facts, User};
pub use cases::{Case, Cases};
pub use fault::{Fault, Faults, Position};
pub use route::{ForwardedBy, Found, Mode, Question};
pub use rules::{FILE_BYTES_MAX, ROUTES_MAX, Rules, Unmatched};
pub use verdict::{Answer, Asked, Cause, Decision, Denial, Freshness, Outcome, Upstream, Verdict};
