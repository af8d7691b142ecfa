"""A LiveKit SIP without LiveKit: keeps objects and answers calls as scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from telephony.livekit.errors import LiveKitError
from telephony.livekit.liveness import Liveness
from telephony.livekit.trunk.objects import DispatchRule, Found, OutboundTrunk, SipObject
from telephony.livekit.trunk.sip_api import Dial, DialFailed, Transfer

__all__ = ["FakeSipApi"]


class FakeSipApi:
    """Implements `SipObjects` and `SipCalls`. `answers` and `transfers` are the results of the next calls, in order:
    None is an answer; without any, every call is answered. Calls keep ringing while `hold` is cleared."""

    def __init__(self, found: tuple[Found, ...] = ()) -> None:
        self.kept: dict[str, Found] = {each.id: each for each in found}
        self.answers: list[DialFailed | LiveKitError | None] = []
        self.transfers: list[DialFailed | LiveKitError | None] = []
        self.refuses: LiveKitError | None = None  # what the next create, update or delete raises
        self.dialed: list[Dial] = []
        self.transferred: list[Transfer] = []
        self.removed: list[tuple[str, str]] = []
        self.log: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.signs_of_life: list[Liveness] = []  # results of the next probes; the last one repeats
        self._made = 0

    async def objects(self) -> tuple[Found, ...]:
        return tuple(self.kept.values())

    async def create(self, thing: SipObject, trunk_ids: Mapping[str, str]) -> str:
        self._step(f"create {thing.name}", thing, trunk_ids)
        self._made += 1
        id_ = f"ID{self._made}"
        self.kept[id_] = Found(id_, True, _stored(thing))
        return id_

    async def update(self, id: str, thing: SipObject, trunk_ids: Mapping[str, str]) -> None:
        self._step(f"update {id} {thing.name}", thing, trunk_ids)
        self.kept[id] = Found(id, True, _stored(thing))

    async def delete(self, id: str, thing: SipObject) -> None:
        self._step(f"delete {id} {thing.name}", thing, None)
        del self.kept[id]

    async def outbound_trunk_ids(self) -> Mapping[str, str]:
        return {each.thing.name: id_ for id_, each in self.kept.items() if isinstance(each.thing, OutboundTrunk)}

    async def dial(self, dial: Dial) -> str:
        self.dialed.append(dial)
        await self.hold.wait()
        if self.answers and (error := self.answers.pop(0)) is not None:
            raise error
        return f"SCL{len(self.dialed)}"

    async def transfer(self, transfer: Transfer) -> None:
        self.transferred.append(transfer)
        await self.hold.wait()
        if self.transfers and (error := self.transfers.pop(0)) is not None:
            raise error

    async def remove(self, room: str, identity: str) -> bool:
        self.removed.append((room, identity))
        return True

    async def liveness(self, room: str, identity: str) -> Liveness:
        if len(self.signs_of_life) > 1:
            return self.signs_of_life.pop(0)
        return self.signs_of_life[0] if self.signs_of_life else Liveness.ALIVE

    def _step(self, words: str, thing: SipObject, trunk_ids: Mapping[str, str] | None) -> None:
        if self.refuses is not None:
            error, self.refuses = self.refuses, None
            raise error
        if isinstance(thing, DispatchRule) and trunk_ids is not None:
            for name in thing.trunks:
                if trunk_ids[name] not in self.kept:  # KeyError: created before its trunk
                    raise AssertionError(f"{thing.name} names {name}, which does not exist")
        self.log.append(words)


def _stored(thing: SipObject) -> SipObject:
    """LiveKit does not reveal passwords."""
    return replace(thing, password="") if isinstance(thing, OutboundTrunk) else thing
