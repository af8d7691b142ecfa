"""The queues' state in the store, which gateways share."""

from __future__ import annotations

from typing import Protocol

from gateway.queues.model import Member, MemberState, OfferEnd, QueueState, Waiting, WaitingEnd

__all__ = ["QueueBook"]


class QueueBook(Protocol):
    """All may raise StoreUnavailable. `now` is `time.time()` or a test's."""

    async def state(self) -> QueueState:
        """Of all gateways. Queues and members of the settings are this gateway's; states and callers are shared."""

    async def join(self, caller: Waiting, now: float) -> None:
        """Idempotent by call."""

    async def leave(self, call_id: str, how: WaitingEnd, now: float) -> bool:
        """False: it was not waiting (any more)."""

    async def announced(self, call_id: str, now: float) -> None: ...

    async def claim(self, call_id: str, member: str, now: float, lease_s: float) -> bool:
        """Take the member for an offer to this caller. False: another caller, of any gateway, has them, or the caller
        has left. It ends by itself `lease_s` after the last `renew`, so that a gateway that dies frees its members."""

    async def renew(self, gateway: str, now: float, lease_s: float) -> None:
        """All claims and waiting callers of this gateway live on. What a gateway held that is gone is freed, its
        callers as LOST."""

    async def offer_ended(self, call_id: str, member: str, how: OfferEnd, now: float) -> None:
        """ACCEPTED: the caller is no longer waiting, and the member is busy until `call_ended`."""

    async def call_ended(self, call_id: str, member: str, talked_s: float, now: float) -> None:
        """The member's wrap-up begins, and its service time is measured."""

    async def sign(self, member: str, now: float, *, signed_in: bool) -> None: ...

    async def pause(self, member: str, reason: str, now: float) -> None:
        """`reason` empty: not paused any more."""

    async def reachable(self, member: str, *, is_reachable: bool) -> None: ...

    async def member(self, member: Member) -> MemberState:
        """Add or change one by REST."""
