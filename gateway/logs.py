"""Logs: structlog and the standard library's loggers in one form, with secrets and typed digits masked."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.contextvars import merge_contextvars
from structlog.typing import EventDict, Processor, WrappedLogger

from agent.privacy import hide_secrets

__all__ = ["RepeatLimit", "configure", "mask"]

MASK = "•••"
_SECRET_KEYS = re.compile(
    r"api_?key|authorization|password|passwd|secret|credential|^(bearer|access_|auth_)?token$", re.I
)
_DIGIT_KEYS = frozenset({"digit", "digits", "dtmf", "pin"})
_SPOKEN_KEYS = frozenset({"text", "full_text", "transcript", "words", "arguments", "output"})
_NUMBER_KEYS = frozenset({"call_id", "called", "caller", "sip_call_id", "trunk", "timestamp", "at", "branch", "source"})
_SECRET_IN_TEXT = re.compile(
    r"(?P<key>\b(?:bearer|basic)\s+|\b(?:api[_-]?key|authorization|password|secret)\b[\"']?\s*[:=]\s*[\"']?)"
    r"(?!(?:bearer|basic)\s)[^\s\"',;]+",
    re.IGNORECASE,
)
_SPOKEN_RUN = re.compile(r"\d(?:[ .-]?\d){3,}")  # PINs and longer, wherever callers' words are logged
_CARD_RUN = re.compile(r"(?<![\w+.:@-])\d(?:[ -]?\d){11,18}(?![\w.:@-])")  # card numbers anywhere; not +E.164, not ids
_QUIET = ("sqlalchemy", "alembic", "aiohttp.access", "asyncio", "httpx", "httpcore", "openai")


_configured: tuple[str, str, TextIO] | None = None


def configure(level: str = "info", format: Literal["json", "console"] = "json", stream: TextIO | None = None) -> None:
    """Set up all logging of the process; may be called again with other settings. `stream` is stderr unless given.

    Raises ValueError for a level that is not one of debug, info, warning, error, critical.
    """
    global _configured
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None or number == logging.NOTSET:
        raise ValueError(f"log level {level!r} is not one of debug, info, warning, error, critical")
    target = stream if stream is not None else sys.stderr
    if (level, format, target) == _configured:
        return  # already done, as in a fork: repeating it would unshare 1 MiB
    _configured = (level, format, target)
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(target)
    handler.addFilter(_without_peers_tracebacks)  # ahead of the limit: it counts what is written
    handler.addFilter(RepeatLimit())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=["suppressed"])],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                mask,
                _renderer(format, target),
            ],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # loggers made at import follow a later configure
    )


def _renderer(format: Literal["json", "console"], stream: TextIO) -> Processor:
    if format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty())


# --- masking ----------------------------------------------------------------------------------------------------


def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: hides values of secret keys, typed digits, and what looks like either inside texts.

    Called and calling numbers stay, as they are call data.
    """
    return _masked_fields("", event, depth=0)


def _masked(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_KEYS.search(key) or key in _DIGIT_KEYS:
        return MASK
    if key in _NUMBER_KEYS:
        return value
    match value:
        case str():
            hidden = _SECRET_IN_TEXT.sub(rf"\g<key>{MASK}", hide_secrets(value))
            return (_SPOKEN_RUN if key in _SPOKEN_KEYS else _CARD_RUN).sub(MASK, hidden)
        case Mapping() if depth < 6:
            return _masked_fields(key, value, depth + 1)
        case list() | tuple() if depth < 6:
            return [_masked(key, item, depth + 1) for item in value]
        case int() if key in _SPOKEN_KEYS and abs(value) >= 1000:
            return MASK
        case int() | float():
            return value
        case _:
            return _masked(key, str(value), depth + 1) if depth < 6 else MASK


def _masked_fields(outer: str, fields: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    typed = fields.get("source") == "dtmf"  # a caller's typed message: its text is digits, all of it
    return {
        str(key): MASK if typed and key in _SPOKEN_KEYS else _masked(_within(outer, str(key)), value, depth)
        for key, value in fields.items()
    }


def _within(outer: str, inner: str) -> str:
    """Tool arguments are the caller's words, whatever their names."""
    named = inner in _NUMBER_KEYS or inner in _DIGIT_KEYS or _SECRET_KEYS.search(inner)
    return outer if outer in ("arguments", "output") and not named else inner


# --- what others send ---------------------------------------------------------------------------------------------


def _without_peers_tracebacks(record: logging.LogRecord) -> bool:
    """A logging filter. Unreadable HTTP is its sender's fault: one line without the content, instead of the traceback
    that aiohttp logs as an error."""
    error = record.exc_info[1] if record.name == "aiohttp.server" and record.exc_info else None
    if error is not None and type(error).__module__ == "aiohttp.http_exceptions":
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = f"unreadable HTTP request from %s: {type(error).__name__}", record.args
        record.exc_info = record.exc_text = None
    return True


# --- repetition -------------------------------------------------------------------------------------------------


class RepeatLimit(logging.Filter):
    """Lets the same message of the same call through `burst` times in `window_s`; the first one after that says how
    many were suppressed (`suppressed`)."""

    def __init__(
        self, burst: int = 20, window_s: float = 10.0, *, now: Callable[[], float] = time.monotonic, kept: int = 1000
    ) -> None:
        super().__init__()
        self._burst, self._window_s, self._now, self._kept = burst, window_s, now, kept
        self._seen: dict[tuple[str, int, str, str], tuple[float, int]] = {}  # -> window's start, messages in it

    def filter(self, record: logging.LogRecord) -> bool:
        fields = record.msg if isinstance(record.msg, dict) else {"event": record.msg}
        key = (record.name, record.levelno, str(fields.get("event")), str(fields.get("call_id", "")))
        now = self._now()
        since, count = self._seen.get(key, (now, 0))
        if now - since >= self._window_s:
            if count > self._burst:
                self._tell(record, count - self._burst)
            since, count = now, 0
        self._make_room(now)
        self._seen[key] = (since, count + 1)
        return count < self._burst

    def _tell(self, record: logging.LogRecord, suppressed: int) -> None:
        if isinstance(record.msg, dict):
            record.msg["suppressed"] = suppressed
        else:
            record.suppressed = suppressed

    def _make_room(self, now: float) -> None:
        if len(self._seen) < self._kept:
            return
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen[0] < self._window_s}
        if len(self._seen) >= self._kept:  # a flood of different messages: start over rather than grow
            self._seen.clear()
