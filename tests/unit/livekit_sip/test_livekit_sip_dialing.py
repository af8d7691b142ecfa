"""Calls and transfers through LiveKit SIP, without LiveKit."""

from __future__ import annotations

import asyncio

import pytest

from agent.testing.virtual_clock import run_virtual
from telephony.call import CallOutcome, OutcomeKind, TransferOutcome
from telephony.errors import TelephonyMisuse
from telephony.livekit.errors import LiveKitTimeout
from telephony.livekit.liveness import EVERY_S, Liveness
from telephony.livekit.trunk.dialing import LONGEST_RINGING_S, SIP_GONE, LiveKitSipTrunk, transfer
from telephony.livekit.trunk.errors import SipDown, SipTrunkMissing
from telephony.livekit.trunk.fakes import FakeSipApi
from telephony.livekit.trunk.objects import Found, OutboundTrunk
from telephony.livekit.trunk.sip_api import Dial, DialFailed


def api() -> FakeSipApi:
    trunk = OutboundTrunk("trunkline:outbound:main", "sip.example.net", ("+15550100",))
    return FakeSipApi((Found("ST1", True, trunk), Found("ST2", False, OutboundTrunk("main", "other", ("+1",)))))


async def test_what_is_asked_of_livekit() -> None:
    sip = api()
    outcome = await LiveKitSipTrunk(sip, "main").call(
        "+15550123", "room", "sip_1", caller="+15550100", display_name="Clinic", digits="1w#", ringing_timeout_s=20
    )
    assert outcome == CallOutcome(OutcomeKind.ANSWERED, 200, "OK", "SCL1")
    assert sip.dialed == [
        Dial("ST1", "+15550123", "room", "sip_1", 20, "+15550100", display_name="Clinic", digits="1w#")
    ]
    assert sip.removed == []


@pytest.mark.parametrize(
    ("failed", "outcome"),
    [
        (DialFailed(486, "Busy Here"), CallOutcome(OutcomeKind.BUSY, 486, "Busy Here")),
        (DialFailed(0, "nobody", gave_up=True), CallOutcome(OutcomeKind.NO_ANSWER, 0, "nobody")),
        (DialFailed(0, "no final answer"), CallOutcome(OutcomeKind.FAILED, 0, "no final answer")),
    ],
)
async def test_failures_are_outcomes(failed: DialFailed, outcome: CallOutcome) -> None:
    sip = api()
    sip.answers = [failed]
    assert await LiveKitSipTrunk(sip, "main").call("+15550123", "room", "sip_1") == outcome


async def test_a_cancelled_call_is_ended() -> None:
    sip = api()
    sip.hold.clear()
    calling = asyncio.create_task(LiveKitSipTrunk(sip, "main").call("+15550123", "room", "sip_1"))
    while not sip.dialed:
        await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert sip.removed == [("room", "sip_1")]


@pytest.mark.parametrize(("error", "ended"), [(LiveKitTimeout("no answer"), True), (SipDown("down"), False)])
async def test_when_livekit_does_not_answer_the_call_is_ended(error: Exception, ended: bool) -> None:
    sip = api()
    sip.answers = [error]  # type: ignore[list-item]
    with pytest.raises(type(error)):
        await LiveKitSipTrunk(sip, "main").call("+15550123", "room", "sip_1")
    assert bool(sip.removed) is ended


async def test_a_trunk_that_was_made_anew_is_found_again() -> None:
    sip = api()
    trunk = LiveKitSipTrunk(sip, "main")
    await trunk.call("+1", "room", "sip_1")
    sip.kept["ST9"] = sip.kept.pop("ST1")
    sip.answers = [SipTrunkMissing("gone")]
    with pytest.raises(SipTrunkMissing):
        await trunk.call("+1", "room", "sip_1")
    await trunk.call("+1", "room", "sip_1")
    assert [dial.trunk_id for dial in sip.dialed] == ["ST1", "ST1", "ST9"]
    with pytest.raises(SipTrunkMissing, match="trunkline livekit sync"):
        await LiveKitSipTrunk(sip, "nobody").call("+1", "room", "sip_1")


@pytest.mark.parametrize(
    ("number", "more"),
    [
        ("sip:me@example.net", {}),
        ("", {}),
        ("+1", {"digits": "1x"}),
        ("+1", {"ringing_timeout_s": 0.5}),
        ("+1", {"ringing_timeout_s": LONGEST_RINGING_S + 1}),
        ("+1", {"display_name": 'a"b'}),
        ("+1", {"display_name": "a\r\nX: y"}),
    ],
)
async def test_misuse_is_refused_before_anything_is_dialed(number: str, more: dict) -> None:
    sip = api()
    with pytest.raises(TelephonyMisuse):
        await LiveKitSipTrunk(sip, "main").call(number, "room", "sip_1", **more)
    assert sip.dialed == []


@pytest.mark.parametrize(
    ("to", "uri"),
    [("+15550199", "tel:+15550199"), ("sip:desk@example.net", "sip:desk@example.net"), ("tel:100", "tel:100")],
)
async def test_a_transfer(to: str, uri: str) -> None:
    sip = api()
    assert await transfer(sip, "room", "sip_1", to) == TransferOutcome(OutcomeKind.ANSWERED, 200, "OK")
    assert sip.transferred[0].to == uri


async def test_a_transfer_that_fails() -> None:
    sip = api()
    sip.transfers = [DialFailed(603, "Decline"), DialFailed(0, "in time", gave_up=True)]
    assert await transfer(sip, "room", "sip_1", "+1") == TransferOutcome(OutcomeKind.REJECTED, 603, "Decline")
    assert (await transfer(sip, "room", "sip_1", "+1")).kind is OutcomeKind.NO_ANSWER


@pytest.mark.parametrize("to", ["", "a b", "sip:", "sip:a>\r\nX: y", "mailto:x@y"])
async def test_a_target_that_is_none(to: str) -> None:
    with pytest.raises(TelephonyMisuse):
        await transfer(api(), "room", "sip_1", to)


def test_a_dial_whose_livekit_sip_dies_is_an_outcome_within_ten_seconds() -> None:
    async def scenario() -> None:
        sip = api()
        sip.hold.clear()
        sip.signs_of_life = [Liveness.UNKNOWN, Liveness.ALIVE, Liveness.SILENT]
        began = asyncio.get_running_loop().time()
        outcome = await LiveKitSipTrunk(sip, "main").call("+15550123", "room", "sip_1", ringing_timeout_s=60)
        assert outcome == CallOutcome(OutcomeKind.FAILED, 0, SIP_GONE)
        assert asyncio.get_running_loop().time() - began < 2 * EVERY_S + 8
        assert sip.removed == [("room", "sip_1")]

    run_virtual(scenario())


def test_a_transfer_whose_livekit_sip_dies_is_an_outcome() -> None:
    async def scenario() -> None:
        sip = api()
        sip.hold.clear()
        sip.signs_of_life = [Liveness.ALIVE, Liveness.SILENT]
        assert await transfer(sip, "room", "sip_1", "+1") == TransferOutcome(OutcomeKind.FAILED, 0, SIP_GONE)

    run_virtual(scenario())


def test_who_is_silent_now_and_then_is_waited_for() -> None:
    async def scenario() -> None:
        sip = api()
        sip.hold.clear()
        sip.signs_of_life = [Liveness.SILENT] * 5 + [
            Liveness.ALIVE,
            Liveness.SILENT,
            Liveness.SILENT,
            Liveness.ALIVE,
        ] * 5
        asyncio.get_running_loop().call_later(60, sip.hold.set)
        outcome = await LiveKitSipTrunk(sip, "main").call("+15550123", "room", "sip_1", ringing_timeout_s=70)
        assert outcome.kind is OutcomeKind.ANSWERED

    run_virtual(scenario())
