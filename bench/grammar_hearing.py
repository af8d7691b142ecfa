"""How well the offline recogniser hears: espeak-ng voices and real speakers through mu-law with line noise.

    python bench/grammar_hearing.py [--voices en-us,en-gb] [--snr 28] [--dictation] [--mistakes]

Each sentence is spoken, band-limited like a telephone line, mixed with noise, passed through mu-law, and sent to the
recogniser in 20 ms frames as in a call. "Right": `agent.rules` understands what was said. The last column: unexpected
speech was taken for something that the persona expects.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.clock import ThreadOffload
from agent.providers._rules_match import best_intent
from agent.providers.base import Expectations
from agent.providers.espeak import EspeakTTS
from agent.providers.phrases import words
from agent.providers.pocketsphinx import Mode, PocketSphinxSTT
from agent.rules import Intent, Rules, Slot
from telephony.media.frames import FRAME_BYTES, SAMPLE_RATE, AudioFrame
from telephony.media.g711 import decode_ulaw, encode_ulaw

REAL = Path(__file__).parents[1] / "tests" / "fixtures" / "speech"
VOICES = "en-us,en-us+f3,en-us+m3,en-us+m7,en-us+f4,en-gb,en-gb-x-rp+f2,en-gb-scotland"
LEVEL = 2500.0  # RMS of speech, as samples: -22 dBov
DAYS = {day: day for day in ("today", "tomorrow", "monday", "tuesday", "wednesday", "thursday", "friday")}
RULES = Rules(
    (
        Intent(
            "status",
            (
                "where is my order",
                "[i want to] (check|track) my order",
                "order status",
                "[my order number is] {number}",
            ),
        ),
        Intent("human", ("[i want to] (speak|talk) to (a person|someone|an agent)",)),
        Intent("cancel", ("[i want to] cancel my order",)),
        Intent("hours", ("what are your opening hours", "when are you open")),
        Intent(
            "book",
            (
                "[i'd like] an appointment [on|for] {day} [{part}]",
                "book an appointment [on|for] {day} [{part}]",
                "{day}",
            ),
        ),
        Intent("yes", ("yes",)),
        Intent("no", ("no",)),
        Intent("bye", ("goodbye", "thank you goodbye")),
    ),
    {
        "number": Slot("?", digits=(5, 5)),
        "day": Slot("?", DAYS),
        "part": Slot("?", {"morning": "morning", "afternoon": "afternoon"}),
    },
)
EXPECTED = """
where is my order
i want to check my order
track my order please
order status
cancel my order
my order number is two nine three four zero
five five one eight two
nine zero zero one seven
six oh four eight three
speak to a person
i want to talk to someone
what are your opening hours
when are you open
yes
no
i'd like an appointment tomorrow morning
book an appointment for monday afternoon
thursday
tuesday
thank you goodbye
""".strip().splitlines()
OTHER = """
the weather is terrible today
my dog ate the homework
can you recommend a good restaurant
could you repeat that
i think the football game was great
what time does the train leave
please play some music
banana
pizza
how much does it cost to paint a house
my brother works in a garage
do you have this in blue
i lost my keys
the engine makes a strange noise
have you ever been to paris
maybe later
let me think about it
computer
turn on the kitchen lights
he was not an ill disposed young man
there is water all over the floor
spell it for me
we moved to another city last summer
is it going to rain
""".strip().splitlines()


@dataclass
class Score:
    expected: int = 0
    accepted: int = 0
    right: int = 0
    other: int = 0
    false: int = 0
    mistakes: list[str] = field(default_factory=list)


def line(pcm: bytes, seed: int, snr_db: float) -> bytes:
    """300 ms of line before and after, 300-3,400 Hz, noise, encoded to mu-law and back."""
    speech = np.concatenate([np.zeros(2400), np.frombuffer(pcm, np.int16).astype(np.float64), np.zeros(2400)])
    loud = speech[np.abs(speech) > 200]
    speech *= LEVEL / np.sqrt(np.mean(loud**2))
    spectrum = np.fft.rfft(speech)
    hertz = np.maximum(np.fft.rfftfreq(len(speech), 1 / SAMPLE_RATE), 1)
    spectrum /= np.sqrt(1 + (200 / hertz) ** 4) * np.sqrt(1 + (hertz / 3500) ** 16)
    noise = np.random.default_rng(seed).normal(0, LEVEL * 10 ** (-snr_db / 20), len(speech))
    sound = np.clip(np.fft.irfft(spectrum, len(speech)) + noise, -32768, 32767)
    return decode_ulaw(encode_ulaw(sound.astype(np.int16).tobytes()))


def frames(pcm: bytes) -> list[AudioFrame]:
    return [AudioFrame(pcm[at : at + FRAME_BYTES], at / 16000) for at in range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)]


class Ear:
    def __init__(self, mode: Mode, expectations: Expectations) -> None:
        self._stt = PocketSphinxSTT(ThreadOffload(), mode=mode)
        self._expectations = expectations
        self.final_ms: list[float] = []
        self.audio_s = 0.0

    async def hear(self, pcm: bytes) -> str:
        stream = self._stt.stream(language="en-us", expectations=self._expectations)
        audio = frames(pcm)
        for frame in audio[:-3]:
            stream.push(frame)
        # In a call, the caller's pauses leave time for this: decoding has caught up when the turn ends.
        while stream.backlog > 4:  # noqa: ASYNC110 - calls do not need an event for it
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.03)
        for frame in audio[-3:]:
            stream.push(frame)
        asked = time.perf_counter()
        stream.flush()
        heard = await anext(aiter(stream))
        self.final_ms.append((time.perf_counter() - asked) * 1000)
        self.audio_s += len(pcm) / 2 / SAMPLE_RATE
        await stream.aclose()
        return heard.text

    async def load(self) -> float:
        began = time.perf_counter()
        await self._stt.warm()
        return time.perf_counter() - began


def meaning(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    match = best_intent(RULES, words(text))
    return (match.intent.name, tuple(sorted(match.values.items()))) if match is not None else ("", ())


async def say(text: str, voice: str) -> bytes:
    tts = EspeakTTS(ThreadOffload())
    return b"".join([piece.pcm async for piece in tts.synthesize(text, voice=voice, language="")])


async def measure(ear: Ear, voice: str, snr_db: float) -> Score:
    score = Score()
    for seed, text in enumerate(EXPECTED + OTHER):
        heard = await ear.hear(line(await say(text, voice), seed, snr_db))
        if text in OTHER:
            score.other += 1
            score.false += bool(meaning(heard)[0])
            if meaning(heard)[0]:
                score.mistakes.append(f"{text!r} was taken for {heard!r}")
            continue
        score.expected += 1
        score.accepted += bool(heard)
        score.right += meaning(heard) == meaning(text)
        if meaning(heard) != meaning(text):
            score.mistakes.append(f"{text!r} was heard as {heard!r}")
    return score


async def real(ear: Ear, snr_db: float) -> list[tuple[str, str]]:
    return [
        (path.stem.replace("_", " "), await ear.hear(line(path.read_bytes(), 1, snr_db)))
        for path in sorted(REAL.glob("*.raw"))
    ]


def percentile(values: npt.ArrayLike, share: float) -> float:
    return float(np.percentile(np.asarray(values), share))


async def run(options: argparse.Namespace) -> None:
    mode: Mode = "dictation" if options.dictation else "auto"
    expectations = RULES.expectations()
    ear = Ear(mode, expectations)
    print(f"loaded in {await ear.load():.2f} s")
    await ear.hear(
        line(await say("yes", "en-us"), 0, options.snr)
    )  # the grammar, or the language model, is loaded here
    ear.final_ms.clear()
    total, cpu, ear.audio_s = Score(), time.process_time(), 0.0
    print("| voice | right | wrong | nothing heard | other speech taken for it |\n| --- | --- | --- | --- | --- |")
    for voice in options.voices.split(","):
        score = await measure(ear, voice, options.snr)
        show(voice, score)
        for name in ("expected", "accepted", "right", "other", "false"):
            setattr(total, name, getattr(total, name) + getattr(score, name))
        total.mistakes += [f"{voice}: {mistake}" for mistake in score.mistakes]
    show("all", total)
    print(f"\n{(time.process_time() - cpu) / ear.audio_s:.3f} s of CPU for a second of speech")
    print(f"flush to final: median {percentile(ear.final_ms, 50):.0f} ms, p95 {percentile(ear.final_ms, 95):.0f} ms")
    for said, heard in await real(
        Ear(
            mode,
            Expectations(
                (*expectations.phrases, "go (forward|backward) (one|ten) (meter|meters)"),
                expectations.slots,
                expectations.digits,
            ),
        ),
        options.snr,
    ):
        print(f"real speaker: {said!r} -> {heard!r}")
    if options.mistakes:
        print(*total.mistakes, sep="\n")


def show(name: str, score: Score) -> None:
    wrong = score.accepted - score.right
    print(
        f"| {name} | {score.right}/{score.expected} | {wrong} | {score.expected - score.accepted} "
        f"| {score.false}/{score.other} |",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", default=VOICES)
    parser.add_argument("--snr", type=float, default=28.0, help="speech to noise, dB")
    parser.add_argument("--dictation", action="store_true", help="free dictation instead of the grammar")
    parser.add_argument("--mistakes", action="store_true", help="list the mistakes")
    asyncio.run(run(parser.parse_args()))
