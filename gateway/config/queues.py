"""Settings of human queues and of their members."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.config.fields import FilePath, Secret
from gateway.config.hold_music import HoldMusicSettings

__all__ = [
    "NAME",
    "TARGET",
    "MemberSettings",
    "OverflowSettings",
    "PeriodicMessage",
    "PlaceSettings",
    "QueueSettings",
    "queue_problem",
]

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
Skills = Annotated[dict[Name, Annotated[int, Field(ge=1, le=10)]], Field(max_length=32)]
TARGET = (
    r"^(phone:[A-Za-z0-9][A-Za-z0-9._-]{0,63}|(tel:)?\+?[0-9][0-9().-]{1,30}"
    r"|[sS][iI][pP]:[A-Za-z0-9+*#._~-]{1,64}@[A-Za-z0-9.:\[\]-]{1,255}(;transport=(udp|tcp))?)$"
)
_NUMBER = r"^\+?[0-9]{2,15}$"


def _target(text: str) -> str:
    if not re.fullmatch(TARGET, text):
        raise ValueError(f'"{text}" cannot be called: write phone:NAME, a number, or a sip: or tel: address')
    return text


Target = Annotated[str, AfterValidator(_target)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class MemberSettings(_Section):
    """A human who takes callers of queues."""

    name: Name = Field(description="As queues, REST and figures name them.")
    target: Target = Field(description="Whom to ring: `phone:NAME` of a registered phone, a number, `sip:` or `tel:`.")
    skills: Skills = Field(default={}, description="What they can do, each with a level from 1 to 10.")
    calls_at_once: int = Field(default=1, ge=1, le=20, description="How many callers they may have at the same time.")
    number: Annotated[str, Field(pattern=_NUMBER)] | None = Field(
        default=None, description="The number that they sign in from by telephone, if not from their own phone."
    )
    pin: Secret | None = Field(default=None, description="What they key in when they call from `number`.")
    signed_in: bool = Field(default=True, description="Whether they are until they first sign in or out themselves.")


class PlaceSettings(_Section):
    """A member's place in one queue."""

    name: Name = Field(description="The member's.")
    penalty: int = Field(default=0, ge=0, le=1000, description="Those with the lowest are offered callers first.")
    weight: int = Field(default=1, ge=1, le=1000, description="Share of the callers, for the strategy `weighted`.")


class OverflowSettings(_Section):
    """Where a caller goes who may not wait (any longer). Exactly one is given."""

    queue: Name | None = Field(default=None, description="Another queue.")
    persona: str | None = Field(
        default=None, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*){1,2}$", description="A persona, as dialplans name it."
    )
    number: Target | None = Field(default=None, description="A number, or a `sip:` or `tel:` address.")
    voicemail: bool = Field(default=False, description="The caller leaves a message: it is in the call's recording.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum((self.queue is not None, self.persona is not None, self.number is not None, self.voicemail)) != 1:
            raise ValueError("needs exactly one of queue, persona, number, voicemail")
        return self


class PeriodicMessage(_Section):
    """What callers hear now and then while they wait. Exactly one is given."""

    text: str | None = Field(default=None, min_length=1, max_length=500, description="Said in the agent's voice.")
    file: FilePath | None = Field(default=None, description="A WAV file.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) == (self.file is None):
            raise ValueError("needs exactly one of text and file")
        return self


def _places(value: Any) -> Any:
    """A name alone is a place."""
    if isinstance(value, tuple | list):
        return tuple({"name": each} if isinstance(each, str) else each for each in value)
    return value


def _messages(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple({"text": each} if isinstance(each, str) else each for each in value)
    return value


Key = Annotated[str, Field(pattern=r"^[0-9*#]$")]
Words = Annotated[str, Field(min_length=2, max_length=60)]


class QueueSettings(_Section):
    """A human queue. docs/queues.md tells how it works."""

    name: Name = Field(description="As `queue:NAME` names it.")
    members: Annotated[tuple[PlaceSettings, ...], BeforeValidator(_places)] = Field(
        default=(), description="Names of `queue_members`, or groups of {name, penalty, weight}."
    )
    strategy: Literal["ring_all", "least_recent", "fewest_calls", "random", "round_robin", "linear", "weighted"] = (
        Field(default="least_recent", description="Whom of the free members a caller is offered to.")
    )
    weight: int = Field(default=1, ge=1, le=1000, description="Among queues that want the same member.")
    ring_s: float = Field(default=20.0, ge=1, le=120, description="How long each member's phone rings.")
    retry_s: float = Field(
        default=5.0, ge=0, le=600, description="Before a member who has not accepted is offered this queue again."
    )
    wrap_up_s: float = Field(default=0.0, ge=0, le=3600, description="A member's time to themselves after each call.")
    detect: bool = Field(
        default=True, description="Find out whether a person or a machine has answered; only a person gets the caller."
    )
    accept: bool = Field(default=False, description="Members press 1 to take the caller, 2 to decline.")
    accept_s: float = Field(default=15.0, ge=3, le=60, description="How long they have for that.")
    after: Literal["end", "agent"] = Field(
        default="end", description="When the member hangs up first: the call ends, or the agent has the caller back."
    )
    most_waiting: int = Field(default=0, ge=0, description="Callers who may wait at once; more are let go. 0: any.")
    most_wait_s: float = Field(default=0.0, ge=0, description="How long a caller may wait. 0: for ever.")
    leave_empty: bool = Field(
        default=True, description="A caller is let go if no member is signed in; else they wait for one."
    )
    overflow: OverflowSettings | None = Field(
        default=None, description="Where a caller goes who is let go. Default: back to the agent, with words."
    )
    hours: str | None = Field(
        default=None, min_length=1, description='When it takes callers, as in dialplans: "mon-fri 08:00-18:00".'
    )
    timezone: str | None = Field(default=None, description="Of `hours`. Default: the dialplans'.")
    service_level_s: float = Field(default=20.0, gt=0, description="A caller answered within it was answered in time.")
    skills: Skills = Field(default={}, description="What its members must be able to do, each with the least level.")
    widen_after_s: float = Field(
        default=0.0, ge=0, description="A caller who has waited so long is offered to any member. 0: never."
    )
    hold_music: HoldMusicSettings | None = Field(default=None, description="Default: that of `calls`.")
    announce_every_s: float = Field(
        default=0.0, ge=0, description="How often callers are told their position and estimated wait. 0: never."
    )
    announce_most_wait_s: float = Field(
        default=1800.0, gt=0, description="An estimate that is longer is not told; the position is."
    )
    messages: Annotated[tuple[PeriodicMessage, ...], BeforeValidator(_messages)] = Field(
        default=(), max_length=20, description="Texts, or groups of {file}, that callers hear in turn."
    )
    messages_every_s: float = Field(default=60.0, ge=5, le=3600, description="How often they hear one.")
    leave_by_key: dict[Key, Literal["agent", "callback"]] = Field(
        default={}, description="Keys by which a caller leaves: to the agent, or to be called back."
    )
    leave_by_words: dict[Words, Literal["agent", "callback"]] = Field(
        default={}, max_length=20, description="Words by which a caller leaves, if a recogniser hears them."
    )
    agent_helps: bool = Field(
        default=False, description="The agent goes on talking with the caller while the queue searches."
    )
    callback_first: Literal["member", "caller"] = Field(
        default="member", description="Who is called first when somebody is called back."
    )
    language: str = Field(default="en-US", min_length=2, max_length=16, description="Of what is said in callbacks.")


def queue_problem(
    queues: Sequence[QueueSettings], members: Sequence[MemberSettings]
) -> tuple[tuple[Any, ...], str] | None:
    """Where a contradiction among them is, and what it is; None: there is none."""
    names, known = [queue.name for queue in queues], [member.name for member in members]
    for where, listed in (("queues", names), ("queue_members", known)):
        for index, name in enumerate(listed):
            if name in listed[:index]:
                return (where, index, "name"), f'"{name}" is named twice'
    for index, queue in enumerate(queues):
        places = [place.name for place in queue.members]
        for at, name in enumerate(places):
            if name not in known:
                return ("queues", index, "members", at), f'no member of `queue_members` is called "{name}"'
            if name in places[:at]:
                return ("queues", index, "members", at), f'"{name}" is listed twice'
        over = queue.overflow.queue if queue.overflow is not None else None
        if over is not None and (over not in names or over == queue.name):
            return ("queues", index, "overflow", "queue"), f'"{over}" is not another queue'
        if queue.timezone is not None and queue.hours is None:
            return ("queues", index, "timezone"), "goes with `hours`"
    return None
