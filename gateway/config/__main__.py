"""`python -m gateway.config [FILE]` writes the reference of all settings, by default to docs/settings.md."""

import argparse
from pathlib import Path

from gateway.config.reference import settings_reference

parser = argparse.ArgumentParser(prog="python -m gateway.config", description="Write the reference of all settings.")
parser.add_argument("file", nargs="?", type=Path, default=Path("docs/settings.md"))
parser.parse_args().file.write_text(settings_reference(), encoding="utf-8")
