"""Outbound calls through LiveKit SIP into a room, and cold transfers out of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping
from typing import TypeVar

from telephony.call import CallOutcome, OutcomeKind, TransferOutcome, outcome_kind
from telephony.errors import TelephonyMisuse
from telephony.livekit.errors import LiveKitError, LiveKitTimeout
from telephony.livekit.liveness import until_silent
from telephony.livekit.trunk.errors import SipTrunkMissing
from telephony.livekit.trunk.objects import outbound_name
from telephony.livekit.trunk.sip_api import Dial, DialFailed, SipCalls, Transfer

__all__ = ["LONGEST_RINGING_S", "LiveKitSipTrunk", "transfer"]

LONGEST_RINGING_S = 70.0  # LiveKit server waits at most 80 s for an answer, whatever limit it is given
SIP_GONE = "LiveKit SIP has stopped, or lost its Redis, during the call"
_REMOVE_LIMIT_S = 2.0
_REMOVE_PAUSE_S = 0.1
_REMOVE_TRIES = 20
_KEYS = re.compile(r"[0-9*#A-Dw]*")
_T = TypeVar("_T")
_NUMBER = re.compile(r"\+?[\w*#.-]+")


class LiveKitSipTrunk:
    """One carrier: an outbound trunk of the settings, made by `trunkline livekit sync`."""

    def __init__(self, api: SipCalls, name: str) -> None:
        self._api = api
        self._name = name
        self._id = ""

    async def call(
        self,
        number: str,
        room: str,
        identity: str,
        *,
        caller: str = "",
        name: str = "",
        display_name: str = "",
        digits: str = "",
        ringing_timeout_s: float = 30.0,
        max_call_s: float = 0.0,
        attributes: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> CallOutcome:
        """Call `number` into `room` as participant `identity`, and wait until it is answered or fails.

        `caller`: the number to show; empty: one of the trunk's. `digits` are sent when the call is answered; `w` is a
        pause of 500 ms. If this is cancelled or LiveKit does not respond, the call is ended. Raises TelephonyMisuse,
        and LiveKitError if calls cannot be placed.
        """
        _check(number, room, identity, caller=caller, digits=digits, display_name=display_name)
        dial = Dial(
            await self._trunk_id(), number, room, identity, _ringing(ringing_timeout_s),
            caller, name, display_name, digits, max_call_s, attributes or {}, headers or {},
        )  # fmt: skip
        try:
            return CallOutcome(OutcomeKind.ANSWERED, 200, "OK", await self._placed(dial))
        except DialFailed as failed:
            return CallOutcome(outcome_kind(failed.sip_status, gave_up=failed.gave_up), failed.sip_status, failed.text)
        except (asyncio.CancelledError, LiveKitTimeout):
            await asyncio.shield(self._end(room, identity))  # don't leave a phone ringing for nobody
            raise
        except SipTrunkMissing:
            self._id = ""  # it may have been recreated
            raise

    async def _placed(self, dial: Dial) -> str:
        """LiveKit's ID of the call. Raises like `SipCalls.dial`."""
        try:
            return await _while_alive(self._api, dial.room, dial.identity, self._api.dial(dial))
        except _SipGone as gone:
            await asyncio.shield(self._end(dial.room, dial.identity))
            raise DialFailed(0, SIP_GONE) from gone

    async def _trunk_id(self) -> str:
        if not self._id:
            ids = await self._api.outbound_trunk_ids()
            self._id = ids.get(outbound_name(self._name), "")
        if not self._id:
            raise SipTrunkMissing(
                f'LiveKit has no outbound trunk "{self._name}": add it to livekit.outbound and run '
                "`trunkline livekit sync`"
            )
        return self._id

    async def _end(self, room: str, identity: str) -> None:
        try:
            async with asyncio.timeout(_REMOVE_LIMIT_S):
                for _ in range(_REMOVE_TRIES):  # LiveKit SIP joins the room a moment after the request
                    if await self._api.remove(room, identity):
                        break
                    await asyncio.sleep(_REMOVE_PAUSE_S)
        except (LiveKitError, TimeoutError):
            pass  # LiveKit's own limits for ringing and for empty rooms end it


def _check(number: str, room: str, identity: str, *, caller: str, digits: str, display_name: str) -> None:
    """Raises TelephonyMisuse."""
    if not _NUMBER.fullmatch(number):
        raise TelephonyMisuse(f"invalid number {number!r}: expected a number or SIP user, not a URI")
    if caller and not _NUMBER.fullmatch(caller):
        raise TelephonyMisuse(f"invalid caller {caller!r}: neither a number nor a SIP user")
    if not room or not identity:
        raise TelephonyMisuse("a call needs a room name and an identity")
    if not _KEYS.fullmatch(digits):
        raise TelephonyMisuse(f"invalid keys {digits!r}: use 0-9 * # A-D, and w (a pause)")
    if re.search(r'["\\\x00-\x1f]', display_name):
        raise TelephonyMisuse(f"invalid display name {display_name!r}")


async def transfer(
    api: SipCalls,
    room: str,
    identity: str,
    to: str,
    *,
    ringing_timeout_s: float = 30.0,
    play_dialtone: bool = False,
    headers: Mapping[str, str] | None = None,
) -> TransferOutcome:
    """Hand the call of `identity` over to `to`, a number or a sip: or tel: URI, by REFER (RFC 3515), and wait for the
    outcome. On success LiveKit SIP hangs up our side. Works for any call of LiveKit SIP, inbound or outbound. Raises
    TelephonyMisuse, LiveKitError."""
    uri = to if to.startswith(("sip:", "tel:")) else f"tel:{to}"
    if not re.fullmatch(r"sip:[^\s<>]+|tel:\+?[\w*#.-]+(;[^\s<>]+)?", uri):
        raise TelephonyMisuse(f"invalid target {to!r}: neither a number nor a SIP or tel URI")
    if not room or not identity:
        raise TelephonyMisuse("a transfer needs the caller's room name and identity")
    request = Transfer(room, identity, uri, _ringing(ringing_timeout_s), play_dialtone, headers or {})
    try:
        await _while_alive(api, room, identity, api.transfer(request))
    except _SipGone:
        return TransferOutcome(OutcomeKind.FAILED, 0, SIP_GONE)
    except DialFailed as failed:
        kind = outcome_kind(failed.sip_status, gave_up=failed.gave_up)
        return TransferOutcome(kind, failed.sip_status, failed.text)
    return TransferOutcome(OutcomeKind.ANSWERED, 200, "OK")


class _SipGone(Exception):
    """The LiveKit SIP process of the call has died."""


async def _while_alive(api: SipCalls, room: str, identity: str, asked: Coroutine[object, object, _T]) -> _T:
    """LiveKit's answer. LiveKit would not report before the end of the ringing time that LiveKit SIP has died; this
    raises _SipGone then."""
    answer = asyncio.ensure_future(asked)
    silence = asyncio.ensure_future(until_silent(lambda: api.liveness(room, identity)))
    try:
        await asyncio.wait({answer, silence}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        silence.result()
        raise _SipGone
    finally:
        for task in (answer, silence):
            task.cancel()
        await asyncio.wait({answer, silence})


def _ringing(seconds: float) -> float:
    if not 1.0 <= seconds <= LONGEST_RINGING_S:
        raise TelephonyMisuse(f"invalid ringing time {seconds:g} s: not between 1 and {LONGEST_RINGING_S:g}")
    return seconds
