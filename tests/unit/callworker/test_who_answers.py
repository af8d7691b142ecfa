"""A call that we place and that asks who has answered, on virtual time: from the order to the record."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from agent.warm.asking import Refused
from gateway.callworker.answering_texts import check_texts
from gateway.config import Settings
from telephony.call import EndedBy
from telephony.media.answering.model import AnsweredBy, AnsweringEvent, MessageMayBegin, Verdict
from tests.unit.callworker.call_world import settings
from tests.unit.callworker.test_outbound_call import OUT, OutboundWorld

VOICEMAIL = Verdict(2.0, AnsweredBy.VOICEMAIL, 0.97, ("long greeting",))


def called(
    *answers: AnsweringEvent, answering: Mapping[str, Any] | None = None, more: str = "", talks_s: float = 20.0
) -> OutboundWorld:
    async def run() -> OutboundWorld:
        world = OutboundWorld(more=more)
        world.providers.answers = answers
        world.prepared = replace(world.prepared, answering=answering)
        world.owner = world.made(settings(more), world._conversation)
        running = asyncio.create_task(world.run(), name="call")
        await asyncio.sleep(3)
        world.picks_up()
        await asyncio.wait({running}, timeout=talks_s)
        if not running.done():
            world.leg.end(reason="Normal call clearing")
        await running
        return world

    return run_virtual(run())


def test_nobody_asks_unless_somebody_says_so() -> None:
    assert called(VOICEMAIL).providers.asked is None
    assert called(VOICEMAIL, more="answering: {detect: true}\n").providers.asked is not None
    assert called(VOICEMAIL, answering={"detect": False}, more="answering: {detect: true}\n").providers.asked is None


def test_a_person_is_greeted_when_it_is_known() -> None:
    world = called(Verdict(1.0, AnsweredBy.HUMAN, 0.9, ("short greeting",)), answering={})
    (verdict,) = [event for event in world.events if event["type"] == "who_answered_told"]
    assert (verdict["answered_by"], verdict["action"], verdict["corrects"]) == ("human", "talk", "")
    assert world.said()[0]["kind"] == "greeting"
    assert 4.0 <= world.said()[0]["started_at"] - world.began_at < 4.5  # it was answered at 3 s
    assert world.outcome == ("answered", "caller", "Normal call clearing")


def test_a_voicemail_gets_its_message_and_the_end_says_so() -> None:
    world = called(VOICEMAIL, MessageMayBegin(5.0, "beep"), answering={"message": "Hello {name}."})
    assert world.providers.asked is not None and world.providers.asked.message == "Hello Ada."
    (left,) = [event for event in world.events if event["type"] == "message_left"]
    assert (left["delivered"], left["why"]) == (True, "beep")
    assert world.outcome == ("answered", "agent", "voicemail: message delivered")


@pytest.mark.parametrize("who", [AnsweredBy.FAX, AnsweredBy.SILENCE, AnsweredBy.MAILBOX_FULL])
def test_who_cannot_be_talked_to_ends_the_call(who: AnsweredBy) -> None:
    world = called(Verdict(2.0, who, 0.9, ("tone",)), answering={})
    assert world.outcome == ("answered", EndedBy.AGENT, who.value)
    assert world.said() == []


def test_texts_of_the_settings_are_checked_before_it_is_placed() -> None:
    of: Settings = settings("answering: {detect: true, message: 'Hello {surname}'}\n")

    async def check() -> None:
        prepared = OutboundWorld().prepared
        check_texts(replace(prepared, answering={"message": "Hello {name}"}), OUT, of.answering.given())
        check_texts(replace(prepared, answering={"detect": False}), OUT, of.answering.given())
        with pytest.raises(Refused, match="no variable 'surname'"):
            check_texts(prepared, OUT, of.answering.given())

    run_virtual(check())
