"""Stops those who guess phones' passwords. Pure: time is an argument.

A phone with a wrong password must not shut out others behind the same NAT: it is first refused by itself, and only an
address that has failed often, for whatever names, is refused as a whole.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["GuessPolicy", "Guesses"]

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class GuessPolicy:
    """How many wrong passwords within `within_s` are answered; and for how long then none is looked at: that doubles
    each time, up to `longest_s`."""

    of_a_phone: int = 5
    of_an_address: int = 20
    within_s: float = 300.0
    first_s: float = 60.0
    longest_s: float = 3600.0
    tracked: int = 10_000


@dataclass(slots=True)
class _Failures:
    since: float
    count: int = 0
    bans: int = 0
    until: float = 0.0


class _Bans(Generic[Key]):
    def __init__(self, most: int, policy: GuessPolicy) -> None:
        self._most = most
        self._policy = policy
        self._failures: OrderedDict[Key, _Failures] = OrderedDict()

    def until(self, key: Key) -> float:
        found = self._failures.get(key)
        return 0.0 if found is None else found.until

    def failed(self, key: Key, now: float) -> bool:
        """True: it is banned from now on."""
        policy = self._policy
        found = self._failures.setdefault(key, _Failures(now))
        self._failures.move_to_end(key)
        if len(self._failures) > policy.tracked:
            self._failures.popitem(last=False)
        if now - found.since > policy.within_s:
            found.since, found.count = now, 0
            if now - found.until > policy.longest_s:
                found.bans = 0
        found.count += 1
        if found.count < self._most:
            return False
        found.until = now + min(policy.first_s * 2 ** min(found.bans, 30), policy.longest_s)
        found.bans += 1
        found.since, found.count = now, 0
        return True

    def forget(self, key: Key) -> None:
        self._failures.pop(key, None)

    def active(self, now: float) -> int:
        return sum(found.until > now for found in self._failures.values())


class Guesses:
    def __init__(self, policy: GuessPolicy) -> None:
        self._pairs: _Bans[tuple[str, str]] = _Bans(policy.of_a_phone, policy)
        self._addresses: _Bans[str] = _Bans(policy.of_an_address, policy)

    def wait_s(self, ip: str, name: str, now: float, *, known: bool) -> float:
        """For how long no password of this phone from this address is looked at; 0: it is. `known`: the phone is
        registered from there, so that what others behind the same address do does not concern it."""
        until = self._pairs.until((ip, name))
        if not known:
            until = max(until, self._addresses.until(ip))
        return max(0.0, until - now)

    def failed(self, ip: str, name: str, now: float) -> bool:
        """A wrong password. True: nothing is looked at any more for a while."""
        pair = self._pairs.failed((ip, name), now)
        return self._addresses.failed(ip, now) or pair

    def worked(self, ip: str, name: str) -> None:
        """The right password. The address keeps its failures: others may be guessing there."""
        self._pairs.forget((ip, name))

    def bans(self, now: float) -> int:
        """How many phones and addresses are refused now."""
        return self._pairs.active(now) + self._addresses.active(now)
