"""Recordings and voices from Debian's packages, each under its own licence: fetched with apt-get into the cache folder,
unpacked there, and never part of the repository. Without apt-get, or without a network, the corpus does without them.

    asterisk-core-sounds-{en,es,fr,it}-wav, asterisk-prompt-*   CC-BY-SA-3.0, GPL-2+: prompts, spoken by people
    asterisk-moh-opsound-wav                                    CC-BY-SA-3.0: music on hold
    pocketsphinx-testdata                                       BSD: clips of people
    flite, libflite1                                            a BSD-like licence: voices made of recordings
    festival, festvox-*, and what they need                     BSD-like licences, and GPL-2 (Italian): the same
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soxr

from telephony.media.frames import SAMPLE_RATE
from telephony.media.wav import BadWavFile, read_channels_at

__all__ = ["PACKAGES", "Programs", "clip", "clips", "fetch", "music", "programs", "run_program"]

PACKAGES = (
    "asterisk-core-sounds-en-wav",
    "asterisk-core-sounds-es-wav",
    "asterisk-core-sounds-fr-wav",
    "asterisk-core-sounds-it-wav",
    "asterisk-prompt-it-menardi-wav",
    "asterisk-moh-opsound-wav",
    "pocketsphinx-testdata",
    "flite",
    "libflite1",
    "festival",
)
_WITH = {  # what is unpacked into the folder of a package beside it
    "festival": (
        "libestools2.5", "festlex-cmu", "festlex-poslex", "festlex-ifd",
        "festvox-kdlpc16k", "festvox-italp16k", "festvox-itapc16k",
    ),
}  # fmt: skip


def fetch(sounds: Path) -> list[str]:
    """Download and unpack what is not there yet. Returns the packages that could not be had."""
    missing = []
    for package in PACKAGES:
        target = sounds / package
        if not target.exists() and not _fetch(package, sounds, target):
            missing.append(package)
    return missing


def _fetch(package: str, sounds: Path, target: Path) -> bool:
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        return False
    sounds.mkdir(parents=True, exist_ok=True)
    partial = sounds / f"{package}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        command = [apt, "download", "-q", package, *_WITH.get(package, ())]
        subprocess.run(command, cwd=partial, check=True, capture_output=True, timeout=300)  # noqa: S603
        for archive in sorted(partial.glob("*.deb")):
            subprocess.run([dpkg, "-x", str(archive), str(partial)], check=True, capture_output=True, timeout=60)  # noqa: S603
            archive.unlink()
    except (OSError, subprocess.SubprocessError):
        shutil.rmtree(partial, ignore_errors=True)
        return False
    partial.replace(target)
    return True


@dataclass(frozen=True, slots=True)
class Programs:
    """That speak, as far as they are there with their libraries."""

    flite: Path | None = None
    festival: Path | None = None

    def can_speak(self, voice: str) -> bool:
        engine = voice.partition(":")[0]
        return engine not in ("flite", "festival") or getattr(self, engine) is not None


@cache
def programs(sounds: Path) -> Programs:
    flite = sounds / "flite" / "usr" / "bin" / "flite"
    festival = sounds / "festival" / "usr" / "bin" / "festival"
    return Programs(
        flite if flite.exists() and (sounds / "libflite1").exists() else None,
        festival if festival.exists() and _runs(festival) else None,
    )


def _runs(festival: Path) -> bool:
    """It needs libraries of the system as well."""
    try:
        run_program([str(festival), "--batch", "(+ 1 1)"], festival.parents[1] / "lib")
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def run_program(command: Sequence[str], libraries: Path) -> None:
    """With the libraries of a package, which are in this folder or below it. Raises OSError or SubprocessError."""
    folders = os.pathsep.join(str(folder) for folder in (libraries, *sorted(libraries.glob("*-linux-*"))))
    environment = {**os.environ, "LD_LIBRARY_PATH": folders}
    subprocess.run(command, check=True, capture_output=True, timeout=60, env=environment)  # noqa: S603


@cache
def clips(sounds: Path, package: str) -> dict[str, Path]:
    """The recordings of a package, by name without folder and ending."""
    found: dict[str, Path] = {}
    for path in sorted((sounds / package).rglob("*.wav")):
        if path.is_file():
            found.setdefault(path.stem, path)
    return found


@cache
def clip(path: Path) -> bytes:
    """A recording at 8 kHz. Raises OSError or BadWavFile."""
    rate, channels = read_channels_at(path)
    if rate == SAMPLE_RATE:
        return channels[0]
    narrow = soxr.resample(np.frombuffer(channels[0], "<i2").astype(np.float32), rate, SAMPLE_RATE, quality="HQ")
    return bytes(np.clip(np.rint(narrow), -32768, 32767).astype("<i2").tobytes())


def music(sounds: Path, names: Sequence[str] = ()) -> dict[str, Path]:
    """Music on hold; `names`: only these."""
    tracks = clips(sounds, "asterisk-moh-opsound-wav")
    usable = {}
    for name, path in tracks.items():
        try:
            clip(path)
        except (OSError, BadWavFile):
            continue
        usable[name] = path
    return {name: path for name, path in usable.items() if not names or name in names}
