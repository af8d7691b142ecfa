"""Converts our trunks and rules to LiveKit's messages and back. Loads livekit.protocol when imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from livekit.protocol import sip
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import RoomConfiguration

from telephony.livekit.trunk.objects import (
    MARK,
    DispatchRule,
    Found,
    InboundTrunk,
    OutboundTrunk,
    SipObject,
    SipTransport,
)
from telephony.livekit.trunk.sip_api import Dial, Transfer

__all__ = ["dial_request", "found", "transfer_request", "write"]

_MADE_BY = "trunkline sync"
_TRANSPORTS: Mapping[SipTransport, int] = {
    "auto": sip.SIPTransport.SIP_TRANSPORT_AUTO,
    "udp": sip.SIPTransport.SIP_TRANSPORT_UDP,
    "tcp": sip.SIPTransport.SIP_TRANSPORT_TCP,
    "tls": sip.SIPTransport.SIP_TRANSPORT_TLS,
}


def found(message: Any, trunk_names: Mapping[str, str]) -> Found:
    """Our view of LiveKit's objects. `trunk_names`: names of inbound trunks, by ID."""
    if isinstance(message, sip.SIPInboundTrunkInfo):
        addresses = tuple(sorted(message.allowed_addresses))
        inbound = InboundTrunk(message.name, tuple(sorted(message.numbers)), addresses)
        return Found(message.sip_trunk_id, _ours(message), inbound)
    if isinstance(message, sip.SIPOutboundTrunkInfo):
        outbound = OutboundTrunk(
            message.name,
            message.address,
            tuple(sorted(message.numbers)),
            next((name for name, value in _TRANSPORTS.items() if value == message.transport), "auto"),
            message.auth_username,
            password_mark=str(_marks(message).get("password", "")),
        )
        return Found(message.sip_trunk_id, _ours(message), outbound)
    individual = message.rule.dispatch_rule_individual
    agents = message.room_config.agents
    rule = DispatchRule(
        message.name,
        tuple(sorted(trunk_names.get(id_, id_) for id_ in message.trunk_ids)),
        individual.room_prefix,
        ", ".join(agent.agent_name for agent in agents) if agents else None,
        dict(message.attributes),
    )
    return Found(message.sip_dispatch_rule_id, _ours(message), rule)


def write(thing: SipObject, message: Any, trunk_ids: Mapping[str, str]) -> Any:
    """Set our fields in `message`: a new one, or LiveKit's current one, whose other fields stay as users have set
    them."""
    message.name = thing.name
    marks = {"made_by": _MADE_BY}
    if isinstance(thing, InboundTrunk):
        message.numbers[:] = thing.numbers
        message.allowed_addresses[:] = thing.addresses
    elif isinstance(thing, OutboundTrunk):
        message.address = thing.address
        message.numbers[:] = thing.numbers
        message.transport = _TRANSPORTS[thing.transport]
        message.auth_username = thing.username
        message.auth_password = thing.password
        if thing.password_mark:
            marks["password"] = thing.password_mark
    else:
        message.trunk_ids[:] = [trunk_ids[name] for name in thing.trunks]
        message.rule.CopyFrom(
            sip.SIPDispatchRule(dispatch_rule_individual=sip.SIPDispatchRuleIndividual(room_prefix=thing.room_prefix))
        )
        message.attributes.clear()
        message.attributes.update(thing.attributes)
        del message.room_config.agents[:]
        if thing.agent_name is not None:
            config = RoomConfiguration(agents=[RoomAgentDispatch(agent_name=thing.agent_name)])
            message.room_config.MergeFrom(config)
    message.metadata = json.dumps(marks)
    return message


def dial_request(dial: Dial) -> Any:
    request = sip.CreateSIPParticipantRequest(
        sip_trunk_id=dial.trunk_id,
        sip_call_to=dial.number,
        sip_number=dial.caller,
        room_name=dial.room,
        participant_identity=dial.identity,
        participant_name=dial.name or dial.number,
        participant_attributes=dict(dial.attributes),
        headers=dict(dial.headers),
        dtmf=dial.digits,
        wait_until_answered=True,
        ringing_timeout=_duration(dial.ringing_timeout_s),
        krisp_enabled=False,  # noise suppression is up to the agent, and degrades audio at 8 kHz
    )
    if dial.display_name:
        request.display_name = dial.display_name
    if dial.max_call_s:
        request.max_call_duration.CopyFrom(_duration(dial.max_call_s))
    return request


def transfer_request(transfer: Transfer) -> Any:
    return sip.TransferSIPParticipantRequest(
        room_name=transfer.room,
        participant_identity=transfer.identity,
        transfer_to=transfer.to,
        play_dialtone=transfer.play_dialtone,
        headers=dict(transfer.headers),
        ringing_timeout=_duration(transfer.ringing_timeout_s),
    )


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=round((seconds - whole) * 1e9))


def _marks(message: Any) -> Mapping[str, Any]:
    try:
        marks = json.loads(message.metadata or "{}")
    except ValueError:
        return {}
    return marks if isinstance(marks, dict) else {}


def _ours(message: Any) -> bool:
    """Requires both marks, so that neither a similar name nor a renamed copy is taken for ours."""
    return bool(message.name.startswith(MARK)) and _marks(message).get("made_by") == _MADE_BY
