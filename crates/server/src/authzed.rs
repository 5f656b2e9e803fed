//! The authzed API: `PermissionsService`, `SchemaService` and `ExperimentalService`.

mod experimental;
mod permissions;
mod schema;

use model::Token;
use remit_proto::authzed::api::v1::ZedToken;

pub(crate) use experimental::ExperimentalApi;
pub(crate) use permissions::PermissionsApi;
pub(crate) use schema::SchemaApi;

fn zed_token(token: Token) -> Option<ZedToken> {
    Some(ZedToken {
        token: token.to_string(),
    })
}
