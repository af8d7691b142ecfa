"""A trunk's new calls that slightly exceed its rate: they wait for their turn instead of being refused. Pure."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator

from telephony.edge.attempts import AttemptKey
from telephony.edge.hops import Hop
from telephony.sip.parse import Request

__all__ = ["WaitingInvites"]


class WaitingInvites:
    """In order of arrival, at most as many per source as get their turn within the longest wait."""

    def __init__(self, per_second: float, wait_s: float) -> None:
        self._most = int(per_second * wait_s)
        self._waiting: OrderedDict[AttemptKey, tuple[Request, Hop]] = OrderedDict()
        self._of_source: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: AttemptKey) -> bool:
        return key in self._waiting

    def add(self, key: AttemptKey, request: Request, hop: Hop) -> bool:
        """False: too many from this source are already waiting."""
        if self._of_source[hop.ip] >= self._most:
            return False
        self._waiting[key] = (request, hop)
        self._of_source[hop.ip] += 1
        return True

    def take(self, key: AttemptKey) -> tuple[Request, Hop] | None:
        """Remove it. None: it was not waiting."""
        found = self._waiting.pop(key, None)
        if found is not None:
            self._of_source[found[1].ip] -= 1
            if not self._of_source[found[1].ip]:
                del self._of_source[found[1].ip]
        return found

    def due(self, may_call: Callable[[str], bool]) -> Iterator[tuple[Request, Hop]]:
        """Those whose turn has come. `may_call` takes a token for one new call of a source."""
        full: set[str] = set()
        for key, (_, hop) in list(self._waiting.items()):
            if hop.ip in full:
                continue
            if may_call(hop.ip):
                found = self.take(key)
                if found is not None:
                    yield found
            else:
                full.add(hop.ip)
