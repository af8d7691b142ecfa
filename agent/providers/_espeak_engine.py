"""espeak-ng through ctypes: one library and one thread per process.

The library keeps its state in globals and is not thread-safe, so a single worker thread uses it; it is started at
the first use after a fork, never inherited. The mode is "synchronous": espeak_Synth returns when the text is spoken,
and the library starts no thread of its own.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import espeakng_loader

__all__ = ["SAMPLE_RATE", "Speech", "UnknownVoice", "find_voice", "load", "speak"]

SAMPLE_RATE = 22050  # Hz, of the library's voices
T = TypeVar("T")

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: an error code instead of exit()
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_EVENT_LIST_END, _EVENT_WORD = 0, 1
_RATE = 1  # espeakRATE, words a minute
_BUFFER_MS = 20  # the library calls back this often (in audio time)


class UnknownVoice(ValueError):
    """No such espeak-ng voice."""


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, counted from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)  # returns 1 to stop


@dataclass(frozen=True, slots=True)
class Speech:
    """One text to speak, with a voice from `find_voice`. `on_audio(pcm, marks)` is called on the engine's thread for
    each piece of 16-bit audio, with (0-based character, ms into the audio) for each word that begins in it; it
    returns False to stop."""

    text: str
    voice: str
    words_per_minute: int
    on_audio: Callable[[bytes, list[tuple[int, float]]], bool]


class _VoiceInfo(ctypes.Structure):
    """espeak_VOICE of speak_lib.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # a list of (priority byte, zero-terminated tag), ended by a zero byte
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


class _Library:
    """The library, loaded afresh for one utterance (2 ms) and unloaded afterwards.

    Its flutter and wave phase are globals that no call resets: if it stayed loaded, it would speak the same text
    differently each time, and a replayed call could not be compared with its recording.
    """

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        data = os.fsencode(espeakng_loader.get_data_path())
        self.sample_rate = int(self._lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, data, _DONT_EXIT))
        if self.sample_rate <= 0:
            raise RuntimeError("espeak-ng could not be initialised: its data files are missing or of another version")
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(1))  # by default it is seeded with the time of day
        self._speech: Speech | None = None
        self._error: BaseException | None = None
        self._callback = _CALLBACK(self._on_audio)  # keep a reference: the library holds only a pointer
        self._lib.espeak_SetSynthCallback(self._callback)

    def __enter__(self) -> _Library:
        return self

    def __exit__(self, *exc: object) -> None:
        self._lib.espeak_Terminate()
        _ctypes.dlclose(self._lib._handle)

    def voices(self) -> dict[str, str]:
        """Language tag, identifier or name, in lower case -> identifier. Voices that need mbrola are left out."""
        list_voices = self._lib.espeak_ListVoices
        list_voices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceInfo))
        found: dict[str, str] = {}
        for pointer in list_voices(None):
            if not pointer:
                break
            info = pointer.contents
            identifier = info.identifier.decode()
            if identifier.startswith("mb/"):
                continue
            tag = (info.languages or b"")[1:].decode()
            file_name = identifier.rsplit("/", 1)[-1]
            for key in (tag, file_name, identifier, info.name.decode()):
                found.setdefault(key.lower(), identifier)
        return found

    def speak(self, speech: Speech) -> None:
        if self._lib.espeak_SetVoiceByName(speech.voice.encode()) != 0:
            raise UnknownVoice(speech.voice)
        self._lib.espeak_SetParameter(_RATE, speech.words_per_minute, 0)
        text = speech.text.encode()
        self._speech, self._error = speech, None
        try:
            status = self._lib.espeak_Synth(
                text, ctypes.c_size_t(len(text) + 1), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
            )
        finally:
            self._speech = None
        if self._error is not None:
            raise self._error
        if status != 0:
            raise RuntimeError(f"espeak_Synth failed with status {status}")

    def _on_audio(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        speech = self._speech
        if speech is None:
            return 1
        try:
            marks = []
            for index in range(4096):
                event = events[index]
                if event.type == _EVENT_LIST_END:
                    break
                if event.type == _EVENT_WORD:
                    marks.append((event.text_position - 1, float(event.audio_position)))
            pcm = ctypes.string_at(samples, count * 2) if samples and count > 0 else b""
            return 0 if speech.on_audio(pcm, marks) else 1
        except BaseException as error:  # noqa: BLE001 - ctypes would print and drop it; it is raised after espeak_Synth
            self._error = error
            return 1


class _Engine:
    """The thread that owns the library, for one process id."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="espeak", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._jobs.get()()

    def submit(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)


_engine: _Engine | None = None
_engine_lock = threading.Lock()


def _this_process_engine() -> _Engine:
    global _engine
    with _engine_lock:
        if _engine is None or _engine.pid != os.getpid():
            _engine = _Engine()
        return _engine


def _forget_lock() -> None:
    global _engine_lock
    _engine_lock = threading.Lock()  # another thread of the parent may have held it at the fork


os.register_at_fork(after_in_child=_forget_lock)


def _on_engine(work: Callable[[], T]) -> T:
    """Run on the engine's thread and wait."""
    done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def job() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            done.put((None, error))

    _this_process_engine().submit(job)
    result, error = done.get()
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # None only when T is None


@cache
def _variants() -> frozenset[str]:
    return frozenset(path.name for path in Path(espeakng_loader.get_data_path(), "voices", "!v").iterdir())


_voices: dict[str, str] = {}


def _load_voices() -> dict[str, str]:
    if not _voices:
        with _Library() as library:
            _voices.update(library.voices())
    return _voices


def load() -> None:
    """Read the list of voices now, without a thread: for a parent that forks, before any other use."""
    _load_voices()


def find_voice(voice: str) -> str:
    """The library's identifier for a language tag, name or identifier, with its `+variant` if any. Blocks, for
    milliseconds the first time. Raises UnknownVoice."""
    base, plus, variant = voice.partition("+")
    identifier = (_voices or _on_engine(_load_voices)).get(base.lower())
    if identifier is None or (plus and variant not in _variants()):
        raise UnknownVoice(voice)
    return identifier + plus + variant


def speak(speech: Speech, on_done: Callable[[BaseException | None], None]) -> None:
    """Queue `speech`; `on_done` is called on the engine's thread at its end, with the error if there was one."""

    def job() -> None:
        try:
            with _Library() as library:
                library.speak(speech)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the speech
            on_done(error)
        else:
            on_done(None)

    _this_process_engine().submit(job)
