//! The requests of Remit's own API.

use model::{Context, ObjectRef, Precondition, Revision, SubjectRef, Timestamp};
use ops::Consistency;
use ops::check::Question;
use ops::replay::Replay;
use remit_proto::authzed::api::v1::ObjectReference;
use remit_proto::remit::v1 as wire;
use tonic::Status;

use super::rules::Rules;
use super::violation::Path;
use super::{consistency, context, metadata, object, preconditions, subject};

pub(crate) fn list_permissions(
    request: wire::ListPermissionsRequest,
) -> Result<(Consistency, ObjectRef, SubjectRef, Context), Status> {
    let consistency = consistency(request.consistency)?;
    let mut rules = Rules::default();
    rules.object(
        &Path::message(None, 2, "resource"),
        request.resource.as_ref(),
    );
    rules.subject(&Path::message(None, 3, "subject"), request.subject.as_ref());
    rules.end()?;
    Ok((
        consistency,
        object(request.resource.as_ref())?,
        subject(request.subject.as_ref())?,
        context(request.context)?,
    ))
}

/// One question for each of the resources.
pub(crate) fn filter_resources(
    request: wire::FilterResourcesRequest,
) -> Result<(Consistency, Vec<Question>), Status> {
    let consistency = consistency(request.consistency)?;
    let mut rules = Rules::default();
    let path = Path::string(None, 2, "resource_object_type");
    rules.definition_name(&path, &request.resource_object_type);
    rules.relation(&Path::string(None, 3, "permission"), &request.permission);
    rules.subject(&Path::message(None, 4, "subject"), request.subject.as_ref());
    rules.end()?;
    let subject = subject(request.subject.as_ref())?;
    let context = context(request.context)?;
    let questions = request.resource_object_ids.into_iter().map(|object_id| {
        let resource = ObjectReference {
            object_type: request.resource_object_type.clone(),
            object_id,
        };
        Ok(Question {
            resource: object(Some(&resource))?,
            permission: request.permission.clone(),
            subject: subject.clone(),
            context: context.clone(),
        })
    });
    Ok((consistency, questions.collect::<Result<_, Status>>()?))
}

/// A decision that is to be made once more.
pub(crate) fn replay(request: wire::ReplayRequest) -> Result<Replay, Status> {
    let mut rules = Rules::default();
    rules.question(
        None,
        3,
        request.resource.as_ref(),
        &request.permission,
        request.subject.as_ref(),
    );
    rules.end()?;
    let at = request
        .at
        .ok_or_else(|| Status::invalid_argument("`at` names no snapshot"))?;
    let at = at.token.parse();
    let at = at.map_err(|_| Status::invalid_argument("invalid revision requested"))?;
    let now = request
        .now
        .ok_or_else(|| Status::invalid_argument("`now` names no instant"))?;
    let now = Timestamp::from_seconds(now.seconds, now.nanos);
    let now = now.map_err(|error| Status::invalid_argument(format!("`now`: {error}")))?;
    Ok(Replay {
        question: Question {
            resource: object(request.resource.as_ref())?,
            permission: request.permission,
            subject: subject(request.subject.as_ref())?,
            context: context(request.context)?,
        },
        at,
        now,
        locks_at: (request.locks_at > 0).then_some(Revision(request.locks_at)),
    })
}

/// Whom to lock, or to unlock.
pub(crate) fn locked(subject: Option<&ObjectReference>) -> Result<ObjectRef, Status> {
    let mut rules = Rules::default();
    rules.object(&Path::message(None, 1, "subject"), subject);
    rules.end()?;
    object(subject)
}

pub(crate) fn delete_object(
    request: wire::DeleteObjectRequest,
) -> Result<(ObjectRef, Vec<Precondition>, Option<String>), Status> {
    let mut rules = Rules::default();
    rules.object(&Path::message(None, 1, "object"), request.object.as_ref());
    rules.preconditions(&request.optional_preconditions);
    rules.end()?;
    Ok((
        object(request.object.as_ref())?,
        preconditions(request.optional_preconditions)?,
        metadata(request.optional_transaction_metadata)?,
    ))
}
