"""Commands of other programs for a live call: passed on to its worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from agent.warm.asking import AskError, Refused
from gateway.calls.collecting import MARGIN_S, Collected, CollectOrder
from gateway.calls.verbs import DigitsOrder, ListenOrder, TransferOrder, Voice
from gateway.live_calls import LiveCall, LiveCalls

__all__ = ["STEER", "CallSteering", "CannotSteer", "FakeSteering", "Steering", "TargetCheck"]

STEER = "steer"  # the topic; body {call_id, verb, …}
_LIMIT_S = 3.0
_DIAL_LIMIT_S = 7.0  # for the gateway to place a leg, which the worker asks for in turn
Ask = Callable[..., Awaitable[Mapping[str, Any]]]  # Supervisor.ask


class CannotSteer(Exception):
    """`kind`: as in `gateway.calls.verbs.VerbRefused`."""

    def __init__(self, kind: str, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.retryable = retryable


class TargetCheck(Protocol):
    """Checks whether somebody may be called at all, before anything begins. Both raise Refused."""

    def transfer(self, call: LiveCall, order: TransferOrder) -> None: ...

    def listen(self, call: LiveCall, order: ListenOrder) -> None: ...


class Steering(Protocol):
    """All return once the worker has begun, and raise CannotSteer. See `gateway.calls.verbs.SteeredCall`."""

    async def hang_up(self, call_id: str, *, goodbye: bool) -> None:
        """`goodbye`: the agent says its farewell first."""

    async def say(self, call_id: str, text: str, *, allow_interruptions: bool) -> None:
        """Say it in the agent's voice, after the current speech."""

    async def send_digits(self, call_id: str, order: DigitsOrder) -> None:
        """Send keys to one leg."""

    async def collect(self, call_id: str, order: CollectOrder) -> Collected:
        """Have the customer asked for digits; returns with them."""

    async def transfer(self, call_id: str, order: TransferOrder) -> None: ...

    async def hold(self, call_id: str) -> None: ...

    async def resume(self, call_id: str) -> None: ...

    async def mute(self, call_id: str, who: Voice, *, muted: bool) -> None: ...

    async def pause_recording(self, call_id: str, *, paused: bool) -> None: ...

    async def listen(self, call_id: str, order: ListenOrder) -> str:
        """The supervisor's leg."""


class CallSteering:
    """Implements `Steering`."""

    def __init__(self, live: LiveCalls, ask: Ask, targets: TargetCheck, ask_job: Ask | None = None) -> None:
        """`ask_job(call_id, body, timeout_s=)`: for calls of LiveKit jobs; None: they cannot be reached."""
        self._ask_job = ask_job
        self._live = live
        self._ask = ask
        self._targets = targets

    async def hang_up(self, call_id: str, *, goodbye: bool) -> None:
        await self._steer(call_id, "hang_up", goodbye=goodbye)

    async def say(self, call_id: str, text: str, *, allow_interruptions: bool) -> None:
        await self._steer(call_id, "say", text=text, allow_interruptions=allow_interruptions)

    async def send_digits(self, call_id: str, order: DigitsOrder) -> None:
        await self._steer(call_id, "digits", order=order.to_dict())

    async def collect(self, call_id: str, order: CollectOrder) -> Collected:
        answer = await self._steer(call_id, "collect", order.limit_s + MARGIN_S, order=order.to_dict())
        return Collected.from_dict(answer)

    async def transfer(self, call_id: str, order: TransferOrder) -> None:
        call = self._in_worker(call_id)
        _open(lambda: self._targets.transfer(call, order))
        await self._steer(call_id, "transfer", order=order.to_dict())

    async def hold(self, call_id: str) -> None:
        self._in_worker(call_id)
        await self._steer(call_id, "hold")

    async def resume(self, call_id: str) -> None:
        self._in_worker(call_id)
        await self._steer(call_id, "resume")

    async def mute(self, call_id: str, who: Voice, *, muted: bool) -> None:
        self._in_worker(call_id)
        await self._steer(call_id, "mute" if muted else "unmute", who=who)

    async def pause_recording(self, call_id: str, *, paused: bool) -> None:
        self._in_worker(call_id)
        await self._steer(call_id, "pause_recording", paused=paused)

    async def listen(self, call_id: str, order: ListenOrder) -> str:
        call = self._in_worker(call_id)
        _open(lambda: self._targets.listen(call, order))
        return str((await self._steer(call_id, "listen", _DIAL_LIMIT_S, order=order.to_dict()))["leg_id"])

    def _found(self, call_id: str) -> LiveCall:
        call = self._live.get(call_id)
        if call is None:
            raise CannotSteer("not_live", f"Call {call_id} is over.")
        return call

    def _in_worker(self, call_id: str) -> LiveCall:
        """One whose room is ours to route, and can have further legs."""
        call = self._found(call_id)
        if not call.worker:
            raise CannotSteer(
                "not_possible", f"Call {call_id} is a LiveKit job's own, which only speaks, sends keys and hangs up."
            )
        return call

    async def _steer(self, call_id: str, verb: str, limit_s: float = _LIMIT_S, **how: object) -> Mapping[str, Any]:
        call = self._found(call_id)
        try:
            body = {"call_id": call_id, "verb": verb, **how}
            if call.worker:
                return await self._ask(call.worker, STEER, body, timeout_s=limit_s)
            if self._ask_job is None:
                raise Refused(
                    "not_possible", f"Call {call_id} is a LiveKit job's, in a worker apart from this gateway."
                )
            return await self._ask_job(call_id, body, timeout_s=limit_s)
        except Refused as refused:
            raise CannotSteer(refused.kind, refused.text, retryable=refused.retryable) from None
        except AskError as error:
            raise CannotSteer("no_answer", f"The call's worker gave no answer: {error}.", retryable=True) from None


def _open(check: Callable[[], None]) -> None:
    try:
        check()
    except Refused as refused:
        text = refused.text[:1].upper() + refused.text[1:]
        raise CannotSteer(refused.kind, f"{text.rstrip('.')}.", retryable=refused.retryable) from None


class FakeSteering:
    """Records the commands; `error` is raised if set."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.error: CannotSteer | None = None
        self.collected = Collected("48115", "full")

    def _note(self, *what: Any) -> None:
        if self.error is not None:
            raise self.error
        self.told.append(what)

    async def hang_up(self, call_id: str, *, goodbye: bool) -> None:
        self._note("hang_up", call_id, goodbye)

    async def say(self, call_id: str, text: str, *, allow_interruptions: bool) -> None:
        self._note("say", call_id, text, allow_interruptions)

    async def send_digits(self, call_id: str, order: DigitsOrder) -> None:
        self._note("digits", call_id, order)

    async def collect(self, call_id: str, order: CollectOrder) -> Collected:
        self._note("collect", call_id, order)
        return self.collected

    async def transfer(self, call_id: str, order: TransferOrder) -> None:
        self._note("transfer", call_id, order)

    async def hold(self, call_id: str) -> None:
        self._note("hold", call_id)

    async def resume(self, call_id: str) -> None:
        self._note("resume", call_id)

    async def mute(self, call_id: str, who: Voice, *, muted: bool) -> None:
        self._note("mute" if muted else "unmute", call_id, who.value)

    async def pause_recording(self, call_id: str, *, paused: bool) -> None:
        self._note("pause_recording", call_id, paused)

    async def listen(self, call_id: str, order: ListenOrder) -> str:
        self._note("listen", call_id, order)
        return f"{call_id}-2"
