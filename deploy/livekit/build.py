#!/usr/bin/env python3
"""Builds LiveKit server and LiveKit SIP, once, at the versions that go.mod pins, into a cache outside the tree.

    python3 deploy/livekit/build.py        prints the folder that holds `livekit-server` and `livekit-sip`

The cache is $XDG_CACHE_HOME/trunkline/livekit (~/.cache/…), one folder for each state of go.mod and go.sum and each Go
version, so that only changed versions are built again. Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["BuildImpossible", "build", "missing_tools"]

HERE = Path(__file__).resolve().parent
PROGRAMS = {
    "livekit-server": "github.com/livekit/livekit-server/cmd/server",
    "livekit-sip": "github.com/livekit/sip/cmd/livekit-sip",
}
LIBRARIES = {"opus": "libopus-dev", "opusfile": "libopusfile-dev", "soxr": "libsoxr-dev"}  # pkg-config name: package
_LEAST_GO = (1, 24)  # for `tool` lines in go.mod; Go itself fetches a newer toolchain if go.mod asks for one


class BuildImpossible(Exception):
    """Something is missing; the message says what to install."""


def missing_tools() -> list[str]:
    """What must be installed before building, a sentence each; empty: nothing."""
    missing = []
    if shutil.which("go") is None:
        missing.append("Go is missing: install it from https://go.dev/dl/ (1.24 or newer)")
    elif _go_version() < _LEAST_GO:
        missing.append("Go is too old: 1.24 or newer is needed, from https://go.dev/dl/")
    if not any(shutil.which(name) for name in ("gcc", "cc", "clang")):
        missing.append("a C compiler is missing: apt-get install gcc libc6-dev")
    if shutil.which("pkg-config") is None:
        return [*missing, f"pkg-config is missing: apt-get install pkg-config {' '.join(LIBRARIES.values())}"]
    packages = [
        package
        for name, package in LIBRARIES.items()
        if subprocess.run(["pkg-config", "--exists", name], check=False).returncode  # noqa: S603, S607
    ]
    if packages:
        missing.append(f"libraries are missing: apt-get install {' '.join(packages)}")
    return missing


def build() -> Path:
    """The folder with both programs, built if necessary (once, a minute or two on two cores).

    Raises BuildImpossible, and subprocess.CalledProcessError if Go itself fails (its output is on standard error).
    """
    missing = missing_tools()
    if missing:
        raise BuildImpossible("\n".join(missing))
    folder = _cache() / _key()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once build once
        for name, package in PROGRAMS.items():
            if not (folder / name).exists():
                print(f"building {name} (once; kept in {folder})", file=sys.stderr, flush=True)
                made = folder / f".{name}.new"
                command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(made), package]
                subprocess.run(command, cwd=HERE, check=True, stdout=sys.stderr)  # noqa: S603
                made.rename(folder / name)
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trunkline" / "livekit"


def _key() -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((HERE / name).read_bytes())
    digest.update(_go("env", "GOVERSION", "GOOS", "GOARCH").encode())
    return digest.hexdigest()[:16]


def _go(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603
        ["go", *arguments],  # noqa: S607
        cwd=HERE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def _go_version() -> tuple[int, ...]:
    """The installed Go's version, before it fetches a newer toolchain for this go.mod."""
    words = subprocess.run(["go", "version"], cwd="/", check=True, capture_output=True, text=True).stdout.split()  # noqa: S607
    numbers = words[2].removeprefix("go").split(".")[:2]
    return tuple(int("".join(filter(str.isdigit, number)) or 0) for number in numbers)


if __name__ == "__main__":
    try:
        print(build())
    except BuildImpossible as problem:
        sys.exit(str(problem))
    except subprocess.CalledProcessError as problem:
        sys.exit(f"go failed with status {problem.returncode}; its output is above")
