"""The Debian archive as relationships, from the package lists of this machine (`apt-get update` brings them).

    python3 debian.py --out relationships.txt [--lists /var/lib/apt/lists]

Ids hold letters, digits and `/ _ | - = +`; any other byte is written as `=` and two hexadecimal digits, and `=` itself
as `=3D`: `ann@debian.org` is `ann=40debian=2Eorg`. So it reads back by `urllib.parse.unquote(id.replace("=", "%"))`. The
same lists make the same file. Who uploads stands in source lists (`deb-src`) only; without them there are no uploaders.
"""

import argparse
import bz2
import email.utils
import gzip
import lzma
import pathlib
import re
import subprocess
import sys

KEPT = re.compile(rb"[A-Za-z0-9/_|+-]")
TEAM_ADDRESS = re.compile(r"@(lists|alioth-lists|tracker|packages|qa)\.|@[^@]*\.lists\.|team@|team\+")
TEAM_NAME = re.compile(r"\b(team|group|maintainers|developers|packagers)\W*$", re.IGNORECASE)
LIST = re.compile(r"_(Packages|Sources)(\.(lz4|gz|xz|bz2|zst))?$")
OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


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
    if path.name.endswith(("_Packages", "_Sources")) or path.suffix in OPENERS:
        opener = OPENERS.get(path.suffix, open)
        with opener(path, "rt", encoding="utf-8", errors="replace") as lines:
            yield from lines
    else:
        yield from output_of("/usr/lib/apt/apt-helper", "cat-file", str(path))


def output_of(*command):
    """The lines that a command prints; ends the program if it fails, for half a list is worse than none."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace") as process:
        yield from process.stdout
    if process.returncode:
        sys.exit(f"`{' '.join(command)}` failed with {process.returncode}")


def lists(folder, kind):
    """The lists of a kind, `Packages` or `Sources`; of one that is there twice, the first."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = LIST.search(path.name)
        if match and match[1] == kind:
            found.setdefault(path.name[: match.end(1)], path)
    return list(found.values())


class Archive:
    def __init__(self):
        self.lines = set()
        self.sources = set()
        self.packages = set()
        self.people = {"person": set(), "team": set()}

    def add(self, resource, relation, subject):
        self.lines.add(f"{resource}#{relation}@{subject}")

    def who(self, text):
        """The team or the person of `Name <address>`; none for a text without an address."""
        name, _, rest = text.rpartition("<")
        address = rest.partition(">")[0].strip().lower() if name else email.utils.parseaddr(text)[1].lower()
        if "@" not in address:
            return None
        kind = "team" if TEAM_ADDRESS.search(address) or TEAM_NAME.search(name) else "person"
        self.people[kind].add(address)
        return kind, f"{kind}:{encode(address)}"

    def source(self, name, maintainer, section, essential):
        source = f"source:{encode(name)}"
        who = self.who(maintainer)
        if who:
            self.add(source, "maintainer", who[1])
        self.add(source, "archive", "archive:debian")
        self.section(source, section)
        if essential:
            self.add(source, "essential", "archive:debian")
            self.add(source, "guarded", "person:*")
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
        for alternative in re.split(r"[,|]", f"{fields.get('Pre-Depends', '')},{fields.get('Depends', '')}"):
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
    packages, sources = lists(given.lists, "Packages"), lists(given.lists, "Sources")
    for path in packages:
        for fields in paragraphs(read(path)):
            archive.binary(fields)
    for path in sources:
        for fields in paragraphs(read(path)):
            archive.uploaders(fields)
    if not archive.packages:
        sys.exit(f"no packages in {given.lists} ({len(packages)} lists): run `apt-get update` first")
    archive.add("archive:debian", "ftpmaster", "team:ftpmaster#belong")
    archive.add("team:ftpmaster", "member", "person:master")
    archive.add("archive:debian", "core_reviewer", "person:reviewer")
    given.out.write_text("\n".join(sorted(archive.lines)) + "\n")
    print(
        f"{len(archive.lines)} relationships: {len(archive.packages)} packages of {len(archive.sources)} sources, "
        f"{len(archive.people['person'])} people, {len(archive.people['team'])} teams; "
        f"{len(packages)} package lists, {len(sources)} source lists{'' if sources else ' (so no uploaders)'}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
