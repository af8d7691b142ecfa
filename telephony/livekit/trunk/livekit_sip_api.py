"""LiveKit's SIP API through livekit.api, which is loaded when `LiveKitSipApi` is created."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import aiohttp

from telephony.livekit.access import LiveKitAccess
from telephony.livekit.errors import (
    LiveKitError,
    LiveKitRefused,
    LiveKitTimeout,
    LiveKitUnreachable,
    NotInRoom,
    connect_error,
    no_such_path,
)
from telephony.livekit.liveness import Liveness, asked_by_server
from telephony.livekit.trunk.errors import (
    CarrierUnreachable,
    SipCredentialsWrong,
    SipDown,
    SipNotSetUp,
    SipObjectRefused,
    SipTrunkMissing,
)
from telephony.livekit.trunk.objects import Found, InboundTrunk, OutboundTrunk, SipObject
from telephony.livekit.trunk.sip_api import Dial, DialFailed, Transfer

__all__ = ["LiveKitSipApi"]

_T = TypeVar("_T")
NOT_IN_TIME = "nobody answered in time"
_TIMEOUT_S = 5.0
_DIAL_MARGIN_S = 5.0  # in addition to ringing: LiveKit SIP joins the room before it sends the INVITE


class LiveKitSipApi:
    """Implements `SipObjects` and `SipCalls`. Use it as `async with`, or `close` it."""

    def __init__(self, access: LiveKitAccess) -> None:
        """On the loop."""
        from livekit import api

        from telephony.livekit.trunk import messages

        self._access = access
        self._sdk = api
        self._messages = messages
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        # No failover: the SDK would repeat CreateSIPParticipant in another region, and the phone would ring twice.
        self._api = api.LiveKitAPI(
            access.http_url, access.api_key, access.api_secret, session=self._session, failover=False
        )
        self._known: dict[str, Any] = {}  # LiveKit's messages, by ID

    async def __aenter__(self) -> LiveKitSipApi:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def objects(self) -> tuple[Found, ...]:
        sip, sdk = self._api.sip, self._sdk
        inbound = await self._asked(sip.list_inbound_trunk(sdk.ListSIPInboundTrunkRequest()))
        outbound = await self._asked(sip.list_outbound_trunk(sdk.ListSIPOutboundTrunkRequest()))
        rules = await self._asked(sip.list_dispatch_rule(sdk.ListSIPDispatchRuleRequest()))
        names = {each.sip_trunk_id: each.name for each in inbound.items}
        self._known = {each.sip_trunk_id: each for each in inbound.items}
        self._known |= {each.sip_trunk_id: each for each in outbound.items}
        self._known |= {each.sip_dispatch_rule_id: each for each in rules.items}
        return tuple(self._messages.found(each, names) for each in self._known.values())

    async def create(self, thing: SipObject, trunk_ids: Mapping[str, str]) -> str:
        sip, sdk = self._api.sip, self._sdk
        if isinstance(thing, InboundTrunk):
            trunk = self._messages.write(thing, sdk.SIPInboundTrunkInfo(), trunk_ids)
            inbound = sip.create_inbound_trunk(sdk.CreateSIPInboundTrunkRequest(trunk=trunk))
            return (await self._set(thing, inbound)).sip_trunk_id
        if isinstance(thing, OutboundTrunk):
            trunk = self._messages.write(thing, sdk.SIPOutboundTrunkInfo(), trunk_ids)
            outbound = sip.create_outbound_trunk(sdk.CreateSIPOutboundTrunkRequest(trunk=trunk))
            return (await self._set(thing, outbound)).sip_trunk_id
        rule = self._messages.write(thing, sdk.SIPDispatchRuleInfo(), trunk_ids)
        # The server compares the new rule only with those of these trunks.
        request = sdk.CreateSIPDispatchRuleRequest(dispatch_rule=rule, trunk_ids=rule.trunk_ids)
        return (await self._set(thing, sip.create_dispatch_rule(request))).sip_dispatch_rule_id

    async def update(self, id: str, thing: SipObject, trunk_ids: Mapping[str, str]) -> None:
        sip = self._api.sip
        info = self._messages.write(thing, self._known[id], trunk_ids)
        if isinstance(thing, InboundTrunk):
            await self._set(thing, sip.update_inbound_trunk(id, info))
        elif isinstance(thing, OutboundTrunk):
            await self._set(thing, sip.update_outbound_trunk(id, info))
        else:
            await self._set(thing, sip.update_dispatch_rule(id, info))

    async def delete(self, id: str, thing: SipObject) -> None:
        sip, sdk = self._api.sip, self._sdk
        if isinstance(thing, InboundTrunk | OutboundTrunk):
            await self._set(thing, sip.delete_trunk(sdk.DeleteSIPTrunkRequest(sip_trunk_id=id)))
        else:
            request = sdk.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=id)
            await self._set(thing, sip.delete_dispatch_rule(request))

    async def outbound_trunk_ids(self) -> Mapping[str, str]:
        listed = await self._asked(self._api.sip.list_outbound_trunk(self._sdk.ListSIPOutboundTrunkRequest()))
        return {each.name: each.sip_trunk_id for each in listed.items}

    async def dial(self, dial: Dial) -> str:
        request = self._messages.dial_request(dial)
        limit_s = dial.ringing_timeout_s + _DIAL_MARGIN_S
        asked = self._api.sip.create_sip_participant(request, timeout=limit_s)
        return (await self._asked(asked, limit_s, dialing="call")).sip_call_id

    async def transfer(self, transfer: Transfer) -> None:
        request = self._messages.transfer_request(transfer)
        limit_s = transfer.ringing_timeout_s + _DIAL_MARGIN_S
        asked = self._api.sip.transfer_sip_participant(request, timeout=limit_s)
        try:
            answer = await self._asked(asked, limit_s, dialing="transfer")
        except LiveKitError as error:
            # The server's own limit for a transfer is the ringing time; after that it drops LiveKit SIP's answer.
            if any(words in str(error) for words in ("context deadline exceeded", "request timed out")):
                raise DialFailed(0, NOT_IN_TIME, gave_up=True) from error
            raise
        if answer.transfer_id and answer.status == self._sdk.SIPTransferStatus.STS_TRANSFER_FAILED:
            # Servers since 1.13 report it in the response; older ones raise an error, and report nothing on success.
            raise DialFailed(int(answer.sip_status.code), answer.sip_status.status or "the transfer failed")

    async def remove(self, room: str, identity: str) -> bool:
        request = self._sdk.RoomParticipantIdentity(room=room, identity=identity)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._api.room.remove_participant(request)
        except self._sdk.TwirpError as error:
            if error.code != "not_found":
                raise self._refused(error) from error
            return False
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        return True

    async def liveness(self, room: str, identity: str) -> Liveness:
        """A server that can't ask is as bad as a LiveKit SIP that does not answer: neither gives an outcome."""
        seen = await asked_by_server(self._api.room, room, identity)
        return Liveness.SILENT if seen is Liveness.UNKNOWN else seen

    async def _set(self, thing: SipObject, request: Awaitable[_T]) -> _T:
        try:
            return await self._asked(request)
        except (SipNotSetUp, LiveKitRefused, LiveKitUnreachable, LiveKitTimeout):
            raise
        except LiveKitError as error:
            raise SipObjectRefused(f"{thing.name}: {error}") from error

    async def _asked(self, request: Awaitable[_T], limit_s: float = _TIMEOUT_S, *, dialing: str = "") -> _T:
        try:
            async with asyncio.timeout(limit_s):  # the SDK disables the session's own
                return await request
        except self._sdk.TwirpError as error:
            if dialing:
                _raise_if_dialed(error, dialing == "transfer")
            raise self._refused(error) from error
        except TimeoutError as error:
            why = "; LiveKit SIP may have stopped during the call" if dialing else ""
            raise LiveKitTimeout(f"LiveKit at {self._access.url}: no answer within {limit_s:g} s{why}") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self._unreachable(error) from error

    def _refused(self, error: Any) -> LiveKitError:
        if error.status in (404, 405) and not error.message:
            return no_such_path(self._access.url)
        message = error.message.removeprefix("twirp error unknown: ")
        where, said = f"LiveKit at {self._access.url}", f"{error.code}: {message}"[:300]
        text = error.message.lower()
        if error.code == "unknown" and text.startswith(("dial tcp", "could not get")):
            return connect_error(self._access.url, message)  # the server's own error: it has lost its Redis
        for words, cls, advice in _CAUSES:
            if any(word in text for word in words):
                return cls(f"{where}: {advice} ({said})")
        if error.status == 401 or (error.status == 403 and "sip_status_code" not in error.metadata):
            return LiveKitRefused(
                f"{where}: keys refused: livekit.api_key and livekit.api_secret must be a pair in the `keys` of "
                "the server's configuration, and both machines' clocks must agree (NTP)"
            )
        return LiveKitError(f"{where}: {said}")

    def _unreachable(self, error: Exception) -> LiveKitError:
        known = connect_error(self._access.url, str(error))
        if isinstance(known, LiveKitUnreachable | LiveKitTimeout):
            return known
        return LiveKitUnreachable(f"LiveKit at {self._access.url}: cannot be reached ({error})")


def _raise_if_dialed(error: Any, transfer: bool) -> None:
    """Raise DialFailed for errors of the call rather than of LiveKit."""
    status = str(error.metadata.get("sip_status_code", ""))
    if status.isdigit():
        raise DialFailed(int(status), _phrase(str(error.metadata.get("sip_status", "")))) from error
    text = error.message.lower()
    if "sip request timed out" in text or "refer canceled" in text:
        raise DialFailed(0, NOT_IN_TIME, gave_up=True) from error
    if "transaction failed to complete" in text and (transfer or "(0 intermediate" not in text):
        raise DialFailed(0, "the phone did not answer the REFER" if transfer else "no final answer came") from error


def _phrase(text: str) -> str:
    """LiveKit says SIP_STATUS_BUSY_HERE if the phone gave no reason phrase."""
    bare = text.removeprefix("SIP_STATUS_")
    return bare.replace("_", " ").title() if bare != text else re.sub(r"\s+", " ", text)[:100]


_CAUSES: tuple[tuple[tuple[str, ...], type[LiveKitError], str], ...] = (
    (
        ("sip not connected",),
        SipNotSetUp,
        "the server runs without Redis, which LiveKit SIP needs: set `redis.address` in its configuration",
    ),
    (
        ("no response from servers", "no servers available"),
        SipDown,
        "no LiveKit SIP handles the call: is it running, with the same Redis as the server?",
    ),
    (
        ("cpu exhausted",),
        SipDown,
        "LiveKit SIP is above its max_cpu_utilization (0.9): give it more cores, or run another one",
    ),
    (
        ("required auth", "max auth retry", "no auth header"),
        SipCredentialsWrong,
        "the carrier requires a user and password and refuses ours: set auth_username and auth_password in "
        "livekit.outbound and run `trunkline livekit sync`",
    ),
    (
        ("requested sip trunk does not exist",),
        SipTrunkMissing,
        "the outbound trunk no longer exists: run `trunkline livekit sync`",
    ),
    (
        ("participant does not exist", "no sip session", "unknown call"),
        NotInRoom,
        "LiveKit SIP has no phone with this identity in this room (any more)",
    ),
    (
        ("transaction failed to complete", "no such host", "dial tcp", "lookup ", "network is unreachable"),
        CarrierUnreachable,
        "the carrier does not answer: check address and transport in livekit.outbound, and that its firewall allows "
        "LiveKit SIP's address",
    ),
)
