"""The Debian archive as relationships, from the package lists of this machine (`apt-get update` brings them).

    python3 debian.py --out relationships.txt [--lists /var/lib/apt/lists]

Ids hold letters, digits and `/ _ | - = +`; any other byte is written as `=` and two hexadecimal digits, and `=` itself
as `=3D`: `ann@debian.org` is `ann=40debian=2Eorg`. The same lists make the same file.
"""

import argparse
import email.utils
import pathlib
import re
import subprocess
import sys

KEPT = re.compile(rb"[A-Za-z0-9/_|+-]")
TEAM_HINTS = ("@lists.", "@tracker.debian.org", "@alioth-lists.", "team@", "-team@")


def encode(text):
    """An id for any text; different texts have different ids."""
    bytes_ = text.encode()
    return "".join(chr(b) if KEPT.match(bytes([b])) else f"={b:02X}" for b in bytes_)


def paragraphs(lines):
    """The paragraphs of a package list, each as a dictionary of its fields."""
    fields, name = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if fields:
                yield fields
            fields, name = {}, None
        elif line[0] in " \t":
            if name:
                fields[name] += " " + line.strip()
        else:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    if fields:
        yield fields


def read(path):
    """The lines of a list, also of one that apt keeps compressed."""
    if path.suffix == "":
        with open(path, encoding="utf-8", errors="replace") as lines:
            yield from lines
        return
    command = ["/usr/lib/apt/apt-helper", "cat-file", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace") as helper:
        yield from helper.stdout


class Archive:
    def __init__(self):
        self.lines = set()
        self.sources = set()
        self.packages = set()

    def add(self, resource, relation, subject):
        self.lines.add(f"{resource}#{relation}@{subject}")

    def who(self, text):
        """The team or the person of `Name <address>`; none for a text without an address."""
        address = email.utils.parseaddr(text)[1].lower()
        if "@" not in address:
            return None
        kind = "team" if any(hint in address for hint in TEAM_HINTS) else "person"
        return kind, f"{kind}:{encode(address)}"

    def source(self, name, maintainer, section, essential):
        source = f"source:{encode(name)}"
        who = self.who(maintainer)
        if who:
            kind, subject = who
            self.add(source, "maintainer", subject)
            if kind == "person":
                self.add(source, "maintainer_person", subject)
        self.add(source, "archive", "archive:debian")
        self.section(source, section)
        if essential:
            self.add(source, "essential", "archive:debian")
        self.sources.add(name)
        return source

    def section(self, resource, section):
        if section:
            subject = f"section:{encode(section)}"
            self.add(resource, "section", subject)
            self.add(subject, "archive", "archive:debian")

    def binary(self, fields):
        name = fields.get("Package")
        if not name:
            return
        self.packages.add(name)
        package = f"package:{encode(name)}"
        source_name = fields.get("Source", name).split(" ")[0]
        essential = fields.get("Essential") == "yes" or fields.get("Priority") == "required"
        source = self.source(source_name, fields.get("Maintainer", ""), fields.get("Section", ""), essential)
        self.add(package, "source", source)
        self.section(package, fields.get("Section", ""))
        for alternative in re.split(r"[,|]", fields.get("Depends", "")):
            needed = alternative.strip().split(" ")[0].split(":")[0]
            if needed and needed != name:
                self.add(package, "depends", f"package:{encode(needed)}")

    def uploaders(self, fields):
        name = fields.get("Package")
        if not name:
            return
        source = self.source(name, fields.get("Maintainer", ""), fields.get("Section", ""), False)
        for uploader in re.split(r">\s*,", fields.get("Uploaders", "")):
            who = self.who(uploader + ">" if "<" in uploader and ">" not in uploader else uploader)
            if who:
                kind, subject = who
                self.add(source, "uploader", subject + ("#belong" if kind == "team" else ""))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", required=True, type=pathlib.Path)
    arguments.add_argument("--lists", default=pathlib.Path("/var/lib/apt/lists"), type=pathlib.Path)
    given = arguments.parse_args()
    archive = Archive()
    found = 0
    for path in sorted(given.lists.glob("*_Packages*")):
        found += 1
        for fields in paragraphs(read(path)):
            archive.binary(fields)
    for path in sorted(given.lists.glob("*_Sources*")):
        for fields in paragraphs(read(path)):
            archive.uploaders(fields)
    if not archive.packages:
        sys.exit(f"no package lists in {given.lists} ({found} files): run `apt-get update` first")
    archive.add("archive:debian", "ftpmaster", "team:ftpmaster#belong")
    archive.add("team:ftpmaster", "member", "person:master")
    archive.add("archive:debian", "core_reviewer", "person:reviewer")
    given.out.write_text("\n".join(sorted(archive.lines)) + "\n")
    print(
        f"{len(archive.lines)} relationships: {len(archive.packages)} packages of {len(archive.sources)} sources",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
