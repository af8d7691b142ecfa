"""With the real model, speech by hibari and one real speaker, through mu-law."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soxr

from agent.providers import _moonshine, _onnx
from agent.providers._corrections import alternatives, corrected
from agent.providers._moonshine import Word, without_repeats
from agent.providers._rules_hearing import compared
from agent.providers.base import STT, Expectations, ProviderBadRequest, ProviderUnavailable, Transcript
from agent.providers.fakes import FakeSTT
from agent.providers.hibari import HibariTTS
from agent.providers.moonshine import MoonshineStream, MoonshineSTT
from agent.providers.pocketsphinx import PocketSphinxSTT
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from telephony.media.frames import FRAME_BYTES, AudioFrame
from telephony.media.g711 import decode_ulaw, encode_ulaw

REAL = Path(__file__).parents[2] / "fixtures" / "speech"
NOTHING = Expectations()
ORDERS = Expectations(("where is my order", "[my order number is] {number}"), {}, {"number": (5, 5)})


def frames(pcm: bytes, level: float = 0.4) -> list[bytes]:
    """300 ms of line noise around it, encoded to mu-law and back."""
    noise = np.random.default_rng(1).normal(0, 30, len(pcm) // 2 + 4800)
    noise[2400:-2400] += np.frombuffer(pcm, np.int16) * level
    line = decode_ulaw(encode_ulaw(noise.astype(np.int16).tobytes()))
    return [line[at : at + FRAME_BYTES] for at in range(0, len(line) - FRAME_BYTES, FRAME_BYTES)]


@cache
def spoken(text: str) -> bytes:
    async def speak() -> bytes:
        audio = HibariTTS(VirtualOffload()).synthesize(text, voice="", language="en")
        return b"".join([piece.pcm async for piece in audio])

    return run_virtual(speak())


def listen(
    audio: list[bytes],
    expectations: Expectations = NOTHING,
    pace_s: float = 0.0,
    digits: STT | None = None,
    interims: bool = True,
) -> list[Transcript]:
    """All transcripts up to the final one. `pace_s`: how long a frame takes to come."""

    async def run() -> list[Transcript]:
        offload = VirtualOffload()
        stt = MoonshineSTT(offload, digits=digits or PocketSphinxSTT(offload, mode="grammar"))
        stream = stt.stream(language="en-US", expectations=expectations)
        stream.want_interims(interims)
        for pcm in audio:
            stream.push(AudioFrame(pcm, 0.0))
            if pace_s:
                await asyncio.sleep(pace_s)
        stream.flush()
        heard: list[Transcript] = []
        async for transcript in stream:
            heard.append(transcript)
            if transcript.final:
                break
        await stream.aclose()
        return heard

    return run_virtual(run())


def bare(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter == " ")


@pytest.mark.parametrize(
    "text",
    [
        "I'd like an appointment tomorrow morning, please.",
        "Can I speak to somebody about my invoice?",
        "Could you tell me what time you open on Saturdays?",
    ],
)
def test_hears_sentences_that_nobody_wrote_down(text: str) -> None:
    heard = listen(frames(spoken(text)))[-1]
    assert bare(heard.text) == bare(text)
    assert heard.confidence > 0.7 and heard.language == "en"


def test_a_quiet_line_is_heard_as_well() -> None:
    assert bare(listen(frames(spoken("No, thank you."), level=0.03))[-1].text) == "no thank you"


def test_partial_texts_come_while_the_caller_speaks_and_one_final_at_the_end() -> None:
    heard = listen(frames(spoken("Could you tell me what time you open on Saturdays?")), pace_s=0.02)
    assert [transcript.final for transcript in heard].count(True) == 1
    assert len(heard) >= 3 and "could you" in heard[0].text.lower()


def test_no_partial_text_is_made_that_nobody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    model, heard_samples = _moonshine.load(), []
    hear = model.hear
    monkeypatch.setattr(model, "hear", lambda samples, *rest, **how: heard_samples.append(samples) or hear(samples))
    audio = frames(spoken("Could you tell me what time you open on Saturdays?"))
    assert [heard.final for heard in listen(audio, pace_s=0.02, interims=False)] == [True]
    assert len(heard_samples) == 1


def test_the_same_audio_gives_the_same_transcripts() -> None:
    audio = frames(spoken("A table for four at eight o'clock on Friday."))
    assert listen(audio, pace_s=0.02) == listen(audio, pace_s=0.02)


@pytest.mark.parametrize("text", ["Yes.", "No.", "Stop.", "Okay.", "Thank you.", "Sure.", "Wait.", "Bye.", "Goodbye."])
def test_an_answer_of_a_word_is_heard(text: str) -> None:
    assert bare(listen(frames(spoken(text), level=0.15))[-1].text) == bare(text)


def breath(seconds: float, level: float) -> bytes:
    count = int(8000 * seconds)
    bands = np.fft.rfft(np.random.default_rng(1).normal(0, level, count))
    bands *= np.exp(-(((np.fft.rfftfreq(count, 1 / 8000) - 900) / 700) ** 2))
    swell = np.sin(np.linspace(0, np.pi, count)) * 2
    return bytes((np.fft.irfft(bands, count) * swell).astype("<i2").tobytes())


def crackle(seconds: float, level: float) -> bytes:
    noise, line = np.random.default_rng(2), np.zeros(int(8000 * seconds))
    for at in noise.integers(0, len(line) - 40, int(20 * seconds)):
        line[at : at + 40] += noise.normal(0, level, 40)
    return bytes(np.clip(line, -32000, 32000).astype("<i2").tobytes())


def dial_tone(seconds: float, level: float) -> bytes:
    return bytes((level * np.sin(np.arange(int(8000 * seconds)) * 2 * np.pi * 350 / 8000)).astype("<i2").tobytes())


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.6, 2.5])
@pytest.mark.parametrize("level", [100.0, 900.0, 3000.0])
@pytest.mark.parametrize("sound", [breath, crackle, dial_tone])
def test_breath_crackle_and_tones_are_no_words(
    sound: Callable[[float, float], bytes], level: float, seconds: float
) -> None:
    pcm = sound(seconds, level)
    assert listen([pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)])[-1].text == ""


@pytest.mark.parametrize(
    "audio",
    [[], frames(bytes(16000)), frames((np.random.default_rng(3).normal(0, 900, 16000)).astype("<i2").tobytes())],
    ids=["nothing", "silence", "noise"],
)
def test_silence_and_noise_are_one_empty_final(audio: list[bytes]) -> None:
    heard = listen(audio, pace_s=0.02)
    assert [(transcript.text, transcript.final) for transcript in heard] == [("", True)]


def test_digits_are_heard_where_some_are_expected() -> None:
    pcm = (REAL / "two_nine_three_four_zero.raw").read_bytes()
    assert compared(listen(frames(pcm), ORDERS)[-1].text) == ["two", "nine", "three", "four", "zero"]


@pytest.mark.parametrize(("said", "digits"), [("one two three four five", False), ("one two three", True)])
def test_another_recogniser_is_believed_where_not_as_many_digits_were_heard_as_are_expected(
    said: str, digits: bool
) -> None:
    beside = FakeSTT("nine nine nine nine nine")
    assert (listen(frames(spoken(said)), ORDERS, digits=beside)[-1].text == "nine nine nine nine nine") is digits


def test_what_is_no_digits_is_heard_freely_even_where_digits_are_expected() -> None:
    heard = listen(frames(spoken("Actually, can I speak to a human being?")), ORDERS)[-1]
    assert bare(heard.text) == "actually can i speak to a human being"


def test_a_long_utterance_is_heard_in_pieces_and_loses_nothing() -> None:
    text = "I called you last week about the heating in my flat. " * 6
    pcm = spoken(text)
    assert len(pcm) > 16000 * 12
    words = bare(listen(frames(pcm))[-1].text).split()
    assert words.count("heating") == 6


def test_trailing_silence_is_not_filled_with_repetitions() -> None:
    audio = frames(spoken("I'd like an appointment.") + bytes(16000 * 5))
    assert bare(listen(audio)[-1].text) == "id like an appointment"


@pytest.mark.parametrize(
    ("ids", "kept"),
    [([5, 6, 7], 3), ([5, 6, 6], 3), ([5, 6, 6, 6], 2), ([1, 2, 3, 2, 3, 2, 3], 3), ([], 0), ([4] * 9, 1)],
)
def test_repeated_tails(ids: list[int], kept: int) -> None:
    assert without_repeats(ids) == kept


def test_only_english() -> None:
    with pytest.raises(ProviderBadRequest, match="English only"):
        MoonshineSTT(VirtualOffload()).stream(language="de", expectations=Expectations())


def test_streams_take_flush_after_flush() -> None:
    said = [frames(spoken(text)) for text in ("Yes, please.", "No, thank you.")]

    async def run() -> list[str]:
        stream: MoonshineStream = MoonshineSTT(VirtualOffload()).stream(language="en", expectations=Expectations())
        for audio in said:
            for pcm in audio:
                stream.push(AudioFrame(pcm, 0.0))
            stream.flush()
        finals: list[str] = []
        async for transcript in stream:
            if transcript.final:
                finals.append(bare(transcript.text))
            if len(finals) == 2:
                break
        await stream.aclose()
        return finals

    assert run_virtual(run()) == ["yes please", "no thank you"]


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[str], None]:
    folder = tmp_path / "assets"
    folder.mkdir()

    def check(content: str) -> None:
        if content:
            (folder / "model").write_text(content)
        _onnx.files_of("x", "model_package", "assets", {"model": "00"}, "trunkline[speech]")

    (tmp_path / "__init__.py").write_text("")
    return check


def test_a_missing_package_file_or_a_damaged_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: Callable[[str], None]
) -> None:
    with pytest.raises(ProviderUnavailable, match=r"not installed: pip install 'trunkline\[speech\]'"):
        damaged("")
    package = tmp_path.parent / "model_package"
    tmp_path.rename(package)
    monkeypatch.syspath_prepend(str(package.parent))
    with pytest.raises(ProviderUnavailable, match="cannot be read"):
        _onnx.files_of("x", "model_package", "assets", {"model": "00"}, "trunkline[speech]")
    (package / "assets" / "model").write_text("damaged")
    with pytest.raises(ProviderUnavailable, match="damaged"):
        _onnx.files_of("x", "model_package", "assets", {"model": "00"}, "trunkline[speech]")


def test_a_decoder_that_cannot_be_read_is_a_provider_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(ort: bytes) -> tuple[bytes, bytes]:
        raise KeyError("logits")

    monkeypatch.setattr(_moonshine, "decoder_models", unreadable)
    with pytest.raises(ProviderUnavailable, match=r"decoder cannot be read: KeyError"):
        _moonshine._load()


def test_a_machine_that_cannot_run_the_model_says_so_before_it_is_loaded() -> None:
    _onnx.check_machine("x", 100, cpu_flags="fpu sse2 avx", free_mib=500)
    _onnx.check_machine("x", 100, cpu_flags="", free_mib=500)  # another kind of processor
    with pytest.raises(ProviderUnavailable, match="a processor with AVX"):
        _onnx.check_machine("x", 100, cpu_flags="fpu sse2 sse4_2", free_mib=500)
    with pytest.raises(ProviderUnavailable, match="it needs 100 MiB of memory; 120 MiB are free"):
        _onnx.check_machine("x", 100, cpu_flags="avx", free_mib=120)


def test_unsure_words_become_what_is_expected_and_sounds_alike() -> None:
    names = Expectations(("i want {who}",), {"who": ("doctor krzyk", "moira")})

    def words(*pairs: tuple[str, float]) -> list[Word]:
        return [Word(text, confidence) for text, confidence in pairs]

    assert corrected(words(("to", 0.9), ("doctor", 0.9), ("Kreezik.", 0.4)), names) == "to doctor krzyk."
    assert corrected(words(("with", 0.9), ("Moyra,", 0.5), ("please", 0.9)), names) == "with moira, please"
    assert corrected(words(("with", 0.9), ("Maria", 0.95)), names) == "with Maria"  # sure of it
    assert corrected(words(("a", 0.3), ("table", 0.3)), names) == "a table"
    assert corrected(words(("x", 0.1)), Expectations()) == "x"


CLINIC = Expectations(
    ("[i want] an appointment [for] {day}", "book it", "no thank you goodbye", "goodbye"),
    {"day": ("tomorrow", "thursday")},
)


def test_what_sounds_like_a_persona_is_thought_of() -> None:
    def others(*words: tuple[str, float]) -> list[str]:
        return alternatives([Word(text, sure) for text, sure in words], CLINIC)

    misheard = (("No,", 0.9), ("thank", 0.9), ("you,", 0.9), ("could", 0.5), ("buy.", 0.5))
    assert "No, thank you, goodbye." in others(*misheard)
    bare_words = (("No", 0.9), ("thank", 0.6), ("you", 0.9), ("could", 0.7), ("buy.", 0.8))
    assert set(others(*bare_words)[:2]) == {"No thank you goodbye.", "No thank you, goodbye."}  # with a pause, too
    assert others(("Third", 0.6), ("day.", 0.6))[0] == "Thursday."
    assert others(("could", 0.9), ("buy", 0.9)) == []  # sure of both
    assert others(("Four", 0.3), ("oh", 0.3)) == [] and others() == []
    assert alternatives([Word("Camaro", 0.2)], Expectations()) == []


@pytest.mark.parametrize(("text", "lower"), [("Thursday.", 0.88), ("Book it.", 1.0)])
def test_the_sound_decides_between_what_was_written_and_what_is_expected(text: str, lower: float) -> None:
    """Recognised freely they are "third day" and "look it"."""
    deep = soxr.resample(np.frombuffer(spoken(text), np.int16), 8000 * lower, 8000, quality="HQ").tobytes()
    assert bare(listen(frames(deep))[-1].text) != bare(text)
    assert bare(listen(frames(deep), CLINIC)[-1].text) == bare(text)


def test_other_words_are_not_bent_into_what_is_expected() -> None:
    for text in ("The plumber came on Tuesday.", "I would like to speak to a cook.", "Could you buy some bread?"):
        assert bare(listen(frames(spoken(text)), CLINIC)[-1].text) == bare(text)


@pytest.mark.parametrize("text", ["Hello, I'd like 2 tickets.", "Goodbye", "a"])
def test_texts_are_written_in_the_models_tokens_and_read_again(text: str) -> None:
    vocabulary = _moonshine.load()._vocabulary
    ids = vocabulary.ids(text)
    assert " ".join(word for word, _ in vocabulary.words(ids, [1.0] * len(ids))) == text
    assert vocabulary.ids("Goodbye") == [7197, 26966]


def test_a_word_that_is_expected_itself_is_not_taken_for_another() -> None:
    clinic = Expectations(("an appointment [for] {day} [{part}]",), {"day": ("monday",), "part": ("morning",)})
    said = [Word("appointment", 0.5), Word("tomorrow", 0.7), Word("Morning,", 0.4), Word("Mondy.", 0.4)]
    assert corrected(said, clinic) == "appointment tomorrow Morning, monday."


def test_the_vocabulary_is_whole() -> None:
    assert _moonshine.load().hear(np.zeros(100, np.float32)).words == ()
