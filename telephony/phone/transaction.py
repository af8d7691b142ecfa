"""The transactions of `telephony.sip` on the loop's clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from telephony.sip.parse import Response
from telephony.sip.transactions import (
    CLIENT_INVITE,
    CLIENT_OTHER,
    SERVER_INVITE,
    Came,
    Do,
    Timers,
    Transaction,
    came_of,
)

__all__ = ["ClientTransaction", "FinalAnswer"]

_REFUSALS = 2


class _Running:
    """A transaction with running timers. `perform` is called with each action."""

    def __init__(self, transaction: Transaction, perform: Callable[[Do], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._transaction = transaction
        self._perform = perform
        self._timer: asyncio.TimerHandle | None = None
        self._set_timer()

    def came(self, what: Came) -> None:
        self._do(self._transaction.came(what, self._loop.time()))

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _do(self, actions: tuple[Do, ...]) -> None:
        self._set_timer()
        for action in actions:
            self._perform(action)

    def _set_timer(self) -> None:
        self.stop()
        if self._transaction.next_at < math.inf:
            self._timer = self._loop.call_at(self._transaction.next_at, self._due)

    def _due(self) -> None:
        self._do(self._transaction.due(self._loop.time()))


class ClientTransaction:
    """One request. `final` becomes its final response, or None when none came within `timers.limit`, or nobody listens
    where it goes (`refused`).

    `on_response` is called for every response, including repeated finals (which an INVITE must acknowledge again).
    """

    def __init__(
        self,
        send: Callable[[], None],
        on_response: Callable[[Response], None] | None = None,
        *,
        invite: bool,
        reliable: bool,
        timers: Timers | None = None,
    ) -> None:
        self._send = send
        self._on_response = on_response
        loop = asyncio.get_running_loop()
        self.final: asyncio.Future[Response | None] = loop.create_future()
        machine = CLIENT_INVITE if invite else CLIENT_OTHER
        self._running = _Running(Transaction(machine, loop.time(), reliable=reliable, timers=timers), self._perform)
        self._refusals = 0
        self._heard = False
        send()

    @property
    def refused(self) -> bool:
        """Nobody listened there, twice: a program that is being started again has half a second."""
        return self._refusals >= _REFUSALS and not self._heard

    def nobody_there(self) -> None:
        """The network says so of what was sent."""
        self._refusals += 1
        if self.refused:
            self.abandon()

    def received(self, response: Response) -> None:
        self._heard = True
        self._running.came(came_of(response.status))
        if self._on_response is not None:
            self._on_response(response)
        if response.status >= 200 and not self.final.done():
            self.final.set_result(response)

    def abandon(self) -> None:
        self._running.stop()
        self._perform(Do.TIMED_OUT)

    def _perform(self, action: Do) -> None:
        if action is Do.SEND:
            self._send()
        elif action is Do.TIMED_OUT and not self.final.done():
            self.final.set_result(None)


class FinalAnswer:
    """A final response to an INVITE: sent until its ACK comes (`stop`) or the time for it is over."""

    def __init__(
        self,
        status: int,
        send: Callable[[], None],
        given_up: Callable[[], None],
        *,
        reliable: bool,
        timers: Timers | None = None,
    ) -> None:
        self._send = send
        self._given_up = given_up
        now = asyncio.get_running_loop().time()
        self._running = _Running(Transaction(SERVER_INVITE, now, reliable=reliable, timers=timers), self._perform)
        self._running.came(came_of(status))

    def stop(self) -> None:
        self._running.stop()

    def _perform(self, action: Do) -> None:
        if action is Do.SEND:
            self._send()
        elif action is Do.TIMED_OUT:
            self._given_up()
