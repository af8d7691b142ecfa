"""Types of settings beyond text and numbers: addresses, port ranges, networks, secrets."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

__all__ = [
    "FilePath",
    "HttpAddress",
    "IPNetwork",
    "Network",
    "PortRange",
    "Ports",
    "Region",
    "Secret",
    "SecretMissing",
    "SecretSource",
    "SipListen",
    "SocketAddress",
    "StoreUrl",
]

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """A listen address. `port` 0: the system picks one."""

    transport: Literal["udp", "tcp", "tls", "http"]
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport}://{self.host}:{self.port}"

    @property
    def any_address(self) -> bool:
        """True for 0.0.0.0: every address of the machine."""
        return ipaddress.ip_address(self.host).is_unspecified

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def collides(self, other: SocketAddress) -> bool:
        """Whether the two cannot both be bound. TLS and HTTP run on TCP."""
        kinds = {"udp" if address.transport == "udp" else "tcp" for address in (self, other)}
        same_host = self.host == other.host or self.any_address or other.any_address
        return len(kinds) == 1 and same_host and self.port == other.port != 0


@dataclass(frozen=True, slots=True)
class PortRange:
    """UDP ports, both ends included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last

    @property
    def pairs(self) -> int:
        """How many calls fit: each takes an even port for RTP and the next one for RTCP."""
        return len(self) // 2


def _text(value: Any, example: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f'must be text, as in "{example}"')
    return value


def _host_and_port(text: str, example: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f'"{text}" needs a port between 0 and 65535, as in "{example}"')
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        why = f'"{host}" is not an IPv4 address of this machine; write it as in "{example}"'
        raise ValueError(why) from None
    return host, int(port)


_SIP_TRANSPORTS: dict[str, Literal["udp", "tcp", "tls"]] = {"udp": "udp", "tcp": "tcp", "tls": "tls"}


def _sip_listen(value: Any) -> SocketAddress:
    example = "udp://127.0.0.1:5060"
    scheme, separator, rest = _text(value, example).partition("://")
    transport = _SIP_TRANSPORTS.get(scheme)
    if transport is None or not separator:
        raise ValueError(f'"{value}" must begin with udp://, tcp:// or tls://, as in "{example}"')
    host, port = _host_and_port(rest, example)
    return SocketAddress(transport, host, port)


def _http_listen(value: Any) -> SocketAddress:
    example = "127.0.0.1:8080"
    return SocketAddress("http", *_host_and_port(_text(value, example), example))


def _ports(value: Any) -> PortRange:
    found = re.fullmatch(r"([0-9]{1,5})\s*-\s*([0-9]{1,5})", _text(value, "20000-29999"))
    if not found:
        raise ValueError(f'"{value}" is not a port range; write it as in "20000-29999"')
    first, last = int(found[1]), int(found[2])
    if not 1024 <= first <= last <= 65535:
        raise ValueError(f'"{value}" must be ascending and between 1024 and 65535')
    if first % 2:
        raise ValueError(f'"{value}" must start with an even port: RTP uses even ports, RTCP the odd ones after them')
    return PortRange(first, last)


def _network(value: Any) -> IPNetwork:
    text = _text(value, "203.0.113.0/24")
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is not a network: {error}; write it as in "203.0.113.0/24"') from None


def _store_url(value: Any) -> str:
    text = _text(value, "sqlite:///var/trunkline.db")
    if text.startswith("postgres"):
        return _postgresql_url(text)
    path = text.removeprefix("sqlite:///")
    if path == text or not path or path == ":memory:" or "?" in path:
        raise ValueError(f'"{text}" must be sqlite:/// followed by a file path, as in "sqlite:///var/trunkline.db"')
    return text


def _postgresql_url(text: str) -> str:
    """Never repeats the URL, which may hold a password."""
    example = "postgresql://trunkline@db.example:5432/trunkline"
    parts = urlsplit(text)
    if parts.password or "password" in parse_qs(parts.query, keep_blank_values=True):
        raise ValueError("a password never stands in the URL; say where it is: password: {env: NAME} or {file: path}")
    try:
        port_is_right = parts.port != 0
    except ValueError:
        port_is_right = False
    if parts.scheme not in ("postgresql", "postgres") or not port_is_right or not parts.path.strip("/"):
        raise ValueError(f'a PostgreSQL URL has a user, a host and a database, as in "{example}"')
    return "postgresql" + text.removeprefix(parts.scheme)


def _file_path(value: Any) -> Path:
    text = _text(value, "var/recordings")
    if not text.strip():
        raise ValueError("is empty; expected the path of a file or folder")
    return Path(text)


def _region(value: Any) -> str:
    # phonenumbers' list of regions; with a wrong region local numbers would silently stay as they are.
    from phonenumbers import SUPPORTED_REGIONS

    text = _text(value, "US")
    if text not in SUPPORTED_REGIONS:
        raise ValueError(f'"{text}" is not a region; use the two capital letters of ISO 3166, as in "US" or "GB"')
    return text


def _as_text(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


_STR = PlainSerializer(str, return_type=str)

SipListen = Annotated[SocketAddress, PlainValidator(_sip_listen), _STR, _as_text("udp://127.0.0.1:5060")]
HttpAddress = Annotated[
    SocketAddress,
    PlainValidator(_http_listen),
    PlainSerializer(lambda address: f"{address.host}:{address.port}", return_type=str),
    _as_text("127.0.0.1:8080"),
]
Ports = Annotated[PortRange, PlainValidator(_ports), _STR, _as_text("20000-29999")]
Network = Annotated[IPNetwork, PlainValidator(_network), _STR, _as_text("203.0.113.0/24")]
StoreUrl = Annotated[str, PlainValidator(_store_url), _as_text("sqlite:///var/trunkline.db")]
FilePath = Annotated[Path, PlainValidator(_file_path), _STR, _as_text("path/to/it")]
Region = Annotated[str, PlainValidator(_region), _as_text("US")]


class SecretMissing(Exception):
    """A secret is not where the settings say. The message names the place, never a value."""


class SecretSource(BaseModel):
    """Where a secret is stored: exactly one of the two."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    env: str | None = Field(
        default=None, min_length=1, description="Name of an environment variable (for development)."
    )
    file: str | None = Field(default=None, min_length=1, description="Path of a file that contains only the secret.")

    @model_validator(mode="after")
    def _one_source(self) -> SecretSource:
        if (self.env is None) == (self.file is None):
            raise ValueError("must be exactly one of {env: NAME} and {file: path}")
        return self

    def __str__(self) -> str:
        return f"environment variable {self.env}" if self.env is not None else f"file {self.file}"

    def read(self) -> str:
        """The secret itself. Raises SecretMissing."""
        if self.env is not None:
            value = os.environ.get(self.env, "")
        else:
            try:
                value = Path(str(self.file)).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                raise SecretMissing(f"{self}: {why}") from None
        if not value:
            raise SecretMissing(f"{self} is not set or empty")
        return value


def _not_a_literal(value: Any) -> Any:
    # Never repeats the value: this text goes to terminals and logs.
    if not isinstance(value, dict):
        raise ValueError("secrets are not allowed in this file; say where it is: {env: NAME} or {file: path}")
    return value


Secret = Annotated[SecretSource, BeforeValidator(_not_a_literal)]
