"""The built-in persona that goes through a flow's steps with the caller, and hands over to the persona at its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import structlog

from agent import Agent, RunContext, ToolError
from agent.factory import Cast
from agent.hooks import StopResponse, UserTurn
from agent.tasks import CollectDigits, Menu, TaskAbandoned
from agent.within import waiting_for_conversation
from gateway.flows.steps import (
    CollectStep,
    FlowStep,
    HangUpStep,
    MenuStep,
    PersonaStep,
    QueueStep,
    TransferStep,
    kind_of,
)
from telephony.call import CallInfo, TransferEnd, UseRefer
from telephony.errors import DialRefused
from telephony.queue import QueueEnd

__all__ = ["Casts", "FlowPersona", "flow_persona"]

log = structlog.get_logger(__name__)

Casts = Callable[[PersonaStep, CallInfo], Awaitable[Cast]]
"""Creates a persona and its userdata for this call."""

OVER = "flow_ended"  # why the call ended
_GONE = (TransferEnd.CANCELLED, TransferEnd.UNCONFIRMED)  # nobody is left to talk to


class FlowPersona(Agent):
    """You are a telephone menu. Say nothing that was not asked of you."""

    silence_ladder = False  # its tasks have their own patience
    flow: ClassVar[FlowStep]

    def __init__(self) -> None:
        super().__init__()
        self._casts: Casts | None = None

    @property
    def name(self) -> str:
        return kind_of(self.flow)

    def meet(self, casts: Casts) -> None:
        """Before its call: who creates the personas that it leads to."""
        self._casts = casts

    async def on_enter(self, ctx: RunContext) -> None:
        step: FlowStep | None = self.flow
        while step is not None:
            step = await self._do(ctx, step)

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        """Between its questions it has nothing to answer."""
        raise StopResponse

    async def _do(self, ctx: RunContext, step: FlowStep) -> FlowStep | None:
        """What comes next; None: nothing."""
        if not isinstance(step, PersonaStep):
            self.language, self.voice = step.language, step.voice
        match step:
            case MenuStep():
                return await self._menu(step)
            case CollectStep():
                return await self._collect(ctx, step)
            case TransferStep():
                return await self._transfer(ctx, step)
            case QueueStep():
                return await self._queue(ctx, step)
            case PersonaStep():
                return await self._hand_over(ctx, step)
            case HangUpStep():
                return await self._hang_up(ctx, step.say)

    async def _menu(self, step: MenuStep) -> FlowStep | None:
        named = {choice.key: choice.name or f"key {choice.key}" for choice in step.choices}
        try:
            chosen = await Menu(
                named, step.say, first_digit_timeout_ms=step.first_digit_timeout_ms,
                inter_digit_timeout_ms=step.inter_digit_timeout_ms, retries=step.retries,
                retry_prompt=step.say_again, repeat=step.repeat,
            )  # fmt: skip
        except TaskAbandoned:
            return None
        except ToolError:
            return self._without(step.otherwise)
        return next(choice.step for choice in step.choices if named[choice.key] == chosen)

    async def _collect(self, ctx: RunContext, step: CollectStep) -> FlowStep | None:
        try:
            digits = await CollectDigits(
                step.say, least=step.least, most=step.most, terminators=step.terminators,
                first_digit_timeout_ms=step.first_digit_timeout_ms, inter_digit_timeout_ms=step.inter_digit_timeout_ms,
                secret=step.secret, confirm=step.confirm, retries=step.retries, retry_prompt=step.say_again,
            )  # fmt: skip
        except TaskAbandoned:
            return None
        except ToolError:
            return self._without(step.otherwise)
        ctx.call.set_variable(step.variable, digits)
        return step.then

    async def _transfer(self, ctx: RunContext, step: TransferStep) -> FlowStep | None:
        try:
            result = await ctx.call.transfer(
                step.to, refer=UseRefer(step.refer), trunk=step.trunk, caller=step.caller, announce=step.say,
                ring_s=step.ring_s, extension=step.extension,
            )  # fmt: skip
        except DialRefused as refused:
            log.warning("flow_transfer_refused", where=step.where, kind=refused.kind, error=str(refused))
            return self._without(step.otherwise, "transfer_failed")
        if result.transferred or result.end in _GONE:
            return None
        return self._without(step.otherwise, "transfer_busy" if result.end is TransferEnd.BUSY else "transfer_failed")

    async def _queue(self, ctx: RunContext, step: QueueStep) -> FlowStep | None:
        try:
            result = await ctx.call.transfer_to_queue(
                step.queue, announce=step.say, priority=step.priority, skills=step.skills, keep_helping=False
            )
        except DialRefused as refused:
            log.warning("flow_queue_refused", where=step.where, kind=refused.kind, error=str(refused))
            return self._without(step.otherwise, "transfer_failed")
        if result.has_the_caller or result.end is QueueEnd.ABANDONED:
            return None
        if result.end is QueueEnd.CALLBACK:
            return self._without(None)
        return self._without(step.otherwise, "transfer_failed")

    async def _hand_over(self, ctx: RunContext, step: PersonaStep) -> FlowStep | None:
        assert self._casts is not None, "it is introduced before the call"
        try:
            with waiting_for_conversation():  # a factory has its own limit
                cast = await self._casts(step, ctx.call.info)
        except Exception as error:
            log.error("persona_not_created", where=step.where, error=repr(error), exc_info=error)
            await ctx.session.drain(self.say_canned("goodbye_error"), reason="error")
            return None
        await ctx.session.update_agent(cast.agent, userdata=cast.userdata)
        return None

    async def _hang_up(self, ctx: RunContext, words: str) -> FlowStep | None:
        if words:
            await ctx.session.drain(words, reason=OVER)
        else:
            await ctx.call.hang_up(OVER)
        return None

    def _without(self, otherwise: FlowStep | None, words: str = "goodbye") -> FlowStep:
        """`words`: the key of what is said when the dialplan has nothing for this case."""
        return otherwise or HangUpStep(self.say_canned(words), self.language, self.voice)


def flow_persona(flow: FlowStep) -> type[Agent]:
    """The persona's class for one flow."""
    attributes: dict[str, Any] = {"flow": flow, "__doc__": FlowPersona.__doc__, "__module__": __name__}
    if not isinstance(flow, PersonaStep):
        attributes |= {"language": flow.language, "voice": flow.voice}
    return type("FlowPersona", (FlowPersona,), attributes)
