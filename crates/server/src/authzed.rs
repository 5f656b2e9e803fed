//! The authzed API: permissions, schema, watch and the experimental service.

mod answers;
mod experimental;
mod permissions;
mod schema;
mod watch;

pub(crate) use experimental::ExperimentalApi;
pub(crate) use permissions::PermissionsApi;
pub(crate) use schema::SchemaApi;
pub(crate) use watch::WatchApi;
