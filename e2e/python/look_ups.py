"""Look-ups, expand and watch by the stock Python client, sync and async: `look_ups.py --remit PATH`."""

import argparse
import asyncio
import threading

import grpc
from authzed.api import v1
from grpcutil import insecure_bearer_token_credentials
from remit_server import serve

KEY = "look-ups-key"
SCHEMA = """definition user {}
definition doc {
  relation viewer: user | user:*
  relation banned: user
  permission view = viewer - banned
}"""
FULL = v1.Consistency(fully_consistent=True)
TOUCH = v1.RelationshipUpdate.Operation.OPERATION_TOUCH


def obj(text):
    kind, name = text.split(":")
    return v1.ObjectReference(object_type=kind, object_id=name)


def who(text):
    return v1.SubjectReference(object=obj(text))


def write(*rows):
    updates = []
    for row in rows:
        of, to = row.split("@")
        resource, relation = of.split("#")
        relationship = v1.Relationship(resource=obj(resource), relation=relation, subject=who(to))
        updates.append(v1.RelationshipUpdate(operation=TOUCH, relationship=relationship))
    return v1.WriteRelationshipsRequest(updates=updates)


def resources(cursor=None):
    return v1.LookupResourcesRequest(
        consistency=FULL,
        resource_object_type="doc",
        permission="view",
        subject=who("user:tom"),
        optional_limit=7,
        optional_cursor=cursor,
    )


def subjects(cursor=None):
    return v1.LookupSubjectsRequest(
        consistency=FULL,
        resource=obj("doc:open"),
        permission="view",
        subject_object_type="user",
        optional_concrete_limit=2,
        optional_cursor=cursor,
    )


ROWS = [f"doc:d{n:02}#viewer@user:tom" for n in range(30)]
OPEN = ["doc:open#viewer@user:*", "doc:open#banned@user:eve"] + [f"doc:open#viewer@user:u{n}" for n in range(5)]
FOUND = [f"d{n:02}" for n in range(30)] + ["open"]


def sync_story(client):
    client.WriteSchema(v1.WriteSchemaRequest(schema=SCHEMA))
    start = client.WriteRelationships(write(*ROWS)).written_at
    client.WriteRelationships(write(*OPEN))
    ids, cursor = [], None
    while page := list(client.LookupResources(resources(cursor))):
        ids += [each.resource_object_id for each in page]
        cursor = page[-1].after_result_cursor
        # What comes in between is of a later revision.
        client.WriteRelationships(write(f"doc:d00-{len(ids)}#viewer@user:tom"))
    assert ids == FOUND, ids
    people, cursor, everybody = [], None, []
    while page := list(client.LookupSubjects(subjects(cursor))):
        everybody += [each for each in page if each.subject.subject_object_id == "*"]
        people += [each.subject.subject_object_id for each in page if each.subject.subject_object_id != "*"]
        cursor = page[-1].after_result_cursor
    assert people == ["u0", "u1", "u2", "u3", "u4"], people
    assert [each.subject_object_id for each in everybody[0].excluded_subjects] == ["eve"] and len(everybody) == 1
    expand = v1.ExpandPermissionTreeRequest(consistency=FULL, resource=obj("doc:open"), permission="view")
    tree = client.ExpandPermissionTree(expand).tree_root
    assert tree.intermediate.operation == v1.AlgebraicSubjectSet.Operation.OPERATION_EXCLUSION
    for swapped in (
        lambda: list(client.LookupSubjects(subjects(client_cursor(client)))),
        lambda: list(client.LookupResources(resources(v1.Cursor(token="AAAA")))),
    ):
        try:
            swapped()
        except grpc.RpcError as refused:
            assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT, refused
        else:
            raise AssertionError("a cursor of another query was taken")
    told = []
    watch = client.Watch(v1.WatchRequest(optional_object_types=["doc"], optional_start_cursor=start))
    writer = threading.Thread(target=lambda: client.WriteRelationships(write("doc:last#viewer@user:tom")))
    writer.start()
    for message in watch:
        told += [update.relationship.resource.object_id for update in message.updates]
        if "last" in told:
            break
    watch.cancel()
    writer.join()
    assert told[: len(OPEN)] == ["open"] * len(OPEN), told
    print("ok sync")


def client_cursor(client):
    return next(iter(client.LookupResources(resources()))).after_result_cursor


async def async_story(address):
    client = v1.AsyncClient(address, insecure_bearer_token_credentials(KEY))
    ids = [each.resource_object_id async for each in client.LookupResources(resources())]
    assert len(ids) == 7 and ids == sorted(ids), ids
    people = [each.subject.subject_object_id async for each in client.LookupSubjects(subjects())]
    assert people == ["*", "u0", "u1"], people
    question = dict(consistency=FULL, resource=obj("doc:open"), permission="view")
    both = await asyncio.gather(
        *(client.CheckPermission(v1.CheckPermissionRequest(subject=who(user), **question)) for user in ("user:x", "user:eve"))
    )
    allowed, denied = (each.permissionship for each in both)
    assert allowed == v1.CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
    assert denied == v1.CheckPermissionResponse.PERMISSIONSHIP_NO_PERMISSION
    print("ok async")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--remit", required=True, help="the binary to test")
arguments = parser.parse_args()

with serve(arguments.remit, KEY) as address:
    sync_story(v1.InsecureClient(address, KEY))
    asyncio.run(async_story(address))
