//! Remit's own API, the package `remit.v1`: explanations, permissions and plans of schemas.

mod explain;
mod permissions;
mod schema_plan;

pub(crate) use explain::ExplainApi;
pub(crate) use permissions::RemitPermissionsApi;
pub(crate) use schema_plan::SchemaPlanApi;
