"""Personas for the tests of `trunkline worker`."""

import asyncio
import ctypes
import json
from pathlib import Path

from agent import Agent, RunContext


class Clinic(Agent):
    """You answer the phone of a clinic."""

    greeting = "Sunrise clinic, how can I help?"


class Counting(Agent):
    """You count how often you were restored, and keep a number over it."""

    greeting = "I count."

    def __init__(self) -> None:
        super().__init__()
        self.number = 41

    async def on_enter(self, ctx: RunContext) -> None:
        self.number += 1

    def snapshot(self) -> int:
        return self.number

    def restore(self, data: int) -> None:
        self.number = data
        Path(__file__).with_name("restored.json").write_text(json.dumps(data))


class Broken(Agent):
    """You can't be made."""

    def __init__(self) -> None:
        raise RuntimeError("it can't be made")


class Panicking(Agent):
    """You wait for the file `panic`; then LiveKit's native library says that it has panicked."""

    greeting = "All is well."

    async def on_enter(self, ctx: RunContext) -> None:
        self.waiting = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        from livekit.rtc._proto.ffi_pb2 import FfiEvent

        from telephony.livekit.sdk_media import _callback

        while not Path(__file__).with_name("panic").exists():
            await asyncio.sleep(0.05)
        event = FfiEvent()
        event.panic.message = "a test"
        said = event.SerializeToString()
        _callback(ctypes.cast(ctypes.create_string_buffer(said), ctypes.POINTER(ctypes.c_uint8)), len(said))
