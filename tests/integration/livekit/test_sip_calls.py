"""Calls through the real LiveKit SIP: in, out, keys, transfers."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from rooms import TONE, a_room, access_of, loud, phone_in, until
from sip_parts import (
    CALLED,
    CALLER,
    Listener,
    carrier,
    challenge,
    empty_rooms,
    notify,
    referred,
    refuse_refer,
    room_of_call,
    sip_api,
    synchronise,
    wanted,
)

from telephony.call import CallOutcome, OutcomeKind, TransferOutcome
from telephony.livekit.errors import LiveKitRefused, LiveKitUnreachable, NotInRoom
from telephony.livekit.events import AttributesChanged, DtmfReceived, ParticipantLeft
from telephony.livekit.trunk.desired import Carrier
from telephony.livekit.trunk.dialing import LiveKitSipTrunk, transfer
from telephony.livekit.trunk.errors import (
    CarrierUnreachable,
    SipCredentialsWrong,
    SipDown,
    SipNotSetUp,
    SipTrunkMissing,
)
from telephony.livekit.trunk.livekit_sip_api import LiveKitSipApi
from telephony.phone import CallFailed, Phone, PhoneCall
from telephony.phone.analysis import digits_heard, onset_after


@pytest.fixture(autouse=True)
async def no_rooms_left(livekit_stack):
    yield
    await empty_rooms(livekit_stack)


def uri(stack, number: str = CALLED) -> str:
    host, port = stack.sip_address
    return f"sip:{number}@{host}:{port}"


@asynccontextmanager
async def inbound_call(stack):
    """A phone in a call through LiveKit SIP, and the room where somebody else is: (phone, call, room, line, heard)."""
    await empty_rooms(stack)  # other tests' calls leave rooms that stand for a while
    async with sip_api(stack) as api, Phone() as phone:
        await synchronise(api, wanted(stack))
        call = await phone.dial(uri(stack), caller=CALLER)
        room = a_room(access_of(stack), await room_of_call(stack), "human-1")
        listener = Listener(room)
        async with phone_in(room) as line:
            await call.answered()
            await until(lambda: bool(room.speaking_tracks), what="the phone's audio")
            yield api, phone, call, room, line, listener


@asynccontextmanager
async def outbound(stack, **more):
    """(phone, trunk): who is called through LiveKit, and the trunk to do it by."""
    async with sip_api(stack) as api, Phone(user="callee") as phone:
        await synchronise(api, wanted(stack, carriers=[carrier(phone, **more)]))
        yield phone, LiveKitSipTrunk(api, "carrier")


async def published(stack, room: str) -> None:
    """LiveKit SIP has joined and published the phone's track. LiveKit server lists a phone that is still connecting;
    LiveKit SIP (1.8) notices only after 5 to 10 s that one was removed before that."""
    from livekit import api

    async with api.LiveKitAPI(stack.http_url, stack.api_key, stack.api_secret) as livekit:
        async with asyncio.timeout(5):
            while True:
                there = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
                if any(phone.tracks for phone in there.participants):
                    return
                await asyncio.sleep(0.02)


async def test_both_sides_of_an_inbound_call_hear_each_other(livekit_stack) -> None:
    async with inbound_call(livekit_stack) as (_, _, call, room, line, listener):
        print("INVITE -> 200", round(call.setup_ms), "ms")
        caller = next(iter(room.participants))
        assert (caller.identity, caller.kind.value) == (f"sip_{CALLER}", "sip")
        attributes = caller.attributes
        assert attributes["sip.phoneNumber"] == CALLER
        assert attributes["sip.trunkPhoneNumber"] == CALLED
        assert attributes["sip.callID"].startswith("SCL_")
        assert attributes["trunkline.trunk"] == "local"
        assert room.name.startswith("call-")
        call.play(TONE[:8000])
        await until(lambda: any(loud(pcm) for _, pcm in line.heard), what="the phone's tone")
        said_at = asyncio.get_running_loop().time()
        line.say(TONE[:8000])
        await until(lambda: onset_after(call.received, said_at) is not None, what="the room's tone")
        told = listener.of(AttributesChanged)
        assert told[-1].attributes["sip.callStatus"] == "active"


async def test_the_phone_that_hangs_up_leaves_and_who_is_removed_is_hung_up(livekit_stack) -> None:
    async with inbound_call(livekit_stack) as (_, _, call, _, _, listener):
        await call.hang_up()
        # In one of seven calls LiveKit server (1.13) refreshes the phone's token just then, loses its goodbye by that,
        # and misses it only when its connection has been dead for 20 s.
        await until(lambda: listener.of(ParticipantLeft), 30)
    await empty_rooms(livekit_stack)
    async with inbound_call(livekit_stack) as (api, _, call, room, _, _):
        assert await api.remove(room.name, f"sip_{CALLER}")
        async with asyncio.timeout(5):
            assert (await call.wait_bye()).by == "peer"
        assert not await api.remove(room.name, f"sip_{CALLER}")


@pytest.mark.parametrize("how", ["removed", "deleted"])
async def test_who_is_put_out_before_anybody_listens_is_busy(livekit_stack, how) -> None:
    """LiveKit SIP answers when somebody in the room subscribes to the caller; until then a call can be refused."""
    await empty_rooms(livekit_stack)
    async with sip_api(livekit_stack) as api, Phone() as phone:
        await synchronise(api, wanted(livekit_stack))
        call = await phone.dial(uri(livekit_stack), caller=CALLER)
        room = await room_of_call(livekit_stack)
        await until(lambda: call.ringing_at, what="ringing")
        await published(livekit_stack, room)
        assert call.answered_at is None
        if how == "removed":
            await api.remove(room, f"sip_{CALLER}")
        else:
            await empty_rooms(livekit_stack)
        with pytest.raises(CallFailed, match="486 Rejected"):
            async with asyncio.timeout(3):
                await call.answered()


async def test_keys_go_both_ways(livekit_stack) -> None:
    async with inbound_call(livekit_stack) as (_, _, call, room, _, listener):
        await call.send_digits("12#")
        await until(lambda: len(listener.of(DtmfReceived)) == 3)
        assert [(each.digit, each.identity) for each in listener.of(DtmfReceived)] == [
            (digit, f"sip_{CALLER}") for digit in "12#"
        ]
        await room.send_digits("7*")
        await until(lambda: len(digits_heard(call.received)) == 2)
        assert [each.digit for each in digits_heard(call.received)] == ["7", "*"]


@pytest.mark.parametrize(("numbers", "patterns", "answered"), [([CALLED], [], False), ([CALLED], ["+1555*"], True)])
async def test_a_number_that_only_a_pattern_has(livekit_stack, numbers, patterns, answered) -> None:
    async with sip_api(livekit_stack) as api, Phone() as phone:
        await synchronise(api, wanted(livekit_stack, numbers, patterns))
        call = await phone.dial(uri(livekit_stack, "+15550177"), caller=CALLER)
        if answered:
            async with phone_in(a_room(access_of(livekit_stack), await room_of_call(livekit_stack), "human-1")):
                await call.answered()
        else:
            await gets_no_answer(call)


async def gets_no_answer(call: PhoneCall) -> None:
    """What LiveKit SIP makes of calls that no trunk lets in: they ring, and even a CANCEL gets no answer."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await call.answered()


async def test_calls_from_other_networks_are_refused(livekit_stack) -> None:
    async with sip_api(livekit_stack) as api, Phone() as phone:
        await synchronise(api, wanted(livekit_stack, networks=["192.0.2.0/24"]))
        await gets_no_answer(await phone.dial(uri(livekit_stack), caller=CALLER))


async def test_an_outbound_call_that_is_answered(livekit_stack) -> None:
    room = a_room(access_of(livekit_stack), "out", "human-1")
    listener = Listener(room)
    async with outbound(livekit_stack) as (phone, trunk), phone_in(room) as line:
        calling = asyncio.create_task(
            trunk.call("+15550123", "out", "sip_callee", display_name="Sunrise Clinic", digits="1w2")
        )
        call = await phone.incoming()
        assert call.asked.message.uri_text.startswith("sip:+15550123@")
        assert "Sunrise Clinic" in call.asked.value("from") and CALLED in call.asked.value("from")
        await call.ring()
        await call.answer()
        outcome = await calling
        assert outcome == CallOutcome(OutcomeKind.ANSWERED, 200, "OK", outcome.sip_call_id)
        assert outcome.sip_call_id.startswith("SCL_")
        await until(lambda: len(digits_heard(call.received)) == 2)
        first, second = digits_heard(call.received)
        assert (first.digit, second.digit) == ("1", "2")
        assert second.at - first.at > 0.5
        await until(lambda: bool(room.speaking_tracks))
        said = call.play(TONE[:8000])
        await until(lambda: any(loud(pcm) for _, pcm in line.heard), what="the phone's tone")
        said_at = asyncio.get_running_loop().time()
        line.say(TONE[:8000])
        await until(lambda: onset_after(call.received, said_at) is not None, what="the room's tone")
        await said.done
        await call.send_digits("5")
        await until(lambda: listener.of(DtmfReceived))
        await room.send_digits("9")
        await until(lambda: len(digits_heard(call.received)) == 3)
        assert digits_heard(call.received)[-1].digit == "9"


@pytest.mark.parametrize(
    ("status", "phrase", "kind"),
    [
        (486, "Busy Here", OutcomeKind.BUSY),
        (600, "Busy Everywhere", OutcomeKind.BUSY),
        (603, "Decline", OutcomeKind.REJECTED),
        (403, "Forbidden", OutcomeKind.REJECTED),
        (608, "Rejected", OutcomeKind.REJECTED),
        (480, "Gone To Lunch", OutcomeKind.NO_ANSWER),
        (408, "Request Timeout", OutcomeKind.NO_ANSWER),
        (404, "Not Found", OutcomeKind.INVALID_NUMBER),
        (503, "Service Unavailable", OutcomeKind.FAILED),
    ],
)
async def test_an_outbound_call_that_is_refused(livekit_stack, status, phrase, kind) -> None:
    async with outbound(livekit_stack) as (phone, trunk):
        calling = asyncio.create_task(trunk.call("+15550123", "out", "sip_callee"))
        call = await phone.incoming()
        await call.reject(status, phrase)
        async with asyncio.timeout(5):
            assert await calling == CallOutcome(kind, status, phrase)
        with pytest.raises(TimeoutError):  # nobody may be called twice
            async with asyncio.timeout(0.3):
                await phone.incoming()


async def test_nobody_answers(livekit_stack) -> None:
    async with outbound(livekit_stack) as (phone, trunk):
        calling = asyncio.create_task(trunk.call("+15550123", "out", "sip_callee", ringing_timeout_s=1.5))
        call = await phone.incoming()
        await call.ring()
        async with asyncio.timeout(5):
            assert await calling == CallOutcome(OutcomeKind.NO_ANSWER, 0, "nobody answered in time")
            assert (await call.wait_bye()).status == 487  # cancelled


async def test_a_call_that_is_given_up_at_once_never_rings_on(livekit_stack) -> None:
    async with outbound(livekit_stack) as (phone, trunk):
        await trunk._trunk_id()
        calling = asyncio.create_task(trunk.call("+15550123", "out", "sip_callee"))
        await asyncio.sleep(0.01)  # the request is out, but LiveKit SIP is not in the room
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        try:
            async with asyncio.timeout(1.0):
                call = await phone.incoming()
        except TimeoutError:
            return  # it was never called
        async with asyncio.timeout(2.0):
            assert (await call.wait_bye()).status == 487


async def test_a_call_that_is_given_up_stops_ringing(livekit_stack) -> None:
    async with outbound(livekit_stack) as (phone, trunk):
        calling = asyncio.create_task(trunk.call("+15550123", "out", "sip_callee"))
        call = await phone.incoming()
        await call.ring()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        async with asyncio.timeout(3):
            assert (await call.wait_bye()).status == 487


@pytest.mark.parametrize("more", [{}, {"username": "me", "password": "wrong"}])
async def test_wrong_credentials(livekit_stack, more) -> None:
    async with outbound(livekit_stack, **more) as (phone, trunk):

        async def refuse_all() -> None:
            while True:
                challenge(phone, await phone.incoming())

        refusing = asyncio.create_task(refuse_all())
        with pytest.raises(SipCredentialsWrong, match="set auth_username and auth_password"):
            await trunk.call("+15550123", "out", "sip_callee")
        refusing.cancel()


async def test_no_livekit_sip_and_no_redis(own_livekit_stack) -> None:
    async with LiveKitSipApi(access_of(own_livekit_stack)) as api:
        carriers = [Carrier("carrier", "127.0.0.1:9", (CALLED,))]
        await synchronise(api, wanted(own_livekit_stack, carriers=carriers))
        with pytest.raises(SipDown, match="no LiveKit SIP handles the call"):
            await LiveKitSipTrunk(api, "carrier").call("+15550123", "out", "sip_callee")
    with type(own_livekit_stack)(parts=("server",)) as alone:
        async with LiveKitSipApi(access_of(alone)) as api:
            with pytest.raises(SipNotSetUp, match="Redis"):
                await api.objects()
    async with LiveKitSipApi(access_of(alone)) as api:
        with pytest.raises(LiveKitUnreachable, match="is LiveKit server running"):
            await api.objects()


async def test_wrong_keys(livekit_stack) -> None:
    for wrong in ({"api_key": "nobody"}, {"api_secret": "x" * 40}):
        async with LiveKitSipApi(replace(access_of(livekit_stack), **wrong)) as api:
            with pytest.raises(LiveKitRefused, match="keys refused"):
                await api.objects()


async def test_a_carrier_that_is_not_there(livekit_stack) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        await nobody_answers_there(livekit_stack, mute.getsockname()[1])


async def nobody_answers_there(livekit_stack, port: int) -> None:
    async with sip_api(livekit_stack) as api:
        nowhere = [
            Carrier("nowhere", "no-such-host.invalid", (CALLED,)),
            Carrier("mute", f"127.0.0.1:{port}", (CALLED,)),
        ]
        await synchronise(api, wanted(livekit_stack, carriers=nowhere))
        with pytest.raises(CarrierUnreachable, match="check address and transport"):
            await LiveKitSipTrunk(api, "nowhere").call("+15550123", "out", "sip_callee")
        outcome = await LiveKitSipTrunk(api, "mute").call("+15550123", "out", "sip_callee", ringing_timeout_s=1.5)
        assert outcome == CallOutcome(OutcomeKind.NO_ANSWER, 0, "nobody answered in time")


async def test_trunks_that_lead_nowhere(livekit_stack) -> None:
    async with outbound(livekit_stack) as (phone, trunk):
        with pytest.raises(SipTrunkMissing, match="trunkline livekit sync"):
            await LiveKitSipTrunk(trunk._api, "other").call("+15550123", "out", "sip_callee")
        await synchronise(
            trunk._api,
            wanted(
                livekit_stack,
                carriers=[
                    carrier(
                        phone,
                        "nowhere",
                    )
                ],
            ),
        )
        gone = LiveKitSipTrunk(trunk._api, "nowhere")
        await gone._trunk_id()
        await synchronise(trunk._api, wanted(livekit_stack))
        with pytest.raises(SipTrunkMissing, match="no longer exists"):
            await gone.call("+15550123", "out", "sip_callee")


async def test_a_transfer_that_is_taken(livekit_stack) -> None:
    async with inbound_call(livekit_stack) as (api, phone, call, room, _, _):
        asking = asyncio.create_task(transfer(api, room.name, f"sip_{CALLER}", "+15550199"))
        assert await referred(call) == "tel:+15550199"
        await notify(phone, call, 180, "Ringing", over=False)
        await notify(phone, call, 200, "OK")
        assert await asking == TransferOutcome(OutcomeKind.ANSWERED, 200, "OK")
        async with asyncio.timeout(5):
            assert (await call.wait_bye()).by == "peer"


@pytest.mark.parametrize(
    ("status", "phrase", "kind"), [(486, "Busy Here", OutcomeKind.BUSY), (603, "Decline", OutcomeKind.REJECTED)]
)
async def test_a_transfer_whose_target_refuses(livekit_stack, status, phrase, kind) -> None:
    async with inbound_call(livekit_stack) as (api, phone, call, room, _, _):
        asking = asyncio.create_task(transfer(api, room.name, f"sip_{CALLER}", "sip:desk@127.0.0.1"))
        assert await referred(call) == "<sip:desk@127.0.0.1>"
        await notify(phone, call, status, phrase)
        assert await asking == TransferOutcome(kind, status, phrase)
        assert not call.ended.done()


async def test_a_phone_that_does_not_transfer(livekit_stack) -> None:
    async with inbound_call(livekit_stack) as (api, phone, call, room, _, _):
        refuse_refer(phone, call, 405, "Method Not Allowed")
        outcome = await transfer(api, room.name, f"sip_{CALLER}", "+15550199")
        assert outcome == TransferOutcome(OutcomeKind.FAILED, 405, "Method Not Allowed")
        assert not call.ended.done()


async def test_a_transfer_of_nobody(livekit_stack) -> None:
    async with inbound_call(livekit_stack) as (api, _, _, room, _, _):
        for identity in ("sip_nobody", "human-1"):
            with pytest.raises(NotInRoom, match="LiveKit SIP has no phone"):
                await transfer(api, room.name, identity, "+15550199")


async def test_a_transfer_that_nobody_answers(livekit_stack) -> None:
    async with inbound_call(livekit_stack) as (api, _, call, room, _, _):
        outcome = await transfer(api, room.name, f"sip_{CALLER}", "+15550199", ringing_timeout_s=1.5)
        assert (outcome.kind, outcome.sip_status) == (OutcomeKind.NO_ANSWER, 0)
        assert not call.ended.done()
