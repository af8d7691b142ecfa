"""`python -m gateway.config [FILE]` writes the reference of all settings, by default to docs/settings.md."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.config.reference import settings_reference

Path(sys.argv[1] if len(sys.argv) > 1 else "docs/settings.md").write_text(settings_reference(), encoding="utf-8")
