"""The Debian archive, imported by the command line, and asked by the stock Python client: who may upload what?"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

from authzed.api.v1 import (
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    InsecureClient,
    ObjectReference,
    RelationshipFilter,
    ReadRelationshipsRequest,
    SubjectReference,
)

from remit_server import serve

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "debian"
KEY = "debian-key"
HAS = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
NO = CheckPermissionResponse.PERMISSIONSHIP_NO_PERMISSION
FULL = Consistency(fully_consistent=True)


def run(*command):
    print("$", *command, file=sys.stderr)
    started = time.monotonic()
    subprocess.run(command, check=True)
    return time.monotonic() - started


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--remit", required=True)
    remit = arguments.parse_args().remit
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder, "debian.txt")
        run(sys.executable, str(EXAMPLE / "debian.py"), "--out", str(data))
        lines = data.read_text().splitlines()
        store = f"sqlite:{folder}/debian.db"
        with serve(remit, KEY, store=store) as address:
            reach = ("--endpoint", address, "--token", KEY, "--insecure")
            run(remit, "schema", "write", str(EXAMPLE / "schema.zed"), *reach)
            checkpoint = str(pathlib.Path(folder, "checkpoint"))
            seconds = run(remit, "import", str(data), "--checkpoint", checkpoint, *reach)
            print(f"imported {len(lines)} relationships in {seconds:.1f} s", file=sys.stderr)
            passed = ask(InsecureClient(address, KEY), lines)
        # Everything is there after a restart, loaded from the file.
        with serve(remit, KEY, store=store) as address:
            passed += ask(InsecureClient(address, KEY), lines)
    print(f"{passed} passed, 0 failed")


def ask(client, lines):
    passed = 0

    def expect(resource, permission, person, answer):
        nonlocal passed
        kind, _, name = resource.partition(":")
        request = CheckPermissionRequest(
            consistency=FULL,
            resource=ObjectReference(object_type=kind, object_id=name),
            permission=permission,
            subject=SubjectReference(object=ObjectReference(object_type="person", object_id=person)),
        )
        found = client.CheckPermission(request).permissionship
        assert found == answer, (resource, permission, person, found)
        passed += 1

    # The maintainer of the base system's files may upload them; what every system needs wants a reviewer besides.
    maintainers = [line.partition("@person:")[2] for line in lines if line.startswith("source:base-files#maintainer@person:")]
    assert maintainers, "base-files has no person as its maintainer in these lists"
    maintainer = maintainers[0]
    expect("source:base-files", "upload", maintainer, HAS)
    expect("package:base-files", "upload", maintainer, HAS)
    expect("source:base-files", "upload_essential", maintainer, NO)
    expect("source:dpkg", "upload", maintainer, NO)
    # The masters of the archive may upload anything, through a team; a reviewer alone may not.
    expect("source:dpkg", "upload", "master", HAS)
    expect("source:dpkg", "upload_essential", "master", HAS)
    expect("source:dpkg", "upload", "reviewer", NO)
    expect("package:libc6", "upload", "nobody", NO)
    # What the lists say of one package comes back as it was.
    said = sorted(line for line in lines if line.startswith("source:apt#"))
    rows = client.ReadRelationships(
        ReadRelationshipsRequest(
            consistency=FULL,
            relationship_filter=RelationshipFilter(resource_type="source", optional_resource_id="apt"),
        )
    )
    read = [
        f"source:apt#{row.relationship.relation}@{row.relationship.subject.object.object_type}:"
        f"{row.relationship.subject.object.object_id}"
        for row in rows
    ]
    assert sorted(read) == said, (read, said)
    return passed + 1


if __name__ == "__main__":
    main()
