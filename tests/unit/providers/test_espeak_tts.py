from __future__ import annotations

import re

import pytest

from agent.providers.base import ProviderBadRequest, SpokenAudio
from agent.providers.espeak import EspeakTTS, spell_numbers
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from telephony.media.frames import SAMPLE_RATE

TEXT = "Your order, two things, arrives on Monday."


def speak(text: str, *, voice: str = "", language: str = "") -> list[SpokenAudio]:
    async def collect() -> list[SpokenAudio]:
        return [piece async for piece in EspeakTTS(VirtualOffload()).synthesize(text, voice=voice, language=language)]

    return run_virtual(collect())


def test_the_same_text_always_sounds_the_same() -> None:
    first = speak(TEXT)
    speak("Something else in between!", voice="en-gb+f3")
    assert speak(TEXT) == first


def test_pieces_are_short_and_the_first_is_shortest() -> None:
    lengths = [len(piece.pcm) / 2 / SAMPLE_RATE for piece in speak(TEXT)]
    assert len(lengths) > 10
    assert 0.03 <= lengths[0] <= 0.08
    assert max(lengths) <= 0.2
    assert 2 < sum(lengths) < 6


def test_it_is_speech_and_not_silence() -> None:
    pcm = memoryview(b"".join(piece.pcm for piece in speak(TEXT))).cast("h")
    assert max(pcm) > 3000


def test_a_mark_at_each_word() -> None:
    pieces = speak(TEXT)
    marks = [mark for piece in pieces for mark in piece.marks]
    assert [TEXT[mark.offset :].split()[0] for mark in marks] == TEXT.split()
    assert [mark.at_ms for mark in marks] == sorted(mark.at_ms for mark in marks)
    before = 0.0
    for piece in pieces:  # a mark comes with the audio that it points into, or before it
        before += len(piece.pcm) / 16
        assert all(mark.at_ms <= before + 100 for mark in piece.marks)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Call 415-555-0199 now", "Call 4 1 5 , 5 5 5 , 0 1 9 9  now"),
        ("+1 (555) 0100 200", "plus 1 , 5 5 5 , 0 1 0 0 , 2 0 0 "),
        ("code 123456", "code 1 2 3 4 5 6 "),
        ("2 9 3 4 0", "2 9 3 4 0"),
        ("order 29340", "order 29340"),
        ("$1,250.00 in 2026", "$1,250.00 in 2026"),
        ("1234567.50", "1234567.50"),
    ],
)
def test_numbers_that_are_spelled(text: str, spoken: str) -> None:
    result, offsets = spell_numbers(text)
    assert result == spoken
    assert len(offsets) == len(result)
    assert offsets == sorted(offsets)


def test_marks_point_into_the_text_that_was_given() -> None:
    text = "Call 415-555-0199 today"
    marks = [mark for piece in speak(text) for mark in piece.marks]
    assert marks[-1].offset == text.index("today")
    assert {text[mark.offset] for mark in marks[1:-1]} <= set("0123456789-")


@pytest.mark.parametrize("voice", ["xx-nowhere", "en-us+nobody", "mb-us1"])
def test_an_unknown_voice_is_refused_by_name(voice: str) -> None:
    with pytest.raises(ProviderBadRequest, match=re.escape(repr(voice))):
        speak("Hello", voice=voice)
    with pytest.raises(ProviderBadRequest, match=re.escape(repr(voice))):
        run_virtual(EspeakTTS(VirtualOffload(), default_voice=voice).warm())


def test_an_unknown_language_is_refused_by_name() -> None:
    with pytest.raises(ProviderBadRequest, match="'xx-YY'"):
        speak("Hello", language="xx-YY")


@pytest.mark.parametrize("voice", ["en-us", "en-GB", "English (America)", "gmw/en-US", "en-us+f3", "de"])
def test_voices_that_are_known(voice: str) -> None:
    assert speak("Hi", voice=voice)


def test_voice_of_the_language_when_none_is_given() -> None:
    assert speak("Hello", language="de-AT") == speak("Hello", voice="de")
    assert speak("Hello") == speak("Hello", voice="en-us")


def test_nothing_to_say() -> None:
    assert speak("  ") == []


def test_closing_stops_the_speech_and_the_next_one_is_not_held_up() -> None:
    async def run() -> None:
        tts = EspeakTTS(VirtualOffload())
        long = tts.synthesize("word " * 20_000, voice="", language="")
        await anext(long)
        await long.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert [piece async for piece in tts.synthesize("Hi", voice="", language="")] == speak_in_order

    speak_in_order = speak("Hi")
    run_virtual(run())
