"""The stock Python client (`authzed`) against a served Remit: schema, writes, checks, reads, bulk, errors by reason."""

import argparse
import datetime

import grpc
from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    Consistency,
    ContextualizedCaveat,
    DeleteRelationshipsRequest,
    InsecureClient,
    Precondition,
    ReadRelationshipsRequest,
    ReadSchemaRequest,
    RelationshipFilter,
    RelationshipUpdate,
    WriteRelationshipsRequest,
    WriteSchemaRequest,
    ZedToken,
)
from authzed.api.v1.permission_service_pb2 import ExportBulkRelationshipsRequest, ImportBulkRelationshipsRequest
from google.protobuf.timestamp_pb2 import Timestamp

from remit_server import serve
from wire import CONDITIONAL, FULL, HAS, NO, check_request, obj, reason_of, rel, struct, subject, update

SCHEMA = """use expiration

caveat on_day(allowed list<string>, day string) {
    day in allowed
}

definition user {}

definition group {
    relation member: user | group#member
}

definition document {
    relation owner: user
    relation viewer: user | user:* | group#member | user with on_day | user with expiration
    relation banned: user
    permission view = (viewer + owner) - banned
}
"""

KEY = "story-key"
passed = 0


def expect(what, is_so):
    global passed
    if not is_so:
        raise AssertionError(what)
    passed += 1


def reason(call):
    """The gRPC code and the reason that a failing call gives."""
    try:
        call()
    except grpc.RpcError as error:
        return reason_of(error)
    raise AssertionError("the call did not fail")


def check(client, question, consistency=FULL, **context):
    return client.CheckPermission(check_request(question, consistency, context))


def story(client):
    expect("no schema yet", reason(lambda: client.ReadSchema(ReadSchemaRequest())) == ("NOT_FOUND", None))
    written = client.WriteSchema(WriteSchemaRequest(schema=SCHEMA))
    expect("a token", len(written.written_at.token) > 0)
    expect("the schema reads back", "definition document" in client.ReadSchema(ReadSchemaRequest()).schema_text)

    soon = Timestamp()
    soon.FromDatetime(datetime.datetime.now() + datetime.timedelta(days=1))
    past = Timestamp()
    past.FromDatetime(datetime.datetime.now() - datetime.timedelta(days=2))
    updates = [
        update("group:eng#member@user:ann"),
        update("document:plan#viewer@group:eng#member"),
        update("document:plan#owner@user:olga"),
        update("document:plan#banned@user:eve"),
        update("document:plan#viewer@user:eve"),
        update("document:open#viewer@user:*"),
        update(
            "document:plan#viewer@user:fred",
            optional_caveat=ContextualizedCaveat(caveat_name="on_day", context=struct(allowed=["friday"])),
        ),
        update("document:plan#viewer@user:tim", optional_expires_at=soon),
        update("document:plan#viewer@user:old", optional_expires_at=past),
    ]
    token = client.WriteRelationships(
        WriteRelationshipsRequest(updates=updates, optional_transaction_metadata=struct(ticket="OPS-1"))
    ).written_at

    def holds(question, **context):
        return check(client, question, **context).permissionship

    expect("through a group", holds("document:plan#view@user:ann") == HAS)
    expect("an owner", holds("document:plan#view@user:olga") == HAS)
    expect("banned", holds("document:plan#view@user:eve") == NO)
    expect("everybody", holds("document:open#view@user:somebody") == HAS)
    expect("not everybody's", holds("document:plan#view@user:somebody") == NO)
    expect("not yet expired", holds("document:plan#view@user:tim") == HAS)
    expect("expired", holds("document:plan#view@user:old") == NO)
    expect("a set of subjects", holds("document:plan#view@group:eng#member") == HAS)
    conditional = check(client, "document:plan#view@user:fred")
    expect("conditional", conditional.permissionship == CONDITIONAL)
    expect("missing", list(conditional.partial_caveat_info.missing_required_context) == ["day"])
    expect("on the day", holds("document:plan#view@user:fred", day="friday") == HAS)
    expect("on another day", holds("document:plan#view@user:fred", day="monday") == NO)

    consistencies(client, token)
    bulk(client)
    reads(client)
    errors(client)


def consistencies(client, token):
    later = client.WriteRelationships(
        WriteRelationshipsRequest(updates=[update("document:plan#viewer@user:new")])
    ).written_at
    question = "document:plan#view@user:new"
    expect("read your write", check(client, question, Consistency(minimize_latency=True)).permissionship == HAS)
    expect("as fresh", check(client, question, Consistency(at_least_as_fresh=later)).permissionship == HAS)
    expect("exactly before", check(client, question, Consistency(at_exact_snapshot=token)).permissionship == NO)
    expect("exactly after", check(client, question, Consistency(at_exact_snapshot=later)).permissionship == HAS)
    bad = Consistency(at_least_as_fresh=ZedToken(token="nonsense"))
    expect("no token", reason(lambda: check(client, question, bad)) == ("INVALID_ARGUMENT", None))


def bulk(client):
    def item(resource, permission, who):
        return CheckBulkPermissionsRequestItem(resource=obj(resource), permission=permission, subject=subject(who))

    pairs = client.CheckBulkPermissions(
        CheckBulkPermissionsRequest(
            consistency=FULL,
            items=[
                item("document:plan", "view", "user:ann"),
                item("document:plan", "nosuch", "user:ann"),
                item("document:plan", "view", "user:eve"),
            ],
        )
    ).pairs
    expect("one answer each", len(pairs) == 3)
    expect("first", pairs[0].item.permissionship == HAS)
    expect("only the second fails", pairs[1].error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0])
    expect("third", pairs[2].item.permissionship == NO)

    rows = [rel(f"document:import{n}#owner@user:imp{n % 7}") for n in range(2500)]
    batches = (ImportBulkRelationshipsRequest(relationships=rows[at : at + 1000]) for at in range(0, 2500, 1000))
    expect("imported", client.ImportBulkRelationships(batches).num_loaded == 2500)
    again = [ImportBulkRelationshipsRequest(relationships=[rel("document:import9999#owner@user:a"), rows[0]])]
    expect(
        "imported twice",
        reason(lambda: client.ImportBulkRelationships(iter(again)))
        == ("ALREADY_EXISTS", "ATTEMPT_TO_RECREATE_RELATIONSHIP"),
    )
    expect("nothing of it", check(client, "document:import9999#owner@user:a").permissionship == NO)
    exported = []
    for page in client.ExportBulkRelationships(ExportBulkRelationshipsRequest(consistency=FULL, optional_limit=700)):
        expect("pages are bounded", len(page.relationships) <= 700)
        exported += [(r.resource.object_id, r.relation, r.subject.object.object_id) for r in page.relationships]
    expect("all of it, once", len(exported) == len(set(exported)) and len(exported) >= 2500)


def reads(client):
    everything = RelationshipFilter(resource_type="document", optional_relation="owner")
    seen, cursor = [], None
    while True:
        request = ReadRelationshipsRequest(
            consistency=FULL, relationship_filter=everything, optional_limit=1000, optional_cursor=cursor
        )
        page = list(client.ReadRelationships(request))
        seen += [row.relationship.resource.object_id for row in page]
        if len(page) < 1000:
            break
        cursor = page[-1].after_result_cursor
    expect("every page", len(seen) == 2501 and len(set(seen)) == 2501)
    expect("in order", seen == sorted(seen))
    one = RelationshipFilter(resource_type="document", optional_resource_id="import7")
    deleted = client.DeleteRelationships(DeleteRelationshipsRequest(relationship_filter=one))
    expect("one deleted", deleted.relationships_deleted_count == 1)


def errors(client):
    def write(*updates, preconditions=()):
        return lambda: client.WriteRelationships(
            WriteRelationshipsRequest(updates=updates, optional_preconditions=preconditions)
        )

    create = RelationshipUpdate.OPERATION_CREATE
    must = Precondition(
        operation=Precondition.OPERATION_MUST_MATCH,
        filter=RelationshipFilter(resource_type="document", optional_resource_id="nope"),
    )
    fresh = update("document:new#owner@user:a")
    cases = [
        (write(update("nosuch:a#owner@user:a")), "FAILED_PRECONDITION", "UNKNOWN_DEFINITION"),
        (write(update("document:a#nosuch@user:a")), "FAILED_PRECONDITION", "UNKNOWN_RELATION_OR_PERMISSION"),
        (write(update("document:a#view@user:a")), "INVALID_ARGUMENT", "CANNOT_UPDATE_PERMISSION"),
        (write(update("document:a#owner@group:g")), "INVALID_ARGUMENT", "INVALID_SUBJECT_TYPE"),
        (write(fresh, fresh), "INVALID_ARGUMENT", "UPDATES_ON_SAME_RELATIONSHIP"),
        (
            write(update("document:plan#owner@user:olga", create)),
            "ALREADY_EXISTS",
            "ATTEMPT_TO_RECREATE_RELATIONSHIP",
        ),
        (
            write(fresh, preconditions=[must]),
            "FAILED_PRECONDITION",
            "WRITE_OR_DELETE_PRECONDITION_FAILURE",
        ),
        (
            write(*[update(f"document:x{n}#owner@user:a") for n in range(1001)]),
            "INVALID_ARGUMENT",
            "TOO_MANY_UPDATES_IN_REQUEST",
        ),
        (
            lambda: client.WriteSchema(WriteSchemaRequest(schema="definition user {}")),
            "INVALID_ARGUMENT",
            "SCHEMA_TYPE_ERROR",
        ),
        (
            lambda: client.WriteSchema(WriteSchemaRequest(schema="definition user {")),
            "INVALID_ARGUMENT",
            "SCHEMA_PARSE_ERROR",
        ),
    ]
    for call, code, name in cases:
        expect((code, name), reason(call) == (code, name))
    expect("bad id", reason(write(update("document:a b#owner@user:a")))[0] == "INVALID_ARGUMENT")
    expect("still serving", check(client, "document:plan#view@user:ann").permissionship == HAS)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--remit", required=True)
    remit = arguments.parse_args().remit
    with serve(remit, KEY) as address:
        wrong = InsecureClient(address, "wrong-key")
        expect("wrong key", reason(lambda: wrong.ReadSchema(ReadSchemaRequest()))[0] == "PERMISSION_DENIED")
        story(InsecureClient(address, KEY))
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
