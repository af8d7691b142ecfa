"""Both ends of LiveKit SIP for tests: scripted phones, trunks, and listeners in rooms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from rooms import access_of, until

from telephony.livekit.events import LiveKitEvent
from telephony.livekit.room import LiveKitRoom
from telephony.livekit.trunk.desired import Carrier, Desired, Source, desired_objects
from telephony.livekit.trunk.livekit_sip_api import LiveKitSipApi
from telephony.livekit.trunk.plan import Action, apply, make_plan
from telephony.phone import Phone, PhoneCall
from telephony.phone.dialog import Received, respond

CALLER, CALLED = "+15550111", "+15550100"


def carrier(phone: Phone, name: str = "carrier", **more: Any) -> Carrier:
    host, port = phone.address
    return Carrier(name, f"{host}:{port}", (CALLED,), "udp", **more)


def wanted(
    stack: Any,
    numbers: Sequence[str] = (CALLED,),
    patterns: Sequence[str] = (),
    networks: Sequence[str] = ("127.0.0.0/8",),
    carriers: Sequence[Carrier] = (),
    agent_name: str = "",
) -> Desired:
    return desired_objects(
        numbers, patterns, [Source("local", tuple(networks))], carriers, agent_name, stack.api_secret
    )


async def synchronise(api: LiveKitSipApi, desired: Desired) -> list[Action]:
    """What was done."""
    done: list[Action] = []
    await apply(make_plan(desired.objects, await api.objects()), api, done.append)
    return done


@asynccontextmanager
async def sip_api(stack: Any) -> AsyncIterator[LiveKitSipApi]:
    """Everything that Trunkline created is removed afterwards."""
    async with LiveKitSipApi(access_of(stack)) as api:
        try:
            yield api
        finally:
            await apply(make_plan((), await api.objects()), api)


async def notify(phone: Phone, call: PhoneCall, status: int, phrase: str, *, over: bool = True) -> None:
    """Tell of the call to the target of a REFER (RFC 3515 section 2.4)."""
    state = "terminated;reason=noresource" if over else "active;expires=60"
    headers = {"Event": "refer", "Subscription-State": state}
    body = f"SIP/2.0 {status} {phrase}\r\n".encode()
    request = call.dialog.request("NOTIFY", body=body, content_type="message/sipfrag;version=2.0", headers=headers)
    answer = await phone.transact(request, call.peer).final
    assert answer is not None and answer.status == 200


def challenge(phone: Phone, call: PhoneCall) -> None:
    """Ask for a user and password (RFC 3261 section 22), and accept none."""
    assert call.asked is not None
    asked = {"Proxy-Authenticate": 'Digest realm="carrier", nonce="abc", algorithm=MD5, qop="auth"'}
    answer = respond(call.asked, 407, "Proxy Authentication Required", to_tag=call.dialog.tag, headers=asked)
    phone.reply(call.asked, answer)
    call.abandon()


def refuse_refer(phone: Phone, call: PhoneCall, status: int, phrase: str) -> None:
    """The phone of the kit accepts every REFER."""
    usual = call.on_request

    def on_request(request: Received) -> None:
        if request.method == "REFER":
            phone.reply(request, respond(request, status, phrase, to_tag=call.dialog.tag, contact=call.dialog.contact))
        else:
            usual(request)

    call.on_request = on_request  # type: ignore[method-assign]


async def referred(call: PhoneCall) -> str:
    """The target of LiveKit's REFER."""
    await until(lambda: any(each.method == "REFER" for each in call.requests), what="a REFER")
    request = next(each for each in call.requests if each.method == "REFER")
    return next(value for name, value in request.headers.items() if name.lower() == "refer-to")


class Listener:
    """What happened in a room."""

    def __init__(self, room: LiveKitRoom) -> None:
        self.events: list[LiveKitEvent] = []
        room.subscribe(self.events.append)

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.events if isinstance(each, kind)]


async def room_of_call(stack: Any, prefix: str = "call-") -> str:
    """The one room whose name begins so."""
    from livekit import api

    async with api.LiveKitAPI(stack.http_url, stack.api_key, stack.api_secret) as livekit:
        async with asyncio.timeout(5):
            while True:
                rooms = (await livekit.room.list_rooms(api.ListRoomsRequest())).rooms
                names = [room.name for room in rooms if room.name.startswith(prefix)]
                if names:
                    assert len(names) == 1, names
                    return str(names[0])
                await asyncio.sleep(0.05)


async def empty_rooms(stack: Any) -> None:
    from livekit import api

    async with api.LiveKitAPI(stack.http_url, stack.api_key, stack.api_secret) as livekit:
        for room in (await livekit.room.list_rooms(api.ListRoomsRequest())).rooms:
            await livekit.room.delete_room(api.DeleteRoomRequest(room=room.name))


__all__ = [
    "CALLED",
    "CALLER",
    "Listener",
    "carrier",
    "challenge",
    "empty_rooms",
    "notify",
    "referred",
    "refuse_refer",
    "room_of_call",
    "sip_api",
    "synchronise",
    "wanted",
]
