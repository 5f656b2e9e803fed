"""The story of the stock Node client, against a served Remit: `node.py --remit PATH`."""

import argparse
import pathlib
import subprocess

from remit_server import serve

KEY = "node-key"
STORY = pathlib.Path(__file__).parent.parent / "node" / "story.mjs"

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--remit", required=True, help="the binary to test")
arguments = parser.parse_args()

with serve(arguments.remit, KEY) as address:
    subprocess.run(["node", str(STORY), address, KEY], check=True, timeout=120)
