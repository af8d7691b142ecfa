"""A phone call on virtual time: a caller who speaks by script, a clock that plays the agent's audio frame by frame."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from agent import Agent, AgentSession, SessionOptions
from agent.events import SessionClosed, SessionEvent
from agent.providers.fakes import FakeLLM, FakeOffload, FakeSTT, FakeTTS, FakeVAD, loud
from agent.testing.virtual_clock import run_virtual
from telephony.keys import DigitSource
from telephony.media.frames import SILENCE
from telephony.rooms.fakes import FakeParticipant

E = TypeVar("E", bound=SessionEvent)


class FakeCall:
    """Records the hang-ups with their times and how much audio had been played."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.hung_up: list[tuple[str, float]] = []
        self.played_ms_at_hang_up = 0.0

    @property
    def info(self) -> Any:
        raise LookupError("not asked for here")

    async def hang_up(self, reason: str = "") -> None:
        self.hung_up.append((reason, self.phone.now))
        self.played_ms_at_hang_up = self.phone.room.output.played_ms

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        raise AssertionError("no digits are sent here")


class Phone:
    """`events` in order; `played`: the audio that the caller heard from the first frame on, including silence."""

    def __init__(self, session: AgentSession) -> None:
        self.session = session
        self.room = FakeParticipant()
        self.call = FakeCall(self)
        self.events: list[SessionEvent] = []
        self.loop = asyncio.get_running_loop()
        self.began_at = self.loop.time()
        self._speech = bytearray()
        self.spoke_at: list[float] = []  # the ends of the caller's 20 ms frames that were not silent
        session.subscribe(self.events.append)
        self._clock = self.loop.create_task(self._run_clock(), name="room clock")

    @property
    def now(self) -> float:
        return self.loop.time()

    async def _run_clock(self) -> None:
        frame = 0
        while True:
            frame += 1
            at = round(self.began_at + frame * 0.02, 6)
            await asyncio.sleep(at - self.now)
            pcm, self._speech = bytes(self._speech[:320]).ljust(320, b"\0"), self._speech[320:]
            if pcm.strip(b"\0"):
                self.spoke_at.append(at)
            self.room.input.feed(pcm if pcm.strip(b"\0") else SILENCE, at)
            self.room.output.advance(20, at)

    async def speak(self, ms: float, then_ms: float = 0.0) -> None:
        """Speak for `ms`, then be silent for `then_ms`."""
        self._speech += loud(ms)
        await asyncio.sleep((ms + then_ms) / 1000)

    async def wait(self, ms: float) -> None:
        await asyncio.sleep(ms / 1000)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[E]) -> E:
        found = self.of(kind)
        assert len(found) == 1, f"{len(found)} x {kind.__name__}: {self.types()}"
        return found[0]

    def types(self) -> list[str]:
        return [event.type for event in self.events]

    async def until(self, kind: type[E], count: int = 1, within_ms: float = 60_000) -> E:
        """Wait for the `count`-th event of a kind."""
        deadline = self.now + within_ms / 1000
        while len(self.of(kind)) < count:
            assert self.now < deadline, f"no {kind.__name__} within {within_ms} ms: {self.types()}"
            await asyncio.sleep(0.005)
        return self.of(kind)[count - 1]

    async def closed(self) -> SessionClosed:
        return await self.session.closed


def call(
    script: Callable[[Phone], Awaitable[None]],
    agent: Agent | None = None,
    *,
    llm: Any = None,
    stt: Any = None,
    tts: Any = None,
    vad: Any = None,
    has_vad: bool = True,
    userdata: Any = None,
    **options: Any,
) -> Phone:
    """Run one call to the end of `script`; the session is closed after it."""

    async def run() -> Phone:
        session = AgentSession(
            llm=llm or FakeLLM(),
            stt=stt or FakeSTT(),
            tts=tts or FakeTTS(),
            vad=(vad or FakeVAD()) if has_vad else None,
            options=SessionOptions(**options),
            userdata=userdata,
            offload=FakeOffload(),
        )
        phone = Phone(session)
        await session.start(agent=agent or Agent(), room=phone.room, call=phone.call)
        await script(phone)
        await session.aclose()
        return phone

    return run_virtual(run())
