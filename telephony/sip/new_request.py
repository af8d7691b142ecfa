"""An outgoing request: header fields in order, until it is serialised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from telephony.sip.uri import route_uri, split_params, try_uri
from telephony.sip.writing import assemble, clean

__all__ = ["NewRequest"]


@dataclass(slots=True)
class NewRequest:
    """Names keep their spelling and are compared case-insensitively. Values cannot break out of their line."""

    method: str
    uri: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def add(self, name: str, value: str) -> None:
        self.fields.append((name, clean(value)))

    def put(self, name: str, value: str) -> None:
        """Replace the fields of this name."""
        name_in_lower_case = name.lower()
        at = next((n for n, (other, _) in enumerate(self.fields) if other.lower() == name_in_lower_case), None)
        rest = [pair for pair in self.fields if pair[0].lower() != name_in_lower_case]
        rest.insert(len(rest) if at is None else at, (name, clean(value)))
        self.fields = rest

    def put_all(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            self.put(name, value)

    def values(self, name: str) -> list[str]:
        return [value for other, value in self.fields if other.lower() == name.lower()]

    def value(self, name: str) -> str:
        """The first value, or ""."""
        return next(iter(self.values(name)), "")

    def __bytes__(self) -> bytes:
        texts = [f"{name}: {value}" for name, value in self.fields]
        return assemble(f"{self.method} {self.uri} SIP/2.0", texts, self.body)

    def next_hop(self) -> tuple[str, int]:
        """Host and port of the first Route, or of the Request-URI (RFC 3261 section 8.1.2). Raises ValueError."""
        route = self.value("Route")
        uri = route_uri(route) if route else try_uri(self.uri)
        if uri is None or not uri.host:
            raise ValueError(f"{route or self.uri} is not a SIP URI")
        secure = uri.scheme == "sips" or split_params(uri.params).get("transport", "").lower() == "tls"
        return uri.host.strip("[]"), uri.port or (5061 if secure else 5060)
