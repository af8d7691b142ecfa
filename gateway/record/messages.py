"""The messages that build a record. Pure.

They are JSON objects on the wire: `message.to_dict()` and `message_from_dict(data)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from agent.events import SessionEvent
from gateway.record.legs import MediaAlarm, Outcome, TransferKind, leg_id_of
from gateway.record.model import CallRecord, Recording, Tokens
from telephony.call import CallInfo, Direction, EndedBy, LegRole, MediaStatistics, TransferEnd
from telephony.sip.causes import cause_of

__all__ = [
    "CallClosed",
    "CallEvents",
    "CallOpened",
    "LegClosed",
    "LegMoved",
    "LegOpened",
    "RecordMessage",
    "TransferBegan",
    "TransferEnded",
    "WireMessage",
    "WorkerLost",
    "closed_part",
    "event_on_axis",
    "message_from_dict",
    "opened_part",
    "record_of_opened",
    "refused_record",
]

_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(of: type[Any]) -> TypeAdapter[Any]:
    """Made at first use: a worker must not spend its start on messages it has yet to send."""
    if of not in _adapters:
        _adapters[of] = TypeAdapter(of)
    return _adapters[of]


class _Message:
    """A message that is a JSON object; its `message` key names the type."""

    __slots__ = ()
    message: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json", warnings=False)
        return {"message": self.message, **body}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Raises ValueError naming each field that is missing or wrong, without its value: errors are logged."""
        body = {key: value for key, value in data.items() if key != "message"}
        try:
            made: Self = _adapter(cls).validate_python(body)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)]
            raise ValueError(f"{cls.message}: " + "; ".join(wrong)) from None
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOpened(_Message):
    """An attempt was given to a worker. Sent before anything is answered."""

    message: ClassVar[str] = "call_opened"
    call_id: str
    direction: Direction
    trunk: str
    called: str
    caller: str | None
    started_at: AwareDatetime  # when the INVITE came or was sent
    sip_call_id: str = ""
    persona: str = ""
    rule: str = ""
    worker: str = ""
    attempts: int = 1

    @classmethod
    def of(cls, info: CallInfo, *, started_at: datetime, persona: str = "", rule: str = "", worker: str = "") -> Self:
        return cls(
            call_id=info.call_id,
            direction=info.direction,
            trunk=info.trunk,
            called=info.called,
            caller=info.caller,
            sip_call_id=info.sip_call_id,
            started_at=started_at,
            persona=persona,
            rule=rule,
            worker=worker,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvents(_Message):
    """What happened in a call, in order (`event_on_axis`). Send each event once. The first message after the answer
    carries `answered_at` (with or without events), so that a call whose worker dies still has its answer time."""

    message: ClassVar[str] = "call_events"
    call_id: str
    events: tuple[dict[str, Any], ...] = ()
    answered_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallClosed(_Message):
    """The end of an attempt. `duration_ms` is computed from `answered_at` and `ended_at` when it is None."""

    message: ClassVar[str] = "call_closed"
    call_id: str
    outcome: Outcome
    ended_by: EndedBy
    ended_at: AwareDatetime
    answered_at: AwareDatetime | None = None
    duration_ms: int | None = None
    sip_status: int | None = None
    q850_cause: int | None = None
    end_reason: str = ""
    refused_by: str = ""
    recording: Recording | None = None
    media: MediaStatistics | None = None
    first_rtp_ms: float | None = None
    media_alarms: tuple[MediaAlarm, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost(_Message):
    """A worker's process died. Made by the gateway. `call_ids`: calls whose room and session it had, which are over;
    `leg_ids`: its further legs of calls that continue."""

    message: ClassVar[str] = "worker_lost"
    call_ids: tuple[str, ...]
    at: AwareDatetime
    reason: str = "the worker's process ended"
    leg_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LegOpened(_Message):
    """A leg began: it came in, or we dial it. Sent after the call's `CallOpened`. If nobody sends this, the store
    creates the customer's leg from `CallOpened` and `CallClosed`."""

    message: ClassVar[str] = "leg_opened"
    leg_id: str  # `leg_id_of(call_id, number)`
    call_id: str
    role: LegRole
    direction: Direction
    trunk: str
    called: str
    caller: str | None
    started_at: AwareDatetime
    sip_call_id: str = ""
    worker: str = ""

    @classmethod
    def of_customer(cls, opened: CallOpened) -> Self:
        return cls(leg_id=leg_id_of(opened.call_id), role=LegRole.CUSTOMER, **_common(opened, cls, ("leg_id", "role")))


@dataclass(frozen=True, slots=True, kw_only=True)
class LegMoved(_Message):
    """A leg that we dial goes over another trunk, since the one before did not take it."""

    message: ClassVar[str] = "leg_moved"
    leg_id: str
    call_id: str
    trunk: str
    caller: str | None = None  # the number that it comes from there


@dataclass(frozen=True, slots=True, kw_only=True)
class LegClosed(_Message):
    """The end of a leg. It may come after the end of its call, from another worker."""

    message: ClassVar[str] = "leg_closed"
    leg_id: str
    call_id: str
    outcome: Outcome
    ended_at: AwareDatetime
    answered_at: AwareDatetime | None = None
    sip_status: int | None = None
    q850_cause: int | None = None
    end_reason: str = ""
    ended_by: EndedBy | None = None
    media: MediaStatistics | None = None
    first_rtp_ms: float | None = None
    media_alarms: tuple[MediaAlarm, ...] = ()

    @classmethod
    def of_customer(cls, closed: CallClosed) -> Self:
        return cls(leg_id=leg_id_of(closed.call_id), **_common(closed, cls, ("leg_id",)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferBegan(_Message):
    """A transfer of the customer to `target` begins. `transfer_id` is unique among all calls. `headers` and
    `user_to_user`: what the human's screen is sent; on no record, but in events."""

    message: ClassVar[str] = "transfer_began"
    transfer_id: str
    call_id: str
    kind: TransferKind
    target: str
    began_at: AwareDatetime
    leg_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    user_to_user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferEnded(_Message):
    message: ClassVar[str] = "transfer_ended"
    transfer_id: str
    call_id: str
    outcome: TransferEnd | Outcome
    ended_at: AwareDatetime
    sip_status: int | None = None
    reason: str = ""


WireMessage = (
    CallOpened | CallEvents | CallClosed | WorkerLost | LegOpened | LegMoved | LegClosed | TransferBegan | TransferEnded
)
RecordMessage = WireMessage | CallRecord

_MESSAGES: dict[str, type[WireMessage]] = {cls.message: cls for cls in WireMessage.__args__}


def message_from_dict(data: Mapping[str, Any]) -> WireMessage:
    """The inverse of `to_dict`. Raises ValueError for a message or field that is not known or not right."""
    name = data.get("message")
    if not isinstance(name, str) or name not in _MESSAGES:
        raise ValueError(f"no record message is called {name!r}")
    return _MESSAGES[name].from_dict(data)


def refused_record(
    info: CallInfo,
    *,
    started_at: datetime,
    sip_status: int,
    refused_by: str,
    reason: str = "",
    ended_at: datetime | None = None,
    attempts: int = 1,
) -> CallRecord:
    """The whole record of an attempt that a rule refused before it reached a worker. `refused_by` names the rule."""
    return CallRecord(
        call_id=info.call_id,
        direction=info.direction,
        trunk=info.trunk,
        called=info.called,
        caller=info.caller,
        sip_call_id=info.sip_call_id,
        started_at=started_at,
        attempts=attempts,
        ended_at=ended_at or started_at,
        duration_ms=0,
        outcome=Outcome.REFUSED,
        sip_status=sip_status,
        q850_cause=cause_of(sip_status) or None,
        ended_by=EndedBy.SYSTEM,
        end_reason=reason or refused_by,
        refused_by=refused_by,
    )


def event_on_axis(event: SessionEvent, answered_at: float) -> dict[str, Any]:
    """An event as `CallEvents` carries it. `answered_at`: loop-clock time of the answer (first recorded frame)."""
    return {"type": event.type, **asdict(event), "t_ms": round((event.at - answered_at) * 1000, 1)}


def opened_part(record: CallRecord) -> CallOpened:
    return CallOpened(**_common(record, CallOpened))


def record_of_opened(opened: CallOpened) -> CallRecord:
    """The record of a call that has just begun."""
    return CallRecord(**_common(opened, CallOpened))


def closed_part(record: CallRecord) -> CallClosed:
    """Raises ValueError if the record has no outcome: the call is still in progress."""
    if record.outcome is None:
        raise ValueError(f"call {record.call_id} has no outcome: it is still open")
    known = _common(record, CallClosed)
    known["ended_by"] = record.ended_by or EndedBy.SYSTEM
    known["ended_at"] = record.ended_at or record.started_at
    return CallClosed(**known)


def _common(message: object, of: type[Any], but: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of `of`, which `message` has as well, except `but`."""
    return {each.name: getattr(message, each.name) for each in fields(of) if each.name not in but}
