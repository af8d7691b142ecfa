"""What callers of queues hear of their place, and what travels between gateway and worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent import Agent
from gateway.calls.queue_terms import MemberToRing, QueueTerms, RingMembers, terms_of
from gateway.calls.queue_words import end_key, position_words
from gateway.calls.verbs import TransferOrder
from gateway.config import QueueSettings
from telephony.queue import QueueAsk, QueueEnd, QueueResult, queue_name


@pytest.mark.parametrize(
    ("position", "wait_s", "words"),
    [
        (1, None, "You are next in line."),
        (1, 20.0, "You are next in line. The wait is about one minute."),
        (3, 61.0, "You are number 3 in line. The wait is about 2 minutes."),
        (7, 4000.0, "You are number 7 in line."),
    ],
)
def test_position_and_estimate(position: int, wait_s: float | None, words: str) -> None:
    assert position_words(Agent().say_canned, position, wait_s, 1800.0) == words


def test_every_end_with_words_has_them_in_the_persona_s_language() -> None:
    persona = Agent()
    persona.language = "de"
    assert {end for end in QueueEnd if not end_key(end)} == {
        QueueEnd.ANSWERED, QueueEnd.WAITING, QueueEnd.CALLBACK, QueueEnd.OVERFLOWED, QueueEnd.ABANDONED,
    }  # fmt: skip
    assert all(persona.say_canned(end_key(end)) for end in QueueEnd if end_key(end))


def test_terms_orders_and_results_travel_as_json() -> None:
    queue = QueueSettings.model_validate(
        {"name": "desk", "hold_music": {"source": "music.wav"}, "messages": ("Hello.", {"file": "a.wav"})}
    )
    terms = terms_of(queue)
    again = QueueTerms.from_dict(json.loads(json.dumps(terms.to_dict())))
    assert again == terms
    assert again.hold_music is not None
    assert again.hold_music.source == Path("music.wav").resolve()
    assert QueueTerms("plain").hold_music is None
    ring = RingMembers((MemberToRing("anna", "phone:anna"),), 20.0)
    assert RingMembers.from_dict(json.loads(json.dumps(ring.to_dict()))) == ring
    order = TransferOrder("t", "queue:desk", queue=QueueAsk(3, {"german": 5}, True))
    assert TransferOrder.from_dict(json.loads(json.dumps(order.to_dict()))) == order
    result = QueueResult(QueueEnd.WAITING, position=2, wait_s=30.0)
    assert not result.has_the_caller
    assert (queue_name("queue:desk"), queue_name("+1555")) == ("desk", "")
