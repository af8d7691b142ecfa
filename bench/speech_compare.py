"""Offline recognisers and voices compared: words wrong and CPU, through an 8 kHz mu-law line.

    python -m bench.speech_compare [--prompts FOLDER] [--count 25]

FOLDER holds what `apt-get install asterisk-core-sounds-en-wav` (CC-BY-SA) puts under /usr: `share/asterisk/sounds` and
`share/doc`, where the prompts' texts are. Without it only the recordings of this repository and our voices are heard.
Recognisers hear free dictation: nothing is expected. Sound and noise as in `bench.offline_speech`.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.clock import ThreadOffload
from agent.providers._rules_hearing import compared
from agent.providers.base import STT, TTS, Expectations
from agent.providers.espeak import EspeakTTS
from agent.providers.hibari import HibariTTS
from agent.providers.moonshine import MoonshineSTT
from agent.providers.pocketsphinx import PocketSphinxSTT
from bench.offline_speech import OTHER, REAL, frames, line
from telephony.media.frames import SAMPLE_RATE
from telephony.media.wav import read_wav

SNR_DB = 28.0


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
    """Words to add, take away or change."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row = row, [i] + [0] * len(heard)
        for j, other in enumerate(heard, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other))
    return row[-1]


def prompts(folder: Path, count: int) -> list[Said]:
    """Sentences of 5 to 20 words without figures and signs, evenly out of all."""
    text = gzip.decompress(next(folder.glob("share/doc/*/core-sounds-en.txt.gz")).read_bytes()).decode()
    sounds = next((folder / "share/asterisk/sounds").glob("en_US*"))
    found = []
    for entry in re.findall(r"^([\w/-]+): ([A-Za-z' .,]+)$", text, re.MULTILINE):
        path = sounds / f"{entry[0]}.wav"
        if path.is_file() and 5 <= len(entry[1].split()) <= 20 and "..." not in entry[1]:
            found.append((path, entry[1]))
    step = max(1, len(found) // count)
    return [Said(text, read_wav(path)) for path, text in found[::step][:count]]


def recordings() -> list[Said]:
    return [Said(path.stem.replace("_", " "), path.read_bytes()) for path in sorted(REAL.glob("*.raw"))]


async def heard_by(stt: STT, spoken: Sequence[Said]) -> Tally:
    tally = Tally()
    await stt.warm()
    for seed, said in enumerate(spoken):
        pcm = line(said.pcm, seed, SNR_DB)
        began = time.process_time()
        stream = stt.stream(language="en-us", expectations=Expectations())
        for frame in frames(pcm):
            stream.push(frame)
        stream.flush()
        text = ""
        async for transcript in stream:
            if transcript.final:
                text = transcript.text
                break
        await stream.aclose()
        tally.cpu_s += time.process_time() - began
        tally.audio_s += len(pcm) / 2 / SAMPLE_RATE
        tally.words += len(compared(said.text))
        tally.wrong += words_wrong(compared(said.text), compared(text))
    return tally


async def spoken_by(tts: TTS, texts: Sequence[str]) -> tuple[list[Said], float]:
    """And the CPU seconds for a second of speech."""
    await tts.warm()
    began, said = time.process_time(), []
    for text in texts:
        pieces = [piece.pcm async for piece in tts.synthesize(f"{text}.", voice="", language="en")]
        said.append(Said(text, b"".join(pieces)))
    seconds = sum(len(one.pcm) for one in said) / 2 / SAMPLE_RATE
    return said, (time.process_time() - began) / seconds


async def run(options: argparse.Namespace) -> None:
    offload = ThreadOffload()
    sets = {"recordings of this repository": recordings()}
    if options.prompts:
        sets["telephone prompts (asterisk-core-sounds-en)"] = prompts(options.prompts, options.count)
    print("| voice | CPU for a second of speech |\n| --- | --- |")
    for voice in (EspeakTTS(offload), HibariTTS(offload)):
        said, cpu = await spoken_by(voice, OTHER)
        sets[f"sentences of {voice.name}"] = said
        print(f"| {voice.name} | {cpu:.3f} |", flush=True)
    print("\n| recogniser | hears | words wrong | CPU for a second of sound |\n| --- | --- | --- | --- |")
    for stt in (PocketSphinxSTT(offload, mode="dictation"), MoonshineSTT(offload)):
        for name, spoken in sets.items():
            print(f"| {stt.name} | {name} | {await heard_by(stt, spoken)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, metavar="FOLDER", help="where the prompts of Asterisk are, as /usr")
    parser.add_argument("--count", type=int, default=25, help="of prompts")
    asyncio.run(run(parser.parse_args()))
