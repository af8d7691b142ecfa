"""The queues' state in the store, which gateways share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from gateway.queues.figures import History
from gateway.queues.model import Member, MemberState, OfferEnd, Queue, QueueState, Waiting, WaitingEnd

__all__ = ["QueueBook"]


class QueueBook(Protocol):
    """All but `configure` may raise StoreUnavailable. `now` is `time.time()` or a test's. What a gateway holds (waiting
    callers, offers and calls of members) is leased: it ends by itself `lease_s` after the last `renew`, so that a
    gateway that dies frees its members."""

    def configure(self, queues: Sequence[Queue], members: Sequence[Member]) -> None:
        """Those of the settings, at the start and when they have changed."""

    async def state(self, now: float) -> QueueState:
        """Of all gateways. Queues and members of the settings are this gateway's; states and callers are shared.
        Members of REST go before those of the settings with their names."""

    async def join(self, caller: Waiting, now: float, lease_s: float) -> None:
        """Idempotent by call: who waits already keeps their place. Who was LOST goes on in the same place. For a
        callback `call_id` is an id of its own: let it join first, then the call leave as CALLBACK."""

    async def leave(self, call_id: str, how: WaitingEnd, now: float, reason: str = "") -> bool:
        """`reason`: of `LetGo`. False: it was not waiting (any more). Offers to it go on until `offer_ended`: the
        phones still ring."""

    async def prioritise(self, call_id: str, priority: int) -> bool:
        """Also of another gateway's caller. False: it does not wait."""

    async def announced(self, call_id: str, now: float) -> None: ...

    async def claim(self, call_id: str, member: str, now: float, lease_s: float) -> bool:
        """Take the member for an offer to this caller. False: the member has as many calls as they take, or is signed
        out, paused, wrapping up; or the caller has left, or is offered to somebody else already (but for ring-all)."""

    async def renew(self, gateway: str, now: float, lease_s: float) -> None:
        """All claims and waiting callers of this gateway live on. What a gateway held that is gone is freed, its
        callers as LOST; its callbacks become this gateway's."""

    async def resume(self, gateway: str, living: Collection[str], now: float, lease_s: float) -> None:
        """At the gateway's start: of what it held before, only these calls and the callbacks live on."""

    async def offer_ended(self, call_id: str, member: str, how: OfferEnd, now: float) -> bool:
        """ACCEPTED: the caller is no longer waiting, and the member is busy until `call_ended`. False: it came too
        late, the caller has gone or somebody else has them; then the member is free again."""

    async def callback_missed(self, call_id: str, member: str, now: float) -> bool:
        """The person who has asked for a callback was not reached; the member is free again. True: it will be tried
        once more, in the same place; otherwise it has ended as UNREACHED."""

    async def call_ended(self, call_id: str, member: str, talked_s: float, now: float) -> None:
        """The member's wrap-up begins, and the queue's service time is measured."""

    async def wrapped_up(self, member: str, now: float) -> None:
        """The member is done with it early."""

    async def sign(self, member: str, now: float, *, signed_in: bool) -> None: ...

    async def pause(self, member: str, reason: str, now: float) -> None:
        """`reason` empty: not paused any more."""

    async def reachable(self, member: str, *, is_reachable: bool) -> None: ...

    async def member(self, member: Member) -> MemberState:
        """Add or change one by REST."""

    async def forget(self, member: str) -> bool:
        """One of REST. False: there is none of that name (those of the settings stay)."""

    async def history(self, since: float, until: float) -> History:
        """What became of the waits that ended in this time."""
