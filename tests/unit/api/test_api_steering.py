from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.api import ApiDeps, ApiServer, FakeCalls, HealthReport
from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.verbs import DigitsOrder
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.outbound.order import OrderRefused
from gateway.outbound.originating import FakeOriginator
from gateway.steering import CannotSteer, FakeSteering
from telephony.call import DigitSource
from tests.unit.api.asking import detail


class Api:
    """The API on a socket, as mocked requests have no bodies."""

    def __init__(self, recordings: Path) -> None:
        self.steering = FakeSteering()
        self.originator = FakeOriginator()
        deps = ApiDeps(
            calls=FakeCalls(detail("c1", outcome=None), detail("over")),
            health=lambda: HealthReport(state="ready"),
            metrics=Metrics(LiveCalls()),
            recordings=recordings,
            steering=self.steering,
            originator=self.originator,
        )
        self.server = ApiServer(deps, host="127.0.0.1", port=0)

    async def ask(self, method: str, path: str, body: Any = None, **how: Any) -> tuple[int, dict[str, Any]]:
        await self.server.start()
        try:
            async with aiohttp.ClientSession() as http:
                sent = how or ({} if body is None else {"json": body})
                async with http.request(method, self.server.url + path, **sent) as answer:
                    return answer.status, await answer.json(content_type=None)
        finally:
            await self.server.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("DELETE", "/v1/calls/c1", None, ("hang_up", "c1", False)),
        ("DELETE", "/v1/calls/c1?goodbye=true", None, ("hang_up", "c1", True)),
        ("POST", "/v1/calls/c1/say", {"text": " One moment. "}, ("say", "c1", "One moment.", True)),
        (
            "POST",
            "/v1/calls/c1/say",
            {"text": "Listen.", "allow_interruptions": False},
            ("say", "c1", "Listen.", False),
        ),
        ("POST", "/v1/calls/c1/digits", {"digits": "12w#"}, ("digits", "c1", DigitsOrder("12w#"))),
        (
            "POST",
            "/v1/calls/c1/digits",
            {"digits": "W1", "way": "info", "leg": "c1-2", "duration_ms": 250},
            ("digits", "c1", DigitsOrder("W1", "c1-2", DigitSource.INFO, 250)),
        ),
        ("POST", "/v1/calls/c1/hold", None, ("hold", "c1")),
        ("POST", "/v1/calls/c1/resume", None, ("resume", "c1")),
        ("POST", "/v1/calls/c1/mute", {"who": "agent"}, ("mute", "c1", "agent")),
        ("POST", "/v1/calls/c1/recording/pause", None, ("pause_recording", "c1", True)),
        ("POST", "/v1/calls/c1/recording/resume", None, ("pause_recording", "c1", False)),
        ("POST", "/v1/calls/c1/unmute", {"who": "caller"}, ("unmute", "c1", "caller")),
    ],
)
async def test_a_live_call_is_told(tmp_path: Path, method: str, path: str, body: Any, told: tuple[Any, ...]) -> None:
    api = Api(tmp_path)
    assert await api.ask(method, path, body) == (200, {"call_id": "c1"})
    assert api.steering.told == [told]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("say", {"text": ""}),
        ("say", {"text": "   "}),
        ("say", {"text": "x" * 4001}),
        ("say", {"text": "x", "voice": "en"}),
        ("say", {"text": "x", "allow_interruptions": "yes"}),
        ("say", ["text"]),
        ("digits", {"digits": "1 2"}),
        ("digits", {"digits": "1" * 65}),
        ("digits", {}),
        ("digits", {"digits": "1", "way": "smoke"}),
        ("digits", {"digits": "1", "duration_ms": 20}),
        ("collect", {}),
        ("collect", {"prompt": " "}),
        ("collect", {"prompt": "x", "length": 4.5}),
        ("collect", {"prompt": "x", "terminators": "x"}),
        ("collect", {"prompt": "x", "retries": -1}),
        ("collect", {"prompt": "x", "limit_s": 301}),
        ("mute", {"who": "everybody"}),
        ("transfer", {}),
        ("transfer", {"to": "mailto:a@b"}),
        ("transfer", {"to": "sip:a@b\r\nX: y"}),
        ("transfer", {"to": "+15557001", "kind": "hot"}),
        ("transfer", {"to": "+15557001", "ring_timeout_s": 0}),
        ("transfer", {"to": "+15557001", "refer": "always"}),
        ("listen", {"to": "+15557001", "mode": "shout"}),
    ],
)
async def test_what_cannot_be_said_or_pressed_is_400(tmp_path: Path, path: str, body: Any) -> None:
    api = Api(tmp_path)
    status, problem = await api.ask("POST", f"/v1/calls/c1/{path}", body)
    assert (status, api.steering.told) == (400, [])
    assert problem["detail"]


async def test_digits_are_asked_for_and_the_answer_has_them(tmp_path: Path) -> None:
    api = Api(tmp_path)
    asked = {"prompt": " Your PIN, please. ", "length": 4, "secret": True, "retries": 1, "limit_s": 30}
    expected = {"call_id": "c1", "digits": "48115", "ended": "full"}
    assert await api.ask("POST", "/v1/calls/c1/collect", asked) == (200, expected)
    order = CollectOrder("Your PIN, please.", 4, 4, secret=True, retries=1, limit_s=30)
    assert api.steering.told == [("collect", "c1", order)]
    assert (await api.ask("POST", "/v1/calls/c1/collect", {"prompt": "x", "least": 5, "most": 4.0}))[0] == 422
    api.steering.collected = Collected(None, "no_digits")
    status, answer = await api.ask("POST", "/v1/calls/c1/collect", {"prompt": "Digits?"})
    assert (status, answer["digits"], answer["ended"]) == (200, None, "no_digits")
    api.steering.error = CannotSteer("collecting", "The caller is being asked something already.")
    status, problem = await api.ask("POST", "/v1/calls/c1/collect", {"prompt": "Digits?"})
    assert (status, problem["type"]) == (409, "urn:trunkline:problem:collecting")


async def test_bodies_are_json_by_name(tmp_path: Path) -> None:
    how = {"data": b'{"text": "hi"}', "headers": {"Content-Type": "text/plain"}}
    assert (await Api(tmp_path).ask("POST", "/v1/calls/c1/say", **how))[0] == 415


@pytest.mark.parametrize(
    ("call_id", "kind", "expected"),
    [
        ("over", "not_live", (410, "urn:trunkline:problem:not_live")),
        ("unknown", "not_live", (404, "urn:trunkline:problem:no_such_call")),
        ("c1", "not_talking", (409, "urn:trunkline:problem:not_talking")),
        ("c1", "no_answer", (503, "urn:trunkline:problem:no_answer")),
    ],
)
async def test_a_program_can_tell_why_not(tmp_path: Path, call_id: str, kind: str, expected: tuple[int, str]) -> None:
    api = Api(tmp_path)
    api.steering.error = CannotSteer(kind, "why")
    status, problem = await api.ask("DELETE", f"/v1/calls/{call_id}")
    assert (status, problem["type"]) == expected


async def test_a_call_is_placed(tmp_path: Path) -> None:
    api = Api(tmp_path)
    order = {"to": "+15557001234", "from": "+15550199", "persona": "clinic.Reminder", "variables": {"name": "Ada"}}
    status, placed = await api.ask("POST", "/v1/calls", order)
    assert (status, placed["called"]) == (202, "+15557001234")
    assert api.originator.orders[0].variables == {"name": "Ada"}


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "5551234"},
        {"to": "+1555 1234"},
        {"to": "sip:a@b"},
        {"from": "anonymous"},
        {"persona": "../x"},
        {"persona": ""},
        {"variables": {"a b": "x"}},
        {"variables": {"a": 1}},
        {"variables": {"a": "x" * 1001}},
        {"ring_timeout_s": 0},
        {"max_call_s": 1e9},
        {"webhok": "x"},
    ],
)
async def test_an_order_that_is_wrong_says_where(tmp_path: Path, changes: dict[str, Any]) -> None:
    order = {"to": "+15557001234", "persona": "clinic.Reminder"} | changes
    status, problem = await Api(tmp_path).ask("POST", "/v1/calls", order)
    assert (status, next(iter(changes)) in problem["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("closed_destination", 403), ("invalid_number", 422), ("unknown_persona", 422), ("no_slot", 503), ("failed", 503)],
)
async def test_an_order_that_is_refused_says_why(tmp_path: Path, kind: str, status: int) -> None:
    api = Api(tmp_path)
    api.originator.error = OrderRefused(kind, "why")
    found, problem = await api.ask("POST", "/v1/calls", {"to": "+15557001234", "persona": "clinic.Reminder"})
    assert (found, problem["type"]) == (status, f"urn:trunkline:problem:{kind}")


async def test_with_a_key_a_call_is_placed_once(tmp_path: Path) -> None:
    api = Api(tmp_path)
    order = {"to": "+15557001234", "persona": "clinic.Reminder"}
    how = {"json": order, "headers": {"Idempotency-Key": "one"}}
    first, again = [await api.ask("POST", "/v1/calls", **how) for _ in range(2)]
    assert (first, len(api.originator.orders)) == (again, 1)
    status, problem = await api.ask("POST", "/v1/calls", json={**order, "to": "+15557009999"}, headers=how["headers"])
    assert (status, problem["type"]) == (422, "urn:trunkline:problem:idempotency_key_reused")


async def test_a_refused_order_may_be_tried_again_under_its_key(tmp_path: Path) -> None:
    api = Api(tmp_path)
    how = {"json": {"to": "+15557001234", "persona": "clinic.Reminder"}, "headers": {"Idempotency-Key": "one"}}
    api.originator.error = OrderRefused("no_slot", "full", retryable=True)
    assert (await api.ask("POST", "/v1/calls", **how))[0] == 503
    api.originator.error = None
    assert (await api.ask("POST", "/v1/calls", **how))[0] == 202


async def test_a_transfer_is_answered_with_its_resource(tmp_path: Path) -> None:
    api = Api(tmp_path)
    asked = {
        "to": "tel:+1-555-7001",
        "from": "+15550100",
        "kind": "warm",
        "announce": " Just a moment. ",
        "trunk": "lab",
    }
    status, answer = await api.ask("POST", "/v1/calls/c1/transfer", asked)
    (told,) = api.steering.told
    order = told[2]
    assert (status, answer["call_id"], answer["target"], answer["kind"]) == (202, "c1", "+15557001", "warm")
    assert (answer["transfer_id"], answer["outcome"]) == (order.transfer_id, None)
    assert (order.to, order.caller, order.announce, order.trunk) == ("+15557001", "+15550100", "Just a moment.", "lab")
    assert (order.refer, order.afterwards, order.ring_s) == ("prefer", "end", 30.0)


async def test_a_transfer_with_a_key_is_begun_once(tmp_path: Path) -> None:
    api = Api(tmp_path)
    how = {"json": {"to": "sip:human@127.0.0.1:5091"}, "headers": {"Idempotency-Key": "k1"}}
    first, second = [await api.ask("POST", "/v1/calls/c1/transfer", **how) for _ in range(2)]
    assert first == second
    assert len(api.steering.told) == 1
    assert (await api.ask("POST", "/v1/calls/c2/transfer", **how))[0] == 422


async def test_a_supervisor_is_called_in(tmp_path: Path) -> None:
    api = Api(tmp_path)
    status, answer = await api.ask("POST", "/v1/calls/c1/listen", {"to": "sip:boss@127.0.0.1", "mode": "whisper"})
    assert (status, answer) == (202, {"call_id": "c1", "leg_id": "c1-2", "mode": "whisper"})
    assert api.steering.told[0][2].mode == "whisper"


@pytest.mark.parametrize("verb", ["transfer", "listen"])
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("not_live", 410),
        ("transferring", 409),
        ("on_hold", 409),
        ("not_talking", 409),
        ("closed_destination", 403),
        ("invalid_target", 422),
        ("no_trunk", 422),
        ("no_slot", 503),
    ],
)
async def test_why_nobody_was_called(tmp_path: Path, verb: str, kind: str, status: int) -> None:
    api = Api(tmp_path)
    api.steering.error = CannotSteer(kind, "No.")
    answered, problem = await api.ask("POST", f"/v1/calls/over/{verb}", {"to": "+15557001"})
    assert (answered, problem["type"]) == (status, f"urn:trunkline:problem:{kind}")
