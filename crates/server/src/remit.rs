//! Remit's own API, the package `remit.v1`: explanations, permissions, plans of schemas, locks and keys, tokens, replicas, the
//! audit log, and what a node says of itself.

mod access;
mod audit;
mod explain;
mod node;
mod permissions;
mod replica;
mod schema_plan;
mod token;

pub(crate) use access::AccessApi;
pub(crate) use audit::AuditApi;
pub(crate) use explain::ExplainApi;
pub(crate) use node::NodeApi;
pub(crate) use permissions::RemitPermissionsApi;
pub(crate) use replica::ReplicaApi;
pub(crate) use schema_plan::SchemaPlanApi;
pub(crate) use token::TokenApi;
