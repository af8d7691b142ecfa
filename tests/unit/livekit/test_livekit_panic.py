"""LiveKit's native part panics: the process must end at once, however it handles SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sys

PANICS = """
import ctypes, signal, time
from livekit.rtc._proto.ffi_pb2 import FfiEvent
from telephony.livekit import sdk_media

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as call workers and job processes do
event = FfiEvent()
event.panic.message = "index out of bounds"
said = event.SerializeToString()
sdk_media._callback(ctypes.cast(ctypes.create_string_buffer(said), ctypes.POINTER(ctypes.c_uint8)), len(said))
time.sleep(30)
"""


def test_a_panic_is_a_crash_with_a_word_about_it() -> None:
    process = subprocess.run([sys.executable, "-c", PANICS], capture_output=True, text=True, timeout=20, check=False)
    assert process.returncode == -signal.SIGABRT
    assert "panicked: index out of bounds" in process.stderr
