"""Which recordings of the packages stand for what: real voices, in prompts that real switches play."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from gateway.bench.answering.cases import Part
from gateway.bench.answering.packages import clip, clips
from gateway.bench.answering.wording import half
from telephony.media.wav import BadWavFile

__all__ = ["Recorded", "recorded"]


@dataclass(frozen=True, slots=True)
class Recorded:
    voice: str
    language: str
    text: str  # the recordings' names
    pieces: tuple[bytes, ...]
    beep: bytes


_PROMPTS = {  # who speaks, by package: language and voice
    "asterisk-core-sounds-en-wav": ("en", "people:allison"),
    "asterisk-core-sounds-es-wav": ("es", "people:es-core"),
    "asterisk-core-sounds-fr-wav": ("fr", "people:fr-core"),
    "asterisk-core-sounds-it-wav": ("it", "people:it-core"),
    "asterisk-prompt-it-menardi-wav": ("it", "people:menardi"),
    "pocketsphinx-testdata": ("en", "people:cards"),
}
_SCRIPTS: dict[str, tuple[str, ...]] = {
    "recorded greeting": (
        "vm-intro", "vm-theperson digits/5 digits/5 digits/0 vm-isunavail vm-intro", "vm-nobodyavail vm-intro",
        "vm-theperson digits/4 digits/2 vm-isonphone vm-intro", "vm-isunavail vm-intro", "vm-goodbye vm-intro",
    ),
    "recorded person": ("hello", "one-moment-please", "001", "002", "003", "004", "im-sorry"),
    "mailbox full": ("vm-mailboxfull", "vm-nobodyavail vm-mailboxfull", "vm-mailboxfull vm-goodbye"),
    "screener": ("priv-recordintro",),
    "menu": ("demo-congrats", "dir-intro", "vm-opts", "demo-instruct", "conf-getconfno", "dir-welcome dir-instr"),
    "hold line": ("queue-youarenext", "queue-thankyou", "queue-periodic-announce", "pbx-transfer"),
    "announcement": ("ss-noservice", "tt-allbusy", "im-sorry number-not-answering please-try-call-later"),
}  # fmt: skip


_REPORTED = {  # the same people say something else
    "recorded greeting": (
        "vm-theperson digits/2 digits/2 digits/7 vm-isunavail vm-intro", "vm-sorry vm-nobodyavail vm-intro",
        "vm-theperson digits/8 digits/1 vm-isonphone vm-intro", "vm-isonphone vm-intro",
        "im-sorry vm-isunavail vm-intro",
    ),
    "recorded person": ("005", "004", "hello-world", "one-moment-please", "im-sorry"),
    "mailbox full": ("vm-isunavail vm-mailboxfull", "vm-sorry vm-mailboxfull"),
    "screener": ("privacy-prompt", "privacy-unident privacy-prompt"),
    "menu": ("vm-review", "vm-advopts", "dir-pls-enter", "conf-usermenu", "vm-enter-num-to-call vm-then-pound"),
    "hold line": (
        "queue-thankyou queue-youarenext", "pls-hold-while-try", "conf-onlyperson", "pls-hold-while-try queue-thankyou",
    ),
    "announcement": (
        "cannot-complete-as-dialed check-number-dial-again", "all-circuits-busy-now", "pbx-invalid",
        "number-not-answering",
    ),
}  # fmt: skip


def recorded(kind: str, part: Part, sounds: Path, draw: random.Random) -> Recorded | None:
    """One of those, in a voice of this part; None: there is none on this machine."""
    voices = half([voice for _, voice in _PROMPTS.values()], part)
    packages = [package for package, (_, voice) in _PROMPTS.items() if voice in voices]
    scripts = _REPORTED if part == "reported" else _SCRIPTS
    choices = [(package, script) for package in packages for script in scripts.get(kind, ())]
    draw.shuffle(choices)
    for package, script in choices:
        found = clips(sounds, package)
        names = [name.rpartition("/")[2] for name in script.split()]
        if not all(name in found for name in names):
            continue
        try:
            pieces = tuple(clip(found[name]) for name in names)
            beep = clip(found["beep"]) if "beep" in found else b""
        except (OSError, BadWavFile):
            continue
        language, voice = _PROMPTS[package]
        return Recorded(voice, language, script, pieces, beep)
    return None
