//! Remit's own API, the package `remit.v1`: explanations, permissions, plans of schemas, and what a node says of itself.

mod explain;
mod node;
mod permissions;
mod schema_plan;

pub(crate) use explain::ExplainApi;
pub(crate) use node::NodeApi;
pub(crate) use permissions::RemitPermissionsApi;
pub(crate) use schema_plan::SchemaPlanApi;
