"""Explains why the worker cannot register, and what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from telephony.livekit.errors import without_tokens

__all__ = ["ConnectFailure", "Explanation", "agent_url", "explain"]

_SKEW_S = 30.0  # more than a slow answer can explain


@dataclass(frozen=True, slots=True)
class ConnectFailure:
    """The result of an attempt. `status`: HTTP status, None if there was no answer; `date`: its Date header."""

    url: str
    error: str
    status: int | None = None
    body: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """`hopeless`: a retry is pointless until a setting is changed."""

    text: str
    hopeless: bool


def agent_url(url: str) -> str:
    """The URL where workers register. Raises ValueError for an invalid URL of a LiveKit server."""
    parts = urlsplit(url)
    schemes = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
    if parts.scheme not in schemes or not parts.netloc:
        raise ValueError(f'livekit.url: "{url}" must begin with ws:// or wss://, as in "ws://127.0.0.1:7880"')
    return f"{schemes[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}/agent"


def explain(failure: ConnectFailure, now: datetime) -> Explanation:
    """`now`: this machine's time of day, aware."""
    url = failure.url
    if failure.status is None:
        error = without_tokens(failure.error).replace(" ssl:default", "")  # aiohttp adds that to each address
        return Explanation(
            f"no LiveKit server answers at {url} ({error}): start it, or correct livekit.url; trying again",
            False,
        )
    if failure.status in (401, 403):
        skew = _skew_s(failure.date, now)
        if abs(skew) > _SKEW_S:
            direction = "ahead of" if skew > 0 else "behind"
            return Explanation(
                f"LiveKit at {url} refuses the token, and this machine's clock is {abs(skew):.0f} s {direction} the "
                "server's: set the clocks by NTP; trying again",
                False,
            )
        body = without_tokens(failure.body).strip()[:200]
        said = f" (it says: {body})" if body else ""
        return Explanation(
            f"LiveKit at {url} does not accept livekit.api_key with livekit.api_secret{said}: both must be from "
            "the server's own `keys`",
            True,
        )
    if failure.status == 404:
        return Explanation(
            f"{url} is not a LiveKit server, or one without agents (HTTP 404): "
            f"livekit.url must be the server's address "
            'itself, as in "ws://127.0.0.1:7880"',
            True,
        )
    return Explanation(f"LiveKit at {url} answers HTTP {failure.status} ({failure.error}); trying again", False)


def _skew_s(date: str, now: datetime) -> float:
    """How far our clock is ahead of the server's; 0 if unknown."""
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    return (now - theirs.replace(tzinfo=theirs.tzinfo or UTC)).total_seconds()
