"""Digest authentication (RFC 2617, 7616, 8760; in SIP RFC 3261 section 22): what both sides share, and the client.

Pure. A password never appears in a repr. Random values, or their source, are arguments.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = [
    "ALGORITHMS",
    "Challenge",
    "Credentials",
    "DigestClient",
    "DigestError",
    "parse_challenge",
    "read_parameters",
    "response_of",
    "written",
]

Hash = Callable[[bytes], str]

_PARAMETER = re.compile(
    r'[ \t]*([A-Za-z0-9\-.!%*_+`\'~]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))[ \t]*(?:,|\Z)', re.DOTALL
)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r'(["\\])')
_UNQUOTED = frozenset({"algorithm", "nc", "stale"})  # RFC 7616 section 3.4; qop too in an answer
_LONGEST = 4_096
MOST_STALE = 2  # consecutive nonces that a server may call stale


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sha512_256(data: bytes) -> str:
    return hashlib.new("sha512_256", data).hexdigest()


# By name in lower case, strongest first: the order in which a server offers them (RFC 8760 section 2.3).
ALGORITHMS: Mapping[str, Hash] = {
    **({"sha-512-256": _sha512_256} if "sha512_256" in hashlib.algorithms_available else {}),
    "sha-256": _sha256,
    "md5": _md5,
}


class DigestError(ValueError):
    """A malformed or unusable challenge or answer."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """`realm`: the only realm that they are valid for; empty: any."""

    username: str
    password: str = field(repr=False)
    realm: str = ""


@dataclass(frozen=True, slots=True)
class Challenge:
    realm: str
    nonce: str
    algorithm: str = "MD5"  # as it was written
    qop: tuple[str, ...] = ()  # empty: RFC 2069, which has none
    opaque: str | None = None
    stale: bool = False


def read_parameters(value: str) -> dict[str, str]:
    """The parameters of a Digest challenge or answer; names in lower case, values without their quotes. Raises
    DigestError for another scheme, malformed input, or a duplicate parameter."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        raise DigestError(f"unsupported authentication scheme {scheme[:20]!r}")
    if len(rest) > _LONGEST:
        raise DigestError("authentication header too long")
    found: dict[str, str] = {}
    at = 0
    rest = rest.rstrip(" \t,")
    while at < len(rest):
        match = _PARAMETER.match(rest, at)
        if match is None:
            raise DigestError("unreadable authentication parameters")
        name = match[1].lower()
        if name in found:
            raise DigestError(f"authentication parameter {name} given twice")
        found[name] = _QUOTED_PAIR.sub(r"\1", match[2]) if match[2] is not None else match[3]
        at = match.end()
    return found


def written(parameters: Iterable[tuple[str, str]], *, unquoted: frozenset[str] = _UNQUOTED) -> str:
    """A challenge or answer. Raises DigestError for a value that cannot stand in a header."""
    texts = []
    for name, value in parameters:
        if any(char < " " or char == "\x7f" for char in value):
            raise DigestError(f"control character in {name}")
        escaped = _TO_ESCAPE.sub(r"\\\1", value)
        texts.append(f"{name}={value}" if name in unquoted else f'{name}="{escaped}"')
    return f"Digest {', '.join(texts)}"


def parse_challenge(value: str) -> Challenge:
    """A WWW-Authenticate or Proxy-Authenticate value: one challenge each (RFC 3261 section 20.44). Raises
    DigestError."""
    parameters = read_parameters(value)
    if "realm" not in parameters or "nonce" not in parameters:
        raise DigestError("challenge without realm or nonce")
    qop = tuple(token.strip().lower() for token in parameters.get("qop", "").split(",") if token.strip())
    return Challenge(
        parameters["realm"],
        parameters["nonce"],
        parameters.get("algorithm", "MD5"),
        qop,
        parameters.get("opaque"),
        parameters.get("stale", "").lower() == "true",
    )


def _algorithm(name: str) -> tuple[Hash, bool]:
    """The hash, and whether it is of a session (`-sess`). Raises DigestError."""
    base = name.lower().removesuffix("-sess")
    if base not in ALGORITHMS:
        raise DigestError(f"unsupported digest algorithm {name[:20]!r}")
    return ALGORITHMS[base], name.lower().endswith("-sess")


def response_of(
    credentials: tuple[str, str, str],
    *,
    algorithm: str,
    method: str,
    uri: str,
    nonce: str,
    qop: str = "",
    count: str = "",
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """The `response` parameter (RFC 7616 section 3.4.1). `credentials`: username, realm, password; `count`: the eight
    hex digits of `nc`. Raises DigestError for an algorithm or qop that is not known."""
    hashed, of_session = _algorithm(algorithm)

    def h(*parts: str) -> str:
        return hashed(":".join(parts).encode("utf-8", "surrogateescape"))

    username, realm, password = credentials
    a1 = h(username, realm, password)
    if of_session:
        a1 = h(a1, nonce, cnonce)
    if qop == "auth-int":
        a2 = h(method, uri, hashed(body))
    elif qop in ("", "auth"):
        a2 = h(method, uri)
    else:
        raise DigestError(f"unsupported quality of protection {qop[:20]!r}")
    return h(a1, nonce, count, cnonce, qop, a2) if qop else h(a1, nonce, a2)


@dataclass(slots=True)
class _Known:
    challenge: Challenge
    count: int = 0  # how many answers it has got


class DigestClient:
    """One account's answers to a server's challenges. It remembers nonces, so that later requests are not challenged
    again; `random_token` makes client nonces."""

    def __init__(self, credentials: Credentials, random_token: Callable[[], str]) -> None:
        self._credentials = credentials
        self._random_token = random_token
        self._known: dict[int, _Known] = {}  # by the status of the challenge
        self.refused = ""  # why the last challenge could not be answered

    def challenged(self, status: int, values: Sequence[str], *, before: int = 0) -> bool:
        """A request got this 401 or 407 after answering `before` challenges. True: send it again with the result of
        `answers`. False: pointless (`refused` says why) - no challenge matches these credentials, or they have been
        refused. The first one that can be answered is answered (RFC 8760 section 2.4)."""
        self._known.pop(status, None)
        found, self.refused = self._usable(values)
        if found is None:
            return False
        if before and (not found.stale or before > MOST_STALE):
            self.refused = "the credentials were refused"
            return False
        self._known[status] = _Known(found)
        return True

    def _usable(self, values: Sequence[str]) -> tuple[Challenge | None, str]:
        reason = "no challenge"
        for value in values:
            try:
                challenge = parse_challenge(value)
                _algorithm(challenge.algorithm)
            except DigestError as error:
                reason = str(error)
                continue
            if self._credentials.realm and challenge.realm != self._credentials.realm:
                reason = f"no account for realm {challenge.realm[:100]!r}"
            elif challenge.qop and not {"auth", "auth-int"} & set(challenge.qop):
                reason = "unsupported quality of protection"
            else:
                return challenge, ""
        return None, reason

    def answers(self, method: str, uri: str, body: bytes = b"") -> list[tuple[str, str]]:
        """Header names and values for a request with this Request-URI; none while no challenge is known."""
        return [
            ("Proxy-Authorization" if status == 407 else "Authorization", self._answer(known, method, uri, body))
            for status, known in self._known.items()
        ]

    def _answer(self, known: _Known, method: str, uri: str, body: bytes) -> str:
        challenge = known.challenge
        known.count += 1
        qop = "" if not challenge.qop else "auth" if "auth" in challenge.qop else "auth-int"
        of_session = challenge.algorithm.lower().endswith("-sess")
        cnonce = self._random_token() if qop or of_session else ""
        count = f"{known.count:08x}" if qop else ""
        username = self._credentials.username
        response = response_of(
            (username, challenge.realm, self._credentials.password),
            algorithm=challenge.algorithm,
            method=method,
            uri=uri,
            nonce=challenge.nonce,
            qop=qop,
            count=count,
            cnonce=cnonce,
            body=body,
        )
        parameters = [("username", username), ("realm", challenge.realm), ("nonce", challenge.nonce), ("uri", uri)]
        parameters += [("response", response), ("algorithm", challenge.algorithm)]
        if cnonce:
            parameters.append(("cnonce", cnonce))
        if qop:
            parameters += [("qop", qop), ("nc", count)]
        if challenge.opaque is not None:
            parameters.append(("opaque", challenge.opaque))
        return written(parameters, unquoted=_UNQUOTED | {"qop"})
