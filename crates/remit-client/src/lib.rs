//! A client of Remit, and of any server of the authzed API, for services that ask whether somebody may do something.
//!
//! ```no_run
//! use remit_client::{Check, Client, Credentials};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder(["remit-1:50051", "remit-2:50051"])
//!     .tls(std::fs::read_to_string("/etc/remit/ca.pem")?)
//!     .credentials(Credentials::file("/var/run/secrets/remit/token")?)
//!     .build()?;
//!
//! let decision = client
//!     .check(Check::new("document:readme", "view", "user:ann")?)
//!     .await?;
//! if decision.is_allowed() {
//!     println!("welcome");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An error is no decision, and nothing makes a `bool` of it; a condition that is not known to hold is a no:
//!
//! ```compile_fail
//! # async fn example(client: remit_client::Client, check: remit_client::Check) {
//! let is_allowed: bool = client.check(check).await.into();
//! # }
//! ```
//!
//! Where a function must not run without an allow, it takes one:
//!
//! ```no_run
//! use remit_client::{Allowed, Check, Client};
//!
//! fn delete_everything(_: Allowed) {}
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let check = Check::new("document:readme", "delete", "user:ann")?;
//! delete_everything(client.check(check).await?.require()?);
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `client`, `builder` | the calls, and what a client is told when it is made |
//! | `check`, `lookup`, `relationship`, `results` | what is asked and written, and what comes back |
//! | `consistency`, `session` | how fresh; reading one's own writes |
//! | `batch`, `retry`, `hedge`, `call` | checks that go together; asking again; asking twice; one call with all of that |
//! | `connection`, `endpoints`, `link`, `credentials` | where the servers are, how they fare, the way of one attempt, who calls |
//! | `trace` | which trace a call is part of |
//! | `authorize`, `axum` | services behind checks |
//! | `services` | the calls as they are generated, with nothing added |
//!
//! Features add integrations and nothing else: `axum` has the extractor `Authorized`.

mod authorize;
#[cfg(feature = "axum")]
mod axum;
mod batch;
mod builder;
mod call;
mod check;
mod client;
mod connection;
mod consistency;
mod context;
mod credentials;
mod endpoints;
mod error;
mod hedge;
mod link;
mod lookup;
mod name;
mod options;
mod random;
mod relationship;
mod results;
mod retry;
mod services;
mod session;
mod trace;

pub use authorize::{Authorize, AuthorizeLayer, Refusal, Unasked};
#[cfg(feature = "axum")]
pub use axum::{Authorized, Rule};
pub use batch::Batching;
pub use builder::Builder;
pub use call::{Counts, Deadlines};
pub use check::{Allowed, Check, Decision, Denied};
pub use client::Client;
pub use connection::{ConnectError, Connection, Transport};
pub use consistency::{Consistency, Token, TokenError};
pub use context::{Context, Value};
pub use credentials::{Credentials, CredentialsError};
pub use error::{Error, ErrorKind};
pub use hedge::{Hedge, HedgeDelay};
pub use link::Link;
pub use lookup::{FoundResource, FoundSubject, LookupResources, LookupSubjects, Membership};
pub use name::NameError;
pub use options::{IdempotencyKey, IdempotencyKeyError};
pub use relationship::{Delete, Deleted, Filter, Read, Relationship, Write};
pub use remit_proto as proto;
pub use results::{Question, Results};
pub use retry::Retry;
pub use services::Authenticated;
pub use session::{Session, TOKEN_HEADER};
pub use trace::{Traceparent, TraceparentError};
