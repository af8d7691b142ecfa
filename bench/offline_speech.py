"""Compares offline recognisers and voices: word errors and CPU, over an 8 kHz mu-law line and the whole pipeline.

    python -m bench.offline_speech --fetch var/speech
    python -m bench.offline_speech --audio var/speech [--count 25] [--mistakes]

`--fetch` downloads the audio, which this repository does not contain: Debian's `asterisk-core-sounds-en-wav` (CC-BY-SA)
with apt-get; PocketSphinx's test data (BSD-like licence) and the Free Spoken Digit Dataset (CC-BY-SA 4.0) with git.
Missing audio is left out. "Pipeline": Silero cuts the audio and the session flushes, as in a call, on a virtual clock;
nothing is expected except a six-digit number for the digit strings. Line and noise as in `bench.grammar_hearing`.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soxr

from agent import Agent
from agent.clock import ThreadOffload
from agent.providers._rules_hearing import compared
from agent.providers.base import STT, TTS, Offload
from agent.providers.espeak import EspeakTTS
from agent.providers.hibari import HibariTTS
from agent.providers.instant import InstantLLM, InstantTTS
from agent.providers.registry import ProviderSettings, build_stt, preload
from agent.providers.silero import SileroVAD
from agent.rules import Intent, Rules, Slot
from agent.testing.expectation import Expectation
from agent.testing.fixture import Clip, Fixture, HangUp, Step, When
from agent.testing.replay import Speech, replay_fixture
from bench.grammar_hearing import OTHER, REAL, line
from telephony.media.frames import SAMPLE_RATE
from telephony.media.wav import read_wav

SNR_DB = 28.0
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
REPOSITORIES = {
    "pocketsphinx": "https://github.com/cmusphinx/pocketsphinx",
    "digits": "https://github.com/Jakobovski/free-spoken-digit-dataset",
}


@dataclass(frozen=True)
class Said:
    text: str
    pcm: bytes


@dataclass
class Tally:
    words: int = 0
    wrong: int = 0
    cpu_s: float = 0.0
    audio_s: float = 0.0

    def __str__(self) -> str:
        return f"{100 * self.wrong / max(1, self.words):.1f} % of {self.words} | {self.cpu_s / self.audio_s:.3f}"


def words_wrong(said: Sequence[str], heard: Sequence[str]) -> int:
    """How many words to add, remove or change."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row = row, [i] + [0] * len(heard)
        for j, other in enumerate(heard, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other))
    return row[-1]


def prompts(folder: Path, count: int) -> list[Said]:
    """Sentences of 5 to 20 words without figures and signs, evenly sampled."""
    text = gzip.decompress(next(folder.glob("share/doc/*/core-sounds-en.txt.gz")).read_bytes()).decode()
    sounds = next((folder / "share/asterisk/sounds").glob("en_US*"))
    found = []
    for entry in re.findall(r"^([\w/-]+): ([A-Za-z' .,]+)$", text, re.MULTILINE):
        path = sounds / f"{entry[0]}.wav"
        if path.is_file() and 5 <= len(entry[1].split()) <= 20 and "..." not in entry[1]:
            found.append((path, entry[1]))
    step = max(1, len(found) // count)
    return [Said(text, read_wav(path)) for path, text in found[::step][:count]]


def sentences_read(folder: Path) -> list[Said]:
    """Five LibriVox sentences, from PocketSphinx's test data."""
    said = []
    for entry in (folder / "transcription").read_text().splitlines():
        if found := re.match(r"<s> (.*) </s> \((.*)\)", entry):
            samples = np.frombuffer((folder / f"{found[2]}.wav").read_bytes()[44:], "<i2").astype(np.float64)
            narrow = soxr.resample(samples, 16_000, SAMPLE_RATE, quality="HQ")
            said.append(Said(found[1], np.rint(narrow).astype("<i2").tobytes()))
    return said


def digit_strings(folder: Path, count: int = 18, length: int = 6) -> list[Said]:
    """Digits by one speaker each, 60 to 160 ms apart."""
    draw, said = random.Random(1), []
    for number in range(count):
        speaker, pieces, digits = SPEAKERS[number % len(SPEAKERS)], [], [draw.randrange(10) for _ in range(length)]
        for digit in digits:
            samples = np.frombuffer(read_wav(folder / f"{digit}_{speaker}_{draw.randrange(50)}.wav"), "<i2")
            loud = samples * (9830 / max(1, int(np.abs(samples.astype(np.int32)).max())))
            pieces += [loud, np.zeros(int(SAMPLE_RATE * draw.uniform(0.06, 0.16)))]
        pcm = np.concatenate(pieces).astype("<i2").tobytes()
        said.append(Said(" ".join(DIGITS[digit] for digit in digits), pcm))
    return said


def recordings() -> list[Said]:
    return [Said(path.stem.replace("_", " "), path.read_bytes()) for path in sorted(REAL.glob("*.raw"))]


def fetch(folder: Path) -> None:
    """Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as packages:
        names = ("asterisk-core-sounds-en-wav", "asterisk-core-sounds-en")
        subprocess.run(("apt-get", "download", *names), check=True, cwd=packages)
        for package in Path(packages).glob("*.deb"):
            subprocess.run(("dpkg", "-x", str(package), str(folder / "prompts")), check=True)
    for name, repository in REPOSITORIES.items():
        if not (folder / name).exists():
            subprocess.run(("git", "clone", "--quiet", "--depth", "1", repository, str(folder / name)), check=True)


def audio_of(folder: Path | None, count: int) -> dict[str, list[Said]]:
    sets = {"recordings of this repository": recordings()}
    if folder is None:
        return sets
    for name, place, made in (
        ("telephone prompts", "prompts/usr", lambda at: prompts(at, count)),
        ("sentences read", "pocketsphinx/test/data/librivox", sentences_read),
        ("strings of six digits", "digits/recordings", digit_strings),
    ):
        if (folder / place).is_dir():
            sets[name] = made(folder / place)
    return sets


class Mute(Agent):
    """The persona that the caller talks to."""


class Digits(Agent):
    """A persona that expects a six-digit number."""

    rules = Rules((Intent("number", ("[my number is] {number}",)),), {"number": Slot("?", digits=(6, 6))})


def heard_by(make: Callable[[Offload], STT], spoken: Sequence[Said], persona: type[Agent], mistakes: bool) -> Tally:
    """The texts of the caller's turns, through a session."""
    tally = Tally()
    for seed, said in enumerate(spoken):
        pcm = line(said.pcm, seed, SNR_DB)
        began = time.process_time()
        text = _turns(make, pcm, persona)
        tally.cpu_s += time.process_time() - began
        tally.audio_s += len(pcm) / 2 / SAMPLE_RATE
        wrong = words_wrong(compared(said.text), compared(text))
        tally.words += len(compared(said.text))
        tally.wrong += wrong
        if wrong and mistakes:
            print(f"    {said.text!r}: {text!r}", flush=True)
    return tally


def _turns(make: Callable[[Offload], STT], pcm: bytes, persona: type[Agent]) -> str:
    timeline = (Step(When("at", 0.5), Clip("line", pcm)), Step(When("after_step", 2.5), HangUp()))
    call = Fixture(Path("bench"), "", "+15550100", "", timeline, Expectation())

    def speech(offload: Offload) -> Speech:
        return Speech(SileroVAD(), make(offload), InstantLLM(), InstantTTS())

    events = replay_fixture(call, persona=persona, speech=speech).events
    return " ".join(str(event.fields["text"]) for event in events if event.type == "user_message")


async def spoken_by(tts: TTS, texts: Sequence[str]) -> tuple[list[Said], float]:
    """The audio, and the CPU seconds per second of speech."""
    await tts.warm()
    began, said = time.process_time(), []
    for text in texts:
        pieces = [piece.pcm async for piece in tts.synthesize(f"{text}.", voice="", language="en")]
        said.append(Said(text, b"".join(pieces)))
    seconds = sum(len(one.pcm) for one in said) / 2 / SAMPLE_RATE
    return said, (time.process_time() - began) / seconds


async def voices() -> dict[str, list[Said]]:
    sets = {}
    print("| voice | CPU for a second of speech |\n| --- | --- |")
    for voice in (EspeakTTS(ThreadOffload()), HibariTTS(ThreadOffload())):
        said, cpu = await spoken_by(voice, OTHER)
        sets[f"sentences of {voice.name}"] = said
        print(f"| {voice.name} | {cpu:.3f} |", flush=True)
    return sets


def main(options: argparse.Namespace) -> None:
    if options.fetch:
        fetch(options.fetch)
        return
    sets = audio_of(options.audio, options.count) | asyncio.run(voices())
    names = options.names.split(",")
    preload(names)
    print("\n| recogniser | hears | words wrong | CPU for a second of sound |\n| --- | --- | --- | --- |")
    for name in names:
        for what, spoken in sets.items():
            persona = Digits if "digits" in what else Mute
            if name == "moonshine/whisper" and persona is Mute:
                continue
            make = partial(build_stt, name, ProviderSettings())
            tally = heard_by(make, spoken, persona, options.mistakes)
            print(f"| {name} | {what} | {tally} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetch", type=Path, metavar="FOLDER", help="download the audio to this folder, and exit")
    parser.add_argument("--audio", type=Path, metavar="FOLDER", help="folder with the audio")
    parser.add_argument("--names", default="moonshine,pocketsphinx", help="and moonshine/whisper, whisper")
    parser.add_argument("--count", type=int, default=25, help="of prompts")
    parser.add_argument("--mistakes", action="store_true", help="list the mistakes")
    main(parser.parse_args())
