"""/v1/queues over a fake, and `trunkline queue`'s lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.api import ApiDeps, ApiServer, FakeCalls, HealthReport
from gateway.commands.queue import _caller, _detail, _member, _queue
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.queues.desk import CallerReport, FakeQueueDesk, MemberReport

ANNA = MemberReport(
    name="anna", target="+15557000001", signed_in=True, paused="", reachable=True, calls=0, ringing=False,
    wraps_up_s=0.0, penalty=0, weight=1, skills={}, calls_at_once=1, taken_today=2,
)  # fmt: skip
CALLER = CallerReport(call_id="c1", position=1, waited_s=12.4, priority=5, offered_to=("anna",))


class Api:
    def __init__(self, recordings: Path) -> None:
        self.desk = FakeQueueDesk(ANNA, callers=(CALLER,))
        deps = ApiDeps(
            calls=FakeCalls(), health=lambda: HealthReport(state="ready"), metrics=Metrics(LiveCalls()),
            recordings=recordings, queues=self.desk,
        )  # fmt: skip
        self.server = ApiServer(deps, host="127.0.0.1", port=0)

    async def ask(self, method: str, path: str, sent: Any = None) -> tuple[int, Any]:
        await self.server.start()
        try:
            async with aiohttp.ClientSession() as http:
                how = {} if sent is None else {"json": sent}
                async with http.request(method, f"{self.server.url}/v1/queues{path}", **how) as answer:
                    return answer.status, await answer.json(content_type=None) if answer.status != 204 else None
        finally:
            await self.server.close()


async def test_queues_are_listed_and_one_has_members_and_callers(tmp_path: Path) -> None:
    api = Api(tmp_path)
    (queue,) = (await api.ask("GET", ""))[1]["queues"]
    assert (queue["name"], queue["waiting"], queue["today"]["answered"]) == ("desk", 1, 3)
    _, detail = await api.ask("GET", "/desk")
    assert [each["name"] for each in detail["members"]] == ["anna"]
    assert detail["callers"][0]["offered_to"] == ["anna"]
    assert _detail(detail).splitlines()[1:] == [
        "  anna (+15557000001): free; 2 today",
        "  1. c1, 12 s, priority 5, offered to anna",
    ]
    assert _queue(queue) == (
        "desk: 1 waiting (the first for 12 s); 1 of 1 members free; today 3 answered, 75% in time, 0 gave up"
    )


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/nobody", "no_such_queue"),
        ("GET", "/nobody/members", "no_such_queue"),
        ("POST", "/desk/members/carl/sign-in", "no_such_member"),
        ("DELETE", "/desk/members/carl", "no_such_member"),
        ("DELETE", "/desk/callers/c9", "no_such_caller"),
    ],
)
async def test_what_is_not_there_is_a_problem(tmp_path: Path, method: str, path: str, kind: str) -> None:
    status, answer = await Api(tmp_path).ask(method, path)
    assert (status, answer["type"]) == (404, f"urn:trunkline:problem:{kind}")


async def test_members_are_signed_paused_added_and_removed(tmp_path: Path) -> None:
    api = Api(tmp_path)
    for verb, sent, field, value in (
        ("sign-out", None, "signed_in", False),
        ("sign-in", None, "signed_in", True),
        ("pause", {"reason": "lunch"}, "paused", "lunch"),
        ("resume", None, "paused", ""),
    ):
        status, member = await api.ask("POST", f"/desk/members/anna/{verb}", sent)
        assert (status, member[field]) == (200, value), verb
    status, carl = await api.ask("POST", "/desk/members", {"name": "carl", "target": "phone:carl"})
    assert (status, carl["name"]) == (200, "carl")
    assert (await api.ask("DELETE", "/desk/members/carl"))[0] == 204
    assert list(api.desk.members) == ["anna"]


async def test_callers_are_moved_and_taken_out(tmp_path: Path) -> None:
    api = Api(tmp_path)
    assert (await api.ask("POST", "/desk/callers/c1", {"priority": 10}))[0] == 204
    assert (await api.ask("DELETE", "/desk/callers/c1"))[0] == 204
    assert api.desk.done == [("prioritise", "c1", "10"), ("remove", "c1")]


def test_a_member_s_line_says_what_they_do() -> None:
    member = {
        "name": "anna", "target": "phone:anna", "signed_in": True, "paused": "", "reachable": True, "ringing": False,
        "calls": 0, "wraps_up_s": 0.0, "taken_today": 0,
    }  # fmt: skip
    for change, says in (
        ({}, "free"),
        ({"signed_in": False}, "signed out"),
        ({"paused": "lunch"}, "paused (lunch)"),
        ({"reachable": False}, "phone away"),
        ({"ringing": True, "calls": 1}, "ringing"),
        ({"calls": 2}, "2 calls"),
        ({"wraps_up_s": 8.0}, "wrapping up, 8 s"),
    ):
        assert _member(member | change) == f"anna (phone:anna): {says}; 0 today"
    waits = {"call_id": "c", "position": 2, "waited_s": 3.0, "priority": 0, "offered_to": []}
    assert _caller(waits | {"callback_to": "+1555"}) == "2. c, 3 s, to be called back at +1555"
