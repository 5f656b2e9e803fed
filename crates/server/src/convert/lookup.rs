//! Look-ups from the wire, and what they find back to it.

use model::{DefinitionName, RelationName};
use ops::Consistency;
use ops::lookup::{Item, Membership, Page, Resources, Subjects};
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::LookupPermissionship;
use remit_proto::authzed::api::v1::lookup_subjects_request::WildcardOption;
use tonic::Status;

use super::rules::Rules;
use super::violation::Path;
use super::{consistency, context, invalid, object, subject};

/// The id of everybody.
const EVERYBODY: &str = "*";

pub(crate) fn resources(
    request: wire::LookupResourcesRequest,
) -> Result<(Consistency, Resources), Status> {
    let consistency = consistency(request.consistency)?;
    let mut rules = Rules::default();
    let path = Path::string(None, 2, "resource_object_type");
    rules.definition_name(&path, &request.resource_object_type);
    rules.relation(&Path::string(None, 3, "permission"), &request.permission);
    rules.subject(&Path::message(None, 4, "subject"), request.subject.as_ref());
    rules.cursor(
        &Path::message(None, 7, "optional_cursor"),
        request.optional_cursor.as_ref(),
    );
    rules.end()?;
    let asked = Resources {
        definition: DefinitionName::new(&request.resource_object_type).map_err(invalid)?,
        permission: request.permission,
        subject: subject(request.subject.as_ref())?,
        context: context(request.context)?,
        limit: request.optional_limit,
        cursor: request.optional_cursor.map(|cursor| cursor.token),
    };
    Ok((consistency, asked))
}

pub(crate) fn subjects(
    request: wire::LookupSubjectsRequest,
) -> Result<(Consistency, Subjects), Status> {
    let is_without_everybody = request.wildcard_option() == WildcardOption::ExcludeWildcards;
    let consistency = consistency(request.consistency)?;
    let mut rules = Rules::default();
    rules.object(
        &Path::message(None, 2, "resource"),
        request.resource.as_ref(),
    );
    rules.optional_relation(&Path::string(None, 3, "permission"), &request.permission);
    let path = Path::string(None, 4, "subject_object_type");
    rules.definition_name(&path, &request.subject_object_type);
    let path = Path::string(None, 5, "optional_subject_relation");
    rules.optional_relation(&path, &request.optional_subject_relation);
    rules.cursor(
        &Path::message(None, 8, "optional_cursor"),
        request.optional_cursor.as_ref(),
    );
    rules.end()?;
    let relation = Some(request.optional_subject_relation).filter(|name| !name.is_empty());
    let asked = Subjects {
        resource: object(request.resource.as_ref())?,
        permission: request.permission,
        definition: DefinitionName::new(&request.subject_object_type).map_err(invalid)?,
        relation: relation
            .map(|name| RelationName::new(&name))
            .transpose()
            .map_err(invalid)?,
        context: context(request.context)?,
        is_without_everybody,
        limit: request.optional_concrete_limit,
        cursor: request.optional_cursor.map(|cursor| cursor.token),
    };
    Ok((consistency, asked))
}

/// A resource of a page with the token `at`; none for everybody, which no resource is.
pub(crate) fn resource_to_wire(
    page: &Page,
    item: &Item,
    at: &wire::ZedToken,
) -> Option<wire::LookupResourcesResponse> {
    let Item::Object { id, membership } = item else {
        return None;
    };
    let (permissionship, partial_caveat_info) = membership_to_wire(membership);
    Some(wire::LookupResourcesResponse {
        looked_up_at: Some(at.clone()),
        resource_object_id: id.to_string(),
        permissionship: permissionship.into(),
        partial_caveat_info,
        after_result_cursor: cursor(page, item),
    })
}

/// A subject of a page with the token `at`. The fields that the API has given up say the same as those that replaced them.
#[expect(
    deprecated,
    reason = "old clients read the fields that the API has given up"
)]
pub(crate) fn subject_to_wire(
    page: &Page,
    item: &Item,
    at: &wire::ZedToken,
) -> Option<wire::LookupSubjectsResponse> {
    let (id, membership, excluded) = match item {
        Item::Object { id, membership } => (id.as_str(), membership, [].as_slice()),
        Item::Everybody {
            membership,
            excluded,
        } => (EVERYBODY, membership, excluded.as_slice()),
    };
    let (permissionship, partial_caveat_info) = membership_to_wire(membership);
    Some(wire::LookupSubjectsResponse {
        looked_up_at: Some(at.clone()),
        subject_object_id: id.to_owned(),
        excluded_subject_ids: excluded.iter().map(|(id, _)| id.to_string()).collect(),
        permissionship: permissionship.into(),
        partial_caveat_info,
        subject: Some(resolved(id, membership)),
        excluded_subjects: excluded
            .iter()
            .map(|(id, membership)| resolved(id.as_str(), membership))
            .collect(),
        after_result_cursor: cursor(page, item),
    })
}

fn resolved(id: &str, membership: &Membership) -> wire::ResolvedSubject {
    let (permissionship, partial_caveat_info) = membership_to_wire(membership);
    wire::ResolvedSubject {
        subject_object_id: id.to_owned(),
        permissionship: permissionship.into(),
        partial_caveat_info,
    }
}

/// How an object is among what was found.
pub(crate) fn membership_to_wire(
    membership: &Membership,
) -> (LookupPermissionship, Option<wire::PartialCaveatInfo>) {
    match membership {
        Membership::Certain => (LookupPermissionship::HasPermission, None),
        Membership::Conditional { missing } => (
            LookupPermissionship::ConditionalPermission,
            Some(wire::PartialCaveatInfo {
                missing_required_context: missing.clone(),
            }),
        ),
    }
}

fn cursor(page: &Page, item: &Item) -> Option<wire::Cursor> {
    Some(wire::Cursor {
        token: page.cursor_after(item),
    })
}
