"""How a call's room is created, and the phone's identity in it. Pure."""

from __future__ import annotations

import json
from typing import Any

from gateway.config import LiveKitSettings
from gateway.control import Prepare
from telephony.call import CallInfo, Direction
from telephony.livekit.access import Dispatch, LiveKitAccess, RoomPlan
from telephony.livekit.verbs import CALL_ATTRIBUTE

__all__ = ["access_of", "caller_attributes", "caller_identity", "phone_of", "room_metadata", "room_plan"]

_EMPTY_TIMEOUT_S = 60
_DEPARTURE_TIMEOUT_S = 5


def access_of(settings: LiveKitSettings) -> LiveKitAccess:
    """Raises SecretMissing."""
    return LiveKitAccess(settings.url, settings.api_key.read(), settings.api_secret.read())


def room_metadata(prepared: Prepare) -> str:
    """For the agent: everything it needs to know about the call."""
    data: dict[str, Any] = {
        "trunkline": 1,
        "call": dict(prepared.call),
        "persona": {"file": prepared.persona_file, "name": prepared.persona_class},
        "rule": prepared.rule,
        "session": dict(prepared.session),
        "speech": dict(prepared.speech),
    }
    if prepared.flow is not None:
        data["persona"]["flow"] = dict(prepared.flow)
    if prepared.answering is not None:
        data["answering"] = dict(prepared.answering)
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def room_plan(prepared: Prepare, agent_name: str) -> RoomPlan:
    """With an explicit dispatch; an empty name leaves it to LiveKit, which sends agents that take any room."""
    metadata = room_metadata(prepared)
    dispatches = [Dispatch(agent_name, metadata)] if agent_name else []
    return RoomPlan(metadata, _EMPTY_TIMEOUT_S, _DEPARTURE_TIMEOUT_S, dispatches)


def phone_of(info: CallInfo) -> str:
    """The other side's number, whoever called; empty: withheld."""
    return info.called if info.direction is Direction.OUTBOUND else info.caller or ""


def caller_identity(info: CallInfo) -> str:
    """The phone's in the room."""
    return f"sip_{phone_of(info) or info.call_id}"


def caller_attributes(info: CallInfo, status: str = "ringing") -> dict[str, str]:
    """As LiveKit SIP names them; `status`: ringing, active, hangup."""
    outbound = info.direction is Direction.OUTBOUND
    attributes = {
        CALL_ATTRIBUTE: info.call_id,
        "sip.callID": info.call_id,
        "sip.callIDFull": info.sip_call_id,
        "sip.callStatus": status,
        "sip.phoneNumber": phone_of(info),
        "sip.trunkPhoneNumber": (info.caller or "") if outbound else info.called,
        "sip.trunkID": info.trunk,
        **{f"sip.h.{name.lower()}": value for name, value in info.headers.items()},
    }
    return {name: value for name, value in attributes.items() if value}
