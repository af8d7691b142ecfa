"""The native library of LiveKit's SDK when it cannot continue."""

from __future__ import annotations

import signal
import subprocess
import sys

PROGRAM = """
from livekit.rtc._proto import ffi_pb2
from telephony.livekit import sdk_media
sdk_media.take_over()
event = ffi_pb2.FfiEvent(panic=ffi_pb2.Panic(message="index out of bounds")).SerializeToString()
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a call worker, which drains when its supervisor says so
sdk_media.native_event(event, len(event))
print("went on")
"""


def test_a_panic_ends_the_process_as_a_crash_does() -> None:
    """Its supervisors then react as after a crash: test_gateway_workers_killed.py, test_worker_crashes.py."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == -signal.SIGABRT
    assert "LiveKit's native library panicked: index out of bounds" in ended.stderr
    assert "went on" not in ended.stdout


def test_joining_does_not_run_the_script_that_names_the_system() -> None:
    """`lsb_release` is found first where nothing is done; what else is on the PATH is found as before."""
    program = (
        "import shutil; from telephony.livekit import sdk_media; sdk_media.take_over();"
        "print(shutil.which('lsb_release')); print(shutil.which('sh'))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    found, shell = ended.stdout.split()
    assert found.endswith("telephony/livekit/stand_ins/lsb_release")
    assert subprocess.run([found, "-a"], capture_output=True, check=True).stdout == b""
    assert shell.endswith("/sh")
