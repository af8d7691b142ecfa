"""Members who sign in and out, or pause, by dialling a number: who they are, and what they do."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from agent.warm.asking import Refused
from gateway.queues.book import QueueBook

__all__ = ["KnownMember", "Signing"]

log = structlog.get_logger(__name__)

BY_TELEPHONE = "by telephone"  # the reason of a pause


@dataclass(frozen=True, slots=True)
class KnownMember:
    """`number`: that they call from, if not from their own phone; `pin`: what they key in then."""

    name: str
    target: str
    number: str = ""
    pin: str = field(default="", repr=False)


class Signing:
    def __init__(self, book: QueueBook, members: Sequence[KnownMember], wall: Callable[[], float]) -> None:
        self._book = book
        self._members = tuple(members)
        self._wall = wall

    async def sign(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """`member`: who has been signed; empty: nobody. `may_be`: the right PIN would make somebody of this caller.
        Raises Refused, StoreUnavailable."""
        found, may_be = self._who(str(body["phone"]).lower(), str(body["number"]), str(body["pin"]))
        if found is None:
            return {"member": "", "may_be": may_be}
        now = self._wall()
        match body["does"]:
            case "in" | "out":
                await self._book.sign(found.name, now, signed_in=body["does"] == "in")
            case "pause" | "resume":
                await self._book.pause(found.name, BY_TELEPHONE if body["does"] == "pause" else "", now)
            case does:
                raise Refused("not_possible", f"a member cannot be signed {does}")
        log.info("member_signed", member=found.name, does=body["does"], by="telephone")
        return {"member": found.name, "may_be": True}

    def _who(self, phone: str, number: str, pin: str) -> tuple[KnownMember | None, bool]:
        if phone:
            return next((each for each in self._members if each.target.lower() == f"phone:{phone}"), None), False
        may_be = [each for each in self._members if each.number and each.number == number and each.pin]
        right = [each for each in may_be if hmac.compare_digest(each.pin.encode(), pin.encode())]
        return right[0] if right else None, bool(may_be)
