"""Keys in band, by the limits of ITU-T Q.24 and of Mitel's CM7291, through mu-law in frames of 20 ms."""

from __future__ import annotations

import numpy as np
import pytest

from telephony.errors import TelephonyMisuse
from telephony.media.dtmf import COLUMNS, DIGITS, KEYS, ROWS, dtmf
from telephony.media.dtmf_detector import DtmfDetector
from telephony.media.frames import SAMPLE_RATE
from telephony.media.g711 import decode_ulaw, encode_ulaw
from telephony.media.noise import line_noise
from telephony.media.tones import silence, special_information, tone

PAIRS = {key: (ROWS[r], COLUMNS[c]) for r, row in enumerate(KEYS) for c, key in enumerate(row)}


def sine(hertz: float, ms: float, dbm0: float) -> np.ndarray:
    t = np.arange(round(ms * SAMPLE_RATE / 1000)) / SAMPLE_RATE
    return 32768 * 10 ** ((dbm0 - 3.14) / 20) * np.sin(2 * np.pi * hertz * t)


def press(
    key: str, on_ms: float, *, low: float = -10, high: float = -10, low_off: float = 0, high_off: float = 0
) -> np.ndarray:
    """`low`, `high`: dBm0; deviations of frequency as shares."""
    one, other = PAIRS[key]
    return sine(one * (1 + low_off), on_ms, low) + sine(other * (1 + high_off), on_ms, high)


def line(*pieces: np.ndarray | float, noise: float | None = None) -> bytes:
    """Numbers are pauses in ms. `noise`: dBm0."""
    audio = np.concatenate([np.zeros(round(p * 8)) if isinstance(p, int | float) else p for p in pieces])
    if noise is not None:
        audio = audio + np.random.default_rng(5).normal(0, 32768 * 10 ** ((noise - 3.14) / 20) / 2**0.5, len(audio))
    return decode_ulaw(encode_ulaw(np.clip(np.rint(audio), -32768, 32767).astype("<i2").tobytes()))


def heard(pcm: bytes) -> str:
    detector = DtmfDetector()
    pcm += silence(200)
    return "".join(hit.digit for at in range(0, len(pcm), 320) for hit in detector.push(pcm[at : at + 320]))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"low": -25, "high": -25},
        {"low": -3, "high": -3},
        {"low": -10, "high": -18},
        {"low": -14, "high": -10},
        {"low_off": 0.015, "high_off": 0.015},
        {"low_off": -0.015, "high_off": 0.015, "low": -17, "high": -25},
        {"low_off": 0.015, "high_off": -0.015, "low": -25, "high": -21},
    ],
)
@pytest.mark.parametrize("noisy", [False, True])
def test_every_key_of_40_ms_with_pauses_of_50_ms_is_heard_twice(how: dict[str, float], noisy: bool) -> None:
    pieces = [piece for key in DIGITS for _ in range(2) for piece in (press(key, 40, **how), 50)]
    weaker = min(how.get("low", -10), how.get("high", -10))
    assert heard(line(33, *pieces, noise=weaker - 15 if noisy else None)) == "".join(2 * key for key in DIGITS)


@pytest.mark.parametrize(
    "how",
    [
        {"on_ms": 20},
        {"on_ms": 23},
        {"low_off": 0.035},
        {"low_off": -0.035},
        {"high_off": 0.035},
        {"high_off": -0.035},
        {"low": -40, "high": -40},
        {"low": -8, "high": -21},
        {"low": -17, "high": -8},
    ],
)
def test_what_is_out_of_the_limits_is_no_key(how: dict[str, float]) -> None:
    length = how.pop("on_ms", 60)
    starts = np.linspace(0, 19, len(DIGITS))  # of a press in its frame
    assert (
        heard(line(*(p for key, at in zip(DIGITS, starts, strict=True) for p in (at, press(key, length, **how), 60))))
        == ""
    )


@pytest.mark.parametrize("lost_ms", [10, 20, 40])
def test_a_press_with_packets_lost_is_one_press(lost_ms: int) -> None:
    for at in (40, 53, 71, 90):
        whole = press("5", 160)
        whole[at * 8 : (at + lost_ms) * 8] = 0
        assert heard(line(40, whole, 100)) == "5"


@pytest.mark.parametrize("dial_tone", [(350.0, 440.0), (425.0,)])
def test_a_dial_tone_beside_it_hides_no_key(dial_tone: tuple[float, ...]) -> None:
    keys = np.concatenate([np.zeros(4000), *(np.concatenate([press(key, 60), np.zeros(480)]) for key in DIGITS)])
    under = sum(sine(hertz, len(keys) / 8, -15) for hertz in dial_tone)
    assert heard(line(keys + under)) == DIGITS


def test_a_press_is_told_while_the_key_is_down_and_once() -> None:
    detector = DtmfDetector()
    pcm = line(100, press("7", 3000))
    told = [(at / 16, hit) for at in range(0, len(pcm), 320) for hit in detector.push(pcm[at : at + 320])]
    assert [hit.digit for _, hit in told] == ["7"]
    assert told[0][0] <= 160 and told[0][1].started_ms == pytest.approx(100, abs=8)


@pytest.mark.parametrize("before", ["silence", "a voice"])
@pytest.mark.parametrize("begins_ms", range(0, 21, 2))
def test_a_short_press_is_heard_wherever_in_a_frame_it_begins(begins_ms: int, before: str) -> None:
    """Frames that show no key are not looked at closely until one does; the press may have begun in the one before."""
    voice = 0.1 * np.cumsum(np.random.default_rng(3).normal(0, 400, 8 * (100 + begins_ms)))
    talk: np.ndarray | float = 100 + begins_ms if before == "silence" else voice - voice.mean()
    for key in ("1", "6", "D"):
        assert heard(line(talk, press(key, 40, low=-20, high=-22), 100.0)) == key


def test_the_size_of_the_pieces_does_not_matter() -> None:
    pcm = dtmf("159D#", on_ms=60, off_ms=60) + silence(100)
    for size in (2, 34, 320, 2000, len(pcm)):
        detector = DtmfDetector()
        hits = [hit for at in range(0, len(pcm), size) for hit in detector.push(pcm[at : at + size])]
        assert "".join(hit.digit for hit in hits) == "159D#"
        assert [hit.started_ms for hit in hits] == pytest.approx([120.0 * n for n in range(5)], abs=8)


def test_noise_single_tones_and_information_tones_are_no_keys() -> None:
    detector = DtmfDetector()
    audio = line_noise(3000, -20) + tone(697, 300) + tone(440, 300) + special_information() + tone((480, 620), 500)
    assert detector.push(audio + silence(100)) == []
    with pytest.raises(TelephonyMisuse, match="'x'"):
        dtmf("1x")
