"""The bench for keys, in small."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.bench.dtmf import LIMITS, dtmf_table, in_band, lossy_events, measure
from telephony.media.dtmf import dtmf
from telephony.media.tones import silence
from telephony.media.wav import write_wav


def test_every_limit_is_kept() -> None:
    for limit in LIMITS:
        presses, heard, twice = in_band(limit, 1)
        assert (presses, heard, twice) == (16, 16 if limit.wanted else 0, 0), limit.name


def test_a_line_that_loses_half_of_its_packets_loses_presses_and_doubles_none() -> None:
    assert lossy_events(0.0, 1.0, 50) == (50, 50, 0)
    presses, heard, twice = lossy_events(0.5, 6.0, 200)
    assert presses > heard > 0 and twice == 0


def test_keys_in_what_ought_to_be_speech_are_counted(tmp_path: Path) -> None:
    write_wav(tmp_path / "keys.wav", dtmf("123", on_ms=80, off_ms=80) + silence(200))
    figures = asyncio.run(measure(0.0001, tmp_path, 1))
    assert figures.false_keys == {"mu-law": 3, "A-law": 3}
    assert figures.false_per_hour > 1 and not figures.good
    assert "Talk-off" in dtmf_table(figures)
