"""Who may call, and how often: trunk networks and token buckets. Pure: time is an argument."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from telephony.edge.settings import EdgeLimits, Trunk
from telephony.sip.uri import as_ip

__all__ = ["Bucket", "RateLimiter", "SourceRates", "TrunkTable"]


class TrunkTable:
    """Source address -> names of trunks, by one lookup per prefix length. Results are cached separately for trunks and
    strangers, so that forged sources cannot evict a trunk's."""

    _KEPT = 4096

    def __init__(self, trunks: Sequence[Trunk]) -> None:
        self._names = [trunk.name for trunk in trunks]
        self._trunks = {trunk.name: trunk for trunk in trunks}
        # IP version -> shift -> prefix -> trunks
        self._lengths: dict[int, dict[int, dict[int, list[int]]]] = {4: {}, 6: {}}
        for index, trunk in enumerate(trunks):
            for text in trunk.allow:
                network = ipaddress.ip_network(text)
                shift = network.max_prefixlen - network.prefixlen
                prefixes = self._lengths[network.version].setdefault(shift, {})
                prefixes.setdefault(int(network.network_address) >> shift, []).append(index)
        self._certified = {name.lower(): trunk.name for trunk in trunks for name in trunk.tls.callers}
        self._hosts: dict[str, frozenset[str]] = {}  # trunk -> addresses of its hosts
        self._host_names: dict[str, dict[str, str]] = {}  # trunk -> address -> name
        self._known: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._strangers: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._names)

    def named(self, name: str) -> Trunk:
        return self._trunks[name]

    def set_hosts(self, name: str, ips: Iterable[str], names: Mapping[str, str] | None = None) -> None:
        """Set the addresses of the trunk's hosts; they belong to it like its networks. `names`: of the hosts at these
        addresses, which their certificates must have."""
        self._hosts[name] = frozenset(ips)
        self._host_names[name] = dict(names or {})
        self._known.clear()
        self._strangers.clear()

    def trunk_with_certificate(self, names: Iterable[str]) -> str | None:
        """Whose the names of a client certificate are."""
        return next((trunk for name in sorted(names) if (trunk := self._certified.get(name)) is not None), None)

    def needs_certificate(self, name: str) -> bool:
        """Whether the trunk's messages count only over TLS with its certificate."""
        trunk = self._trunks.get(name)
        return trunk is not None and bool(trunk.tls.callers)

    def host_name(self, trunk: str, ip: str) -> str:
        """Empty if the address is not that of a host of the trunk."""
        return self._host_names.get(trunk, {}).get(ip, "")

    def trunk_of(self, ip: str) -> str | None:
        """The first of these; None: a stranger."""
        trunks = self.trunks_of(ip)
        return trunks[0] if trunks else None

    def trunks_of(self, ip: str) -> tuple[str, ...]:
        """The trunks that allow the address, in the order of the settings, then those whose host it is."""
        known = self._known.get(ip)
        if known is not None:
            return known
        if ip in self._strangers:
            return ()
        found = self._find(ip)
        if not found:
            self._strangers[ip] = None
            if len(self._strangers) > self._KEPT:
                self._strangers.popitem(last=False)
            return ()
        self._known[ip] = found
        if len(self._known) > self._KEPT:
            self._known.popitem(last=False)
        return found

    def _find(self, ip: str) -> tuple[str, ...]:
        address = as_ip(ip)
        if address is None:
            return ()
        number = int(address)
        lengths = self._lengths[address.version]
        fitting = {index for shift, prefixes in lengths.items() for index in prefixes.get(number >> shift, ())}
        hosts = [name for name, ips in self._hosts.items() if str(address) in ips]
        return tuple(dict.fromkeys([*(self._names[index] for index in sorted(fitting)), *hosts]))


class Bucket:
    """A token bucket. Times are seconds of a monotonic clock."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, per_second: float, burst: float) -> None:
        self._rate = per_second
        self._burst = self._tokens = burst
        self._at = 0.0

    def has(self, tokens: float, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        return self._tokens >= tokens

    def spend(self, tokens: float) -> None:
        self._tokens -= tokens


class RateLimiter:
    """A token bucket for each source. A source that is not in the table has a full bucket; when the table is full, the
    source that has been silent longest is forgotten."""

    def __init__(self, per_second: float, burst: float, tracked: int) -> None:
        self._rate = per_second
        self._burst = burst
        self._tracked = tracked
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # ip -> (tokens, at)

    def allow(self, ip: str, now: float) -> bool:
        """Take one token; `now` in seconds."""
        tokens, at = self._buckets.get(ip, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - at) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[ip] = (tokens - 1.0 if allowed else tokens, now)
        self._buckets.move_to_end(ip)
        if len(self._buckets) > self._tracked:
            self._buckets.popitem(last=False)
        return allowed

    def give_back(self, ip: str) -> None:
        """The token taken turned out not to be part of a flood: return it."""
        if (bucket := self._buckets.get(ip)) is not None:
            self._buckets[ip] = (min(self._burst, bucket[0] + 1.0), bucket[1])


class SourceRates:
    """Limits per source of a trunk: new calls, messages, refusals beyond these, and the rate above which messages are
    dropped unread. New calls of strangers are limited together, since they can forge any number of sources."""

    def __init__(self, limits: EdgeLimits) -> None:
        tracked, hard = limits.tracked_sources, limits.hard_factor
        self.invites = RateLimiter(limits.invites_per_second, limits.invite_burst, tracked)
        self.strangers = RateLimiter(limits.strangers_per_second, limits.stranger_burst, 1)
        self.messages = RateLimiter(limits.messages_per_second, limits.message_burst, tracked)
        self.refusals = RateLimiter(limits.refusals_per_second, limits.refusal_burst, tracked)
        self.anything = RateLimiter(limits.messages_per_second * hard, limits.message_burst * hard, tracked)
