"""Beeps, network tones and fax tones as `ToneListener` hears them."""

from __future__ import annotations

import numpy as np
import pytest

from telephony.media.answering.findings import Beep, Finding
from telephony.media.answering.tones import ToneListener
from telephony.media.dtmf import dtmf
from telephony.media.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from telephony.media.tones import (
    NETWORKS,
    SPECIAL_INFORMATION,
    fax_answers,
    fax_calls,
    gliding,
    network,
    silence,
    special_information,
    tone,
)

_LAWS = {"mu-law": lambda pcm: decode_ulaw(encode_ulaw(pcm)), "A-law": lambda pcm: decode_alaw(encode_alaw(pcm))}


def heard(pcm: bytes, listener: ToneListener | None = None) -> list[Finding]:
    listener = listener or ToneListener()
    frames = [pcm[at : at + 320] for at in range(0, len(pcm) - 319, 320)]
    return [found for k, frame in enumerate(frames) for found in listener.hear(frame, (k + 1) * 0.02)]


def noisy(pcm: bytes, level_dbfs: float, seed: int = 1) -> bytes:
    noise = np.random.default_rng(seed).normal(0, 32768 * 10 ** (level_dbfs / 20), len(pcm) // 2)
    return np.clip(np.rint(np.frombuffer(pcm, "<i2") + noise), -32768, 32767).astype("<i2").tobytes()


def greeting(ms: float = 600) -> bytes:
    """Something that is no tone."""
    return noisy(silence(ms), -25) + silence(500)


@pytest.mark.parametrize("law", _LAWS)
@pytest.mark.parametrize("level", [-5, -20, -40])
@pytest.mark.parametrize(("hertz", "ms"), [(400, 350), (500, 60), (744, 350), (1004, 280), (881, 770), (2600, 2000)])
def test_a_beep_is_known_within_60_ms_of_its_end(hertz: float, ms: float, level: float, law: str) -> None:
    before = greeting() + silence(7)
    end = (len(before) / 2 + ms * 8) / 8000
    (beep,) = heard(_LAWS[law](before + tone(hertz, ms, level) + silence(500)))
    assert isinstance(beep, Beep)
    assert beep.hertz == pytest.approx(hertz, abs=5)
    assert beep.ended_at == pytest.approx(end, abs=0.01)
    assert beep.at <= end + 0.061
    assert not beep.rising


def beeps(pcm: bytes) -> list[Beep]:
    return [found for found in heard(pcm) if isinstance(found, Beep)]


@pytest.mark.parametrize("below_db", [20, 10])
@pytest.mark.parametrize("hertz", [500, 744, 1004, 2000])
def test_a_beep_is_heard_in_noise(hertz: float, below_db: float) -> None:
    line = noisy(greeting() + silence(600) + tone(hertz, 300, -20) + silence(500), -20 - below_db)
    (beep,) = beeps(line)
    assert beep.hertz == pytest.approx(hertz, abs=6)
    assert beep.ended_at == pytest.approx(2.0, abs=0.03)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_lost_packet_does_not_make_two_beeps_of_one(repeated: bool) -> None:
    pcm = greeting() + tone(1004, 400) + silence(500)
    hole = 320 * 65
    filled = pcm[hole - 320 : hole] if repeated else bytes(320)
    (beep,) = beeps(pcm[:hole] + filled + pcm[hole + 320 :])
    assert beep.ended_at - beep.began_at == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize(
    "pcm",
    [tone(1000, 30), tone(1000, 2400), tone(330, 300), tone(2900, 300), tone(1000, 300, -55)],
    ids=["too short", "too long", "too low", "too high", "too faint"],
)
def test_beyond_the_limits_there_is_no_beep(pcm: bytes) -> None:
    assert not beeps(greeting() + pcm + silence(500))


def test_a_double_beep_is_told_twice() -> None:
    first, second = beeps(greeting() + tone(1000, 150) + silence(120) + tone(1000, 150) + silence(500))
    assert second.began_at - first.ended_at == pytest.approx(0.12, abs=0.02)


@pytest.mark.parametrize("pcm", [gliding(500, 1000, 300), gliding(400, 2000, 1000), tone(600, 150) + tone(900, 150)])
def test_a_rising_beep_is_one(pcm: bytes) -> None:
    (beep,) = beeps(greeting() + pcm + silence(500))
    assert beep.rising
    assert beep.ended_at - beep.began_at == pytest.approx(len(pcm) / 16000, abs=0.02)


@pytest.mark.parametrize("digit", "0123456789*#")
def test_keys_are_no_beeps(digit: str) -> None:
    assert not heard(greeting() + dtmf(digit * 3) + silence(500))


def test_a_tone_that_sounds_is_shown() -> None:
    listener = ToneListener()
    heard(greeting() + tone(1000, 200), listener)
    assert listener.sounding


@pytest.mark.parametrize("variant", SPECIAL_INFORMATION)
@pytest.mark.parametrize("gap", [0, 24])
@pytest.mark.parametrize("law", _LAWS)
def test_special_information_tones(variant: str, gap: int, law: str) -> None:
    assert [found.what for found in heard(_LAWS[law](silence(300) + special_information(variant, gap)))] == ["sit"]


@pytest.mark.parametrize("country", NETWORKS)
@pytest.mark.parametrize(
    ("tones", "what"),
    [("busy", "busy"), ("congestion", "busy"), ("ringback", "ringback"), ("dial", "dial tone")],
)
@pytest.mark.parametrize("law", _LAWS)
def test_network_tones_are_known_and_are_no_beeps(country: str, tones: str, what: str, law: str) -> None:
    line = _LAWS[law](silence(300) + network(country, tones, 4) + silence(500))
    found = heard(line)
    assert {each.what for each in found} == {what}
    assert max(each.sure for each in found) >= 0.9


def test_fax_tones() -> None:
    assert [found.what for found in heard(silence(300) + fax_calls())] == ["fax"]
    (plain,) = heard(silence(300) + fax_answers(reversals=False) + silence(300))
    (reversed_,) = heard(silence(300) + fax_answers() + silence(300))
    assert plain.what == reversed_.what == "fax"
    assert plain.at == pytest.approx(2.5, abs=0.1)  # longer than any beep
    assert reversed_.at < 1.0


def chords(seconds: int) -> bytes:
    """Four notes at a time that last half a second."""
    notes = np.random.default_rng(1).choice([262, 294, 330, 392, 440, 523, 587, 659, 784], (2 * seconds, 4))
    return b"".join(tone([float(hertz) for hertz in four], 500, -18) for four in notes)


def test_music_is_told_from_noise_and_speech() -> None:
    found = [each for each in heard(chords(10)) if each.what == "music"]
    assert [each.sure for each in found] == [0.8, 0.97]
    assert found[0].at < 5.5
    assert not heard(noisy(silence(10_000), -30))
    assert not heard((noisy(silence(200), -20) + silence(100)) * 30)


def test_levels_of_voice_and_background() -> None:
    listener = ToneListener()
    heard(noisy((noisy(silence(600), -20) + silence(400)) * 4, -50), listener)
    assert listener.levels.voice_dbfs == pytest.approx(-20, abs=2)
    assert listener.levels.floor_dbfs == pytest.approx(-50, abs=3)
