"""What tools and a persona's hooks are given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from agent.events import CallbackAsked, OptedOut, ResultReported
from agent.within import waiting_for_conversation
from telephony.call import (
    AfterTransfer,
    AsksQueues,
    Dials,
    DigitSource,
    SendsToLegs,
    SummaryBy,
    Transfers,
    UseRefer,
    Warm,
)
from telephony.errors import DialRefused, DigitsNotSent
from telephony.queue import PREFIX, QueueAsk

if TYPE_CHECKING:
    from agent.providers.base import ToolCall
    from agent.session_verbs import ActivePersona, SessionVerbs
    from telephony.call import CallInfo, CallVerbs, DialledLeg, QueueResult, TransferResult

__all__ = ["AgentsCall", "RunContext"]

MOST_RESULT = 10_000  # characters as JSON


@dataclass(frozen=True, slots=True)
class RunContext:
    """`agent`: the active persona. `function_call`: in a tool, the model's call. `userdata`: as given to the session.
    `call`: the phone call's verbs."""

    session: SessionVerbs
    agent: ActivePersona
    userdata: Any
    call_or_none: CallVerbs | None = None
    function_call: ToolCall | None = None

    def disallow_interruptions(self) -> None:
        """From here on the reply that called this tool cannot be interrupted."""
        self.session.disallow_interruptions()

    async def ask(self, question: str) -> str:
        """Say this and return the caller's next words, or keyed digits, which the model does not answer. The tool's
        time limit pauses meanwhile."""
        await self.session.say(question)
        return await self.session.next_message()

    def result(self, **fields: Any) -> None:
        """Report what the call has come to: `ctx.result(booked=True, slot="9:30")`. JSON values; the last one stands.
        It is an event of the call, and the result of a campaign's attempt. Raises ValueError if it is no JSON, or
        longer than 10,000 characters."""
        text = json.dumps(fields, allow_nan=False)
        if len(text) > MOST_RESULT:
            raise ValueError(f"a result has at most {MOST_RESULT} characters as JSON, not {len(text)}")
        self.session.tell(ResultReported(self.session.now, json.loads(text)))

    def opt_out(self, words: str = "") -> None:
        """Whoever you talk with does not want to be called again: campaigns never call them from now on."""
        self.session.tell(OptedOut(self.session.now, words[:500]))

    def call_back(self, when: datetime) -> None:
        """Whoever you talk with has asked to be called then: an attempt of their campaign, in its windows. Raises
        ValueError without a time zone."""
        if when.tzinfo is None:
            raise ValueError("say in which time zone: datetime(…, tzinfo=ZoneInfo(…))")
        self.session.tell(CallbackAsked(self.session.now, when.isoformat()))

    @property
    def call(self) -> AgentsCall:
        """Raises LookupError in a session without a phone call (text mode)."""
        if self.call_or_none is None:
            raise LookupError("this session is not a phone call")
        return AgentsCall(self.call_or_none, self.session)


class AgentsCall:
    """A phone call's verbs, and those of its recording. Implements `CallVerbs`."""

    def __init__(self, verbs: CallVerbs, session: SessionVerbs) -> None:
        self._verbs = verbs
        self._session = session
        self.hang_up = verbs.hang_up

    @property
    def info(self) -> CallInfo:
        """With the variables that have been added."""
        info = self._verbs.info
        return replace(info, variables=self.variables) if self._session.variables else info

    @property
    def variables(self) -> Mapping[str, str]:
        """Those that the call came with, and those added in it."""
        return {**self._verbs.info.variables, **self._session.variables}

    def set_variable(self, name: str, value: str) -> None:
        """For whoever talks with the caller next. It is not written into the record."""
        self._session.variables[name] = value

    async def send_digits(
        self,
        digits: str,
        *,
        duration_ms: int = 160,
        gap_ms: int = 80,
        way: DigitSource | Literal["rfc4733", "info", "inband"] | None = None,
        leg: str = "",
    ) -> None:
        """Press keys, and return once the last one has been sent; `w` is a pause of half a second, `W` one of a second.
        You are not heard meanwhile. `way`: not given, what the trunk's settings say or was agreed on. `leg`: the id of
        a further leg; not given, the customer's. Raises DigitsNotSent (telephony.errors)."""
        asked = None if way is None else DigitSource(way)
        if not leg:
            await self._verbs.send_digits(digits, duration_ms=duration_ms, gap_ms=gap_ms, way=asked)
        elif isinstance(self._verbs, SendsToLegs):
            await self._verbs.send_digits_to(leg, digits, duration_ms=duration_ms, gap_ms=gap_ms, way=asked)
        else:
            raise DigitsNotSent("not_possible", "this call has no further legs to send keys to")

    async def dial(self, to: str, *, trunk: str = "", caller: str = "", ring_s: float = 30.0) -> DialledLeg:
        """Call somebody in, and return once they have answered or it is clear that they will not (`.outcome`). They
        talk with the customer. Stay in the tool until they have left (`await leg.ended()`, with `timeout_s=None`): then
        the customer is back with you. Raises DialRefused (telephony.errors) if nothing was dialled."""
        if not isinstance(self._verbs, Dials):
            raise DialRefused("no_room", "this call takes no further legs")
        return await self._verbs.dial(to, trunk=trunk, caller=caller, ring_s=ring_s)

    async def transfer(
        self,
        to: str,
        *,
        kind: Literal["cold", "warm"] = "cold",
        refer: UseRefer = UseRefer.PREFER,
        trunk: str = "",
        caller: str = "",
        announce: str = "",
        ring_s: float = 30.0,
        afterwards: AfterTransfer = AfterTransfer.END,
        warm: Warm | None = None,
        extension: str = "",
    ) -> TransferResult:
        """Bring the caller to a number or `sip:` address, and return once the target has answered or will not: then
        the caller is yours again, and the result says why. The caller hears ringing or music meanwhile; the tool's
        time limit is paused. With `afterwards` AGENT it returns once a target that has answered has left again.
        `extension`: keys for whoever answers ("WW12#" for a switchboard), before anybody is joined; without REFER.
        `warm`: whom else to call, what they are asked and told before they are joined; makes it a warm one. Raises
        DialRefused (telephony.errors) when nothing was begun."""
        if not isinstance(self._verbs, Transfers):
            raise DialRefused("not_possible", "this call cannot be transferred")
        with waiting_for_conversation():
            return await self._verbs.transfer(
                to, kind=kind, refer=refer, trunk=trunk, caller=caller, announce=announce, ring_s=ring_s,
                afterwards=afterwards, warm=warm, extension=extension,
            )  # fmt: skip

    async def transfer_to_queue(
        self,
        name: str,
        *,
        summary: bool | str = False,
        priority: int = 0,
        skills: Mapping[str, int] | Iterable[str] = (),
        keep_helping: bool | None = None,
        announce: str = "",
        afterwards: AfterTransfer = AfterTransfer.END,
        warm: Warm | None = None,
        callback: str = "",
    ) -> QueueResult:
        """Put the caller into a human queue, and return once a member has them or nobody will: then the caller is yours
        again, and the result says why. The caller hears the queue's music meanwhile; the tool's time limit is paused.
        `summary`: the member is told what this is about first, in the model's words or these. `priority`: higher goes
        first. `skills`: what the member must be able to do, names alone or with the least level. `keep_helping`: you go
        on talking with the caller while the queue searches: it returns at once (`QueueEnd.WAITING`), and the two are
        joined when a member has accepted; not given, as the queue's settings say. `warm`: what members are shown and
        told, in detail. `callback`: of a callback of ours. Raises DialRefused (telephony.errors) when nothing was
        begun: there is no such queue, or the caller is being transferred already."""
        if not isinstance(self._verbs, Transfers):
            raise DialRefused("not_possible", "this call cannot wait in a queue")
        levels = dict(skills) if isinstance(skills, Mapping) else dict.fromkeys(skills, 1)
        told = warm or Warm()
        if isinstance(summary, str):
            told = replace(told, summary=SummaryBy.TEXT, text=summary)
        elif summary:
            told = replace(told, summary=SummaryBy.MODEL)
        with waiting_for_conversation():
            result = await self._verbs.transfer(
                f"{PREFIX}{name}", announce=announce, afterwards=afterwards, warm=told,
                queue=QueueAsk(priority, levels, keep_helping, callback),
            )  # fmt: skip
        assert result.queued is not None, "it was asked for"
        return result.queued

    async def leave_queue(self) -> bool:
        """Of a caller whom you keep helping while a queue searches: they wait for nobody any more. False: they are in
        no queue, or a member has them."""
        return bool((await self.ask_queues("leave_mine")).get("left"))

    async def ask_queues(self, verb: str, **how: Any) -> Mapping[str, Any]:
        """For personas of the gateway's own. Raises DialRefused."""
        if not isinstance(self._verbs, AsksQueues):
            raise DialRefused("not_possible", "this call has no queues to ask")
        return await self._verbs.ask_queues(verb, how)

    async def pause_recording(self) -> None:
        """Silence the recording from now on, for example while a card number is read; its time axis continues.
        Idempotent."""
        self._session.pause_recording()

    async def resume_recording(self) -> None:
        """Resume the recording. Idempotent."""
        self._session.resume_recording()
