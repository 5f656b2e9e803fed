//! What callers may do with Remit itself: decided by the same engine, on the same graph, as everything else.
//!
//! A grant is a relationship of a definition that is built in ([`roles`]): it expires, is explained and is on record like any other.
//! Each operation asks for a [`Permit`] and holds it to what it is about to do. A caller without any right on a definition is told
//! what it would be told if there were none.
//!
//! What a caller came with can leave it less than its subject has ([`Caller::narrowing`](identity::Caller::narrowing)): that holds
//! before and beside all else, even where nothing is enforced.
//!
//! Nothing is enforced on preshared keys until somebody is made an administrator: until then, whoever has one may do everything, as
//! with a server that knows nothing but keys. From that commit on a caller has what it was given, and there is always an administrator
//! left. Whoever comes with a token or a certificate has never more than that: an identity provider lets in everybody.

mod grant;
mod permit;
mod reach;
mod roles;
mod state;
mod target;

pub use roles::{ADMINISTRATOR, Action, Scope, built_in_text};

pub(crate) use grant::{administrator_left, check_changes, is_built_in, require_deletion};
pub(crate) use permit::Permit;
pub(crate) use roles::{compile, diagnose};
pub(crate) use state::{KEY_KIND, KIND, LOCK_KIND, State, enforce};
pub(crate) use target::Target;
