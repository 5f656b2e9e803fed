//! `remit.v1.PermissionsService`: what checks and look-ups leave to be wished for.

use std::sync::Arc;

use model::Decision;
use ops::check::Question;
use ops::held::Held;
use ops::lookup::{Item, Membership, Page, Resources};
use ops::{Error, Node};
use remit_proto::authzed::api::v1 as authzed;
use remit_proto::authzed::api::v1::{LookupPermissionship, PartialCaveatInfo};
use remit_proto::remit::v1 as wire;
use remit_proto::remit::v1::permissions_service_server::PermissionsService;
use tonic::{Request, Response, Status};

use crate::convert::{self, lookup};
use crate::{caller, error};

/// The service.
#[derive(Debug)]
pub(crate) struct RemitPermissionsApi {
    node: Arc<Node>,
}

impl RemitPermissionsApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl PermissionsService for RemitPermissionsApi {
    async fn list_permissions(
        &self,
        request: Request<wire::ListPermissionsRequest>,
    ) -> Result<Response<wire::ListPermissionsResponse>, Status> {
        let caller = caller(&request)?;
        let (consistency, resource, subject, context) =
            convert::remit::list_permissions(request.into_inner())?;
        let asked = (&resource, &subject);
        let held = ops::held::held(&self.node, &caller, consistency, asked, &context).await;
        let held = held.map_err(error::status)?;
        Ok(Response::new(wire::ListPermissionsResponse {
            listed_at: Some(convert::token_to_wire(held.at)),
            permissions: held.answer.into_iter().map(held_to_wire).collect(),
        }))
    }

    async fn filter_resources(
        &self,
        request: Request<wire::FilterResourcesRequest>,
    ) -> Result<Response<wire::FilterResourcesResponse>, Status> {
        let caller = caller(&request)?;
        let (consistency, questions) = convert::remit::filter_resources(request.into_inner())?;
        let answered = ops::check::check_bulk(&self.node, &caller, consistency, &questions).await;
        let answered = answered.map_err(error::status)?;
        let each = questions.iter().zip(answered.answer);
        Ok(Response::new(wire::FilterResourcesResponse {
            filtered_at: Some(convert::token_to_wire(answered.at)),
            resources: each
                .filter_map(|(question, answer)| filtered(question, answer))
                .collect(),
        }))
    }

    async fn list_resources(
        &self,
        request: Request<wire::ListResourcesRequest>,
    ) -> Result<Response<wire::ListResourcesResponse>, Status> {
        let caller = caller(&request)?;
        let (consistency, asked) = list_resources(request.into_inner())?;
        let page = ops::lookup::resources(&self.node, &caller, consistency, &asked).await;
        Ok(Response::new(page_to_wire(&page.map_err(error::status)?)))
    }

    async fn delete_object(
        &self,
        request: Request<wire::DeleteObjectRequest>,
    ) -> Result<Response<wire::DeleteObjectResponse>, Status> {
        let caller = caller(&request)?;
        convert::no_idempotency_key(request.metadata())?;
        let (object, preconditions, metadata) =
            convert::remit::delete_object(request.into_inner())?;
        let deleted =
            ops::write::delete_object(&self.node, &caller, &object, preconditions, metadata).await;
        let deleted = deleted.map_err(error::status)?;
        Ok(Response::new(wire::DeleteObjectResponse {
            deleted_at: Some(convert::token_to_wire(deleted.at)),
            relationships_deleted_count: deleted.count,
        }))
    }
}

fn list_resources(
    request: wire::ListResourcesRequest,
) -> Result<(ops::Consistency, Resources), Status> {
    const PAGE_SIZE: u32 = 100;
    let cursor = (!request.page_token.is_empty()).then_some(request.page_token);
    let (consistency, asked) = lookup::resources(authzed::LookupResourcesRequest {
        consistency: request.consistency,
        resource_object_type: request.resource_object_type,
        permission: request.permission,
        subject: request.subject,
        context: request.context,
        ..Default::default()
    })?;
    let limit = if request.page_size == 0 {
        PAGE_SIZE
    } else {
        request.page_size
    };
    Ok((
        consistency,
        Resources {
            limit,
            cursor,
            ..asked
        },
    ))
}

fn page_to_wire(page: &Page) -> wire::ListResourcesResponse {
    let items: Vec<Item> = page.items().collect();
    let resources = items.iter().filter_map(|item| match item {
        Item::Object { id, membership } => {
            let (permissionship, partial_caveat_info) = lookup::membership_to_wire(membership);
            Some(wire::FilteredResource {
                resource_object_id: id.to_string(),
                permissionship: permissionship.into(),
                partial_caveat_info,
                error: None,
            })
        }
        Item::Everybody { .. } => None,
    });
    let next = items.last().filter(|_| page.goes_on());
    wire::ListResourcesResponse {
        listed_at: Some(convert::token_to_wire(page.at())),
        resources: resources.collect(),
        total: page.total() as u64,
        next_page_token: next.map(|last| page.cursor_after(last)).unwrap_or_default(),
        error: page
            .end()
            .err()
            .map(|failed| error::to_rpc(&error::status(failed))),
    }
}

/// What is not denied of a decision: how far it holds, or why it is not known.
type Told = (
    LookupPermissionship,
    Option<PartialCaveatInfo>,
    Option<remit_proto::google::rpc::Status>,
);

fn told(decision: Result<Decision, Error>) -> Option<Told> {
    let membership = match decision {
        Ok(Decision::Denied) => return None,
        Ok(Decision::Allowed) => Membership::Certain,
        Ok(Decision::Conditional { missing }) => Membership::Conditional { missing },
        Err(failed) => {
            let status = error::to_rpc(&error::status(failed));
            return Some((LookupPermissionship::Unspecified, None, Some(status)));
        }
    };
    let (permissionship, partial_caveat_info) = lookup::membership_to_wire(&membership);
    Some((permissionship, partial_caveat_info, None))
}

fn held_to_wire(held: Held) -> wire::HeldPermission {
    let (permissionship, partial_caveat_info, error) = told(held.decision).unwrap_or_default();
    wire::HeldPermission {
        permission: held.member.to_string(),
        is_relation: held.is_relation,
        permissionship: permissionship.into(),
        partial_caveat_info,
        error,
    }
}

fn filtered(
    question: &Question,
    answer: Result<Decision, Error>,
) -> Option<wire::FilteredResource> {
    let (permissionship, partial_caveat_info, error) = told(answer)?;
    Some(wire::FilteredResource {
        resource_object_id: question.resource.id.to_string(),
        permissionship: permissionship.into(),
        partial_caveat_info,
        error,
    })
}
