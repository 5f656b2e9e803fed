//! `remit.v1.TokenService`: tokens that are good for less than what they are minted with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use identity::{Authenticator, MintError};
use model::DefinitionName;
use ops::Node;
use ops::access::Action;
use ops::mint::Mint;
use remit_proto::remit::v1::token_service_server::TokenService;
use remit_proto::remit::v1::{MintRequest, MintResponse};
use tonic::{Request, Response, Status};

use crate::config::Authentication;
use crate::{caller, convert, error};

/// The service.
#[derive(Debug)]
pub(crate) struct TokenApi {
    node: Arc<Node>,
    /// None where nobody is asked who they are.
    authenticator: Option<Arc<Authenticator>>,
}

impl TokenApi {
    pub(crate) fn new(node: Arc<Node>, authentication: &Authentication) -> Self {
        let authenticator = match authentication {
            Authentication::Required(authenticator) => Some(Arc::clone(authenticator)),
            Authentication::None => None,
        };
        Self {
            node,
            authenticator,
        }
    }
}

#[tonic::async_trait]
impl TokenService for TokenApi {
    async fn mint(&self, request: Request<MintRequest>) -> Result<Response<MintResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let asked = asked(request.into_inner())?;
        let authenticator = self.authenticator.as_ref();
        let authenticator = authenticator.ok_or(MintError::NoCredential);
        let authenticator = authenticator.map_err(|cause| error::status(cause.into()))?;
        let minted = ops::mint::mint(&self.node, authenticator, &caller, &asked);
        let minted = minted.map_err(error::status)?;
        Ok(Response::new(MintResponse {
            token: minted.secret().to_owned(),
            id: minted.id().to_owned(),
            until: Some(convert::timestamp_to_wire(minted.until())),
        }))
    }
}

fn asked(request: MintRequest) -> Result<Mint, Status> {
    let mut actions = BTreeSet::new();
    for name in &request.actions {
        let action = Action::of_permission(name).ok_or_else(|| {
            let all = Action::ALL.map(Action::permission).join("`, `");
            Status::invalid_argument(format!("`{name}` is no action; there are `{all}`"))
        })?;
        actions.insert(action);
    }
    let mut definitions = BTreeSet::new();
    for name in &request.definitions {
        let name = DefinitionName::new(name);
        definitions.insert(name.map_err(|error| Status::invalid_argument(error.to_string()))?);
    }
    let life = request.life_seconds;
    Ok(Mint {
        actions,
        definitions,
        life: (life > 0).then(|| Duration::from_secs(life.into())),
    })
}
