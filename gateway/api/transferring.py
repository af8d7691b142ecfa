"""POST /v1/calls/{id}/transfer and …/listen: bring somebody else into a live call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from gateway.api.deps import DEPS, ApiDeps
from gateway.api.exposure import owner_of
from gateway.api.idempotency import Answer, Interrupted, answer_once, key_of
from gateway.api.parameters import NoQuery, body_of, call_id_of, query_of
from gateway.api.problems import ProblemError
from gateway.api.steering import problem_of
from gateway.calls.verbs import ListenMode, ListenOrder, TransferOrder, new_transfer_id
from gateway.outbound.addresses import plain
from gateway.record import TransferKind, TransferRecord
from gateway.steering import CannotSteer
from gateway.transfers.screen_data import MOST_HEADERS
from gateway.transfers.screen_data import problem_of as problem_of_data
from telephony.call import AfterTransfer, SummaryBy, UseRefer, Warm
from telephony.queue import QueueAsk, queue_name

__all__ = ["ListenRequest", "Listening", "TransferRequest", "listen", "transfer"]

_TARGET = (
    r"^((tel:)?\+?[0-9][0-9().-]{1,30}|phone:[A-Za-z0-9][A-Za-z0-9._~-]{0,63}"
    r"|[sS][iI][pP]:[A-Za-z0-9+*#._~-]{1,64}@[A-Za-z0-9.:\[\]-]{1,255}(;transport=(udp|tcp))?)$"
)
Target = Annotated[str, StringConstraints(pattern=_TARGET, max_length=256)]
TargetOrQueue = Annotated[
    str, StringConstraints(pattern=_TARGET + r"|^queue:[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", max_length=256)
]
SkillName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
SkillLevel = Annotated[int, Field(ge=1, le=10)]
Caller = Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{3,15}$")]


class _CallsSomebody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    to: Target = Field(description="A number, a `sip:` address of a trunk, or `phone:NAME` that registers with us.")
    trunk: str | None = Field(
        default=None, min_length=1, max_length=64, description="A trunk of the settings. Not given: our choice."
    )
    from_: Caller | None = Field(
        default=None, alias="from", description="The number that it comes from. Not given: the trunk's choice."
    )
    ring_timeout_s: float = Field(default=30.0, ge=1, le=120, description="How long it may ring.")
    extension: str | None = Field(
        default=None,
        pattern=r"^[0-9*#A-DwW]{1,64}$",
        repr=False,
        description="Keys for whoever answers, such as `WW1234#` for a switchboard, before anybody is joined. Such a "
        "call is placed by us.",
    )


class SummaryRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    by: Literal["model", "text", "caller"] = Field(
        default="model",
        description="`model`: from the conversation, or `text` if that fails. `text`: that alone. `caller`: the "
        "caller's own words, who is asked what it is about and recorded; without any, as `model`.",
    )
    text: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        default="", max_length=2000, description="Not given: that a caller would like to speak with them."
    )


class TargetAnswering(BaseModel):
    """How long it is found out who has answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    limit_s: float = Field(
        default=10.0, ge=1, le=60, description="How long whoever answers hears nothing, without `accept`; then it "
        "counts as a person.",
    )  # fmt: skip
    correct_for_s: float = Field(
        default=20.0, ge=0, le=120, description="How long a machine is still noticed after a person was recognised."
    )


class WarmRequest(BaseModel):
    """Of a warm transfer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    also: Annotated[list[Target], Field(max_length=9)] = Field(
        default=[], description="Further targets, called one after another until somebody accepts."
    )
    at_once: bool = Field(default=False, description="All targets are called at once; who accepts first has it.")
    within_s: float = Field(default=120.0, ge=1, le=600, description="How long all of it may take until then.")
    detect: bool = Field(
        default=True, description="Find out whether a person or a machine has answered, before anybody hears them."
    )
    accept: bool = Field(default=False, description="Whoever answers must press 1 to have the caller (2 declines).")
    accept_timeout_s: float = Field(default=15.0, ge=3, le=60, description="How long they have for that.")
    summary: SummaryRequest | None = Field(
        default=None, description="What they are told before the caller hears them. Not given: nothing."
    )
    answering: TargetAnswering = Field(default_factory=lambda: TargetAnswering(), description="Limits of `detect`.")
    consult: bool = Field(
        default=False,
        description="Then they may ask the agent about the caller, until they press 1 or say that the caller is to be "
        "put through, or press 2 or say that they cannot.",
    )
    consult_timeout_s: float = Field(default=120.0, ge=5, le=600, description="How long; then the two are joined.")
    notes: bool = Field(
        default=True,
        description="What the two say is put on the record in words, where `calls.transfer_notes` allows it.",
    )
    handover: Literal["bridge", "refer"] = Field(
        default="bridge",
        description="Once they are joined. bridge: they talk through us. refer: the caller's side is asked to call the "
        "human itself, in our place (REFER with Replaces); where it does not, they go on through us.",
    )
    introduction: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        default="", max_length=500, description="What the agent says to both once they hear each other."
    )
    headers: dict[str, str] = Field(
        default={}, max_length=MOST_HEADERS, description="Headers of the call to them; names begin with X-."
    )
    user_to_user: str = Field(
        default="", max_length=128, description="Data for its User-to-User header (RFC 7433), as text."
    )


class InQueueRequest(BaseModel):
    """How the caller waits in the queue that `to` names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    priority: int = Field(default=0, ge=-1000, le=1000, description="Higher goes first.")
    skills: dict[SkillName, SkillLevel] = Field(
        default={}, max_length=32, description="What the member must be able to do, each with the least level."
    )
    keep_helping: bool | None = Field(
        default=None, description="The agent goes on talking with the caller. Not given: as the queue's settings say."
    )


class TransferRequest(_CallsSomebody):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"to": "+15557654321", "announce": "One moment, I am connecting you."},
                {
                    "to": "sip:desk@10.0.0.5",
                    "afterwards": "agent",
                    "ring_timeout_s": 20,
                    "warm": {"also": ["+15557654321"], "accept": True, "summary": {"by": "model"}},
                },
            ]
        }
    )

    to: TargetOrQueue = Field(
        description="A number, a `sip:` address of a trunk, or `queue:NAME`: whoever of that queue's members accepts."
    )
    queue: InQueueRequest | None = Field(default=None, description="With `queue:NAME`: how the caller waits.")
    kind: Literal["cold", "warm"] = Field(
        default="cold", description="`cold`: the caller is handed over. `warm`: the call stays ours, with its agent."
    )
    refer: Literal["prefer", "only", "never"] = Field(
        default="prefer",
        description="Whether the caller's side is asked by REFER to call the target itself; of a cold transfer.",
    )
    announce: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        default="", max_length=1000, description="What the agent says before."
    )
    afterwards: Literal["end", "agent"] = Field(
        default="end",
        description="When the target of a leg of ours hangs up first: the call ends, or the agent has the caller back.",
    )
    warm: WarmRequest | None = Field(
        default=None, description="Whom else to call, and what they are asked and told; makes the transfer a warm one."
    )


class ListenRequest(_CallsSomebody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"to": "sip:boss@10.0.0.5", "mode": "listen"}]})

    mode: Literal["listen", "whisper", "barge", "take_over"] = Field(
        default="listen",
        description="Who hears the supervisor: nobody, the human whom the caller was transferred to, or all. "
        "`take_over`: all, and the agent is silent. The supervisor's keys 1 to 4 change it, in this order.",
    )
    afterwards: Literal["agent", "end"] = Field(
        default="agent",
        description="What becomes of the caller when a supervisor who has taken the call over hangs up: back to the "
        "agent, or the call ends.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """`leg_id`: the supervisor's, which is being called."""

    call_id: str
    leg_id: str
    mode: Literal["listen", "whisper", "barge", "take_over"]


_transfer = TypeAdapter(TransferRecord)
_listening = TypeAdapter(Listening)


async def transfer(request: web.Request) -> web.Response:
    """202 with the initial transfer; its progress is in events and the call's record."""
    query_of(request, NoQuery)
    asked, call_id = await body_of(request, TransferRequest), call_id_of(request)
    deps, order = request.app[DEPS], _order(asked, call_id)
    key = key_of(request)
    if key is None:
        answer = await _begun(deps, call_id, order)
    else:
        owner, said = await owner_of(request), f"POST /v1/calls/{call_id}/transfer ".encode() + await request.read()
        try:
            answer = await answer_once(
                deps.attempts, lambda: _begun(deps, call_id, order), owner=owner, key=key, request=said,
                reference=order.transfer_id,
            )  # fmt: skip
        except Interrupted as interrupted:
            answer = await _on_record(deps, call_id, interrupted.reference)
    headers = {"Location": answer.location} | ({"Idempotent-Replayed": "true"} if answer.repeated else {})
    return web.Response(status=answer.status, text=answer.body, content_type="application/json", headers=headers)


def _order(asked: TransferRequest, call_id: str) -> TransferOrder:
    """Raises ProblemError."""
    if asked.warm is not None and "kind" in asked.model_fields_set and asked.kind != "warm":
        why = "`warm` is for transfers of the kind warm"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, why, kind="contradiction")
    if asked.extension and (asked.refer == "only" or queue_name(asked.to)):
        why = "`extension` is for a leg that we call: it goes neither with `refer` only nor with a queue"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, why, kind="contradiction")
    queue = _queue(asked)
    kind = TransferKind(asked.kind) if asked.warm is None and queue is None else TransferKind.WARM
    return TransferOrder(
        new_transfer_id(call_id), plain(asked.to), kind, asked.trunk or "", asked.from_ or "", asked.announce,
        asked.ring_timeout_s, UseRefer(asked.refer), AfterTransfer(asked.afterwards), _warm(asked.warm), queue,
        asked.extension or "",
    )  # fmt: skip


def _queue(asked: TransferRequest) -> QueueAsk | None:
    """Raises ProblemError."""
    wants = asked.queue
    if not queue_name(asked.to):
        if wants is not None:
            why = "`queue` is for transfers to `queue:NAME`"
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, why, kind="contradiction")
        return None
    return QueueAsk() if wants is None else QueueAsk(wants.priority, wants.skills, wants.keep_helping)


def _warm(asked: WarmRequest | None) -> Warm | None:
    """Raises ProblemError."""
    if asked is None:
        return None
    summary = asked.summary
    order = Warm(
        also=tuple(plain(each) for each in asked.also),
        at_once=asked.at_once,
        within_s=asked.within_s,
        detect=asked.detect,
        detect_limit_s=asked.answering.limit_s,
        correct_for_s=asked.answering.correct_for_s,
        accept=asked.accept,
        accept_s=asked.accept_timeout_s,
        summary=SummaryBy.NONE if summary is None else SummaryBy(summary.by),
        text="" if summary is None else summary.text,
        consult=asked.consult,
        consult_s=asked.consult_timeout_s,
        introduction=asked.introduction,
        notes=asked.notes,
        handover=asked.handover == "refer",
        headers=asked.headers,
        user_to_user=asked.user_to_user,
    )
    if (why := problem_of_data(order)) is not None:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, why, kind="invalid_variable")
    return order


async def _begun(deps: ApiDeps, call_id: str, order: TransferOrder) -> Answer:
    """Raises ProblemError if nothing was begun."""
    try:
        await deps.steering.transfer(call_id, order)
    except CannotSteer as error:
        raise await problem_of(deps, call_id, error) from None
    record = TransferRecord(
        transfer_id=order.transfer_id,
        call_id=call_id,
        kind=order.kind,
        target=", ".join(order.targets),
        began_at=datetime.now(UTC),
    )
    return _answer(record)


async def _on_record(deps: ApiDeps, call_id: str, transfer_id: str) -> Answer:
    """The first gateway ended before it answered."""
    call = await deps.calls.get_call(call_id)
    for each in call.transfers if call is not None else ():
        if each.transfer_id == transfer_id:
            return _answer(each)
    detail = "The gateway that was asked first ended before it answered, and has no record of the transfer."
    raise ProblemError(HTTPStatus.CONFLICT, detail, kind="not_placed")


def _answer(record: TransferRecord) -> Answer:
    body = _transfer.dump_json(record, warnings=False).decode()
    return Answer(HTTPStatus.ACCEPTED, body, f"/v1/calls/{record.call_id}")


async def listen(request: web.Request) -> web.Response:
    """202: the supervisor is being called, or is already listening and now has this mode."""
    query_of(request, NoQuery)
    asked, call_id, deps = await body_of(request, ListenRequest), call_id_of(request), request.app[DEPS]
    order = ListenOrder(
        plain(asked.to), ListenMode(asked.mode), asked.trunk or "", asked.from_ or "", asked.ring_timeout_s,
        AfterTransfer(asked.afterwards),
        asked.extension or "",
    )  # fmt: skip
    try:
        leg_id = await deps.steering.listen(call_id, order)
    except CannotSteer as error:
        raise await problem_of(deps, call_id, error) from None
    body = _listening.dump_json(Listening(call_id=call_id, leg_id=leg_id, mode=asked.mode)).decode()
    headers = {"Location": f"/v1/calls/{call_id}"}
    return web.Response(status=HTTPStatus.ACCEPTED, text=body, content_type="application/json", headers=headers)
