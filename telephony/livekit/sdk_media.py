"""The audio of LiveKit's SDK on a direct path, and the handling of failures of its native part.

The SDK's own path costs two queues, two loop wake-ups and five objects per 10 ms, and passes every line that its native
part logs, traces included, to Python: half of what a job process used. Here frames go straight between any thread and
the native library, by the calls of its C header (`livekit_ffi.h`); everything else stays with the SDK.

Besides that header this relies on names inside `livekit.rtc` (`_ffi_client`, `_proto`, `_ffi_handle`): pyproject.toml
allows only the releases that were tested.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.rtc._ffi_client import INVALID_HANDLE, FfiClient
from livekit.rtc._proto import audio_frame_pb2, ffi_pb2

from telephony.media.frames import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE

__all__ = ["MediaSource", "MediaStream", "native_event", "take_over"]

_OURS = 0x7472756E6B6C696E  # the ID of all our captures: nothing waits for them
_CAPTURED = ffi_pb2.FfiEvent(
    capture_audio_frame=audio_frame_pb2.CaptureAudioFrameCallback(async_id=_OURS)
).SerializeToString()
_STAND_INS = Path(__file__).with_name("stand_ins")
_log = logging.getLogger(__name__)

_streams: dict[int, Callable[[bytes], None]] = {}
_known_threads: set[int] = set()
_taken_over = False


def take_over() -> None:
    """Call once per process, before its first room and not before a fork: starts the native runtime (50 ms).

    From then on RUST_LOG controls its log to standard error; unset means no log, since it quotes tokens."""
    global _taken_over
    if _taken_over:
        return
    _taken_over = True
    os.environ.setdefault("RUST_LOG", "off")
    # For each room that it joins, the native part runs `lsb_release` (if installed) to name the system: a shell script
    # that takes 25 ms, and 100 ms when eight calls arrive at once. Ours prints nothing and returns at once, so
    # /etc/os-release is read instead.
    os.environ["PATH"] = f"{_STAND_INS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    FfiClient.instance._ffi_lib.livekit_ffi_initialize(_callback, False, b"python", rtc.__version__.encode())


def native_event(data: Any, size: int) -> None:
    """Called on the native library's threads."""
    thread = threading.get_ident()
    if thread not in _known_threads:
        # Python creates a thread state for an unknown thread and discards it after each call. Holding one keeps it (a
        # tenth of what a call's audio costs). There are as many as the library has threads: three or four.
        _known_threads.add(thread)
        ctypes.pythonapi.PyGILState_Ensure()
    told = ctypes.string_at(data, size)
    if told == _CAPTURED:
        return
    event = ffi_pb2.FfiEvent.FromString(told)
    kind = event.WhichOneof("message")
    if kind == "audio_stream_event":
        heard = _streams.get(event.audio_stream_event.stream_handle)
        if heard is not None:
            _heard(event.audio_stream_event, heard)
            return
    elif kind == "capture_audio_frame" and event.capture_audio_frame.async_id == _OURS:
        if event.capture_audio_frame.error:
            _log.warning("publishing a frame failed: %s", event.capture_audio_frame.error)
        return
    elif kind == "panic":
        _panic(event.panic.message)
    FfiClient.instance.queue.put(event)


_callback = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t)(native_event)


def _heard(told: Any, heard: Callable[[bytes], None]) -> None:
    if told.HasField("eos"):
        _streams.pop(told.stream_handle, None)
        return
    buffer = told.frame_received.frame
    size = 2 * buffer.info.samples_per_channel
    pcm = ctypes.string_at(buffer.info.data_ptr, size)
    FfiClient.instance._ffi_lib.livekit_ffi_drop_handle(buffer.handle.id)
    if size == FRAME_BYTES:
        heard(pcm)


def _panic(message: str) -> None:
    """The native part can neither continue nor shut down cleanly. The SDK would send SIGTERM, which a call worker takes
    for its supervisor's request to drain. As a crash it is noticed at once, and others take over the calls."""
    print(f"LiveKit's native library panicked: {message}", file=sys.stderr, flush=True)
    os.abort()


class MediaSource:
    """Accepts 20 ms frames, on any thread, and passes them to the encoder at once."""

    def __init__(self, loop: Any) -> None:
        take_over()
        self.source = rtc.AudioSource(SAMPLE_RATE, 1, 0, loop)
        self._lock = threading.Lock()
        self._open = True
        self._frame = ctypes.create_string_buffer(FRAME_BYTES)
        start = ctypes.addressof(self._frame)
        # The request is the same for each frame; only the data that it points to changes.
        self._requests = tuple(self._capture(start + offset) for offset in (0, FRAME_BYTES // 2))
        self._answer = ctypes.POINTER(ctypes.c_ubyte)()
        self._answer_size = ctypes.c_size_t()
        self._answers = (ctypes.byref(self._answer), ctypes.byref(self._answer_size))
        library = FfiClient.instance._ffi_lib
        self._ask, self._drop = library.livekit_ffi_request, library.livekit_ffi_drop_handle

    def put(self, pcm: bytes) -> None:
        """20 ms; they are copied. Does nothing after `close`."""
        with self._lock:
            if not self._open:
                return
            ctypes.memmove(self._frame, pcm, FRAME_BYTES)
            for request in self._requests:
                answer = self._ask(request, len(request), *self._answers)
                if answer != INVALID_HANDLE:
                    self._drop(answer)

    def _capture(self, address: int) -> Any:
        request = ffi_pb2.FfiRequest()
        capture = request.capture_audio_frame
        capture.source_handle = self.source._ffi_handle.handle
        capture.request_async_id = _OURS
        capture.buffer.data_ptr = address
        capture.buffer.num_channels = 1
        capture.buffer.sample_rate = SAMPLE_RATE
        capture.buffer.samples_per_channel = FRAME_SAMPLES // 2  # a source without a queue takes 10 ms at a time
        serialized = request.SerializeToString()
        return (ctypes.c_ubyte * len(serialized)).from_buffer_copy(serialized)

    async def close(self) -> None:
        with self._lock:
            self._open = False
        await self.source.aclose()


class MediaStream:
    """The audio of one remote track: `heard` gets 20 ms of 8 kHz audio at a time, on a thread of the native
    library, until the track ends or `close`. It must not raise."""

    def __init__(self, track: Any, heard: Callable[[bytes], None]) -> None:
        take_over()
        request = ffi_pb2.FfiRequest()
        stream = request.new_audio_stream
        stream.track_handle = track._ffi_handle.handle
        stream.type = audio_frame_pb2.AUDIO_STREAM_NATIVE
        stream.sample_rate = SAMPLE_RATE
        stream.num_channels = 1
        stream.frame_size_ms = FRAME_MS
        stream.queue_size_frames = 0
        answer = FfiClient.instance.request(request)
        self._handle = answer.new_audio_stream.stream.handle.id
        self._heard = heard
        _streams[self._handle] = self._pass_on

    def close(self) -> None:
        """Idempotent. Frames in transit are dropped."""
        if self._heard is not _nobody:
            self._heard = _nobody  # it stays registered until the native part reports its end
            FfiClient.instance._ffi_lib.livekit_ffi_drop_handle(self._handle)

    def _pass_on(self, pcm: bytes) -> None:
        self._heard(pcm)


def _nobody(_: bytes) -> None: ...
