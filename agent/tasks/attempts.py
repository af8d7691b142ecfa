"""Shared by tasks that ask for something a limited number of times: patience, attempts, another prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from agent.context import RunContext
from agent.events import (
    AgentStartedSpeaking,
    AgentStoppedSpeaking,
    CallerHeld,
    DigitReceived,
    SessionEvent,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    UserTurnEnded,
)
from agent.hooks import UserTurn
from agent.pipeline.alarm import Alarm
from agent.tasks.task import Task
from agent.tools import ToolError
from agent.turns.digits import KEYED_UNTIL, KeyedUntil
from agent.turns.first_digit import FirstDigit, Nothing
from agent.words import canned_words

__all__ = ["AskedAgain"]

T = TypeVar("T")


class AskedAgain(Task[T]):
    """Base class. An attempt has failed when `attempt_failed` says so, if nobody talks or keys for
    `first_digit_timeout_ms`, or if a terminator is keyed without anything before it."""

    silence_ladder = False  # it has its own patience
    timeout_s = 180.0

    def __init__(
        self, prompt: str, instructions: str, *, first_digit_timeout_ms: float, retries: int, retry_prompt: str
    ) -> None:
        """Raises ValueError."""
        if retries < 0 or first_digit_timeout_ms <= 0:
            raise ValueError("retries must be at least 0, first_digit_timeout_ms positive")
        super().__init__(greeting=prompt, instructions=instructions)
        self._attempts_left = 1 + retries
        self._retry_prompt = retry_prompt
        self._patience = FirstDigit(limit_ms=first_digit_timeout_ms)
        self._patient = True
        self._waits = self._keying = False  # nobody talked when the last key came; keys of an entry have come
        self._keyed_until: KeyedUntil | None = None  # how the last turn's entry ended; None: it was spoken
        self._stop_watching: Callable[[], None] = lambda: None

    @property
    def again(self) -> str:
        """What to say after a failed attempt."""
        return self._retry_prompt or f"{canned_words('didnt_catch', self.canned, self.language)} {self.greeting}"

    def patient(self, on: bool) -> None:
        """Whether time counts: not while another task talks."""
        self._patient = on
        self._patience.busy()

    def attempt_failed(self, ctx: RunContext) -> None:
        self._keying = False
        self._attempts_left -= 1
        if self._attempts_left > 0:
            ctx.session.say(self.again)
        else:
            self.fail(ToolError(f'the caller gave no answer that fits to "{self.greeting}"'))

    async def on_enter(self, ctx: RunContext) -> None:
        def nothing(actions: tuple[Nothing, ...]) -> None:
            if actions:
                self.attempt_failed(ctx)

        alarm = Alarm(asyncio.get_running_loop(), self._patience, nothing)

        def happened(event: SessionEvent) -> None:
            match event:
                case _ if not self._patient:
                    self._patience.busy()
                case AgentStoppedSpeaking(interrupted=False) | UserStoppedSpeaking():
                    self._patience.quiet(event.at)
                case DigitReceived():
                    self._waits = self._patience.deadline is not None
                    self._patience.busy()
                case UserTurnEnded(reason=reason, why=why):
                    self._keyed_until = KEYED_UNTIL.get(why) if reason == "digits" else None
                case AgentStartedSpeaking() | UserStartedSpeaking() | CallerHeld():
                    self._patience.busy()
            alarm.set()

        unsubscribe = ctx.session.subscribe(happened)

        def stop() -> None:
            unsubscribe()
            alarm.cancel()

        self._stop_watching = stop

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        if self.digits is None or digit not in self.digits.terminator:
            self._keying = True
        elif not self._keying and self._waits:  # else it ends an entry, or comes after a full one
            self.attempt_failed(ctx)

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        self._keying = False

    async def on_exit(self, ctx: RunContext) -> None:
        self._stop_watching()
