"""Whole calls in which caller, recogniser and application do anything in any order: nothing breaks, and in the end
nobody lacks an answer."""

from __future__ import annotations

import random

import pytest
from phone import Phone, call

from agent import Agent, Expected
from agent.events import SessionClosed, UserStartedSpeaking, UserStoppedSpeaking, UserTurnEnded
from agent.providers.base import ProviderRejected, ProviderUnavailable
from agent.providers.fake_flux import (
    EagerEndOfTurn,
    EndOfTurn,
    FakeFlux,
    FluxStep,
    StartOfTurn,
    TurnResumed,
    Update,
)

GAPS_MS = (20, 100, 300, 600, 1200, 3500)


class Asks(Agent):
    greeting = "One two three four five six. Shall I?"
    expects = Expected("yes_no")


def told_by_chance(chance: random.Random) -> FakeFlux:
    def step() -> FluxStep:
        likely = round(chance.random(), 2)
        steps: list[FluxStep] = [
            *(StartOfTurn(), TurnResumed(), Update("yes"), Update("yes but I want"), EagerEndOfTurn("yes", likely)),
            *(EndOfTurn("yes please", likely), EndOfTurn("", likely), ProviderUnavailable("fake-flux", "gone")),
        ]
        if chance.random() < 0.03:
            steps = [ProviderRejected("fake-flux", "no credit")]
        return chance.choice(steps)

    at, script = 0, []
    for _ in range(chance.randrange(2, 25)):
        at += chance.choice(GAPS_MS)
        script.append((at, step()))
    flux = FakeFlux(*script)
    if chance.random() < 0.2:
        flux.refuses_after = ProviderUnavailable("fake-flux", "no network")
    return flux


async def act(phone: Phone, chance: random.Random) -> None:
    session = phone.session
    match chance.randrange(9):
        case 0 | 1 | 2:
            await phone.speak(chance.choice(GAPS_MS), chance.choice((0, *GAPS_MS)))
        case 3:
            session.commit_user_turn(skip_reply=chance.random() < 0.3)
        case 4:
            session.clear_user_turn()
        case 5:
            session.on_hold(phone.now)
            await phone.wait(chance.choice(GAPS_MS))
            session.on_resume(phone.now)
        case 6:
            session.input.set_audio_enabled(False)
            await phone.wait(chance.choice(GAPS_MS))
            session.input.set_audio_enabled(True)
        case 7:
            session.interrupt()
        case _:
            await phone.wait(chance.choice(GAPS_MS))


@pytest.mark.parametrize("seed", range(24))
def test_no_storm_leaves_a_dead_line(seed):
    chance = random.Random(seed)
    flux = told_by_chance(chance)
    detection = ("stt", "stt", "vad", "manual")[seed % 4]
    has_vad = detection == "vad" or chance.random() < 0.5
    undecided: list[int] = []

    async def script(phone: Phone) -> None:
        for _ in range(chance.randrange(3, 12)):
            if phone.of(SessionClosed):
                return  # the recogniser is gone for good, and the call was ended for that
            await act(phone, chance)
        flux.script.clear()
        await phone.wait(12_000)
        if not phone.of(SessionClosed):
            begun = len(phone.of(UserStartedSpeaking)) - len(phone.of(UserStoppedSpeaking))
            decided = len(phone.of(UserTurnEnded))
            phone.session.commit_user_turn()
            await phone.wait(3000)
            undecided.extend([begun, 0 if detection == "manual" else len(phone.of(UserTurnEnded)) - decided])

    phone = call(
        script,
        Asks(),
        stt=flux,
        has_vad=has_vad,
        turn_detection=detection,
        max_turn_ms=chance.choice([3000, 60_000]),
        endpointing=chance.choice(["fixed", "dynamic"]),
    )
    assert undecided in ([], [0, 0])
    assert all(ended.why for ended in phone.of(UserTurnEnded))
