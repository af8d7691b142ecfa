"""Callbacks that are being carried out: which call each has, and what has come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.config import QueueSettings
from gateway.queues.book import QueueBook
from gateway.queues.callbacks import CallbackCalls, PlacesCalls
from gateway.queues.model import CallBack, Member, OfferEnd, Waiting

__all__ = ["Callbacks"]


class _Service(Protocol):
    book: QueueBook

    def now(self) -> float: ...

    def wake(self) -> None: ...

    def talks(self, leg_id: str, callback: str, member: str, call_id: str) -> None: ...


@dataclass(slots=True)
class _Run:
    back: CallBack
    taken: bool = False  # by the member, who is called first


class Callbacks:
    def __init__(self, service: _Service, places: PlacesCalls | None) -> None:
        """`places` None: there are no callbacks."""
        self._service = service
        self._calls = None if places is None else CallbackCalls(places, self._began)
        self._runs: dict[str, _Run] = {}  # by the call that it began with

    @property
    def possible(self) -> bool:
        return self._calls is not None

    async def begin(self, back: CallBack, waiting: Waiting, member: Member, queue: QueueSettings) -> None:
        """The member is claimed."""
        assert self._calls is not None, "it was asked for"
        if not await self._calls.call(back, waiting, member, queue):
            for call_id in [call_id for call_id, run in self._runs.items() if run.back is back]:
                await self.call_over(call_id)

    def _began(self, call_id: str, back: CallBack) -> None:
        self._runs[call_id] = _Run(back)

    def of_caller(self, callback: str) -> CallBack | None:
        """The person of this callback is on the line, and wants the member now."""
        found = self._found(callback)
        if found is None:
            return None
        del self._runs[found[0]]
        return found[1].back

    async def told(self, verb: str, body: Mapping[str, Any]) -> None:
        """By the persona in the call to the member."""
        found = self._found(str(body["callback"]))
        if found is None:
            return
        (call_id, run), service = found, self._service
        back = run.back
        if verb == "callback_taken":
            run.taken = True
            return
        del self._runs[call_id]
        if verb == "callback_reached":
            await service.book.offer_ended(back.call_id, back.member, OfferEnd.ACCEPTED, service.now())
            service.talks(str(body["leg_id"]), back.call_id, back.member, call_id)
        elif verb == "callback_missed":
            await service.book.callback_missed(back.call_id, back.member, service.now())
        else:
            await service.book.offer_ended(back.call_id, back.member, OfferEnd.DECLINED, service.now())
        service.wake()

    async def call_over(self, call_id: str) -> None:
        """The first call of a callback has ended, and nothing had come of it."""
        run = self._runs.pop(call_id, None)
        if run is None:
            return
        back, service = run.back, self._service
        if run.taken or not back.member_first:
            await service.book.callback_missed(back.call_id, back.member, service.now())
        else:
            await service.book.offer_ended(back.call_id, back.member, OfferEnd.NO_ANSWER, service.now())
        service.wake()

    def _found(self, callback: str) -> tuple[str, _Run] | None:
        return next(((call_id, run) for call_id, run in self._runs.items() if run.back.call_id == callback), None)
