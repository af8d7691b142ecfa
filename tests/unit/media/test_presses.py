"""One press is told once, by whatever ways it came."""

from __future__ import annotations

import pytest

from telephony.call import DigitSource
from telephony.media.presses import OnePress

RTP, INFO, INBAND = DigitSource.RTP, DigitSource.INFO, DigitSource.INBAND


@pytest.mark.parametrize(
    ("came", "told"),
    [
        ([("1", RTP, 0.0), ("1", INFO, 0.4), ("1", INBAND, 0.06)], "1"),
        ([("1", INFO, 0.0), ("1", RTP, 0.3)], "1"),
        ([("1", RTP, 0.0), ("1", RTP, 0.2), ("1", INFO, 0.3), ("1", INFO, 0.5)], "11"),  # a double press, told twice
        ([("1", RTP, 0.0), ("2", RTP, 0.2), ("1", INFO, 0.3), ("2", INFO, 0.4)], "12"),
        ([("1", RTP, 0.0), ("1", INFO, 1.2)], "11"),  # too late to be the same
        ([("1", RTP, 0.0), ("1", RTP, 0.1), ("1", RTP, 0.2)], "111"),  # one way alone is never doubted
        ([("5", RTP, i / 5) for i in range(40)], "5" * 40),
    ],
)
def test_one_press(came: list[tuple[str, DigitSource, float]], told: str) -> None:
    presses = OnePress()
    assert "".join(key for key, way, at in came if presses.is_new(key, way, at)) == told
