//! The authzed API: `PermissionsService`, `SchemaService` and `WatchService`.

mod permissions;
mod schema;
mod watch;

pub(crate) use permissions::PermissionsApi;
pub(crate) use schema::SchemaApi;
pub(crate) use watch::WatchApi;
