"""The peer's environment: livekit-agents in its own venv outside the tree, created once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["PROGRAM", "REQUIREMENTS", "peer_python"]

PROGRAM = Path(__file__).with_name("peer_agent.py")
REQUIREMENTS = ("livekit-agents==1.8.9", "livekit-plugins-silero==1.8.9")


def peer_python() -> Path:
    """Its interpreter: $XDG_CACHE_HOME/trunkline/livekit-agents/KEY/bin/python, a folder for each set of versions.

    The first time takes a minute or two and 470 MB. Raises subprocess.CalledProcessError if pip fails; pip writes why
    to standard error.
    """
    key = hashlib.sha256(" ".join((*REQUIREMENTS, sys.version)).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trunkline" / "livekit-agents"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / key
    python, made = folder / "bin" / "python", folder / ".made"
    with (cache / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once create it once
        if not made.exists():
            print(f"installing {', '.join(REQUIREMENTS)} (once; kept in {folder})", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)  # left half done by an interrupted run
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, stdout=sys.stderr)
            install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
            subprocess.run(install, check=True, stdout=sys.stderr)
            made.touch()
    return python


if __name__ == "__main__":
    print(peer_python())
