"""Explanations of why the worker cannot register, with what to do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.worker.explain import ConnectFailure, agent_url, explain

URL = "ws://lk.example:7880"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DATE = "Fri, 02 Jan 2026 03:04:05 GMT"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("ws://h:1", "ws://h:1/agent"),
        ("wss://h/", "wss://h/agent"),
        ("http://h:1/base/", "ws://h:1/base/agent"),
        ("https://h", "wss://h/agent"),
    ],
)
def test_where_workers_register(url: str, asked: str) -> None:
    assert agent_url(url) == asked


@pytest.mark.parametrize("url", ["h:7880", "", "ftp://h", "ws://"])
def test_no_url_of_a_server(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with ws://"):
        agent_url(url)


def test_nobody_answers() -> None:
    said = explain(ConnectFailure(URL, "Connection refused"), NOW)
    assert not said.hopeless
    assert "no LiveKit server answers at ws://lk.example:7880 (Connection refused): start it" in said.text


def test_wrong_keys() -> None:
    said = explain(ConnectFailure(URL, "Unauthorized", 401, "invalid API key: k", DATE), NOW)
    assert said.hopeless
    assert "does not accept livekit.api_key with livekit.api_secret (it says: invalid API key: k)" in said.text


@pytest.mark.parametrize(
    ("date", "words"),
    [("Fri, 02 Jan 2026 02:04:05 GMT", "3600 s ahead of"), ("Fri, 02 Jan 2026 03:06:05 GMT", "120 s behind")],
)
def test_clocks_that_differ(date: str, words: str) -> None:
    said = explain(ConnectFailure(URL, "Unauthorized", 401, "token is expired", date), NOW)
    assert not said.hopeless, "a clock is set without a setting of ours"
    assert words in said.text and "NTP" in said.text


def test_a_few_seconds_are_no_skew_and_a_missing_date_is_none() -> None:
    for date in ("Fri, 02 Jan 2026 03:04:25 GMT", "", "yesterday"):
        assert "api_secret" in explain(ConnectFailure(URL, "Unauthorized", 401, "", date), NOW).text


def test_no_livekit_there() -> None:
    said = explain(ConnectFailure(URL, "Not Found", 404, "", DATE), NOW)
    assert said.hopeless and "livekit.url must be the server's address" in said.text


def test_a_server_in_trouble() -> None:
    said = explain(ConnectFailure(URL, "Bad Gateway", 502, "", DATE), NOW)
    assert not said.hopeless and "HTTP 502" in said.text


def test_no_token_is_quoted() -> None:
    """The server says which token it refuses, and it is longer than what is quoted of a message."""
    token = f"eyJhbGciOiJIUzI1NiJ9.{'x' * 300}.{'y' * 40}"
    said = explain(ConnectFailure(URL, "Unauthorized", 401, f"invalid token: {token}, error: signature", DATE), NOW)
    assert "(it says: invalid token: [token], error: signature)" in said.text
    assert "eyJ" not in said.text and "xxx" not in said.text
    lost = explain(ConnectFailure(URL, f"reset, url='ws://h/agent?access_token={token}' ssl:default"), NOW)
    assert "access_token=[token]" in lost.text and "xxx" not in lost.text and "ssl:default" not in lost.text
