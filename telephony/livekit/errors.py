"""LiveKit errors, whose messages say what to do. No message ever contains a token."""

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
    """Base of errors of LiveKit or the network to it."""


class LiveKitUnreachable(LiveKitError):
    """Nothing answers at the URL."""

    retryable = True
    sip_status = 503


class LiveKitTimeout(LiveKitError):
    """LiveKit does not answer in time; or signaling works but media does not get through."""

    retryable = True
    sip_status = 503


class LiveKitRefused(LiveKitError):
    """LiveKit does not accept our keys, tokens or request."""

    sip_status = 503


class NotInRoom(LiveKitError):
    """We have not joined the room, or are no longer in it."""


class RpcFailed(LiveKitError):
    """The other participant did not carry out an RPC. `code` as in livekit.rtc.RpcError.ErrorCode."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def without_tokens(text: str) -> str:
    """The SDK's errors and logs quote tokens, which are valid for hours."""
    return _TOKEN.sub(lambda match: f"{match.group(1) or ''}[token]", text)


def connect_error(url: str, text: str) -> LiveKitError:
    """Turns the SDK's text about a failed connection into an error with advice."""
    said = without_tokens(text).replace(" ssl:default", "")  # aiohttp adds it to each address
    lower = said.lower()
    for words, cls, advice in _CAUSES:
        if any(word in lower for word in words):
            return cls(f"LiveKit at {url}: {advice} ({said.removeprefix('engine: signal failure: ')[:200]})")
    return LiveKitError(f"LiveKit at {url}: joining failed ({said[:300]})")


def no_such_path(url: str) -> LiveKitError:
    """A web server answers there, but it has no LiveKit API."""
    return LiveKitRefused(
        f"{url} is not a LiveKit server (it has no LiveKit API): livekit.url must be the server's own address, "
        'as in "ws://127.0.0.1:7880"'
    )


_CLOCKS = "check that this machine's and the server's clocks agree (NTP)"
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
        "no such room, and the server creates none itself: set `room.auto_create: true` there, or check the URL's path",
    ),
    (
        ("500 internal", "dial tcp"),
        LiveKitUnreachable,
        "the server answers with an internal error: is its Redis running? See its log",
    ),
    (("401", "403", "unauthorized", "permission"), LiveKitRefused, f"keys refused; {_CLOCKS}"),
    (
        ("lookup address", "name or service", "dns"),
        LiveKitUnreachable,
        "the host name of livekit.url cannot be resolved",
    ),
    (
        ("connection refused", "os error 111", "connect call failed"),
        LiveKitUnreachable,
        "nothing listens there: is LiveKit server running, and are host and port of livekit.url right?",
    ),
    (
        ("parse the url", "relative url", "invalid url", "scheme"),
        LiveKitUnreachable,
        "livekit.url is not a ws(s):// URL",
    ),
    (
        ("timeout", "timed out", "connection closed", "ice"),
        LiveKitTimeout,
        "no connection in time; the server's signaling and UDP ports must be reachable from here",
    ),
    (("io error", "connection", "tls", "certificate"), LiveKitUnreachable, "cannot be reached"),
)
