"""The certification scenario of the AuthZEN Authorization API 1.0 over HTTPS, against a served Remit that one command has loaded.

The numbers are those of the scenario's tests. What it leaves to the harness to choose is asked here as its own text shows it.
"""

import argparse
import http.client
import json
import pathlib
import ssl
import subprocess
import tempfile

from remit_server import free_port, serve

KEY = "authzen-key"
FIXTURE = pathlib.Path(__file__).parents[2] / "examples/authzen/certification.yaml"
EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
SUBJECT = "/access/v1/search/subject"
RESOURCE = "/access/v1/search/resource"
ACTION = "/access/v1/search/action"

ALICE = {"type": "user", "id": "alice"}
BOB = {"type": "user", "id": "bob"}
ADMIN = {**BOB, "properties": {"role": "admin"}}
ONE = {"type": "record", "id": "record-1"}
TWO = {"type": "record", "id": "record-2"}
ARCHIVED = {**TWO, "properties": {"status": "archived"}}
ACTIVE = {**ONE, "properties": {"status": "active"}}
READ, WRITE = {"name": "read"}, {"name": "write"}


def question(subject, action, resource, **more):
    return {"subject": subject, "action": action, "resource": resource, **more}


def delete(soft):
    return {"name": "delete", "properties": {"soft": soft}}


FULL = question(ALICE, READ, ONE)
SALES = {**ALICE, "properties": {"department": "Sales", "role": "manager"}}
METHOD = {**READ, "properties": {"method": "GET"}}
OWNED = {**ONE, "properties": {"status": "active", "owner": "bob"}}

DECISIONS = [
    ("2.2.1", FULL, True),
    ("2.2.2", question(BOB, WRITE, ONE), False),
    ("2.2.3", {**FULL, "context": {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}}, True),
    ("2.2.4", question(ALICE, WRITE, ARCHIVED), False),
    ("2.2.5", question(ADMIN, WRITE, ARCHIVED), True),
    ("2.2.6", question(ALICE, delete(True), ONE), True),
    ("2.2.7", question(ALICE, delete(False), ONE), False),
    ("2.2.8", question(SALES, METHOD, OWNED), True),
    ("2.2.9", {**FULL, "foo": "bar", "futureField": {"nested": True}}, True),
]

BATCHES = [
    ("3.2.1", {"subject": ALICE, "action": READ, "evaluations": [{"resource": ONE}, {"resource": TWO}]}, [None, None]),
    ("3.2.2", {"subject": BOB, "resource": ONE, "evaluations": [{"action": READ}, {"action": WRITE}]}, [True, False]),
    ("3.2.3", {"subject": ALICE, "action": WRITE, "evaluations": [{"resource": ACTIVE}, {"resource": ARCHIVED}]}, [True, False]),
    ("3.2.4", {"action": WRITE, "resource": ARCHIVED, "evaluations": [{"subject": ALICE}, {"subject": ADMIN}]}, [False, True]),
    ("3.2.5", {"evaluations": [FULL, question(BOB, WRITE, ONE)]}, [True, False]),
    (
        "3.2.6",
        {
            "subject": ALICE,
            "action": READ,
            "context": {"time": "2025-06-27T18:03-07:00"},
            "evaluations": [{"resource": ONE}, {"resource": TWO, "context": {"source": "batch-override"}}],
        },
        [None, None],
    ),
    (
        "3.2.7",
        {
            "subject": ALICE,
            "action": WRITE,
            "resource": {"type": "record"},
            "evaluations": [{"resource": {"id": "record-1", "properties": {"status": "active"}}}, {"resource": ARCHIVED}],
        },
        [True, False],
    ),
    ("3.4.1", {"subject": ALICE, "action": READ, "evaluations": [{"resource": ONE}, {}]}, [True, False]),
]

SEARCHES = [
    ("4.2.1", SUBJECT, question({"type": "user"}, READ, ONE), [ALICE, BOB]),
    ("4.2.2", SUBJECT, question({"type": "user"}, READ, ONE, context={"ip": "::1"}), [ALICE, BOB]),
    ("4.2.4", SUBJECT, question({"type": "user"}, WRITE, ARCHIVED), [BOB]),
    ("4.3.1", RESOURCE, question(ALICE, READ, {"type": "record"}), [ONE]),
    ("4.3.3", RESOURCE, question(ADMIN, WRITE, {"type": "record"}), [TWO]),
    ("4.4.1", ACTION, {"subject": ALICE, "resource": ONE}, [READ, WRITE]),
    ("4.4.2", ACTION, {"subject": ALICE, "resource": ONE, "context": {"ip": "::1"}}, [READ, WRITE]),
    ("4.4.3", ACTION, {"subject": ADMIN, "resource": ARCHIVED}, [WRITE]),
    ("4.6.1", ACTION, {"subject": {"type": "user", "id": "nonexistent-user"}, "resource": ONE}, []),
    ("4.6.2", SUBJECT, question({"type": "spaceship"}, READ, ONE), []),
]

REFUSED = [
    ("2.4.1", EVALUATION, {"action": READ, "resource": ONE}),
    ("2.4.1", EVALUATION, {"subject": ALICE, "resource": ONE}),
    ("2.4.1", EVALUATION, {"subject": ALICE, "action": READ}),
    ("2.4.2", EVALUATION, question({"id": "alice"}, READ, ONE)),
    ("2.4.2", EVALUATION, question({"type": "user"}, READ, ONE)),
    ("2.4.2", EVALUATION, question(ALICE, {}, ONE)),
    ("2.4.2", EVALUATION, question(ALICE, READ, {"id": "record-1"})),
    ("2.4.2", EVALUATION, question(ALICE, READ, {"type": "record"})),
    ("2.4.6", EVALUATION, question("alice", READ, ONE)),
    ("2.4.6", EVALUATION, question(ALICE, {"name": 123}, ONE)),
    ("4.7.1", SUBJECT, {"subject": {"type": "user"}, "resource": ONE}),
    ("4.7.1", RESOURCE, {"action": READ, "resource": {"type": "record"}}),
    ("4.7.1", ACTION, {"subject": ALICE}),
    ("4.7.2", SUBJECT, question({"type": "user"}, READ, {"type": "record"})),
    ("4.7.2", RESOURCE, question({"type": "user"}, READ, {"type": "record"})),
]

passed = 0


def expect(number, is_so, what=""):
    global passed
    if not is_so:
        raise AssertionError(f"{number}: {what}")
    passed += 1


class Pep:
    """Whoever asks for decisions."""

    def __init__(self, port, certificate):
        trusting = ssl.create_default_context(cafile=certificate)
        self.connection = http.client.HTTPSConnection("localhost", port, context=trusting, timeout=30)
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}

    def ask(self, path, body, method="POST", **headers):
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        text = body if isinstance(body, str) else json.dumps(body)
        self.connection.request(method, path, text, {name: value for name, value in given.items() if value})
        answer = self.connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())

    def well(self, number, path, body):
        status, headers, answer = self.ask(path, body)
        expect(number, status == 200 and headers["content-type"] == "application/json", answer)
        return answer


def basic(pep):
    for number, body, decision in DECISIONS:
        answer = pep.well(number, EVALUATION, body)
        expect(number, answer["decision"] is decision, answer)
    for number, path, body in REFUSED:
        expect(number, pep.ask(path, body)[0] == 400, body)
    expect("2.4.3", pep.ask(EVALUATION, FULL, content_type="text/plain")[0] == 400)
    for number, body in [("2.4.4", "{"), ("2.4.5", "")]:
        expect(number, pep.ask(EVALUATION, body)[0] == 400)
    _, headers, _ = pep.ask(EVALUATION, FULL, x_request_id="bfe9eb29-ab87-4ca3-be83-a1d5d8305716")
    expect("2.5.1", headers["x-request-id"] == "bfe9eb29-ab87-4ca3-be83-a1d5d8305716")
    expect("2.6", all(pep.well("2.6", EVALUATION, FULL)["decision"] for _ in range(5)))
    status, headers, _ = pep.ask(EVALUATION, FULL, authorization="Bearer other")
    expect("401", status == 401 and "www-authenticate" in headers)


def batch(pep):
    for number, body, decisions in BATCHES:
        answer = pep.well(number, EVALUATIONS, body)
        found = [item["decision"] for item in answer["evaluations"]]
        is_so = [expected is None or expected is is_told for expected, is_told in zip(decisions, found, strict=True)]
        expect(number, all(is_so) and "decision" not in answer, answer)
    for number, body in [("3.4.2", FULL), ("3.4.3", {**FULL, "evaluations": []})]:
        expect(number, pep.well(number, EVALUATIONS, body) == {"decision": True})


def search(pep):
    for number, path, body, at_least in SEARCHES:
        results = pep.well(number, path, body)["results"]
        is_empty_as_expected = bool(results) == bool(at_least)
        expect(number, is_empty_as_expected and all(one in results for one in at_least), results)
    first = question({"type": "user"}, READ, ONE, page={"limit": 1})
    answer = pep.well("4.5.1", SUBJECT, first)
    found, token = answer["results"], answer["page"]["next_token"]
    while token:
        answer = pep.well("4.5.2", SUBJECT, {**first, "page": {"token": token}})
        found += answer["results"]
        token = answer["page"]["next_token"]
    expect("4.5.3", found == [ALICE, BOB], found)


def discovery(pep, port):
    base = f"https://localhost:{port}"
    status, headers, metadata = pep.ask("/.well-known/authzen-configuration", "", "GET", authorization=None)
    expect("6.2", status == 200 and headers["content-type"] == "application/json")
    expect("6.3", metadata["policy_decision_point"] == base)
    endpoints = {name: url for name, url in metadata.items() if name.endswith("_endpoint")}
    expect("6.5", all(url.startswith(f"{base}/access/v1/") for url in endpoints.values()) and len(endpoints) == 5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--remit", required=True)
    remit = parser.parse_args().remit
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = f"{folder}/cert.pem", f"{folder}/key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
            + ["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
        port = free_port()
        tls = ["--tls-cert", certificate, "--tls-key", key, "--public-url", f"https://localhost:{port}"]
        with serve(remit, KEY, arguments=tls, http=f"127.0.0.1:{port}") as address:
            to = ["--endpoint", address.replace("127.0.0.1", "localhost"), "--token", KEY, "--tls-ca", certificate]
            for _ in range(2):
                subprocess.run([remit, "import", str(FIXTURE), *to], check=True, stdout=subprocess.DEVNULL)
            pep = Pep(port, certificate)
            basic(pep)
            batch(pep)
            search(pep)
            discovery(pep, port)
    print(f"authzen: {passed} expectations met")


if __name__ == "__main__":
    main()
