"""Commands of other programs for a live call: passed on to its worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from agent.warm.asking import AskError, Refused
from gateway.live_calls import LiveCalls

__all__ = ["STEER", "CallSteering", "CannotSteer", "FakeSteering", "Steering"]

STEER = "steer"  # the topic; body {call_id, verb, …}
_LIMIT_S = 3.0
Ask = Callable[..., Awaitable[Mapping[str, Any]]]  # Supervisor.ask


class CannotSteer(Exception):
    """`kind`: not_live, not_talking, not_possible, no_answer."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Steering(Protocol):
    """All return once the worker has begun to do it, and raise CannotSteer."""

    async def hang_up(self, call_id: str, *, goodbye: bool) -> None:
        """`goodbye`: the agent says its farewell first."""

    async def say(self, call_id: str, text: str, *, allow_interruptions: bool) -> None:
        """Say it in the agent's voice, after the current speech."""

    async def send_digits(self, call_id: str, digits: str) -> None:
        """Send DTMF to the customer's leg; `w` is a pause of half a second."""


class CallSteering:
    """Implements `Steering`."""

    def __init__(self, live: LiveCalls, ask: Ask) -> None:
        self._live = live
        self._ask = ask

    async def hang_up(self, call_id: str, *, goodbye: bool) -> None:
        await self._steer(call_id, "hang_up", goodbye=goodbye)

    async def say(self, call_id: str, text: str, *, allow_interruptions: bool) -> None:
        await self._steer(call_id, "say", text=text, allow_interruptions=allow_interruptions)

    async def send_digits(self, call_id: str, digits: str) -> None:
        await self._steer(call_id, "digits", digits=digits)

    async def _steer(self, call_id: str, verb: str, **how: object) -> None:
        call = self._live.get(call_id)
        if call is None:
            raise CannotSteer("not_live", f"Call {call_id} is over.")
        if not call.worker:
            raise CannotSteer("not_possible", f"Call {call_id} is in a LiveKit job, which cannot be steered from here.")
        try:
            await self._ask(call.worker, STEER, {"call_id": call_id, "verb": verb, **how}, timeout_s=_LIMIT_S)
        except Refused as refused:
            raise CannotSteer(refused.kind, refused.text) from None
        except AskError as error:
            raise CannotSteer("no_answer", f"The call's worker gave no answer: {error}.") from None


class FakeSteering:
    """Records the commands; `error` is raised if set."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.error: CannotSteer | None = None

    def _note(self, *what: Any) -> None:
        if self.error is not None:
            raise self.error
        self.told.append(what)

    async def hang_up(self, call_id: str, *, goodbye: bool) -> None:
        self._note("hang_up", call_id, goodbye)

    async def say(self, call_id: str, text: str, *, allow_interruptions: bool) -> None:
        self._note("say", call_id, text, allow_interruptions)

    async def send_digits(self, call_id: str, digits: str) -> None:
        self._note("digits", call_id, digits)
