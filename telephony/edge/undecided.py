"""New calls whose admission waits for an answer from elsewhere. Pure; times are seconds."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from telephony.edge.attempts import AttemptKey
from telephony.edge.hops import Hop
from telephony.edge.protocol import InviteInfo
from telephony.sip.parse import Request

__all__ = ["Undecided", "UndecidedInvites"]

LONGEST_S = 5.0  # whoever decides is to do so well before


@dataclass(frozen=True, slots=True)
class Undecided:
    request: Request
    hop: Hop
    info: InviteInfo
    token: str


class UndecidedInvites:
    def __init__(self) -> None:
        self._waiting: OrderedDict[AttemptKey, Undecided] = OrderedDict()
        self._keys: dict[str, AttemptKey] = {}  # by token

    def __contains__(self, key: AttemptKey) -> bool:
        return key in self._waiting

    def add(self, key: AttemptKey, invite: Undecided) -> None:
        self._waiting[key] = invite
        self._keys[invite.token] = key

    def take(self, key: AttemptKey | None) -> Undecided | None:
        """Remove it. None: it is not there."""
        found = None if key is None else self._waiting.pop(key, None)
        if found is not None:
            del self._keys[found.token]
        return found

    def decided(self, token: str) -> Undecided | None:
        """Remove it. None: the caller has given up, or it took too long."""
        return self.take(self._keys.get(token))

    def overdue(self, now: float) -> list[Undecided]:
        """Remove those that nobody decided about."""
        keys = [key for key, each in self._waiting.items() if now - each.info.received_at > LONGEST_S]
        return [found for key in keys if (found := self.take(key)) is not None]
