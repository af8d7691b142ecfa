"""Speaks the wordings, 8 kHz and without silence at either end. What was spoken once is kept on disk."""

from __future__ import annotations

import random
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from agent.providers.base import SpokenAudio
from agent.providers.espeak import EspeakTTS
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from gateway.bench.answering.keeping import digest, keep, versions
from gateway.bench.answering.packages import Programs, run_program
from telephony.media.frames import SAMPLE_RATE
from telephony.media.wav import read_channels_at

__all__ = ["Speech", "trimmed"]

Floats = npt.NDArray[np.float32]
_QUIET = 0.01  # of the peak: -40 dB
_SHORT_PAUSE_S = 0.25


class Speech:
    def __init__(self, kept: Path, programs: Programs) -> None:
        """`kept`: the folder for what was spoken."""
        self._kept = kept
        self._programs = programs

    def say(self, text: str, voice: str, draw: random.Random) -> bytes:
        """`voice`: see `voices`. Speed and, after a pause of the text ("..."), silence are drawn."""
        speed = draw.choice((150, 165, 180, 200))
        pieces = []
        for piece in text.split("..."):
            if piece.strip():
                pieces.append(self._piece(piece.strip(), voice, speed))
        return bytes(2 * round(_SHORT_PAUSE_S * SAMPLE_RATE)).join(pieces)

    def _piece(self, text: str, voice: str, words_per_minute: int) -> bytes:
        path = self._kept / f"{digest(text, voice, str(words_per_minute), versions())}.pcm"
        try:
            return path.read_bytes()
        except FileNotFoundError:
            spoken = self._spoken(text, voice, words_per_minute)
        keep(path, spoken)
        return spoken

    def _spoken(self, text: str, voice: str, words_per_minute: int) -> bytes:
        name, _, factor_text = voice.partition("^")
        factor = float(factor_text or 1)
        engine, _, speaker = name.partition(":")
        if engine == "espeak":
            pcm = _espeak(text, speaker, round(words_per_minute / factor))
        elif engine == "flite":
            pcm = self._by_flite(text, speaker, words_per_minute / factor)
        elif engine == "festival":
            pcm = self._by_festival(text, speaker, words_per_minute / factor)
        else:
            from agent.providers.hibari import speech_of

            pcm = speech_of(text, speaker)
        return trimmed(_played_faster(pcm, factor))

    def _by_flite(self, text: str, speaker: str, words_per_minute: float) -> bytes:
        program = self._programs.flite
        assert program is not None
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            stretch = f"duration_stretch={165 / words_per_minute:.2f}"
            command = [str(program), "-voice", speaker, "--setf", stretch, "-t", text, "-o", file.name]
            run_program(command, program.parents[3] / "libflite1" / "usr" / "lib")
            return _narrow(file.name)

    def _by_festival(self, text: str, speaker: str, words_per_minute: float) -> bytes:
        program = self._programs.festival
        assert program is not None
        usr = program.parents[1]
        library = usr / "share" / "festival"
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            steps = (
                f'(set! libdir "{library}")', f'(set! lexdir "{library}/dicts/")', f'(set! datadir "{library}")',
                "(set! load-path (cons libdir nil))", f'(load "{library}/init.scm")', f"(voice_{speaker})",
                f"(Parameter.set 'Duration_Stretch {165 / words_per_minute:.2f})",
                f'(set! said (Utterance Text "{_plain(text)}"))', "(utt.synth said)",
                f'(utt.save.wave said "{file.name}")',
            )  # fmt: skip
            run_program([str(program), "--batch", *steps], usr / "lib")
            return _narrow(file.name)


def _plain(text: str) -> str:
    """In Latin 1's letters without accents, which Festival's Italian voices leave out."""
    folded = unicodedata.normalize("NFKD", text.replace('"', "").replace("\\", ""))
    return "".join(letter for letter in folded if letter.isascii())


def _narrow(path: str) -> bytes:
    rate, channels = read_channels_at(path)
    narrow = soxr.resample(np.frombuffer(channels[0], "<i2").astype(np.float32), rate, SAMPLE_RATE, quality="HQ")
    return _pcm(np.asarray(narrow, np.float32))


def _espeak(text: str, voice: str, words_per_minute: int) -> bytes:
    async def spoken() -> bytes:
        tts = EspeakTTS(VirtualOffload(), words_per_minute=words_per_minute)
        pieces: list[SpokenAudio] = [piece async for piece in tts.synthesize(text, voice=voice, language="")]
        return b"".join(piece.pcm for piece in pieces)

    return run_virtual(spoken())


def _played_faster(pcm: bytes, factor: float) -> bytes:
    if factor == 1:
        return pcm
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    return _pcm(np.asarray(soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE, quality="HQ"), np.float32))


def _pcm(samples: Floats) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()


def trimmed(pcm: bytes) -> bytes:
    """Without what is quieter than 40 dB below the peak, at either end."""
    samples = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32))
    heard = np.flatnonzero(samples > samples.max(initial=0) * _QUIET) if len(samples) else samples
    return pcm[2 * int(heard[0]) : 2 * int(heard[-1]) + 2] if len(heard) else b""
