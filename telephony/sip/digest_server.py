"""Challenging others by digest (RFC 7616, 8760; in SIP RFC 3261 section 22). Pure: time and randomness are arguments.

A nonce carries its time and is signed, so a challenge costs no memory; only the last nonce count of each correctly
answered nonce is stored, so that a recorded answer is useless.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from telephony.sip.digest import ALGORITHMS, DigestError, read_parameters, response_of, written
from telephony.sip.uri import try_uri

__all__ = ["UNKNOWN_NONCE", "WRONG_PASSWORD", "DigestServer", "Verdict"]

_SALT_BYTES = 8
_SIGNED_BYTES = 16
_NOBODY = "nobody has this password"  # so an unknown user takes as long as a known one
UNKNOWN_NONCE = "unknown nonce"
WRONG_PASSWORD = "wrong user or password"  # noqa: S105  (no password)
_USED_UP = 2**32  # for a nonce that was answered without a count


@dataclass(frozen=True, slots=True)
class Verdict:
    """`username`: who it is; empty: refused, for this `reason`. `stale`: correct except for the age of the nonce; the
    next challenge says so, so that the user is not asked for a password again."""

    username: str = ""
    reason: str = ""
    stale: bool = False


class DigestServer:
    """`key`: secret, of this process or shared; `lifetime_s`: how old a nonce may be; `remembered`: how many nonces are
    watched for replay (answers with older ones are refused)."""

    def __init__(
        self,
        realm: str,
        key: bytes,
        *,
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
        lifetime_s: float = 300.0,
        remembered: int = 10_000,
    ) -> None:
        for name in algorithms:
            if name.lower() not in ALGORITHMS:
                raise DigestError(f"unsupported digest algorithm {name!r}")
        self._realm = realm
        self._key = key
        self._algorithms = tuple(algorithms)
        self._lifetime_s = lifetime_s
        self._remembered = remembered
        self._counts: OrderedDict[str, int] = OrderedDict()  # nonce -> the highest count accepted
        self._not_before = 0  # milliseconds; nonces up to here are too old, regardless of their lifetime

    def challenges(self, now: float, salt: bytes, *, stale: bool = False, about: bytes = b"") -> list[str]:
        """A WWW-Authenticate or Proxy-Authenticate value for each algorithm, best first. `salt`: at least eight random
        bytes. `about`: what the answer is good for besides, such as the address that is challenged."""
        nonce = self._nonce(int(now * 1000), salt[:_SALT_BYTES], about)
        values = []
        for algorithm in self._algorithms:
            parameters = [("realm", self._realm), ("nonce", nonce), ("algorithm", algorithm), ("qop", "auth")]
            if stale:
                parameters.append(("stale", "true"))
            values.append(written(parameters))
        return values

    def check(
        self,
        value: str,
        *,
        method: str,
        uri: str,
        now: float,
        password_of: Callable[[str], str | None],
        about: bytes = b"",
    ) -> Verdict:
        """An Authorization or Proxy-Authorization value of a request with this Request-URI."""
        try:
            given = read_parameters(value)
        except DigestError as error:
            return Verdict(reason=str(error))
        missing = [name for name in ("username", "realm", "nonce", "uri", "response") if name not in given]
        if missing:
            return Verdict(reason=f"no {missing[0]} in the credentials")
        if given["realm"] != self._realm:
            return Verdict(reason="credentials for another realm")
        made_at = self._made_at(given["nonce"], about)
        if made_at is None:
            return Verdict(reason=UNKNOWN_NONCE)
        if not _same_target(given["uri"], uri):
            return Verdict(reason="credentials for another URI")
        password = password_of(given["username"])
        try:
            right = self._is_right(given, method, _NOBODY if password is None else password)
        except DigestError as error:
            return Verdict(reason=str(error))
        if not right or password is None:
            return Verdict(reason=WRONG_PASSWORD)
        return self._fresh(given, made_at, int(now * 1000))

    def _is_right(self, given: Mapping[str, str], method: str, password: str) -> bool:
        algorithm = given.get("algorithm", "MD5")
        if algorithm.lower() not in [name.lower() for name in self._algorithms]:
            raise DigestError("digest algorithm was not offered")
        qop = given.get("qop", "")
        if qop not in ("", "auth"):
            raise DigestError("quality of protection was not offered")
        expected = response_of(
            (given["username"], self._realm, password),
            algorithm=algorithm,
            method=method,
            uri=given["uri"],
            nonce=given["nonce"],
            qop=qop,
            count=given.get("nc", ""),
            cnonce=given.get("cnonce", ""),
        )
        return hmac.compare_digest(expected.encode(), given["response"].lower().encode("utf-8", "surrogateescape"))

    def _fresh(self, given: Mapping[str, str], made_at: int, now: int) -> Verdict:
        """The password is correct; the nonce must still be valid, and this answer to it new."""
        nonce = given["nonce"]
        if not now - self._lifetime_s * 1000 <= made_at <= now + 1000 or made_at <= self._not_before:
            return Verdict(reason="stale nonce", stale=True)
        count = _USED_UP
        if given.get("qop"):
            try:
                count = int(given.get("nc", ""), 16)
            except ValueError:
                return Verdict(reason="unreadable nonce count")
        if not 0 < count <= _USED_UP or count <= self._counts.get(nonce, 0):
            return Verdict(reason="answer was used before", stale=True)
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        while len(self._counts) > self._remembered:
            old, _ = self._counts.popitem(last=False)
            self._not_before = max(self._not_before, _time_in(old))
        return Verdict(given["username"])

    @property
    def watched(self) -> int:
        """Number of nonces stored now."""
        return len(self._counts)

    def expire(self, now: float) -> None:
        """Forget expired nonces."""
        while self._counts:
            nonce = next(iter(self._counts))
            if _time_in(nonce) >= int((now - self._lifetime_s) * 1000):
                return
            del self._counts[nonce]

    def _nonce(self, at: int, salt: bytes, about: bytes) -> str:
        head = at.to_bytes(8, "big") + salt
        return _text(head + self._signature(head, about))

    def _made_at(self, nonce: str, about: bytes) -> int | None:
        """In milliseconds; None: it is not ours, or is about something else."""
        try:
            raw = _bytes(nonce)
        except (ValueError, binascii.Error):
            return None
        head, signature = raw[:-_SIGNED_BYTES], raw[-_SIGNED_BYTES:]
        if len(head) != 8 + _SALT_BYTES or not hmac.compare_digest(signature, self._signature(head, about)):
            return None
        # Several texts decode to the same bytes; only one of them was given out as a nonce.
        return int.from_bytes(head[:8], "big") if _text(raw) == nonce else None

    def _signature(self, head: bytes, about: bytes) -> bytes:
        signed = self._realm.encode() + b"\0" + head + about
        return hmac.digest(self._key, signed, sha256)[:_SIGNED_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(nonce: str) -> bytes:
    return base64.urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))


def _time_in(nonce: str) -> int:
    """Of one that has been verified."""
    return int.from_bytes(_bytes(nonce)[:8], "big")


def _same_target(given: str, asked: str) -> bool:
    """The signed URI names the same user. Its host may differ: proxies before us change it."""
    if given == asked:
        return True
    one, other = try_uri(given), try_uri(asked)
    return one is not None and other is not None and (one.scheme, one.user) == (other.scheme, other.user)
