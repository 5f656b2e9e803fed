"""One story for the sync and the async client of Python (`authzed`): look-ups, streams, reflection, tokens and cursors.

    both_clients.py --remit PATH
"""

import argparse
import asyncio
import contextlib
import functools
import subprocess
import sys
import time

import grpc
from authzed.api import v1
from authzed.api.v1 import core_pb2, debug_pb2
from authzed.api.v1 import experimental_service_pb2 as experimental
from authzed.api.v1 import permission_service_pb2 as permissions
from authzed.api.v1 import watch_service_pb2 as watching
from grpcutil import insecure_bearer_token_credentials
from remit_server import serve
from wire import CONDITIONAL, FULL, HAS, NO, check_request, obj, reason_of, rel, struct, subject, update

KEY = "both-clients-key"
PATIENCE_SECONDS = 60
SCHEMA = """caveat on_day(allowed list<string>, day string) {
  day in allowed
}
definition user {}
definition team {
  relation member: user | team#member
}
/** what people read */
definition doc {
  relation viewer: user | user:* | team#member | user with on_day
  relation banned: user | user with on_day
  permission view = viewer - banned
  permission quote = view
}"""
FRIDAYS = v1.ContextualizedCaveat(caveat_name="on_day", context=struct(allowed=["friday"]))
LOOKED_UP_HAS = permissions.LOOKUP_PERMISSIONSHIP_HAS_PERMISSION
LOOKED_UP_CONDITIONAL = permissions.LOOKUP_PERMISSIONSHIP_CONDITIONAL_PERMISSION


class Awaited:
    """The sync client with the manners of the async one: each of its calls waits in a thread of its own."""

    STREAMS = {"LookupResources", "LookupSubjects", "ReadRelationships", "ExportBulkRelationships", "Watch"}

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        call = getattr(self._client, name)
        if name in self.STREAMS:
            return lambda *given, **named: Stream(call(*given, **named))
        return functools.partial(asyncio.to_thread, call)


class Stream:
    def __init__(self, call):
        self._call = call

    def __aiter__(self):
        return self

    async def __anext__(self):
        message = await asyncio.to_thread(next, self._call, None)
        if message is None:
            raise StopAsyncIteration
        return message

    def cancel(self):
        self._call.cancel()


async def whole(stream):
    return [message async for message in stream]


async def first(stream):
    async for message in stream:
        stream.cancel()
        return message
    raise AssertionError("the stream said nothing")


async def refusal(call):
    """The code and the reason by which a call, or a stream, is refused."""
    try:
        await (whole(call) if hasattr(call, "__aiter__") else call)
    except grpc.RpcError as error:
        return reason_of(error)
    raise AssertionError("the call was not refused")


async def write(client, *rows, **traits):
    updates = [row if isinstance(row, v1.RelationshipUpdate) else update(row) for row in rows]
    return (await client.WriteRelationships(v1.WriteRelationshipsRequest(updates=updates, **traits))).written_at


def delete(row):
    return update(row, v1.RelationshipUpdate.OPERATION_DELETE)


def resources(cursor=None, context=None, limit=0, who="user:tom", permission="view"):
    return v1.LookupResourcesRequest(
        consistency=FULL,
        resource_object_type="doc",
        permission=permission,
        subject=subject(who),
        context=struct(**context) if context else None,
        optional_limit=limit,
        optional_cursor=cursor,
    )


def subjects(of, cursor=None, limit=0, **traits):
    return v1.LookupSubjectsRequest(
        consistency=FULL,
        resource=obj(of),
        permission="view",
        subject_object_type="user",
        optional_concrete_limit=limit,
        optional_cursor=cursor,
        **traits,
    )


async def look_up_resources(client):
    rows = [update(f"doc:d{n:02}#viewer@user:tom", optional_caveat=FRIDAYS if n % 5 == 0 else None) for n in range(30)]
    await write(client, *rows)
    all_ids = [f"d{n:02}" for n in range(30)]
    sometimes = all_ids[::5]
    found, pages, cursor = [], 0, None
    while page := await whole(client.LookupResources(resources(cursor, limit=7))):
        assert len(page) <= 7, page
        found += page
        cursor = page[-1].after_result_cursor
        # What comes and goes between the pages is of later revisions.
        await write(client, f"doc:d00-{pages}#viewer@user:tom", delete(f"doc:d{29 - pages}#viewer@user:tom"))
        pages += 1
    assert pages == 5 and [each.resource_object_id for each in found] == all_ids, found
    conditional = [each for each in found if each.permissionship == LOOKED_UP_CONDITIONAL]
    assert [each.resource_object_id for each in conditional] == sometimes, conditional
    assert all(each.partial_caveat_info.missing_required_context == ["day"] for each in conditional)
    now = [f"d00-{n}" for n in range(pages)] + all_ids[: 30 - pages]
    on_friday = await whole(client.LookupResources(resources(context={"day": "friday"})))
    assert sorted(each.resource_object_id for each in on_friday) == sorted(now)
    assert all(each.permissionship == LOOKED_UP_HAS for each in on_friday)
    on_monday = {each.resource_object_id for each in await whole(client.LookupResources(resources(context={"day": "monday"})))}
    assert on_monday == set(now) - set(sometimes), on_monday


async def look_up_subjects(client):
    own = [f"doc:open#viewer@user:u{n}" for n in range(5)]
    fri = update("doc:open#banned@user:fri", optional_caveat=FRIDAYS)
    await write(client, "doc:open#viewer@user:*", "doc:open#banned@user:eve", fri, *own)
    everybody, people, cursor = [], [], None
    while page := await whole(client.LookupSubjects(subjects("doc:open", cursor, limit=2))):
        everybody += [each for each in page if each.subject.subject_object_id == "*"]
        concrete = [each.subject.subject_object_id for each in page if each.subject.subject_object_id != "*"]
        assert len(concrete) <= 2, page
        people += concrete
        cursor = page[-1].after_result_cursor
        await write(client, f"doc:open#viewer@user:u00-{len(people)}")
    assert people == [f"u{n}" for n in range(5)], people
    (star,) = everybody
    excluded = {each.subject_object_id: each.permissionship for each in star.excluded_subjects}
    assert excluded == {"eve": LOOKED_UP_HAS, "fri": LOOKED_UP_CONDITIONAL}, excluded
    left_out = v1.LookupSubjectsRequest.WILDCARD_OPTION_EXCLUDE_WILDCARDS
    told = await whole(client.LookupSubjects(subjects("doc:open", wildcard_option=left_out)))
    assert {each.subject.subject_object_id for each in told} >= {"u0", "u4"}
    assert "*" not in {each.subject.subject_object_id for each in told}
    await write(client, update("doc:sometimes#viewer@user:fred", optional_caveat=FRIDAYS))
    (fred,) = await whole(client.LookupSubjects(subjects("doc:sometimes")))
    assert fred.subject.permissionship == LOOKED_UP_CONDITIONAL
    assert fred.subject.partial_caveat_info.missing_required_context == ["day"]


async def expand(client):
    await write(client, "doc:tree#viewer@user:ann", "doc:tree#viewer@team:red#member", "doc:tree#banned@user:eve")
    request = v1.ExpandPermissionTreeRequest(consistency=FULL, resource=obj("doc:tree"), permission="view")
    tree = (await client.ExpandPermissionTree(request)).tree_root.intermediate
    assert tree.operation == core_pb2.AlgebraicSubjectSet.OPERATION_EXCLUSION
    leaves = [
        {(who.object.object_id, who.optional_relation) for who in child.leaf.subjects} for child in tree.children
    ]
    assert leaves == [{("ann", ""), ("red", "member")}, {("eve", "")}], leaves


async def schema_questions(client):
    named = [v1.ReflectionSchemaFilter(optional_definition_name_filter="doc")]
    told = await client.ReflectSchema(v1.ReflectSchemaRequest(consistency=FULL, optional_filters=named))
    (doc,) = told.definitions
    assert doc.name == "doc" and "what people read" in doc.comment, doc
    assert [each.name for each in doc.relations] == ["viewer", "banned"] and not told.caveats, told
    whole_schema = await client.ReflectSchema(v1.ReflectSchemaRequest(consistency=FULL))
    assert {each.name for each in whole_schema.definitions} == {"user", "team", "doc"}
    assert [parameter.name for parameter in whole_schema.caveats[0].parameters] == ["allowed", "day"]
    neither = [v1.ReflectionSchemaFilter(optional_relation_name_filter="viewer")]
    refused = client.ReflectSchema(v1.ReflectSchemaRequest(optional_filters=neither))
    assert await refusal(refused) == ("INVALID_ARGUMENT", "INVALID_FILTER")
    question = v1.ComputablePermissionsRequest(consistency=FULL, definition_name="doc", relation_name="banned")
    computable = (await client.ComputablePermissions(question)).permissions
    assert {each.relation_name for each in computable} == {"view", "quote"}, computable
    assert all(each.is_permission for each in computable)
    question = v1.DependentRelationsRequest(consistency=FULL, definition_name="doc", permission_name="quote")
    rests_on = (await client.DependentRelations(question)).relations
    names = {f"{each.definition_name}#{each.relation_name}": each.is_permission for each in rests_on}
    assert names == {"doc#view": True, "doc#viewer": False, "doc#banned": False, "team#member": False}, names
    question.permission_name = "viewer"
    refused = await refusal(client.DependentRelations(question))
    assert refused == ("INVALID_ARGUMENT", "UNKNOWN_RELATION_OR_PERMISSION"), refused
    other = SCHEMA.replace("viewer - banned", "viewer") + "\ndefinition added {}"
    diffs = (await client.DiffSchema(v1.DiffSchemaRequest(consistency=FULL, comparison_schema=other))).diffs
    assert {each.WhichOneof("diff") for each in diffs} == {"definition_added", "permission_expr_changed"}, diffs
    same = await client.DiffSchema(v1.DiffSchemaRequest(consistency=FULL, comparison_schema=SCHEMA))
    assert not same.diffs, same


async def watch(client):
    start = await write(client, "doc:w#viewer@user:before")
    await write(client, "doc:w#viewer@user:one", optional_transaction_metadata=struct(ticket="OPS-1"))
    await write(client, "team:w#member@user:ann", "doc:w#banned@user:two")
    await write(client, delete("doc:w#viewer@user:one"))
    await client.WriteSchema(v1.WriteSchemaRequest(schema=SCHEMA + "\ndefinition later {}"))

    def request(after, **traits):
        return v1.WatchRequest(optional_start_cursor=after, **traits)

    def line(message):
        words = []
        for each in message.updates:
            row = each.relationship
            operation = v1.RelationshipUpdate.Operation.Name(each.operation).removeprefix("OPERATION_")
            words.append(f"{operation} {row.resource.object_type}#{row.relation}@{row.subject.object.object_id}")
        return ", ".join(sorted(words)) or ("schema" if message.schema_updated else "checkpoint")

    async def told(after, count, then=None, **traits):
        """The first messages that are not checkpoints. Once the first message of any kind is there, `then` is done."""
        stream = client.Watch(request(after, **traits), timeout=PATIENCE_SECONDS)
        messages = []
        async for message in stream:
            if then is not None:
                await then()
                then = None
            messages += [] if message.is_checkpoint else [message]
            if len(messages) == count:
                break
        stream.cancel()
        assert len(messages) == count, messages
        return messages

    kinds = [
        watching.WATCH_KIND_INCLUDE_RELATIONSHIP_UPDATES,
        watching.WATCH_KIND_INCLUDE_SCHEMA_UPDATES,
        watching.WATCH_KIND_INCLUDE_CHECKPOINTS,
    ]
    lines = ["TOUCH doc#viewer@one", "TOUCH doc#banned@two, TOUCH team#member@ann", "DELETE doc#viewer@one", "schema"]
    everything = await told(start, 4, optional_update_kinds=kinds)
    assert [line(each) for each in everything] == lines, everything
    assert everything[0].optional_transaction_metadata["ticket"] == "OPS-1"
    resumed = await told(everything[1].changes_through, 2, optional_update_kinds=kinds)
    assert [line(each) for each in resumed] == lines[2:], resumed
    banned = [v1.RelationshipFilter(resource_type="doc", optional_relation="banned")]
    (only,) = await told(start, 1, optional_relationship_filters=banned)
    assert line(only) == "TOUCH doc#banned@two", only
    # The stream stands, since it has told a checkpoint, when the next write is done.
    live = functools.partial(write, client, "doc:w#viewer@user:live")
    (last,) = await told(everything[3].changes_through, 1, then=live, optional_update_kinds=kinds)
    assert line(last) == "TOUCH doc#viewer@live", last
    nonsense = client.Watch(request(v1.ZedToken(token="nonsense")), timeout=PATIENCE_SECONDS)
    assert (await refusal(nonsense))[0] == "INVALID_ARGUMENT"


async def bulk(client):
    def item(permission, who):
        return v1.CheckBulkPermissionsRequestItem(resource=obj("doc:b"), permission=permission, subject=subject(who))

    rows = [rel(f"doc:bulk{n:03}#viewer@user:zoe") for n in range(250)] + [rel("doc:b#viewer@user:zoe")]
    batches = [permissions.ImportBulkRelationshipsRequest(relationships=rows[at : at + 100]) for at in (0, 100, 200)]
    assert (await client.ImportBulkRelationships(iter(batches))).num_loaded == 251
    again = await refusal(client.ImportBulkRelationships(iter(batches[:1])))
    assert again == ("ALREADY_EXISTS", "ATTEMPT_TO_RECREATE_RELATIONSHIP"), again
    items = [item("view", "user:zoe"), item("nosuch", "user:zoe"), item("view", "user:eve")]
    pairs = (await client.CheckBulkPermissions(v1.CheckBulkPermissionsRequest(consistency=FULL, items=items))).pairs
    assert [each.WhichOneof("response") for each in pairs] == ["item", "error", "item"], pairs
    assert [pairs[0].item.permissionship, pairs[2].item.permissionship] == [HAS, NO], pairs
    mine = v1.RelationshipFilter(resource_type="doc", optional_resource_id_prefix="bulk")
    exported, cursor = [], None
    # What an export with a cursor has left is all in one stream; each of them is left after its second page.
    for _ in range(3):
        request = permissions.ExportBulkRelationshipsRequest(
            consistency=FULL, optional_limit=50, optional_cursor=cursor, optional_relationship_filter=mine
        )
        stream, pages = client.ExportBulkRelationships(request), 0
        async for page in stream:
            exported += [row.resource.object_id for row in page.relationships]
            cursor, pages = page.after_result_cursor, pages + 1
            if pages == 2:
                break
        stream.cancel()
    assert exported == [f"bulk{n:03}" for n in range(250)], exported


async def counters(client):
    await write(client, *(f"team:count#member@user:m{n}" for n in range(7)))
    members = v1.RelationshipFilter(resource_type="team", optional_resource_id="count")
    register = experimental.ExperimentalRegisterRelationshipCounterRequest(name="members", relationship_filter=members)
    count = experimental.ExperimentalCountRelationshipsRequest(name="members")
    unregister = experimental.ExperimentalUnregisterRelationshipCounterRequest(name="members")
    await client.ExperimentalRegisterRelationshipCounter(register)
    twice = await refusal(client.ExperimentalRegisterRelationshipCounter(register))
    assert twice == ("FAILED_PRECONDITION", "COUNTER_ALREADY_REGISTERED"), twice
    assert (await client.ExperimentalCountRelationships(count)).read_counter_value.relationship_count == 7
    await write(client, delete("team:count#member@user:m0"))
    assert (await client.ExperimentalCountRelationships(count)).read_counter_value.relationship_count == 6
    await client.ExperimentalUnregisterRelationshipCounter(unregister)
    gone = await refusal(client.ExperimentalCountRelationships(count))
    assert gone == ("FAILED_PRECONDITION", "COUNTER_NOT_REGISTERED"), gone


async def trace(client):
    await write(client, "team:t#member@user:tess", "doc:t#viewer@team:t#member")
    answer = await client.CheckPermission(check_request("doc:t#view@user:tess", with_tracing=True))
    root = answer.debug_trace.check
    assert answer.permissionship == HAS and (root.permission, root.resource.object_id) == ("view", "t"), answer
    assert root.result == debug_pb2.CheckDebugTrace.PERMISSIONSHIP_HAS_PERMISSION
    met, below = set(), [root]
    while below:
        node = below.pop()
        met.add(f"{node.resource.object_type}#{node.permission}")
        below += node.sub_problems.traces
    assert {"doc#view", "doc#viewer", "team#member"} <= met, met
    assert "definition doc" in answer.debug_trace.schema_used


async def errors(client):
    past_limit = resources(limit=1001)
    wild = check_request("doc:a#view@user:*")
    unfit = v1.ContextualizedCaveat(caveat_name="on_day", context=struct(allowed=7))
    of_nothing = v1.DeleteRelationshipsRequest(relationship_filter=v1.RelationshipFilter())
    cases = [
        (client.CheckPermission(check_request("nosuch:a#view@user:a")), "FAILED_PRECONDITION", "UNKNOWN_DEFINITION"),
        (client.CheckPermission(check_request("doc:a#nosuch@user:a")), "FAILED_PRECONDITION", "UNKNOWN_RELATION_OR_PERMISSION"),
        (client.CheckPermission(wild), "INVALID_ARGUMENT", "WILDCARD_NOT_ALLOWED"),
        (client.LookupResources(past_limit), "INVALID_ARGUMENT", "EXCEEDS_MAXIMUM_ALLOWABLE_LIMIT"),
        (client.LookupResources(resources(permission="nosuch")), "FAILED_PRECONDITION", "UNKNOWN_RELATION_OR_PERMISSION"),
        (client.DeleteRelationships(of_nothing), "INVALID_ARGUMENT", "INVALID_FILTER"),
        (
            write(client, update("doc:a#viewer@user:a", optional_caveat=unfit)),
            "INVALID_ARGUMENT",
            "CAVEAT_PARAMETER_TYPE_ERROR",
        ),
    ]
    for call, code, reason in cases:
        got = await refusal(call)
        assert got == (code, reason), (got, code, reason)


async def cursors(client, other):
    """What a cursor or a token is not good for: another call, another query, another store, or after a change of its bytes."""
    cursor = (await first(client.LookupResources(resources(limit=1)))).after_result_cursor
    of_subjects = (await first(client.LookupSubjects(subjects("doc:open", limit=1)))).after_result_cursor
    changed = v1.Cursor(token=cursor.token[:-6] + ("AAAA" if cursor.token[-6:-2] != "AAAA" else "BBBB") + cursor.token[-2:])
    swapped = [
        client.LookupSubjects(subjects("doc:open", cursor, limit=1)),
        client.LookupResources(resources(of_subjects, limit=1)),
        client.LookupResources(resources(cursor, limit=1, who="user:ann")),
        client.LookupResources(resources(cursor, limit=1, permission="quote")),
        client.LookupResources(resources(cursor, limit=2)),
        client.LookupResources(resources(changed, limit=1)),
        client.LookupResources(resources(v1.Cursor(token="AAAA"), limit=1)),
    ]
    for number, call in enumerate(swapped):
        got = await refusal(call)
        assert got == ("INVALID_ARGUMENT", "INVALID_CURSOR"), (number, got)
    token = await write(client, "doc:a#viewer@user:ann")
    for mode in ("at_least_as_fresh", "at_exact_snapshot"):
        there = v1.Consistency(**{mode: token})
        assert (await client.CheckPermission(check_request("doc:a#view@user:ann", there))).permissionship == HAS
        assert (await refusal(other.CheckPermission(check_request("doc:a#view@user:ann", there))))[0] == "INVALID_ARGUMENT"
    assert (await refusal(other.LookupResources(resources(cursor, limit=1))))[0] == "INVALID_ARGUMENT"
    elsewhere = other.Watch(v1.WatchRequest(optional_start_cursor=token), timeout=PATIENCE_SECONDS)
    assert (await refusal(elsewhere))[0] == "INVALID_ARGUMENT"


VANISHING = """
import sys, time
from authzed.api import v1
from authzed.api.v1 import permission_service_pb2 as permissions, watch_service_pb2 as watching
client = v1.InsecureClient(sys.argv[1], sys.argv[2])
export = client.ExportBulkRelationships(permissions.ExportBulkRelationshipsRequest(optional_limit=1))
next(export)
watch = client.Watch(v1.WatchRequest(optional_update_kinds=[watching.WATCH_KIND_INCLUDE_CHECKPOINTS]))
next(watch)
print("reading", flush=True)
time.sleep(600)
"""


async def vanish(client, address):
    """A client is killed within an export and within the only watch that the server may have: the place is free again."""
    await write(client, *(f"doc:v{n}#viewer@user:tom" for n in range(500)))
    reader = subprocess.Popen([sys.executable, "-c", VANISHING, address, KEY], stdout=subprocess.PIPE, text=True)
    try:
        assert await asyncio.to_thread(reader.stdout.readline) == "reading\n"
        checkpoints = v1.WatchRequest(optional_update_kinds=[watching.WATCH_KIND_INCLUDE_CHECKPOINTS])
        one_too_many = await refusal(client.Watch(checkpoints, timeout=PATIENCE_SECONDS))
        assert one_too_many[0] == "RESOURCE_EXHAUSTED", one_too_many
    finally:
        reader.kill()
        reader.wait()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            assert (await first(client.Watch(checkpoints, timeout=PATIENCE_SECONDS))).is_checkpoint
            break
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and time.monotonic() < deadline, error
    assert (await client.CheckPermission(check_request("doc:v7#view@user:tom"))).permissionship == HAS


async def sync_client(address):
    # A client that is made where a loop runs would be an async one.
    return Awaited(await asyncio.to_thread(v1.InsecureClient, address, KEY))


async def async_client(address):
    return v1.AsyncClient(address, insecure_bearer_token_credentials(KEY))


async def story(connect, address, other_address):
    client, other = await connect(address), await connect(other_address)
    for each in (client, other):
        await each.WriteSchema(v1.WriteSchemaRequest(schema=SCHEMA))
    for part in (look_up_resources, look_up_subjects, expand, schema_questions, bulk, counters, trace, errors, watch):
        await part(client)
        print(f"ok {connect.__name__} {part.__name__}")
    await cursors(client, other)
    await vanish(other, other_address)
    print(f"ok {connect.__name__} cursors, vanish")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remit", required=True, help="the binary to test")
    remit = parser.parse_args().remit
    for connect in (sync_client, async_client):
        with contextlib.ExitStack() as servers:
            address = servers.enter_context(serve(remit, KEY))
            other = servers.enter_context(serve(remit, KEY, arguments=["--watches-max", "1"]))
            asyncio.run(story(connect, address, other))


if __name__ == "__main__":
    main()
