"""An endpoint under test, its legs, and phones to call it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections import deque
from typing import TypeVar

from pjsua_phone import Phone

from telephony.call import LegEnded, LegEvent
from telephony.media.frames import SILENCE
from telephony.pjsua import Endpoint, EndpointSettings, IncomingLeg, OutgoingLeg

_E = TypeVar("_E")


def rtp_range(pairs: int = 20) -> tuple[int, int]:
    """Free UDP ports in a row, from below those that the system hands out by itself."""
    while True:
        low = random.randrange(10000, 31000, 2)
        try:
            with contextlib.ExitStack() as probes:
                for port in range(low, low + 2 * pairs):
                    probe = probes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    probe.bind(("", port))
        except OSError:
            continue
        return low, low + 2 * pairs - 1


class Echo:
    """A room that says what it hears. Counts its ticks."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.pushed: list[tuple[float, bytes]] = []
        self.pulled: list[float] = []

    def push(self, pcm: bytes, at: float) -> None:
        self.pushed.append((at, pcm))
        self.frames.append(pcm)

    def pull(self, at: float) -> bytes:
        self.pulled.append(at)
        return self.frames.popleft() if self.frames else SILENCE


class Taken:
    """A leg and what has happened to it."""

    def __init__(self, leg: IncomingLeg | OutgoingLeg, audio: Echo | None = None) -> None:
        self.leg = leg
        self.events: list[LegEvent] = []
        self.audio = audio or Echo()
        self._changed = asyncio.Condition()
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self.leg.events():
            async with self._changed:
                self.events.append(event)
                self._changed.notify_all()

    async def seen(self, kind: type[_E], count: int = 1) -> _E:
        """The `count`-th event of a kind, once it has come."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    def of(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def ended(self) -> LegEnded:
        async with asyncio.timeout(10):
            await self.task
        assert len(self.of(LegEnded)) == 1
        assert isinstance(self.events[-1], LegEnded)
        return self.events[-1]


class Bench:
    """An endpoint whose calls are handed to the test, and phones to call it."""

    def __init__(self, settings: EndpointSettings) -> None:
        self.endpoint = Endpoint(settings, self._incoming)
        self._legs: asyncio.Queue[Taken] = asyncio.Queue()
        self._phones: list[Phone] = []

    async def __aenter__(self) -> Bench:
        await self.endpoint.start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    def _incoming(self, leg: IncomingLeg) -> None:
        self._legs.put_nowait(Taken(leg))

    async def leg(self) -> Taken:
        async with asyncio.timeout(5):
            return await self._legs.get()

    def quiet(self) -> bool:
        return self._legs.empty()

    async def phone(self) -> Phone:
        phone = await Phone(self.endpoint.sip_port).open()
        self._phones.append(phone)
        return phone

    async def answered(self, *codecs: str) -> tuple[Phone, Taken]:
        """A call that is up."""
        phone = await self.phone()
        call = asyncio.create_task(phone.call(*codecs))
        taken = await self.leg()
        await taken.leg.answer(taken.audio)
        assert (await call).status == 200
        return phone, taken

    async def close(self) -> None:
        for phone in self._phones:
            if not phone.answer_bye:
                phone.close()
        await self.endpoint.close()
        for phone in self._phones:
            phone.close()
