"""A call that a program of the user's is asked about: what it says holds if it is allowed, else the dialplan's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks import Webhook

from gateway.before_call import CallQuestion, Said, question
from gateway.config.before_call import BeforeCallSettings
from gateway.dialplan import BeforeCall, PersonaRef
from gateway.events.asking import MOST_BYTES, HttpAsker
from gateway.record import CallEvents, CallOpened
from telephony.call import CallInfo, Direction
from telephony.edge import Forward, Refuse
from telephony.edge.protocol import Later
from tests.unit.events.receiver import Receiver, receiving
from tests.unit.gateway.test_admission import INVITE, ROUTE, World

VIP = PersonaRef(Path("/plans/clinic.py"), "Vip")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
INFO = CallInfo("c1", Direction.INBOUND, "+15550100", None, "local", headers={"X-A": "1"})


class Asked(World):
    """Admission of a call whose rule asks."""

    def __init__(self, **how: Any) -> None:
        hook = BeforeCall(BeforeCallSettings(url="https://crm.test/route"), (VIP,))
        super().__init__(replace(ROUTE, before_call=hook), **how)
        self.answers: list[Forward | Refuse] = []
        self.gave_up = False
        self.admission.connect(self._decide)

    def _decide(self, token: str) -> bool:
        if not self.gave_up:
            self.answers.append(self.admission.admit_later(INVITE, token))
        return not self.gave_up

    def answered(self, said: Said) -> Forward | Refuse:
        ((_, answered),) = self.asker.asked
        answered(said)
        return self.answers[-1]


def test_while_it_is_asked_nothing_is_taken() -> None:
    world = Asked()
    later = world.admission.admit(INVITE)
    assert isinstance(later, Later)
    ((asked, _),) = world.asker.asked
    call = json.loads(asked.body)["call"]
    assert (call["call_id"], call["called"], call["caller"]) == (later.token, "+14155550100", "+14155550123")
    assert (call["persona"], call["personas"]) == (str(ROUTE.persona), [str(ROUTE.persona), "clinic.Vip"])
    assert call["headers"] == {"X-A": "1"}
    assert (world.dispatcher.busy, world.opened, world.prepared) == (0, [], [])


def test_the_answer_says_who_answers_with_which_variables() -> None:
    world = Asked()
    world.admission.admit(INVITE)
    assert isinstance(world.answered(Said("clinic.Vip", {"name": "Ada"}, took_ms=42.0)), Forward)
    (prepared,) = world.prepared
    assert (prepared.persona_class, prepared.call["variables"]) == ("Vip", {"name": "Ada"})
    opened, noted = world.opened
    assert isinstance(opened, CallOpened)
    assert isinstance(noted, CallEvents)
    assert (opened.persona, opened.rule) == ("clinic.Vip", ROUTE.rule)
    (event,) = noted.events
    assert (event["type"], event["persona"], event["took_ms"]) == ("asked_before_call", "clinic.Vip", 42.0)
    assert (event["variables"], event["error"]) == (["name"], "")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Said(error="no answer within 800 ms"), "no answer within 800 ms"),
        (Said("clinic.Other", {"a": "b"}), "clinic.Other is not among the personas that may be named"),
        (Said(), ""),
    ],
)
def test_else_the_dialplans_own_answers_and_the_record_says_why(said: Said, why: str) -> None:
    world = Asked()
    world.admission.admit(INVITE)
    assert isinstance(world.answered(said), Forward)
    assert (world.prepared[0].persona_class, world.prepared[0].call["variables"]) == ("Reception", {})
    noted = world.opened[1]
    assert isinstance(noted, CallEvents)
    assert noted.events[0]["error"] == why


def test_when_too_much_is_asked_already_the_dialplans_own_answers() -> None:
    world = Asked()
    world.asker.full = True
    assert isinstance(world.admission.admit(INVITE), Forward)


def test_a_caller_who_gives_up_meanwhile_takes_no_slot_and_keeps_the_id_that_was_asked_about() -> None:
    world = Asked()
    later = world.admission.admit(INVITE)
    assert isinstance(later, Later)
    assert world.admission.info(INVITE).call_id == later.token
    world.gave_up = True
    world.asker.asked[0][1](Said("clinic.Vip"))
    assert (world.dispatcher.busy, world.opened, world.admission._answered) == (0, [], {})
    assert world.admission.info(INVITE).call_id != later.token


def test_the_slots_may_be_gone_by_then() -> None:
    world = Asked()
    world.admission.admit(INVITE)
    world.dispatcher.take("other", 0.0)
    answer = world.answered(Said())
    assert isinstance(answer, Refuse)
    assert answer.status == 503


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as taking:
        yield taking


async def said_by(url: str, **settings: Any) -> Said:
    hook = BeforeCall(BeforeCallSettings.model_validate({"url": url, "allow_private": True, **settings}), (VIP,))
    asker = HttpAsker()
    answer: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
    try:
        assert asker.ask(question(hook, INFO, "clinic.Reception"), answer.set_result)
        return await answer
    finally:
        await asker.close()


async def test_the_question_is_signed_and_the_answer_read(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    receiver.answer = web.json_response({"persona": "clinic.Vip", "variables": {"name": "Ada"}})
    said = await said_by(receiver.url, secret={"file": str(tmp_path / "key")})
    assert (said.persona, said.variables, said.error) == ("clinic.Vip", {"name": "Ada"}, "")
    ((headers, body),) = receiver.came
    sent = Webhook(SECRET).verify(body, headers)
    assert (sent["type"], sent["call"]["call_id"], headers["webhook-id"]) == ("call.incoming", "c1", "c1")


async def test_nothing_said_is_no_error(receiver: Receiver) -> None:
    assert (await said_by(receiver.url)).error == ""


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, "", "500 Internal Server Error"),
        (307, "", "307 Temporary Redirect"),
        (200, "not json", "the answer: Invalid JSON"),
        (200, "[]", "the answer: "),
        (200, '{"persona": 7}', "persona: "),
        (200, '{"person": "clinic.Vip"}', "person: Extra inputs"),
        (200, '{"variables": {"no name": "x"}}', "variables.no name"),
        (200, json.dumps({"variables": {"a": "x" * 1001}}), "variables.a: "),
        (200, json.dumps({"variables": {f"v{n}": "" for n in range(51)}}), "variables: "),
        (200, " " * (MOST_BYTES + 1), "the answer has more than 32768 bytes"),
    ],
)
async def test_what_is_no_answer(receiver: Receiver, status: int, body: str, error: str) -> None:
    receiver.answer = web.Response(status=status, text=body, headers={"Location": "/route"})
    said = await said_by(receiver.url)
    assert said.error.startswith(error), said.error
    assert (said.persona, said.variables, len(receiver.came)) == ("", {}, 1)


async def test_one_that_hangs_is_given_up_at_the_limit(receiver: Receiver) -> None:
    receiver.hangs = True
    said = await said_by(receiver.url, limit_ms=50)
    assert said.error == "no answer within 50 ms"
    assert 40 < said.took_ms < 1000


async def test_private_targets_are_refused_unless_allowed(receiver: Receiver) -> None:
    assert "private network" in (await said_by(receiver.url, allow_private=False)).error
    by_name = receiver.url.replace("127.0.0.1", "localhost")
    assert "private network" in (await said_by(by_name, allow_private=False)).error
    assert receiver.came == []


async def test_so_many_at_once_and_no_more(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.events.asking.MOST_AT_ONCE", 1)
    receiver.hangs = True
    asker = HttpAsker()
    hook = BeforeCall(BeforeCallSettings(url=receiver.url, allow_private=True))
    asked = [asker.ask(CallQuestion(hook, "c1", "{}"), lambda _: None) for _ in range(2)]
    await asker.close()
    assert asked == [True, False]
