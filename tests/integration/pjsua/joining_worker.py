"""A worker process for `test_pjsua_two_workers.py`: one PJSIP, one room, commands on stdin and events on stdout, as
lines of JSON. An incoming call becomes the room's `customer`; a dialled one joins the room that its ticket names."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from telephony.call import CallInfo, Direction
from telephony.pjsua import Endpoint, EndpointSettings, IncomingLeg, OutgoingLeg
from telephony.rooms.local import LocalRoom
from telephony.rooms.remote import RemotePlaces, Ticket, take_place


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Worker:
    def __init__(self, low: int, high: int, folder: Path) -> None:
        self.room = LocalRoom("room", asyncio.get_running_loop())
        self.places = RemotePlaces(folder)
        self.endpoint = Endpoint(EndpointSettings((low, high), public_address="127.0.0.1"), self.incoming)
        self.tasks: list[asyncio.Task[None]] = []
        self.dialled: OutgoingLeg | None = None

    async def run(self) -> None:
        await self.places.open()
        await self.endpoint.start()
        tell(sip_port=self.endpoint.sip_port)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            await self.obey(json.loads(line))
        await self.endpoint.close()
        await self.places.close()

    async def obey(self, order: Mapping[str, Any]) -> None:
        match order:
            case {"offer": identity}:
                heard = lambda message: tell(told=dict(message))  # noqa: E731
                ticket, _, _ = self.places.offer(self.room.add_leg(identity), heard, lambda: self.gone(identity))
                tell(path=ticket.path, token=ticket.token)
            case {"dial": leg_id, "edge": edge, "path": path, "token": token}:
                audio, link = await take_place(Ticket(path, token), lambda _: None, lambda: tell(gone="room"))
                info = CallInfo(leg_id, Direction.OUTBOUND, "human", "us", "carrier")
                self.dialled = await self.endpoint.dial(leg_id, info, (edge[0], edge[1]), audio)
                self.tasks.append(asyncio.create_task(self.follow(self.dialled, "human", link.send)))
            case {"hang_up": reason} if self.dialled is not None:
                await self.dialled.hang_up(reason)

    def gone(self, identity: str) -> None:
        self.room.remove(identity)
        tell(gone=identity)

    def incoming(self, leg: IncomingLeg) -> None:
        leg.adopt(CallInfo("customer", Direction.INBOUND, "us", "customer", "carrier"))
        self.tasks.append(asyncio.create_task(self.answer(leg)))

    async def answer(self, leg: IncomingLeg) -> None:
        await leg.answer(self.room.add_leg("customer"))
        await self.follow(leg, "customer", lambda _: None)

    async def follow(self, leg: IncomingLeg | OutgoingLeg, identity: str, pass_on: Any) -> None:
        async for event in leg.events():
            what = {"leg": identity, "event": type(event).__name__}
            pass_on(what)
            tell(**what)


async def main() -> None:
    low, high, folder = sys.argv[1:]
    await Worker(int(low), int(high), Path(folder)).run()


if __name__ == "__main__":
    asyncio.run(main())
