"""Phones that change their leg: a phone that has two calls with us connects their other sides with each other, or one
that was called takes the place of who had it called. The edge moves the phone that stays; records say who talks with
whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Protocol

from agent.warm.asking import Refused
from gateway.calls.verbs import new_transfer_id
from gateway.live_calls import LiveCalls
from gateway.record import RecordMessage, TransferBegan, TransferEnded, TransferKind, call_id_of
from telephony.call import LegRole, TransferEnd
from telephony.edge import MoveEnded, PeerRefers, Refuse
from telephony.errors import TelephonyMisuse

__all__ = ["LegMoves", "MoveEdge"]

LEAVE_S = 1.0  # for the phone to hang up by itself
_MOVE_LIMIT_S = 40.0  # a phone may take 32 s not to answer


class MoveEdge(Protocol):
    """What we use of the edge (`telephony.edge.Edge`)."""

    def move_leg(self, from_leg: str, to_leg: str, token: str) -> None: ...

    def is_answered(self, leg_id: str) -> bool: ...

    def end_leg(self, leg_id: str, cause: str = ...) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Join:
    """`mover` goes to the leg `to`, whose phone leaves, as it does from its other leg, `rest`."""

    mover: str
    to: str
    rest: str


class LegMoves:
    """`connect` comes first."""

    def __init__(self, live: LiveCalls, record: Callable[[RecordMessage], None]) -> None:
        self._live = live
        self._record = record
        self._edge: MoveEdge | None = None
        self._tokens = count(1)
        self._waiting: dict[str, asyncio.Future[MoveEnded]] = {}

    def connect(self, edge: MoveEdge) -> None:
        self._edge = edge

    def ended(self, ended: MoveEnded) -> None:
        """From the edge."""
        waiting = self._waiting.get(ended.token)
        if waiting is not None and not waiting.done():
            waiting.set_result(ended)

    async def move(self, mover: str, to: str) -> MoveEnded:
        """Never raises."""
        assert self._edge is not None, "`connect` comes first"
        token = f"move-{next(self._tokens)}"
        waiting = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            self._edge.move_leg(mover, to, token)
            async with asyncio.timeout(_MOVE_LIMIT_S):
                ended: MoveEnded = await waiting
                return ended
        except TelephonyMisuse as error:
            return MoveEnded(token, 491, str(error))
        except TimeoutError:
            return MoveEnded(token, 408, "the phone did not answer")
        finally:
            del self._waiting[token]

    async def asked(self, worker: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A worker's question `MOVE_LEG`, of two legs of one call. Raises Refused."""
        mover, to = str(body["from_leg"]), str(body["to_leg"])
        call = self._live.get(call_id_of(to))
        if call is None or call.worker != worker or call_id_of(mover) != call.call_id:
            raise Refused("unknown_call", f"{worker} has no call of legs {mover} and {to}")
        ended = await self.move(mover, to)
        return {"status": ended.status, "reason": ended.reason}

    # --- two calls of one phone --------------------------------------------------------------------------------------

    def plan(self, refers: PeerRefers) -> _Join | Refuse:
        """How the other sides of the phone's two calls get connected, or why not."""
        one, two = refers.leg_id, refers.replaced_leg
        if call_id_of(one) == call_id_of(two):
            return Refuse(403, "", cause_text="both legs are of one call")
        theirs, others = self._others(one), self._others(two)
        if len(theirs) > 1 or len(others) > 1:
            return Refuse(488, "", cause_text="more than two people talk in one of the calls")
        if theirs:
            return _Join(theirs[0], two, one)
        if others:
            return _Join(others[0], one, two)
        return Refuse(488, "", cause_text="only agents would be left in the two calls")

    def _others(self, leg_id: str) -> list[str]:
        """The people in its call besides this leg's."""
        assert self._edge is not None, "`connect` comes first"
        legs = self._live.legs_of(call_id_of(leg_id))
        found = [leg.leg_id for leg in legs if leg.leg_id != leg_id and leg.role is not LegRole.SUPERVISOR]
        return [each for each in found if self._edge.is_answered(each)]

    async def join(self, join: _Join, report: Callable[[int, str], None]) -> None:
        """Never raises. `report`: for the phone."""
        call_id, other = call_id_of(join.mover), call_id_of(join.to)
        transfer_id = new_transfer_id(call_id)
        self._record(
            TransferBegan(
                transfer_id=transfer_id, call_id=call_id, kind=TransferKind.COLD, target=f"call {other}",
                began_at=datetime.now(UTC),
            )
        )  # fmt: skip
        ended = await self.move(join.mover, join.to)
        moved = ended.status == 200
        outcome = TransferEnd.TRANSFERRED if moved else TransferEnd.FAILED
        self._record(
            TransferEnded(
                transfer_id=transfer_id, call_id=call_id, outcome=outcome, ended_at=datetime.now(UTC),
                sip_status=ended.status, reason="" if moved else ended.reason,
            )
        )  # fmt: skip
        report(ended.status, "" if moved else ended.reason)
        if moved:
            await asyncio.sleep(LEAVE_S)
            assert self._edge is not None
            self._edge.end_leg(join.rest, "its phone has connected the two calls")
