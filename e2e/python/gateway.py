"""JSON over HTTP against a served Remit, asked with Python's standard library: the story of `story.py`, errors, streams.

What the server says of itself at `/openapi.json` is validated by a stock validator.
"""

import argparse
import datetime
import http.client
import json

from openapi_spec_validator import validate

from remit_server import free_port, serve

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

KEY = "gateway-key"
FULL = {"fullyConsistent": True}
passed = 0


def expect(what, is_so):
    global passed
    if not is_so:
        raise AssertionError(what)
    passed += 1


class Client:
    """One connection that posts JSON."""

    def __init__(self, address, key=KEY):
        host, _, port = address.rpartition(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self.headers = {"content-type": "application/json"}
        if key:
            self.headers["authorization"] = f"Bearer {key}"

    def ask(self, method, path, body=None, **headers):
        self.connection.request(method, path, body, {**self.headers, **headers})
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()

    def post(self, path, message):
        status, _, text = self.ask("POST", path, json.dumps(message))
        return status, json.loads(text)

    def well(self, path, message):
        status, answer = self.post(path, message)
        if status != 200:
            raise AssertionError(f"{path}: {status} {answer}")
        return answer

    def lines(self, path, message):
        _, _, text = self.ask("POST", path, json.dumps(message))
        return [json.loads(line) for line in text.splitlines()]

    def reason(self, path, message):
        """The HTTP status and the reason that a failing call gives."""
        status, answer = self.post(path, message)
        details = answer.get("details", [])
        return status, next((detail["reason"] for detail in details if "reason" in detail), None)


def obj(text):
    kind, _, name = text.partition(":")
    return {"objectType": kind, "objectId": name}


def subject(text):
    what, _, relation = text.partition("#")
    return {"object": obj(what), "optionalRelation": relation}


def rel(text, **traits):
    resource, _, rest = text.partition("#")
    relation, _, who = rest.partition("@")
    return {"resource": obj(resource), "relation": relation, "subject": subject(who), **traits}


def update(text, operation="OPERATION_TOUCH", **traits):
    return {"operation": operation, "relationship": rel(text, **traits)}


def check(client, text, consistency=FULL, **more):
    resource, _, rest = text.partition("#")
    permission, _, who = rest.partition("@")
    question = {
        "consistency": consistency,
        "resource": obj(resource),
        "permission": permission,
        "subject": subject(who),
        **more,
    }
    answer = client.well("/v1/permissions/check", question)
    return answer["permissionship"].removeprefix("PERMISSIONSHIP_").lower(), answer


def decision(client, text, **more):
    return check(client, text, **more)[0]


def story(client):
    written = client.well("/v1/schema/write", {"schema": SCHEMA})
    expect("schema has a token", written["writtenAt"]["token"])
    read = client.well("/v1/schema/read", {})
    expect("schema reads back", "definition document" in read["schemaText"])
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    rows = [
        update("group:eng#member@user:ann"),
        update("document:plan#viewer@group:eng#member"),
        update("document:plan#owner@user:olga"),
        update("document:open#viewer@user:*"),
        update("document:open#banned@user:eve"),
        update(
            "document:days#viewer@user:dan",
            optionalCaveat={"caveatName": "on_day", "context": {"allowed": ["mon", "tue"]}},
        ),
        update("document:soon#viewer@user:sam", optionalExpiresAt=soon.isoformat()),
    ]
    token = client.well("/v1/relationships/write", {"updates": rows})["writtenAt"]["token"]
    for question, expected in [
        ("document:plan#view@user:ann", "has_permission"),
        ("document:plan#view@user:olga", "has_permission"),
        ("document:plan#view@user:bob", "no_permission"),
        ("document:open#view@user:bob", "has_permission"),
        ("document:open#view@user:eve", "no_permission"),
        ("document:soon#view@user:sam", "has_permission"),
    ]:
        expect(question, decision(client, question) == expected)
        fresh = {"atLeastAsFresh": {"token": token}}
        expect(question, decision(client, question, consistency=fresh) == expected)
    days = "document:days#view@user:dan"
    conditional, answer = check(client, days)
    expect("conditional", conditional == "conditional_permission")
    expect("what is missing", answer["partialCaveatInfo"]["missingRequiredContext"] == ["day"])
    expect("on a day", decision(client, days, context={"day": "tue"}) == "has_permission")
    expect("on another", decision(client, days, context={"day": "sun"}) == "no_permission")
    expect("nothing is left out", answer["debugTrace"] is None and "optionalExpiresAt" in answer)


def bulk(client, address):
    def item(resource, permission, who):
        return {"resource": obj(resource), "permission": permission, "subject": subject(who)}

    items = [
        item("document:plan", "view", "user:ann"),
        item("document:plan", "nosuch", "user:ann"),
        item("document:plan", "view", "user:eve"),
    ]
    pairs = client.well("/v1/permissions/checkbulk", {"consistency": FULL, "items": items})["pairs"]
    expect("first", pairs[0]["item"]["permissionship"] == "PERMISSIONSHIP_HAS_PERMISSION")
    expect("only the second fails", pairs[1]["error"]["code"] == 9)
    expect("third", pairs[2]["item"]["permissionship"] == "PERMISSIONSHIP_NO_PERMISSION")

    rows = [rel(f"document:import{n}#owner@user:imp{n % 7}") for n in range(2500)]
    messages = [{"relationships": rows[at : at + 1000]} for at in range(0, 2500, 1000)]
    # An iterable is sent in chunks, as it is made.
    body = (json.dumps(message).encode() + b"\n" for message in messages)
    status, _, text = client.ask("POST", "/v1/relationships/importbulk", body)
    expect("imported", (status, json.loads(text)) == (200, {"numLoaded": "2500"}))
    again = json.dumps({"relationships": [rel("document:import9999#owner@user:a"), rows[0]]})
    status, _, text = client.ask("POST", "/v1/relationships/importbulk", again)
    expect("imported twice", status == 409 and "ATTEMPT_TO_RECREATE" in text)
    broken = Client(address)
    status, _, text = broken.ask("POST", "/v1/relationships/importbulk", again + '\n{"relationships": 1}\n')
    expect("a broken line", status == 400 and "message 2" in json.loads(text)["message"])
    expect("nothing of it", decision(client, "document:import9999#owner@user:a") == "no_permission")
    exported = []
    for line in client.lines("/v1/relationships/exportbulk", {"consistency": FULL, "optionalLimit": 700}):
        page = line["result"]["relationships"]
        expect("pages are bounded", len(page) <= 700)
        exported += [(r["resource"]["objectId"], r["relation"], r["subject"]["object"]["objectId"]) for r in page]
    expect("all of it, once", len(exported) == len(set(exported)) and len(exported) >= 2500)


def reads(client):
    owners = {"resourceType": "document", "optionalRelation": "owner"}
    seen, cursor = [], None
    while True:
        request = {"consistency": FULL, "relationshipFilter": owners, "optionalLimit": 1000, "optionalCursor": cursor}
        page = [line["result"] for line in client.lines("/v1/relationships/read", request)]
        seen += [row["relationship"]["resource"]["objectId"] for row in page]
        if len(page) < 1000:
            break
        cursor = page[-1]["afterResultCursor"]
    expect("every page", len(seen) == 2501 and len(set(seen)) == 2501)
    one = {"resourceType": "document", "optionalResourceId": "import7"}
    deleted = client.well("/v1/relationships/delete", {"relationshipFilter": one})
    expect("64 bits are text", deleted["relationshipsDeletedCount"] == "1")


def errors(client, address):
    write = "/v1/relationships/write"
    create = "OPERATION_CREATE"
    must = {
        "operation": "OPERATION_MUST_MATCH",
        "filter": {"resourceType": "document", "optionalResourceId": "nope"},
    }
    fresh = update("document:new#owner@user:a")
    for path, message, status, name in [
        (write, {"updates": [update("nosuch:a#owner@user:a")]}, 400, "UNKNOWN_DEFINITION"),
        (write, {"updates": [update("document:a#view@user:a")]}, 400, "CANNOT_UPDATE_PERMISSION"),
        (write, {"updates": [update("document:a#owner@group:g")]}, 400, "INVALID_SUBJECT_TYPE"),
        (write, {"updates": [fresh, fresh]}, 400, "UPDATES_ON_SAME_RELATIONSHIP"),
        (write, {"updates": [update("document:plan#owner@user:olga", create)]}, 409, "ATTEMPT_TO_RECREATE_RELATIONSHIP"),
        (write, {"updates": [fresh], "optionalPreconditions": [must]}, 400, "WRITE_OR_DELETE_PRECONDITION_FAILURE"),
        ("/v1/schema/write", {"schema": "definition user {}"}, 400, "SCHEMA_TYPE_ERROR"),
        ("/v1/schema/write", {"schema": "definition user {"}, 400, "SCHEMA_PARSE_ERROR"),
    ]:
        expect(name, client.reason(path, message) == (status, "ERROR_REASON_" + name))
    expect("no such path", client.post("/v1/nosuch", {}) == (404, {"code": 5, "message": "Not Found", "details": []}))
    status, _, text = client.ask("GET", write)
    expect("no such method", (status, json.loads(text)["code"]) == (501, 12))
    status, _, text = client.ask("POST", write, '{"updates": [}')
    expect("where it broke", status == 400 and "line 1 column 14" in json.loads(text)["message"])
    for key, expected in [(None, 401), ("wrong-key", 403)]:
        expect("key", Client(address, key).post("/v1/schema/read", {})[0] == expected)
    status, headers, _ = client.ask("POST", "/v1/schema/read", "{}", **{"x-request-id": "story-1"})
    expect("request id", (status, headers["x-request-id"]) == (200, "story-1"))


def described(client):
    status, _, text = client.ask("GET", "/healthz")
    expect("healthy", (status, json.loads(text)) == (200, {"status": "SERVING"}))
    status, _, text = client.ask("GET", "/openapi.json")
    document = json.loads(text)
    validate(document)
    expect("described", status == 200 and "/v1/permissions/check" in document["paths"])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--remit", required=True)
    remit = arguments.parse_args().remit
    own = f"127.0.0.1:{free_port()}"
    with serve(remit, KEY, http=own):
        tell(own)
    # The same on the port of gRPC.
    with serve(remit, KEY, http="same") as address:
        tell(address)
    print(f"{passed} passed, 0 failed")


def tell(address):
    client = Client(address)
    story(client)
    bulk(client, address)
    reads(client)
    errors(client, address)
    described(client)


if __name__ == "__main__":
    main()
