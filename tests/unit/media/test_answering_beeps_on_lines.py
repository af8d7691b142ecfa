"""Beeps as lines bring them: packets are lost and concealed, others talk or music plays behind, networks use some of
the same frequencies."""

from __future__ import annotations

import numpy as np
import pytest

from telephony.media.answering.findings import Beep
from telephony.media.tones import silence, tone
from tests.unit.media.test_answering_tones import beeps, chords, greeting, heard, noisy


def concealed(pcm: bytes, *frames: int) -> bytes:
    """Each of these frames is lost, and the one before it is repeated at half of its level."""
    for frame in frames:
        before = np.frombuffer(pcm[(frame - 1) * 320 : frame * 320], "<i2")
        pcm = pcm[: frame * 320] + (before // 2).astype("<i2").tobytes() + pcm[(frame + 1) * 320 :]
    return pcm


def mixed(one: bytes, other: bytes) -> bytes:
    samples = np.frombuffer(one, "<i2").astype(int)
    return (samples + np.resize(np.frombuffer(other, "<i2"), len(samples))).astype("<i2").tobytes()


def louder(pcm: bytes, db: float) -> bytes:
    return np.rint(np.frombuffer(pcm, "<i2") * 10 ** (db / 20)).astype("<i2").tobytes()


def one_beep(pcm: bytes, hertz: float) -> Beep:
    (beep,) = beeps(pcm)
    assert beep.hertz == pytest.approx(hertz, abs=10)
    return beep


@pytest.mark.parametrize(("hertz", "ms"), [(620, 300), (744, 350), (1600, 250), (523, 600), (480, 500)])
@pytest.mark.parametrize("lost", [[59], [62], [65], [58, 64]], ids=["early", "amid", "late", "two"])
def test_concealed_packets_neither_hide_a_beep_nor_make_it_fainter(hertz: float, ms: float, lost: list[int]) -> None:
    beep = one_beep(concealed(greeting() + silence(7) + tone(hertz, ms) + silence(500), *lost), hertz)
    assert beep.sure >= 0.8
    assert beep.ended_at == pytest.approx(1.107 + ms / 1000, abs=0.03)


def test_a_long_beep_with_several_lost_packets() -> None:
    lossy = concealed(greeting() + tone(990, 1000) + silence(500), 60, 71, 83, 96)
    assert one_beep(lossy, 990).sure >= 0.8


def test_a_chimes_level_may_move_by_six_decibels() -> None:
    even = np.frombuffer(tone(700, 400, -12), "<i2")
    wave = 10 ** (-3 / 20 * (1 - np.cos(np.arange(len(even)) / 8000 * 30)))  # falls by 6 dB and rises again
    assert one_beep(greeting() + np.rint(even * wave).astype("<i2").tobytes() + silence(500), 700).sure >= 0.8


@pytest.mark.parametrize("ms", [180, 420])
def test_a_note_behind_a_beep_is_not_of_its_signal(ms: float) -> None:
    music = tone(270, 200, -36) + tone(312, 300, -36) + tone(350, 1500, -36)
    beep = one_beep(greeting() + mixed(silence(200) + tone(1250, ms, -14) + silence(400), music), 1250)
    assert beep.ended_at == pytest.approx(1.3 + ms / 1000, abs=0.03)


def test_a_beep_is_heard_before_a_television() -> None:
    talk = noisy(silence(5000), -32)
    rooms = mixed(greeting() + silence(200) + tone(770, 650, -20) + silence(500), talk)
    assert one_beep(rooms, 770).sure >= 0.8


@pytest.mark.parametrize(("hertz", "ms"), [(425, 250), (440, 1000), (480, 500), (410, 280), (495, 400), (460, 1000)])
def test_a_lone_tone_of_a_networks_frequency_after_speech_is_a_beep(hertz: float, ms: float) -> None:
    assert one_beep(greeting() + tone(hertz, ms) + silence(1500), hertz).sure >= 0.8


@pytest.mark.parametrize(("hertz", "ms"), [(425, 1000), (425, 1500), (440, 1500), (450, 1000), (400, 1000)])
def test_what_rings_like_a_network_is_not_surely_a_beep(hertz: float, ms: float) -> None:
    assert one_beep(greeting() + tone(hertz, ms) + silence(1500), hertz).sure < 0.8


@pytest.mark.parametrize("ms", [70, 120, 170])
def test_a_short_one_near_a_vowels_pitch_is_not_surely_a_beep(ms: float) -> None:
    assert one_beep(greeting() + tone(410, ms) + silence(500), 410).sure < 0.8


def test_what_is_far_fainter_than_the_voice_is_less_sure_and_then_nothing() -> None:
    voice = noisy(silence(600), -14) + silence(500)
    assert one_beep(voice + tone(621, 300, -22) + silence(500), 621).sure >= 0.8
    assert one_beep(voice + tone(621, 300, -27.5) + silence(500), 621).sure < 0.8
    assert not beeps(voice + tone(621, 300, -34) + silence(500))


def test_music_behind_somebody_who_talks_is_no_music_on_hold() -> None:
    assert not [each for each in heard(greeting() + louder(chords(8), -20)) if each.what == "music"]
    assert [each for each in heard(greeting() + chords(8)) if each.what == "music"]


def test_what_pauses_as_a_voice_does_is_no_music() -> None:
    samples = np.frombuffer(chords(8), "<i2")
    syllables = np.repeat(np.resize([1.0, 1.0, 1.0, 0.2, 0.05], len(samples) // 400 + 1), 400)[: len(samples)]
    assert not [each for each in heard(np.rint(samples * syllables).astype("<i2").tobytes()) if each.what == "music"]
