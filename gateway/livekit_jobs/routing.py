"""Which conversation a job is about. Pure: job metadata and the caller's attributes in, a plan or a refusal out.

A room that Trunkline's gateway bridges says all of it in its metadata: the gateway has asked the dialplan, and writes
the record. In a room of LiveKit SIP the phone's attributes have caller and called number: the dialplan is evaluated
here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.dialplan import NoRoute, PersonaRef, Route, normalise_caller
from gateway.flows import step_from_dict, step_to_dict
from telephony.call import CallInfo, Direction
from telephony.livekit.trunk.desired import TRUNK_ATTRIBUTE

__all__ = ["BadMetadata", "JobPlan", "JobRefusal", "plan_of_attributes", "plan_of_metadata"]

_HEADER_PREFIX = "sip.h."


class BadMetadata(ValueError):
    """Metadata that claims to be Trunkline's and can't be used."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """`bridged`: our gateway brought the call into the room and writes its record. `recording` None: as the settings
    say. `answering`: as in `Prepare`."""

    info: CallInfo
    persona: PersonaRef
    rule: str
    bridged: bool
    session: Mapping[str, Any] = field(default_factory=dict)
    speech: Mapping[str, Any] = field(default_factory=dict)
    recording: bool | None = None
    answering: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        flow = None if self.persona.flow is None else step_to_dict(self.persona.flow)
        persona = {"file": str(self.persona.file), "name": self.persona.name, "flow": flow}
        return {**asdict(self), "persona": persona}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobPlan:
        """Raises BadMetadata."""
        try:
            named = data["persona"]
            flow = None if named.get("flow") is None else step_from_dict(named["flow"])
            persona = PersonaRef(Path(named["file"]), str(named["name"]), flow=flow)
            info = CallInfo(**{**data["call" if "call" in data else "info"], "direction": _direction(data)})
            return cls(
                info,
                persona,
                str(data.get("rule", "")),
                bool(data.get("bridged", True)),
                dict(data.get("session") or {}),
                dict(data.get("speech") or {}),
                data.get("recording"),
                data.get("answering"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadMetadata(f"the job's metadata is not what Trunkline writes: {error!r}") from error


@dataclass(frozen=True, slots=True)
class JobRefusal:
    """Nobody answers this call."""

    info: CallInfo
    rule: str
    reason: str
    sip_status: int = 404


def plan_of_metadata(*texts: str) -> JobPlan | None:
    """The plan in the first of the texts (the job's metadata, the room's) that is Trunkline's, or None. Raises
    BadMetadata."""
    for text in texts:
        try:
            data = json.loads(text) if text else None
        except ValueError:
            continue
        if isinstance(data, dict) and data.get("trunkline") == 1 and "persona" in data:
            return JobPlan.from_dict(data)
    return None


def plan_of_attributes(
    attributes: Mapping[str, str],
    room: str,
    decide: Callable[[str, str | None, datetime], Route | NoRoute],
    now: datetime,
    region: str | None,
) -> JobPlan | JobRefusal:
    """The dialplan's decision for a phone with these attributes. `room`, which must be unique, is the ID of calls
    without one of LiveKit SIP. A call that LiveKit SIP has dialled is the persona's whose number it shows."""
    ours = attributes.get("sip.trunkPhoneNumber", "")
    theirs = attributes.get("sip.phoneNumber") or None
    if not ours:
        info = _info(attributes, room, "", normalise_caller(theirs, region))
        return JobRefusal(info, "", f"room {room}: neither Trunkline's metadata nor a called number")
    decision = decide(ours, theirs, now)
    info = _info(attributes, room, decision.called, decision.caller)
    if isinstance(decision, NoRoute):
        return JobRefusal(info, decision.rule, decision.reason, decision.sip_status)
    return JobPlan(
        info,
        decision.persona,
        decision.rule,
        False,
        dict(decision.session),
        dict(decision.speech),
        decision.recording,
    )


def _info(attributes: Mapping[str, str], room: str, ours: str, theirs: str | None) -> CallInfo:
    """`ours`: the trunk's number, `theirs`: the phone's. LiveKit SIP names the rule of incoming calls; those that
    it dials have none."""
    dialled = "sip.ruleID" not in attributes and bool(ours)
    return CallInfo(
        call_id=_safe(attributes.get("sip.callID") or room),
        direction=Direction.OUTBOUND if dialled else Direction.INBOUND,
        called=theirs or "" if dialled else ours,
        caller=ours if dialled else theirs,
        # Our own name for it, which `trunkline livekit sync` has LiveKit say when it can be only one trunk.
        trunk=attributes.get(TRUNK_ATTRIBUTE) or attributes.get("sip.trunkID") or "livekit",
        sip_call_id=attributes.get("sip.callIDFull", ""),
        headers={
            name.removeprefix(_HEADER_PREFIX): value
            for name, value in attributes.items()
            if name.startswith(_HEADER_PREFIX)
        },
    )


def _direction(data: Mapping[str, Any]) -> Direction:
    return Direction((data.get("call") or data["info"])["direction"])


def _safe(name: str) -> str:
    """As part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:80]
