"""Television, hold music and other wordless sounds do not keep a call alive; a noisy minute does not end one."""

from __future__ import annotations

import pytest
from phone import Phone, call

from agent.events import AgentMessage, SessionClosed, SilencePrompted, UserMessage
from agent.providers.fakes import FakeLLM, FakeSTT
from agent.turns.silence import SilenceLadder
from agent.turns.wordless import WordlessTurns


def noises(ms: float, every_ms: float, count: int, *, then: str = "", **options: object) -> Phone:
    async def script(phone: Phone) -> None:
        await phone.speak(600, 2000)
        for _ in range(count):
            await phone.speak(ms, every_ms - ms)
            if phone.of(SessionClosed):
                return
        if then:
            await phone.speak(600, 3000)

    texts = ["hi", *[""] * count, then]
    return call(script, llm=FakeLLM("Hello.", "Fine."), stt=FakeSTT(*texts, default=""), **options)


def asked(phone: Phone) -> int:
    return sum("didn't catch" in message.text for message in phone.of(AgentMessage))


@pytest.mark.parametrize(("ms", "every_ms"), [(1200, 8000), (700, 3000), (5000, 6000), (20_000, 21_000), (700, 20_000)])
def test_sounds_without_words_are_asked_about_more_and_more_rarely_and_end_the_call(ms, every_ms):
    phone = noises(ms, every_ms, 100)
    assert phone.one(SessionClosed).reason == "caller_wordless"
    assert 60 <= phone.now - phone.began_at < 200
    assert asked(phone) <= 5
    assert phone.of(AgentMessage)[-1].text.startswith("I'm sorry, I can't make out any words")
    assert [reason for reason, _ in phone.call.hung_up] == ["caller_wordless"]


def test_a_sound_that_never_stops_ends_the_call_too():
    phone = noises(600_000, 600_000, 1)
    closed = phone.one(SessionClosed)
    assert closed.reason == "caller_wordless"
    assert closed.at - phone.began_at < 140


def test_who_is_only_noisy_for_a_while_is_not_hung_up():
    phone = noises(900, 5000, 11, then="sorry about that")
    assert phone.of(SessionClosed)[0].reason == "agent_ended"  # by the test
    assert phone.of(UserMessage)[-1].text == "sorry about that"
    assert phone.of(AgentMessage)[-1].text == "Fine."


def test_the_limit_can_be_set_or_taken_away():
    assert noises(1200, 8000, 40, max_wordless_turns=20).one(SessionClosed).reason == "caller_wordless"
    assert noises(1200, 8000, 10, max_wordless_turns=None).one(SessionClosed).reason == "agent_ended"


def test_the_model_is_not_asked_about_the_television_for_ever_either():
    phone = noises(1200, 8000, 100, inaudible="tell_model")
    assert phone.one(SessionClosed).reason == "caller_wordless"


@pytest.mark.parametrize("every_ms", [3000, 6000])
def test_a_short_sound_now_and_then_does_not_keep_the_ladder_down(every_ms):
    phone = noises(300, every_ms, 100)
    assert [prompt.rung for prompt in phone.of(SilencePrompted)] == [1, 2, 3]
    assert phone.one(SessionClosed).reason == "caller_silent"


def test_a_sound_postpones_a_step_by_as_long_as_one_takes_and_no_longer():
    ladder = SilenceLadder(away_ms=7000)
    ladder.idle(0.0)
    for at in (6.0, 12.0, 13.5):
        ladder.sound()
        assert ladder.deadline is None
        ladder.idle(at + 0.3)
    assert ladder.deadline == 14.0
    assert [rung.rung for rung in ladder.tick(14.0)] == [1]


def test_words_begin_the_ladder_anew_and_what_the_agent_does_forgets_the_sounds():
    ladder = SilenceLadder(away_ms=7000)
    ladder.idle(0.0)
    ladder.sound()
    ladder.idle(5.0)
    ladder.heard(6.0)
    assert ladder.deadline == 13.0
    ladder.busy()
    ladder.idle(20.0)
    assert ladder.deadline == 27.0


def test_turns_without_words_by_number():
    wordless = WordlessTurns(most=8)
    verdicts = [wordless.turn(1000, 10.0 * n) for n in range(1, 9)]
    assert verdicts == ["ask", "ask", "pass", "ask", "pass", "pass", "pass", "end"]
    wordless.words()
    assert wordless.turn(1000, 100.0) == "ask"
    assert wordless.turn(89_000, 190.0) == "end"


def test_eight_within_a_minute_are_no_end():
    wordless = WordlessTurns(most=8)
    assert "end" not in [wordless.turn(600, n * 5.0) for n in range(12)]
    assert wordless.turn(600, 65.0) == "end"
