"""Several providers as one: who is asked, when the next one is, and who rests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent import Agent
from agent.providers.base import (
    ChatMessage,
    Expectations,
    ProviderBadRequest,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    TextDelta,
)
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, Heard, ModelTurn
from agent.providers.fallback import FallbackLLM, FallbackSTT, FallbackTTS, reporting
from agent.testing.virtual_clock import run_virtual
from telephony.media.frames import SILENCE, AudioFrame

DOWN = ProviderUnavailable("first", "503")


def named(provider, name):
    provider.name = name
    return provider


async def ask(llm: FallbackLLM) -> str:
    stream = llm.chat([ChatMessage("user", "hi")], [])
    return "".join([event.text async for event in stream if isinstance(event, TextDelta)])


def play(script: Callable[[], Awaitable[None]]) -> None:
    run_virtual(script())  # type: ignore[arg-type]


def models(*turns: ModelTurn | str) -> tuple[FakeLLM, FakeLLM]:
    return named(FakeLLM(*turns), "first"), named(FakeLLM(*["second"] * 9), "second")


# --- models ---------------------------------------------------------------------------------------------------------


def test_the_first_model_that_works_is_the_only_one_asked():
    async def script() -> None:
        first, second = models("first")
        assert await ask(FallbackLLM([first, second])) == "first"
        assert second.requests == []

    play(script)


@pytest.mark.parametrize(
    ("turn", "error", "after"),
    [
        (ModelTurn(error=DOWN), ProviderUnavailable, 0.0),
        (ModelTurn(error=ProviderRejected("first", "no credit")), ProviderRejected, 0.0),
        (ModelTurn(error=KeyError("bug")), ProviderError, 0.0),
        (ModelTurn(hang=True), ProviderTimeout, 2.5),
        (ModelTurn(("", "late"), between_ms=9000), ProviderTimeout, 2.5),
    ],
    ids=["down", "rejected", "bug", "hangs", "says nothing"],
)
def test_one_that_fails_before_its_first_word_is_made_up_for(turn, error, after):
    async def script() -> None:
        first, second = models(turn)
        hidden: list[ProviderError] = []
        began = asyncio.get_running_loop().time()
        assert await ask(reporting(FallbackLLM([first, second]), hidden.append)) == "second"
        assert asyncio.get_running_loop().time() - began == pytest.approx(after)
        assert [(type(each), each.provider) for each in hidden] == [(error, "first")]
        if after:
            assert first.cancelled == 1

    play(script)


def test_one_that_breaks_off_after_its_first_word_is_the_sessions_affair():
    async def script() -> None:
        first, second = models(ModelTurn(("This much",), error=DOWN))
        llm = FallbackLLM([first, second])
        heard = []
        with pytest.raises(ProviderUnavailable):
            async for event in llm.chat([ChatMessage("user", "hi")], []):
                heard.append(event.text)
        assert heard == ["This much"]
        assert second.requests == []
        assert await ask(llm) == "second"  # it rests now

    play(script)


def test_the_first_word_once_there_may_be_followed_slowly():
    async def script() -> None:
        first, second = models(ModelTurn(("a", "b"), first_ms=2400, between_ms=4000))
        assert await ask(FallbackLLM([first, second])) == "ab"

    play(script)


def test_a_model_that_failed_rests_and_is_probed_after_the_cool_down():
    async def script() -> None:
        first, second = models(ModelTurn(hang=True), ModelTurn(error=DOWN), "first again")
        llm = FallbackLLM([first, second], cool_down_s=30)
        for _ in range(3):
            assert await ask(llm) == "second"
        assert len(first.requests) == 1
        await asyncio.sleep(30)
        assert await ask(llm) == "second"  # the probe failed
        assert await ask(llm) == "second"
        assert len(first.requests) == 2
        await asyncio.sleep(30)
        assert await ask(llm) == "first again"
        assert len(second.requests) == 5

    play(script)


def test_a_request_that_was_our_mistake_lets_nobody_rest():
    async def script() -> None:
        first, second = models(ModelTurn(error=ProviderBadRequest("first", "400")), "first")
        llm = FallbackLLM([first, second])
        assert [await ask(llm), await ask(llm)] == ["second", "first"]

    play(script)


def test_when_all_fail_the_last_error_goes_up_and_all_are_tried_again():
    async def script() -> None:
        first, second = models(ModelTurn(error=DOWN), ModelTurn(error=DOWN), "first")
        second.script.clear()
        second.script.extend([ModelTurn(error=ProviderUnavailable("second", "502"))] * 2)
        llm = FallbackLLM([first, second])
        for _ in range(2):
            with pytest.raises(ProviderUnavailable, match="second: 502"):
                await ask(llm)
        assert await ask(llm) == "first"

    play(script)


def test_the_last_model_has_no_limit_of_its_own():
    async def script() -> None:
        first, _ = models(ModelTurn(error=DOWN))
        slow = FakeLLM(ModelTurn(("slow",), first_ms=4000))
        assert await ask(FallbackLLM([first, slow])) == "slow"

    play(script)


def test_a_consumer_that_goes_away_cancels_the_request_and_nobody_rests():
    async def script() -> None:
        first, second = models(ModelTurn(("a", "b"), between_ms=500), "first")
        llm = FallbackLLM([first, second])
        stream = llm.chat([ChatMessage("user", "hi")], [])
        await anext(stream)
        await stream.aclose()
        assert first.cancelled == 1
        assert await ask(llm) == "first"

    play(script)


def test_who_follows_the_persona_gets_it_and_rest_is_shared_by_personas_and_calls():
    class Rules(FakeLLM):
        def for_persona(self, agent: Agent) -> FakeLLM:
            return FakeLLM(*[f"rules of {agent.name}"] * 9)

    async def script() -> None:
        first, _ = models(ModelTurn(error=DOWN))
        llm = FallbackLLM([first, Rules()])
        hidden: list[ProviderError] = []
        assert await ask(reporting(llm, hidden.append).for_persona(Agent())) == "rules of Agent"
        assert len(hidden) == 1
        assert await ask(llm.for_persona(Agent())) == "rules of Agent"
        assert len(first.requests) == 1

    play(script)


# --- warming --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [FallbackLLM, FallbackTTS, FallbackSTT])
def test_warm_warms_all_and_fails_only_if_none_gets_warm(cls):
    class Cold(FakeLLM):
        async def warm(self) -> None:
            raise DOWN

    warmed = []

    class Warm(FakeLLM):
        async def warm(self) -> None:
            warmed.append(self.name)

    async def script() -> None:
        await cls([Cold(), Warm(), Warm()]).warm()
        assert len(warmed) == 2
        with pytest.raises(ProviderUnavailable):
            await cls([Cold(), Cold()]).warm()
        with pytest.raises(ValueError, match="at least one"):
            cls([])

    play(script)


def test_one_that_did_not_get_warm_rests_from_the_beginning():
    async def script() -> None:
        first, second = models()

        async def cold() -> None:
            raise DOWN

        first.warm = cold
        llm = FallbackLLM([first, second])
        await llm.warm()
        assert await ask(llm) == "second"
        assert first.requests == []

    play(script)


def test_providers_that_hide_nothing_are_left_as_they_are():
    llm = FakeLLM()
    assert reporting(llm, lambda error: None) is llm


# --- voices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "after"), [(DOWN, 0.0), ("hang", 1.5)])
def test_the_next_voice_speaks_when_one_does_not(fault, after):
    async def script() -> None:
        first = FakeTTS(name="first", faults={"": [fault]})
        second = FakeTTS(name="second", chunk_ms=1000)
        hidden: list[ProviderError] = []
        tts = reporting(FallbackTTS([first, second]), hidden.append)
        began = asyncio.get_running_loop().time()
        chunks = [audio async for audio in tts.synthesize("one two", voice="en-us", language="en")]
        assert len(b"".join(audio.pcm for audio in chunks)) == 2 * 3200
        assert asyncio.get_running_loop().time() - began == pytest.approx(after)
        assert [error.provider for error in hidden] == ["first"]
        assert tts.name == "first | second"

    play(script)


# --- recognizers ----------------------------------------------------------------------------------------------------


def frame(number: int) -> AudioFrame:
    return AudioFrame(SILENCE, number * 0.02)


async def recognize(stt: FallbackSTT, *, frames: int = 10, utterances: int = 1) -> list[str]:
    stream = stt.stream(language="en", expectations=Expectations())
    texts: list[str] = []

    async def read() -> None:
        async for transcript in stream:
            texts.append(transcript.text)

    reading = asyncio.create_task(read())
    try:
        for number in range(utterances):
            for index in range(frames):
                stream.push(frame(number * frames + index))
            stream.flush()
        await asyncio.wait({reading}, timeout=10)
        if reading.done():
            await reading
    finally:
        reading.cancel()
        await stream.aclose()
    return texts


@pytest.mark.parametrize("heard", [Heard(error=DOWN), Heard(never=True), Heard(error=KeyError("bug"))])
def test_speech_without_a_text_is_given_to_the_next_recognizer(heard):
    async def script() -> None:
        first, second = named(FakeSTT(heard), "first"), named(FakeSTT("where is it"), "second")
        hidden: list[ProviderError] = []
        stt = reporting(FallbackSTT([first, second]), hidden.append)
        assert await recognize(stt) == ["where is it"]
        assert second.frames == first.frames
        assert len(hidden) == 1
        assert first.closed == 1
        assert await recognize(stt) == ["hello"]  # the next call does not ask the first
        assert first.streams == 1

    play(script)


def test_only_what_has_no_text_yet_is_said_again():
    async def script() -> None:
        first, second = FakeSTT("one", Heard(after_ms=500, error=DOWN), Heard(never=True)), FakeSTT("two", "three")
        assert await recognize(FallbackSTT([first, second]), utterances=3) == ["one", "two", "three"]
        assert [each.at for each in second.frames] == [each.at for each in first.frames[10:]]

    play(script)


def test_thirty_seconds_of_speech_are_kept():
    async def script() -> None:
        first, second = FakeSTT(Heard(error=DOWN)), FakeSTT("two")
        await recognize(FallbackSTT([first, second]), frames=2000)
        assert len(second.frames) == 1500
        assert second.frames[-1] == first.frames[-1]

    play(script)


def test_a_stream_that_cannot_be_opened_or_pushed_to_is_replaced_at_once():
    class Unopenable(FakeSTT):
        def stream(self, **_: object):
            raise DOWN

    class Broken(FakeSTT):
        def stream(self, **how: object):
            stream = super().stream(**how)
            stream.push = self._fails
            return stream

        def _fails(self, frame: AudioFrame) -> None:
            raise RuntimeError("bug")

    async def script() -> None:
        hidden: list[ProviderError] = []
        stt = reporting(FallbackSTT([Unopenable(), Broken(), FakeSTT("fine")]), hidden.append)
        assert await recognize(stt) == ["fine"]
        assert len(hidden) == 2
        with pytest.raises(ProviderUnavailable):
            FallbackSTT([Unopenable(), Unopenable()]).stream(language="en", expectations=Expectations())

    play(script)


def test_when_every_recognizer_fails_the_session_gets_the_last_error():
    async def script() -> None:
        stt = FallbackSTT([FakeSTT(Heard(error=DOWN)), FakeSTT(Heard(error=ProviderUnavailable("second", "502")))])
        with pytest.raises(ProviderUnavailable, match="second: 502"):
            await recognize(stt)

    play(script)


def test_the_last_recognizer_is_not_given_up_for_being_slow():
    async def script() -> None:
        stt = FallbackSTT([FakeSTT(Heard(error=DOWN)), FakeSTT(Heard("slow", after_ms=1900))])
        assert await recognize(stt) == ["slow"]

    play(script)


def test_expectations_and_whole_turns_survive_the_change():
    async def script() -> None:
        first, second = FakeSTT(Heard(error=DOWN)), FakeSTT("yes", whole_turns=True)
        stt = FallbackSTT([first, second])
        assert stt.whole_turns
        stream = stt.stream(language="en", expectations=Expectations(("a",)))
        stream.expect(Expectations(("b",)))
        stream.push(frame(0))
        stream.flush()
        assert (await anext(aiter(stream))).text == "yes"
        assert second.expectations == [Expectations(("b",))]
        await stream.aclose()

    play(script)
