"""Both ends of LiveKit rooms for tests: a phone without SIP (its media clock is a thread) and agents."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from telephony.livekit.access import LiveKitAccess, RoomPlan, join_token
from telephony.livekit.room import LiveKitRoom
from telephony.media.frames import FRAME_BYTES, SILENCE, AudioFrame
from telephony.rooms.protocol import LegAudio

TONE = (10000 * np.sin(2 * math.pi * 500 * np.arange(8000) / 8000)).astype("<i2").tobytes()  # 1 s


def access_of(stack: Any) -> LiveKitAccess:
    return LiveKitAccess(stack.url, stack.api_key, stack.api_secret)


def loud(pcm: bytes) -> bool:
    return bool(np.abs(np.frombuffer(pcm, "<i2").astype(int)).max(initial=0) > 2000)


def a_room(
    access: LiveKitAccess, name: str, identity: str, kind: str = "standard", plan: RoomPlan | None = None, **more: Any
) -> LiveKitRoom:
    attributes = more.pop("attributes", None)

    def token() -> str:
        return join_token(access, name, identity, kind=kind, attributes=attributes, plan=plan or RoomPlan())

    return LiveKitRoom(access.url, token, name=name, identity=identity, **more)


class MediaClock:
    """What PJSIP's media thread does for a leg: every 20 ms one push and one pull."""

    def __init__(self, audio: LegAudio) -> None:
        self._audio = audio
        self._say: deque[bytes] = deque()
        self._stop = threading.Event()
        self.heard: list[tuple[float, bytes]] = []
        self.said_loud_at: list[float] = []
        self.latest_s = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def say(self, pcm: bytes) -> None:
        self._say.extend(pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES))

    @property
    def quiet(self) -> bool:
        """Nothing has been heard for 0.3 s."""
        return not any(loud(pcm) for _, pcm in self.heard[-15:])

    async def until_heard(self, limit_s: float = 5.0) -> None:
        """Send audio until some is heard: audio sent before the connections are established is lost."""
        begun = len(self.heard)
        async with asyncio.timeout(limit_s):
            while not any(loud(pcm) for _, pcm in self.heard[begun:]):
                if not self._say:
                    self.say(TONE[:3200])
                await asyncio.sleep(0.02)

    def start(self) -> MediaClock:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            due += 0.02
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            self.latest_s = max(self.latest_s, now - due)
            frame = self._say.popleft() if self._say else SILENCE
            if loud(frame):
                self.said_loud_at.append(now)
            self._audio.push(frame, now)
            self.heard.append((now, self._audio.pull(now)))


@asynccontextmanager
async def phone_in(room: LiveKitRoom):
    clock = MediaClock(room.add_leg("caller")).start()
    try:
        await room.join()
        yield clock
    finally:
        clock.stop()
        await room.close()


class Echo:
    """An agent that echoes what it hears."""

    def __init__(self, room: LiveKitRoom) -> None:
        self.place = room.add_agent("agent")
        self.heard: list[AudioFrame] = []
        self.place.audio_input.subscribe(self._hear)

    def _hear(self, frame: AudioFrame) -> None:
        self.heard.append(frame)
        self.place.audio_output.push(frame.pcm)


async def until(condition: Callable[[], Any], limit_s: float = 5.0, what: str = "it") -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.02)
