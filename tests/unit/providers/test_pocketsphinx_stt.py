"""With the real recogniser, speech by espeak-ng and one real speaker, through mu-law. Loading takes 0.2 s, once."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.clock import ThreadOffload
from agent.providers import _sphinx
from agent.providers.base import Expectations, ProviderBadRequest, Transcript
from agent.providers.espeak import EspeakTTS
from agent.providers.pocketsphinx import PocketSphinxStream, PocketSphinxSTT
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from telephony.media.frames import FRAME_BYTES, AudioFrame
from telephony.media.g711 import decode_ulaw, encode_ulaw

REAL = Path(__file__).parents[2] / "fixtures" / "speech"
ORDERS = Expectations(
    (
        "where is my order",
        "[i want to] (check|track) my order",
        "[my order number is] {number}",
        "[i want to] (speak|talk) to a person",
        "(book|make) an appointment [for] {day} [{part}]",
        "yes",
        "no",
    ),
    {"day": ("monday", "tuesday", "wednesday"), "part": ("morning", "afternoon")},
    {"number": (5, 5)},
)


def frames(pcm: bytes) -> list[bytes]:
    """300 ms of line noise around it, encoded to mu-law and back."""
    noise = np.random.default_rng(1).normal(0, 30, len(pcm) // 2 + 4800)
    noise[2400:-2400] += np.frombuffer(pcm, np.int16) * 0.4
    line = decode_ulaw(encode_ulaw(noise.astype(np.int16).tobytes()))
    return [line[at : at + FRAME_BYTES] for at in range(0, len(line) - FRAME_BYTES, FRAME_BYTES)]


def say(text: str, voice: str = "en-us") -> list[bytes]:
    async def speak() -> bytes:
        spoken = EspeakTTS(VirtualOffload()).synthesize(text, voice=voice, language="")
        return b"".join([piece.pcm async for piece in spoken])

    return frames(run_virtual(speak()))


def hear(audio: list[bytes], expectations: Expectations = ORDERS) -> Transcript:
    async def listen() -> Transcript:
        stream = PocketSphinxSTT(VirtualOffload()).stream(language="en-US", expectations=expectations)
        for pcm in audio:
            stream.push(AudioFrame(pcm, 0.0))
        stream.flush()
        heard = await anext(aiter(stream))
        await stream.aclose()
        return heard

    return run_virtual(listen())


@pytest.mark.parametrize("voice", ["en-us", "en-us+m3"])
@pytest.mark.parametrize(
    "text", ["where is my order", "i want to track my order", "book an appointment for monday morning"]
)
def test_hears_what_is_expected(text: str, voice: str) -> None:
    heard = hear(say(text, voice))
    assert (heard.text.split()[-3:], heard.final, heard.language) == (text.split()[-3:], True, "en")
    assert heard.confidence >= 0.5


@pytest.mark.parametrize(
    "text",
    ["it was a dark and stormy night", "can you recommend a good restaurant", "she sells sea shells by the sea shore"],
)
def test_tells_other_speech_apart(text: str) -> None:
    heard = hear(say(text))
    assert (heard.text, heard.final) == ("", True)
    assert heard.confidence < 0.5


def test_a_real_speaker_s_digits() -> None:
    pcm = (REAL / "two_nine_three_four_zero.raw").read_bytes()
    assert hear(frames(pcm)).text == "two nine three four zero"


def test_a_real_speaker_out_of_grammar() -> None:
    pcm = (REAL / "go_somewhere_and_do_something.raw").read_bytes()
    assert hear(frames(pcm)).text == ""


def test_the_same_audio_gives_the_same_transcript() -> None:
    audio = say("where is my order")
    first = hear(audio)
    hear(say("speak to a person", "en-gb"))
    assert hear(audio) == first


@pytest.mark.parametrize("audio", [[], frames(bytes(3200)), frames(array("h", [9000, -9000] * 800).tobytes())])
def test_silence_and_noise_are_one_empty_final(audio: list[bytes]) -> None:
    heard = hear(audio)
    assert (heard.text, heard.final) == ("", True)


def test_a_word_that_no_dictionary_has() -> None:
    expectations = Expectations(("call zorblington", "call the office"))
    assert hear(say("call zorblington"), expectations).text == "call zorblington"


def test_a_word_without_any_pronunciation_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    heard = hear(say("call the office"), Expectations(("call the office", "日本")))
    assert heard.text == "call the office"
    assert "日本" in caplog.text


def talk(script: Callable[[PocketSphinxStream], list[int]]) -> list[str]:
    """Run a script on a stream; it returns after which flushes to wait. Returns the texts of all finals."""

    async def run() -> list[str]:
        stream = PocketSphinxSTT(VirtualOffload()).stream(language="en", expectations=ORDERS)
        finals = aiter(stream)
        texts = [(await anext(finals)).text for _ in script(stream)]
        await stream.aclose()
        assert [rest async for rest in finals] == []
        return texts

    return run_virtual(run())


def push(stream: PocketSphinxStream, audio: list[bytes]) -> None:
    for pcm in audio:
        stream.push(AudioFrame(pcm, 0.0))


def test_expectations_change_with_the_next_utterance() -> None:
    audio = say("where is my order")

    def script(stream: PocketSphinxStream) -> list[int]:
        push(stream, audio[:40])
        stream.expect(Expectations(("speak to a person",)))
        push(stream, audio[40:])
        stream.flush()
        push(stream, audio)
        stream.flush()
        return [1, 2]

    assert talk(script) == ["where is my order", ""]


def test_each_flush_makes_one_final() -> None:
    def script(stream: PocketSphinxStream) -> list[int]:
        stream.flush()
        stream.flush()
        return [1, 2]

    assert talk(script) == ["", ""]


def test_closing_in_the_middle_leaves_the_recogniser_usable() -> None:
    async def run() -> int:
        stream = PocketSphinxSTT(VirtualOffload()).stream(language="en", expectations=ORDERS)
        push(stream, audio[:50])
        await asyncio_turns()
        held = _sphinx.pooled()
        await stream.aclose()
        await stream.aclose()
        return _sphinx.pooled() - held

    audio = say("where is my order")
    assert run_virtual(run()) == 1
    assert hear(audio).text == "where is my order"


def test_closing_in_the_middle_does_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[threading.Thread] = []
    abandon = _sphinx.Recogniser.abandon

    def noted(recogniser: _sphinx.Recogniser) -> None:
        where.append(threading.current_thread())
        abandon(recogniser)

    monkeypatch.setattr(_sphinx.Recogniser, "abandon", noted)

    async def run() -> None:
        stream = PocketSphinxSTT(ThreadOffload()).stream(language="en", expectations=ORDERS)
        push(stream, audio)
        while stream.backlog == len(audio):
            await asyncio.sleep(0)
        await stream.aclose()

    audio = say("where is my order")
    asyncio.run(run())
    assert [thread is threading.main_thread() for thread in where] == [False]


def test_only_one_of_its_decoders_has_the_dictionary() -> None:
    recogniser = _sphinx.borrow()
    assert recogniser._words.decoder.lookup_word("order") is not None
    assert recogniser._phones.decoder.lookup_word("order") is None
    _sphinx.give_back(recogniser)


async def asyncio_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_language_that_it_does_not_know() -> None:
    with pytest.raises(ProviderBadRequest, match="'de'"):
        PocketSphinxSTT(VirtualOffload()).stream(language="de", expectations=ORDERS)


def test_a_broken_phrase_fails_the_stream_by_name() -> None:
    with pytest.raises(ProviderBadRequest, match="where is"):
        hear(say("yes"), Expectations(("where is (my",)))


def test_grammar_mode_without_phrases_hears_nothing() -> None:
    async def run() -> str:
        stt = PocketSphinxSTT(VirtualOffload(), mode="grammar")
        await stt.warm()
        stream = stt.stream(language="en", expectations=Expectations())
        push(stream, audio)
        stream.flush()
        heard = await anext(aiter(stream))
        await stream.aclose()
        return heard.text

    audio = say("yes")
    assert run_virtual(run()) == ""


def test_old_grammars_make_room_for_new_ones() -> None:
    audio = say("where is my order")
    assert hear(audio).text == "where is my order"
    recogniser = _sphinx.borrow()
    for number in range(40):
        recogniser.add_grammar(Expectations((f"flight {number}",)))
    assert len(recogniser._grammars) <= 16
    _sphinx.give_back(recogniser)
    assert hear(audio).text == "where is my order"
