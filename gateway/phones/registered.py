"""Who is registered: what the rest of the gateway (queues, routing, the API) asks of our registrar."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["FakePhones", "PhoneChanged", "PhoneContact", "RegisteredPhones", "phone_name"]

_TARGET = re.compile(r"phone:([A-Za-z0-9][A-Za-z0-9._~-]{0,63})", re.IGNORECASE)


def phone_name(to: str) -> str | None:
    """The name in `phone:NAME`; None: it is another kind of address."""
    match = _TARGET.fullmatch(to)
    return None if match is None else match[1].lower()


@dataclass(frozen=True, slots=True)
class PhoneContact:
    """One device that is registered under a phone's name. `until`: seconds, loop clock."""

    name: str
    uri: str
    source: str  # where it is reached: "udp:192.0.2.7:5060"
    until: float
    agent: str = ""


@dataclass(frozen=True, slots=True)
class PhoneChanged:
    """A phone can be called from now on, or can't any more. `why`: registered, unregistered, expired, connection
    closed, no answer, answers again, start (of the gateway)."""

    name: str
    reachable: bool
    why: str


class RegisteredPhones(Protocol):
    """Used on the loop. Names are those of the settings, in any case."""

    def knows(self, name: str) -> bool:
        """Whether the settings have a phone of this name, registered or not."""

    def contacts(self, name: str) -> tuple[PhoneContact, ...]:
        """The devices that can be called, best first. Empty: none is registered, or none answers."""

    def watch(self, told: Callable[[PhoneChanged], None]) -> None:
        """Have it called at each change; it must not block."""


@dataclass
class FakePhones:
    """`registered`: contacts by name; `change` tells those who watch."""

    registered: dict[str, tuple[PhoneContact, ...]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    watchers: list[Callable[[PhoneChanged], None]] = field(default_factory=list)

    @classmethod
    def of(cls, sources: Mapping[str, str]) -> FakePhones:
        """Name -> where it is reached, such as `udp:127.0.0.1:5070`."""
        phones = cls()
        for name, source in sources.items():
            phones.change(name, source)
        return phones

    def knows(self, name: str) -> bool:
        return name.lower() in self.names

    def contacts(self, name: str) -> tuple[PhoneContact, ...]:
        return self.registered.get(name.lower(), ())

    def watch(self, told: Callable[[PhoneChanged], None]) -> None:
        self.watchers.append(told)

    def change(self, name: str, source: str = "", why: str = "registered") -> None:
        """Register it at this source; an empty one: it is gone."""
        self.names.add(name)
        host = source.partition(":")[2]
        contact = PhoneContact(name, f"sip:{name}@{host}", source, float("inf"))
        self.registered[name] = (contact,) if source else ()
        for told in self.watchers:
            told(PhoneChanged(name, bool(source), why))
