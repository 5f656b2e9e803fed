//! The authzed API: permissions, schema, watch and the experimental service.

mod experimental;
mod permissions;
mod schema;
mod watch;

use model::Token;
use remit_proto::authzed::api::v1::ZedToken;

pub(crate) use experimental::ExperimentalApi;
pub(crate) use permissions::PermissionsApi;
pub(crate) use schema::SchemaApi;
pub(crate) use watch::WatchApi;

fn zed_token(token: Token) -> Option<ZedToken> {
    Some(ZedToken {
        token: token.to_string(),
    })
}
