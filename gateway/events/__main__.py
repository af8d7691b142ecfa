"""`python -m gateway.events [FILE]` writes the catalogue of events into its page, by default docs/events.md."""

import argparse
from pathlib import Path

from gateway.events.reference import with_catalogue

parser = argparse.ArgumentParser(prog="python -m gateway.events", description="Write the catalogue of events.")
parser.add_argument("file", nargs="?", type=Path, default=Path("docs/events.md"))
page = parser.parse_args().file
page.write_text(with_catalogue(page.read_text(encoding="utf-8")), encoding="utf-8")
