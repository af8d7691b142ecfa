"""What goes on at the other end after it has answered: speech, pauses, beeps and music, one after the other, before any
line has done something to it. Speech stands at -20 dBFS."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.bench.answering.beeps import beep_of, beeps_of, busy_tone, fax_tones, network_tones
from gateway.bench.answering.cases import KINDS, Part
from gateway.bench.answering.packages import Programs, clip, music
from gateway.bench.answering.recordings import Recorded, recorded
from gateway.bench.answering.speaking import Speech, trimmed
from gateway.bench.answering.voices import draw_voice
from gateway.bench.answering.wording import half, wordings
from telephony.media.frames import SAMPLE_RATE

__all__ = ["SPEECH_DB", "Scene", "Stage", "levelled", "play"]

SPEECH_DB = -20.0
Floats = npt.NDArray[np.float64]
_FROM_RECORDINGS = 0.3  # of the kinds of which there are both
_WORDS_OF = {
    "business long": "business_long", "hold on": "hold_on", "hello twice": "hello", "silent first": "hello",
    "two talkers": "hello", "recorded person": "hello",
    "short": "short_machine", "with a pause": "pause_machine", "mailbox full": "full",
    "menu": "ivr", "hold line": "queue",
}  # fmt: skip


@dataclass(slots=True)
class Scene:
    language: str
    voice: str = ""
    words_at: float | None = None
    greeting_end: float = 0.0
    beep_end: float | None = None
    beeps: str = ""
    spoken: list[tuple[float, float, str]] = field(default_factory=list)
    _pieces: list[Floats] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(len(piece) for piece in self._pieces) / SAMPLE_RATE

    @property
    def audio(self) -> Floats:
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0)

    def pause(self, seconds: float) -> None:
        self._pieces.append(np.zeros(round(seconds * SAMPLE_RATE)))

    def sound(self, pcm: bytes) -> None:
        self._pieces.append(np.frombuffer(pcm, "<i2").astype(np.float64))

    def speech(self, pcm: bytes, text: str, *, greeting: bool = True) -> None:
        """`greeting`: it belongs to the greeting, and is not an answer to us."""
        if self.words_at is None:
            self.words_at = self.seconds
        began = self.seconds
        self._pieces.append(levelled(pcm))
        self.spoken.append((began, self.seconds, text))
        if greeting:
            self.greeting_end = self.seconds

    def beep(self, pcm: bytes, recipe: str) -> None:
        self.sound(pcm)
        self.beep_end, self.beeps = self.seconds, f"{self.beeps} {recipe}".strip()


@dataclass(frozen=True, slots=True)
class Stage:
    """What there is to make scenes with."""

    part: Part
    speech: Speech
    sounds: Path
    programs: Programs

    def voice(self, draw: random.Random, language: str) -> str:
        return draw_voice(draw, self.part, language, self.programs)

    def words(self, draw: random.Random, kind: str, language: str) -> str:
        """Most people who say hello say it in the commonest ways, which stand first."""
        texts = wordings(kind, language, self.part)
        if kind == "hello":
            return draw.choices(texts, [1 / rank for rank in range(1, len(texts) + 1)])[0]
        return draw.choice(sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest()))

    def recorded(self, draw: random.Random, kind: str) -> Recorded | None:
        return recorded(kind, self.part, self.sounds, draw)

    def music(self, draw: random.Random, seconds: float) -> bytes:
        """From somewhere within a track; empty: there is none."""
        tracks = music(self.sounds)
        names = half(list(tracks), self.part)
        if not names:
            return b""
        pcm, wanted = clip(tracks[draw.choice(names)]), 2 * round(seconds * SAMPLE_RATE)
        at = 2 * draw.randrange(max(1, (len(pcm) - wanted) // 2))
        return pcm[at : at + wanted]


def levelled(pcm: bytes, level_db: float = SPEECH_DB) -> Floats:
    """Its loud frames (20 ms, within 30 dB of the loudest) have this RMS."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    squares = np.add.reduceat(samples**2, np.arange(0, len(samples), 160)) / 160 if len(samples) else np.zeros(0)
    loud = squares[squares > squares.max(initial=0) / 1000]
    rms = float(np.sqrt(loud.mean())) if len(loud) else 0.0
    scaled: Floats = samples * (32768 * 10 ** (level_db / 20) / rms) if rms else samples
    return scaled


def play(stage: Stage, kind: str, language: str, draw: random.Random) -> Scene:
    scene = Scene(language)
    scene.pause(draw.uniform(0.1, 1.2))
    truth = KINDS[kind].truth
    if kind == "fax":
        scene.pause(draw.uniform(0.2, 1.5))
        scene.sound(fax_tones(draw, draw.uniform(-22, -10)))
    elif kind == "busy":
        scene.sound(busy_tone(draw, draw.uniform(-28, -16)))
    elif kind == "silence":
        scene.pause(25)
    elif truth == "human":
        _person(stage, kind, scene, draw)
    else:
        _machine(stage, kind, scene, draw)
    return scene


def _person(stage: Stage, kind: str, scene: Scene, draw: random.Random) -> None:
    if kind == "silent first":
        scene.pause(draw.uniform(1.2, 4.0))
    found = stage.recorded(draw, kind) if kind == "recorded person" else None
    scene.voice = stage.voice(draw, scene.language)
    if found is not None:
        _recorded(scene, found)
    else:
        _say(stage, scene, stage.words(draw, _WORDS_OF.get(kind, kind), scene.language), draw)
    if kind == "hello twice":
        scene.pause(draw.uniform(0.8, 2.2))
        _say(stage, scene, stage.words(draw, "reply", scene.language), draw)
    if kind == "two talkers":
        scene.pause(draw.uniform(0.1, 0.6))
        first, scene.voice = scene.voice, stage.voice(draw, scene.language)
        _say(stage, scene, stage.words(draw, "hold_on", scene.language), draw)
        scene.voice = first
    scene.pause(draw.uniform(2.0, 4.0))
    if found is None and draw.random() < 0.6:
        _say(stage, scene, stage.words(draw, "reply", scene.language), draw, greeting=False)
    scene.pause(3.0)


def _machine(stage: Stage, kind: str, scene: Scene, draw: random.Random) -> None:
    if kind == "announcement" and draw.random() < 0.7:
        scene.sound(network_tones())
    if kind == "hold line" and draw.random() < 0.3:
        scene.sound(stage.music(draw, 20.0))
        return
    found = None
    if not KINDS[kind].worded or draw.random() < _FROM_RECORDINGS:
        found = stage.recorded(draw, kind)
    if found is not None:
        _recorded(scene, found)
    else:
        scene.voice = stage.voice(draw, scene.language)
        words = "personal" if not KINDS[kind].worded else _WORDS_OF.get(kind, kind)
        _say(stage, scene, stage.words(draw, words, scene.language), draw)
    _after(stage, kind, scene, found, draw)


def _after(stage: Stage, kind: str, scene: Scene, found: Recorded | None, draw: random.Random) -> None:
    """What follows a machine's greeting."""
    match kind:
        case "hold line":
            scene.pause(draw.uniform(0.2, 1.0))
            scene.sound(stage.music(draw, 15.0) or bytes(2 * 15 * SAMPLE_RATE))
        case "mailbox full" | "announcement":
            scene.pause(draw.uniform(1.0, 3.0))
            if draw.random() < 0.5:
                scene.sound(busy_tone(draw, -24.0)[: 2 * 6 * SAMPLE_RATE])
            scene.pause(3.0)
        case "menu":
            scene.pause(8.0)
        case "screener":
            scene.pause(draw.uniform(0.2, 0.8))
            if draw.random() < 0.4:
                scene.beep(beep_of(draw.choice(beeps_of(stage.part)), draw.uniform(-20, -8)), "screener's")
            scene.pause(8.0)
        case _:
            _beeps(stage, scene, found, draw)
            scene.pause(10.0)


def _beeps(stage: Stage, scene: Scene, found: Recorded | None, draw: random.Random) -> None:
    """None in 12 %; two beeps in 6 %; late ones, after 3 to 5 s, in 5 %."""
    if draw.random() < 0.12:
        return
    recipe, level = draw.choice(beeps_of(stage.part)), draw.uniform(-24, -6)
    scene.pause(draw.uniform(3, 5) if draw.random() < 0.05 else draw.uniform(0.05, 1.6))
    pcm = beep_of(recipe, level)
    if found is not None and found.beep:
        pcm, recipe = trimmed(found.beep), "recorded"
    scene.beep(pcm, recipe)
    if draw.random() < 0.06:
        scene.pause(draw.uniform(0.2, 0.5))
        scene.beep(pcm, recipe)


def _say(stage: Stage, scene: Scene, text: str, draw: random.Random, *, greeting: bool = True) -> None:
    """ "|" is a pause of 1.2 to 2.4 s."""
    for index, piece in enumerate(text.split("|")):
        if index:
            scene.pause(draw.uniform(1.2, 2.4))
        scene.speech(stage.speech.say(piece.strip(), scene.voice, draw), piece.strip(), greeting=greeting)


def _recorded(scene: Scene, found: Recorded) -> None:
    scene.voice, scene.language = found.voice, found.language
    for index, piece in enumerate(found.pieces):
        if index:
            scene.pause(0.08)
        scene.speech(trimmed(piece), found.text if index == 0 else "")
