//! The authzed API: `PermissionsService` and `SchemaService`.

mod permissions;
mod schema;

pub(crate) use permissions::PermissionsApi;
pub(crate) use schema::SchemaApi;
