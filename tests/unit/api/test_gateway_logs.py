from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from aiohttp.http_exceptions import BadStatusLine

from agent.privacy import Privacy
from agent.turns.digits import DigitEntry
from gateway import logs
from telephony.call import DigitSource, LegDigit


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging set up on a stream, and put back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    target = io.StringIO()
    logs.configure("info", "json", target)
    yield target
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_what_a_caller_keyed_in_secretly_is_hidden_wherever_it_turns_up(stream: io.StringIO) -> None:
    privacy = Privacy()
    privacy.entered("4711", DigitEntry(secret=True))
    try:
        raise ValueError("no account with PIN 4711")
    except ValueError:
        logging.getLogger("persona").exception("it failed for %s", "4711")
    structlog.get_logger("tool").warning(
        "pin 4 7 1 1", info={"value": "4711"}, leg_event=LegDigit("4", 1.0, DigitSource.RTP)
    )
    privacy.close()
    said = stream.getvalue()
    assert "4711" not in said and "4 7 1 1" not in said and "'4'" not in said
    assert "••••" in said


def test_our_loggers_and_the_standard_ones_look_alike(stream: io.StringIO) -> None:
    structlog.get_logger("gateway.app").info("started", port=5060)
    logging.getLogger("some.library").warning("watch %s", "out")
    ours, theirs = lines(stream)
    assert (ours["event"], ours["port"], ours["level"], ours["logger"]) == ("started", 5060, "info", "gateway.app")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("watch out", "warning", "some.library")
    assert ours.keys() - {"port"} == theirs.keys()
    assert ours["timestamp"].endswith("Z")


def test_lines_of_a_call_carry_its_id_in_its_own_task_only(stream: io.StringIO) -> None:
    log = structlog.get_logger()

    async def call(call_id: str) -> None:
        structlog.contextvars.bind_contextvars(call_id=call_id)
        await asyncio.sleep(0)
        log.info("step")
        logging.getLogger("library").warning("deep inside")

    async def both() -> None:
        await asyncio.gather(call("a"), call("b"))
        log.info("outside")

    asyncio.run(both())
    assert [(line["event"], line.get("call_id")) for line in lines(stream)] == [
        ("step", "a"),
        ("deep inside", "a"),
        ("step", "b"),
        ("deep inside", "b"),
        ("outside", None),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": "SECRET"},
        {"Authorization": "Bearer SECRET"},
        {"openai_api_key": "SECRET"},
        {"password": "SECRET"},
        {"request": {"headers": {"authorization": "SECRET"}}},
        {"error": "401 for Authorization: Bearer SECRET"},
        {"error": "bad api_key=SECRET, sorry"},
        {"url": "https://h/x?password=SECRET"},
        {"digit": "7"},
        {"digits": 4711},
        {"body": {"type": "digit_received", "digit": "7"}},
        {"source": "dtmf", "text": "7#"},
        {"body": {"type": "user_message", "source": "dtmf", "text": "47"}},
        {"text": "my pin is 4711"},
        {"arguments": {"invoice": "471147", "amount": 47114}},
        {"items": [{"output": "card 4711 4711"}]},
        {"error": "the card 4711 4711 4711 4711 was refused"},
    ],
)
def test_secrets_and_typed_digits_do_not_come_through(stream: io.StringIO, fields: dict[str, Any]) -> None:
    structlog.get_logger().info("something", **fields)
    written = json.dumps(lines(stream)[0] | {"timestamp": ""})
    assert "SECRET" not in written
    assert "47" not in written and "7" not in written
    assert logs.MASK in lines(stream)[0].__repr__()


def test_what_is_no_secret_stays(stream: io.StringIO) -> None:
    fields = {
        "called": "+15550100",
        "caller": "15557777123456",
        "sip_call_id": "12345678901234567890@host",
        "call_id": "1234567890123456",
        "numbers": "from +123456789012345 at 20261120T090000",
        "tokens": 120,
        "prompt_tokens": 99,
        "ms": 12345678,
        "text": "a slot at 9:30 in room 12",
    }
    structlog.get_logger().info("call", **fields)
    assert lines(stream)[0].items() >= fields.items()


def test_exceptions_are_masked_too(stream: io.StringIO) -> None:
    try:
        raise RuntimeError("password=SECRET for 4711471147114711")
    except RuntimeError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed as well")
    for line in lines(stream):
        assert "RuntimeError" in line["exception"]
        assert "SECRET" not in line["exception"].split("RuntimeError: ")[-1]
        assert "4711" not in line["exception"].split("RuntimeError: ")[-1]


def test_what_cannot_be_read_as_http_is_one_line_without_a_traceback(stream: io.StringIO) -> None:
    server = logging.getLogger("aiohttp.server")
    for _ in range(100):
        try:
            raise BadStatusLine("GET /secret/\x16")
        except BadStatusLine as error:
            server.exception("Error handling request from %s", "192.0.2.7", exc_info=error)
    try:
        raise KeyError("ours")
    except KeyError as error:
        server.exception("Error handling request from %s", "192.0.2.7", exc_info=error)
    *theirs, ours = lines(stream)
    assert len(theirs) == 20
    assert {(line["level"], line["event"]) for line in theirs} == {
        ("warning", "unreadable HTTP request from 192.0.2.7: BadStatusLine")
    }
    assert "secret" not in str(theirs) and "Traceback" not in str(theirs)
    assert ours["level"] == "error" and "KeyError" in ours["exception"]


def test_repeated_messages_are_counted_and_not_written(stream: io.StringIO) -> None:
    now = 0.0
    limit = logs.RepeatLimit(burst=3, window_s=10, now=lambda: now)
    handler = logging.getLogger().handlers[0]
    handler.filters[:] = [limit]
    log, library = structlog.get_logger("flood"), logging.getLogger("library")
    for n in range(8):
        log.info("refused", source=f"10.0.0.{n}")
        library.warning("odd packet %d", n)
        log.info("call_opened", call_id=f"c{n}")
    written = [line["event"] for line in lines(stream)]
    assert (written.count("refused"), sum("odd" in event for event in written)) == (3, 3)
    assert written.count("call_opened") == 8, "each call has its own lines"
    now = 10.0
    log.info("refused", source="10.0.0.9")
    library.warning("odd packet %d", 9)
    assert [line["suppressed"] for line in lines(stream)[-2:]] == [5, 5]


def test_a_flood_of_different_messages_takes_no_memory() -> None:
    limit = logs.RepeatLimit(kept=50, now=lambda: 0.0)
    for n in range(500):
        assert limit.filter(logging.LogRecord("x", logging.INFO, "", 0, f"message {n}", (), None))
    assert len(limit._seen) <= 50


def test_levels(stream: io.StringIO) -> None:
    structlog.get_logger().debug("hidden")
    logging.getLogger("sqlalchemy.engine").info("hidden")
    assert stream.getvalue() == ""
    logs.configure("debug", "json", stream)
    structlog.get_logger().debug("shown")
    assert [line["event"] for line in lines(stream)] == ["shown"]
    with pytest.raises(ValueError, match="loud"):
        logs.configure("loud")


def test_console_form_is_for_people(stream: io.StringIO) -> None:
    logs.configure("info", "console", stream)
    structlog.get_logger().info("call opened", called="+15550100", digit="7")
    assert "call opened" in stream.getvalue() and "+15550100" in stream.getvalue()
    assert "digit=•••" in stream.getvalue()


def test_warnings_are_logged(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("info", "json", stream)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert "old ways" in lines(stream)[0]["event"]
