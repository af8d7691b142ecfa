"""What goes wrong with LiveKit, as types whose messages say what to do. No message ever has a token in it."""

from __future__ import annotations

import re

from telephony.errors import TelephonyError

__all__ = [
    "LiveKitError",
    "LiveKitRefused",
    "LiveKitTimeout",
    "LiveKitUnreachable",
    "NotInRoom",
    "RpcFailed",
    "connect_error",
    "no_such_path",
    "without_tokens",
]

_TOKEN = re.compile(r"ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*|((?:access|join)_?[tT]oken=)[^\s&\"']+")


class LiveKitError(TelephonyError):
    """Base of what LiveKit or the way to it did."""


class LiveKitUnreachable(LiveKitError):
    """Nobody answers at the URL."""

    retryable = True
    sip_status = 503


class LiveKitTimeout(LiveKitError):
    """LiveKit answers, but not in time; or media finds no way although signaling does."""

    retryable = True
    sip_status = 503


class LiveKitRefused(LiveKitError):
    """LiveKit does not accept our keys or tokens, or what we ask for."""

    sip_status = 503


class NotInRoom(LiveKitError):
    """The room was not joined, or not any more."""


class RpcFailed(LiveKitError):
    """The other participant did not do what it was asked. `code` as in livekit.rtc.RpcError.ErrorCode."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def without_tokens(text: str) -> str:
    """The SDK's errors and logs quote tokens, which open rooms for hours."""
    return _TOKEN.sub(lambda match: f"{match.group(1) or ''}[token]", text)


def connect_error(url: str, text: str) -> LiveKitError:
    """What the SDK says about a failed connection, as a type and with advice."""
    said = without_tokens(text).replace(" ssl:default", "")  # aiohttp says that of each address
    lower = said.lower()
    for words, cls, advice in _CAUSES:
        if any(word in lower for word in words):
            return cls(f"LiveKit at {url}: {advice} ({said.removeprefix('engine: signal failure: ')[:200]})")
    return LiveKitError(f"LiveKit at {url}: could not be joined ({said[:300]})")


def no_such_path(url: str) -> LiveKitError:
    """A web server answers there, and knows nothing of LiveKit's API."""
    return LiveKitRefused(
        f"{url} is no LiveKit server (it knows nothing of LiveKit's API): livekit.url must be the server's address "
        'itself, as in "ws://127.0.0.1:7880"'
    )


_CLOCKS = "if this machine's and the server's clocks differ, set them (NTP)"
_CAUSES: tuple[tuple[tuple[str, ...], type[LiveKitError], str], ...] = (
    (
        ("invalid api key",),
        LiveKitRefused,
        "does not know this API key: livekit.api_key must be one of the `keys` in the server's configuration",
    ),
    (
        ("signature is invalid", "signature"),
        LiveKitRefused,
        "the API secret does not belong to the API key: livekit.api_secret must be the one in the server's `keys`",
    ),
    (("token is expired", "expired"), LiveKitRefused, f"the token has expired; {_CLOCKS}"),
    (("not valid yet", "nbf", "before issued"), LiveKitRefused, f"the token is not valid yet; {_CLOCKS}"),
    (
        ("room does not exist", "requested room", "404"),
        LiveKitRefused,
        "has no such room and makes none by itself: set `room.auto_create: true` there, or check the URL's path",
    ),
    (
        ("500 internal", "dial tcp"),
        LiveKitUnreachable,
        "the server answers, but with an error of its own: is its Redis running? Its log says more",
    ),
    (("401", "403", "unauthorized", "permission"), LiveKitRefused, f"refuses our keys; {_CLOCKS}"),
    (
        ("lookup address", "name or service", "dns"),
        LiveKitUnreachable,
        "the host name of livekit.url cannot be resolved",
    ),
    (
        ("connection refused", "os error 111", "connect call failed"),
        LiveKitUnreachable,
        "nobody listens there: is LiveKit server running, and are host and port of livekit.url right?",
    ),
    (
        ("parse the url", "relative url", "invalid url", "scheme"),
        LiveKitUnreachable,
        "livekit.url is not a ws(s):// URL",
    ),
    (
        ("timeout", "timed out", "connection closed", "ice"),
        LiveKitTimeout,
        "no connection in time; signaling and UDP ports of the server must be reachable from here",
    ),
    (("io error", "connection", "tls", "certificate"), LiveKitUnreachable, "cannot be reached"),
)
