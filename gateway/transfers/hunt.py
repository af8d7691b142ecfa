"""Whom a warm transfer calls, and when: one after another, or all at once. Pure; times are seconds, loop clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.transfers.offer import Refusal
from telephony.call import TransferEnd, TransferResult

__all__ = ["Hunt"]

_TAKEN = Refusal(TransferEnd.CANCELLED, "another human accepted")


class Hunt:
    """Targets are known by their number, from 0. Whoever calls `claim` first has the customer."""

    def __init__(self, targets: Sequence[str], *, at_once: bool, within_s: float, now: float) -> None:
        self._targets = tuple(targets)
        self._at_once = at_once
        self._begun = 0
        self._refusals: dict[int, Refusal] = {}
        self._has_it: int | None = None
        self._until = now + within_s

    @property
    def refusals(self) -> Mapping[int, Refusal]:
        """By target."""
        return self._refusals

    @property
    def deadline(self) -> float | None:
        """For somebody to accept; None: somebody has."""
        return None if self._has_it is not None else self._until

    def begin(self) -> tuple[int, ...]:
        """Whom to call first."""
        self._begun = len(self._targets) if self._at_once else 1
        return tuple(range(self._begun))

    def claim(self, target: int) -> tuple[int, ...]:
        """This one has accepted: whom to tell that it is taken."""
        if self._has_it is not None:
            return ()
        self._has_it = target
        others = tuple(each for each in range(self._begun) if each != target and each not in self._refusals)
        self._refusals |= dict.fromkeys(others, _TAKEN)
        return others

    def refused(self, target: int, refusal: Refusal, now: float) -> tuple[int, ...]:
        """This one does not take the call: whom to call next."""
        self._refusals[target] = refusal
        if self._has_it == target:
            self._has_it = None
        if self._has_it is not None or self._begun >= len(self._targets) or now >= self._until:
            return ()
        self._begun += 1
        return (self._begun - 1,)

    @property
    def exhausted(self) -> bool:
        """All that were called have refused."""
        return self._begun > 0 and len(self._refusals) == self._begun

    def late(self, now: float) -> tuple[int, ...]:
        """Whom to give up, once nobody has accepted in time."""
        if now < self._until or self._has_it is not None:
            return ()
        return tuple(each for each in range(self._begun) if each not in self._refusals)

    def result(self) -> TransferResult:
        """Of one that is exhausted: the last target's, and what became of each."""
        last = self._refusals[max(self._refusals)]
        if len(self._targets) == 1:
            return TransferResult(last.end, "warm", last.sip_status, last.reason)
        each = "; ".join(f"{self._targets[n]}: {self._refusals[n].end.value}" for n in sorted(self._refusals))
        ends = {refusal.end for refusal in self._refusals.values() if refusal is not _TAKEN}
        end = last.end if len(ends) == 1 else TransferEnd.NO_ANSWER
        return TransferResult(end, "warm", last.sip_status if len(ends) == 1 else 0, each)
