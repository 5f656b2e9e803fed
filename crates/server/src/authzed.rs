//! The authzed API: `PermissionsService` and `SchemaService`.

mod permissions;
mod schema;

use model::Token;
use remit_proto::authzed::api::v1::ZedToken;

pub(crate) use permissions::PermissionsApi;
pub(crate) use schema::SchemaApi;

fn zed_token(token: Token) -> Option<ZedToken> {
    Some(ZedToken {
        token: token.to_string(),
    })
}
