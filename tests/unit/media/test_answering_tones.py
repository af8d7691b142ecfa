"""Beeps, network tones and fax tones as `ToneListener` hears them."""

from __future__ import annotations

import numpy as np
import pytest

from telephony.media.answering.findings import Beep, Finding
from telephony.media.answering.tones import ToneListener
from telephony.media.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from telephony.media.tones import silence, tone

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
