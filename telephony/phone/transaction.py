"""Client transactions (RFC 3261 section 17.1): sending again until somebody answers, or giving up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiosipua import SipResponse

__all__ = ["T1_S", "TIMEOUT_S", "ClientTransaction", "Retransmission"]

T1_S = 0.5
_T2_S = 4.0
TIMEOUT_S = 64 * T1_S


class Retransmission:
    """Sends now, then after T1, 2 T1, ... until stopped; calls `given_up` after 64 T1.

    Over a reliable transport it sends once and only waits. The gaps grow up to T2, without bound for an INVITE
    (timers A and B, E and F, G and H).
    """

    def __init__(
        self, send: Callable[[], None], given_up: Callable[[], None], *, reliable: bool, bounded: bool = True
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._bounded = bounded
        self._gap = T1_S
        self._timer: asyncio.TimerHandle | None = None
        self._timeout: asyncio.TimerHandle | None = self._loop.call_later(TIMEOUT_S, self._expire, given_up)
        send()
        if not reliable:
            self._timer = self._loop.call_later(self._gap, self._again)

    def stop_sending(self) -> None:
        """The peer has it; the time limit stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        self.stop_sending()
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def _again(self) -> None:
        self._gap *= 2
        if self._bounded:
            self._gap = min(self._gap, _T2_S)
        self._timer = self._loop.call_later(self._gap, self._again)
        self._send()

    def _expire(self, given_up: Callable[[], None]) -> None:
        self.stop()
        given_up()


class ClientTransaction:
    """One request. `final` becomes its final response, or None when none came in 32 s.

    `on_response` is called for every response, repeated finals among them (which an INVITE must acknowledge again).
    """

    def __init__(
        self,
        send: Callable[[], None],
        on_response: Callable[[SipResponse], None] | None = None,
        *,
        invite: bool,
        reliable: bool,
    ) -> None:
        self._invite = invite
        self._on_response = on_response
        self.final: asyncio.Future[SipResponse | None] = asyncio.get_running_loop().create_future()
        self._sending = Retransmission(send, self._timed_out, reliable=reliable, bounded=not invite)

    def received(self, response: SipResponse) -> None:
        if response.status_code >= 200:
            self._sending.stop()
        elif self._invite:
            self._sending.stop()  # ringing may last as long as the caller likes
        if self._on_response is not None:
            self._on_response(response)
        if response.status_code >= 200 and not self.final.done():
            self.final.set_result(response)

    def abandon(self) -> None:
        self._sending.stop()
        self._timed_out()

    def _timed_out(self) -> None:
        if not self.final.done():
            self.final.set_result(None)
