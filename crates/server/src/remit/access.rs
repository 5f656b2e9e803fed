//! `remit.v1.AccessService`: locks, and keys on record.

use std::sync::Arc;

use ops::{Node, keys, lock};
use remit_proto::remit::v1::access_service_server::AccessService;
use remit_proto::remit::v1::{
    CreateKeyRequest, CreateKeyResponse, ListKeysRequest, ListKeysResponse, ListLocksRequest,
    ListLocksResponse, Lock, LockRequest, LockResponse, RevokeKeyRequest, RevokeKeyResponse,
    UnlockRequest, UnlockResponse,
};
use tonic::{Request, Response, Status};

use crate::{caller, convert, error};

/// The service.
#[derive(Debug)]
pub(crate) struct AccessApi {
    node: Arc<Node>,
}

impl AccessApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let request = request.into_inner();
        let subject = convert::remit::locked(request.subject.as_ref())?;
        let locked = lock::lock(&self.node, &caller, &subject, &request.reason).await;
        Ok(Response::new(LockResponse {
            locked_at: Some(convert::token_to_wire(locked.map_err(error::status)?)),
        }))
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let subject = convert::remit::locked(request.into_inner().subject.as_ref())?;
        let unlocked = lock::unlock(&self.node, &caller, &subject).await;
        Ok(Response::new(UnlockResponse {
            unlocked_at: Some(convert::token_to_wire(unlocked.map_err(error::status)?)),
        }))
    }

    async fn list_locks(
        &self,
        request: Request<ListLocksRequest>,
    ) -> Result<Response<ListLocksResponse>, Status> {
        let caller = caller(&request)?;
        let consistency = convert::consistency(request.into_inner().consistency)?;
        let listed = lock::list(&self.node, &caller, consistency).await;
        let (locks, at) = listed.map_err(error::status)?;
        let locks = locks.into_iter().map(|lock| Lock {
            subject: Some(convert::object_to_wire(&lock.subject)),
            reason: lock.reason,
        });
        Ok(Response::new(ListLocksResponse {
            listed_at: Some(convert::token_to_wire(at)),
            locks: locks.collect(),
        }))
    }

    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let name = request.into_inner().name;
        let created = keys::create(&self.node, &caller, &name).await;
        let (key, at) = created.map_err(error::status)?;
        Ok(Response::new(CreateKeyResponse {
            created_at: Some(convert::token_to_wire(at)),
            key,
        }))
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let name = request.into_inner().name;
        let revoked = keys::revoke(&self.node, &caller, &name).await;
        Ok(Response::new(RevokeKeyResponse {
            revoked_at: Some(convert::token_to_wire(revoked.map_err(error::status)?)),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let caller = caller(&request)?;
        let names = keys::list(&self.node, &caller).map_err(error::status)?;
        Ok(Response::new(ListKeysResponse { names }))
    }
}
