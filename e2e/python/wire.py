"""Short ways to write what the stock client sends, and to read why it was refused."""

import grpc
from authzed.api import v1
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2
from grpc_status import rpc_status

HAS = v1.CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
NO = v1.CheckPermissionResponse.PERMISSIONSHIP_NO_PERMISSION
CONDITIONAL = v1.CheckPermissionResponse.PERMISSIONSHIP_CONDITIONAL_PERMISSION
FULL = v1.Consistency(fully_consistent=True)


def obj(text):
    kind, _, name = text.partition(":")
    return v1.ObjectReference(object_type=kind, object_id=name)


def subject(text):
    what, _, relation = text.partition("#")
    return v1.SubjectReference(object=obj(what), optional_relation=relation)


def rel(text, **traits):
    resource, _, rest = text.partition("#")
    relation, _, who = rest.partition("@")
    return v1.Relationship(resource=obj(resource), relation=relation, subject=subject(who), **traits)


def update(text, operation=v1.RelationshipUpdate.OPERATION_TOUCH, **traits):
    return v1.RelationshipUpdate(operation=operation, relationship=rel(text, **traits))


def struct(**values):
    made = Struct()
    made.update(values)
    return made


def check_request(question, consistency=FULL, context=None, **traits):
    resource, _, rest = question.partition("#")
    permission, _, who = rest.partition("@")
    return v1.CheckPermissionRequest(
        consistency=consistency,
        resource=obj(resource),
        permission=permission,
        subject=subject(who),
        context=struct(**context) if context else None,
        **traits,
    )


def reason_of(error: grpc.RpcError):
    """The gRPC code and the reason of a failure, if it has one."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return error.code().name, info.reason.removeprefix("ERROR_REASON_")
    return error.code().name, None
