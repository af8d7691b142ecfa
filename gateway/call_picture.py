"""A picture of a call, as SVG: both sides' audio with the transcript below, on one time axis. Pure.

The call is drawn in rows of 30 s, the caller's audio on top. Each text is below the position where it begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np

from telephony.media.frames import SAMPLE_RATE

__all__ = ["draw_call"]

_ROW_S = 30.0
_LEFT, _WIDTH, _RIGHT = 64, 960, 16  # px: names, sound, margin
_WAVE, _AXIS, _LINE, _GAP = 26, 22, 14, 18  # px: half of a sound's height, the axis, a line of text, between rows
_STEP = 2  # px a column of sound
_LEAST_TEXT, _MOST_TEXT = 150.0, 300.0  # px: how wide a text may be
_LETTER = 6.1  # px, about, at 11 px
_COLORS = {"caller": "#1f6f8b", "agent": "#2e7d32", "human": "#6a3fa0", "system": "#8a5a00"}
_STYLE = (
    "text{font:11px system-ui,sans-serif}.caller{fill:#1f6f8b}.agent{fill:#2e7d32}"
    ".human{fill:#6a3fa0}.system{fill:#8a5a00}"
    ".quiet{fill:#777}path{fill:none;stroke-width:1.4}"
)


@dataclass(frozen=True, slots=True)
class _Text:
    """A block of lines at `x`, from line `line` of its row on."""

    kind: str
    x: float
    width: float
    lines: tuple[str, ...]
    line: int


def draw_call(record: Mapping[str, Any], channels: Sequence[bytes]) -> str:
    """`record`: a `CallDetail` as JSON. `channels`: caller, then everyone else, 8 kHz 16-bit; none: no recording."""
    turns = [turn for turn in record.get("turns", ()) if turn["text"] or turn.get("tool_calls")]
    heard_s = max((len(pcm) / 2 / SAMPLE_RATE for pcm in channels), default=0.0)
    length_s = max([heard_s, (record.get("duration_ms") or 0) / 1000, *(turn["end_ms"] / 1000 for turn in turns), 1.0])
    parts: list[str] = []
    top = 30.0
    for row in range(int(np.ceil(length_s / _ROW_S))):
        start_s = row * _ROW_S
        texts = list(_texts([turn for turn in turns if start_s <= turn["start_ms"] / 1000 < start_s + _ROW_S], start_s))
        parts += _row(channels, start_s, min(length_s - start_s, _ROW_S), top, texts)
        lines = max((text.line + len(text.lines) for text in texts), default=0)
        top += 4 * _WAVE + _AXIS + lines * _LINE + _GAP
    width = _LEFT + _WIDTH + _RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top:.0f}" width="{width}" height="{top:.0f}" '
        f'role="img"><title>{_safe(_title(record))}</title><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="{_LEFT}" y="18" class="quiet">'
        f"{_safe(_title(record))}</text>{''.join(parts)}</svg>\n"
    )


def _title(record: Mapping[str, Any]) -> str:
    to = f"{record.get('caller') or 'withheld'} to {record.get('called')}"
    return (
        f"call {record.get('call_id')}: {to}, {record.get('persona') or 'no persona'}, {record.get('outcome') or 'on'}"
    )


def _row(channels: Sequence[bytes], start_s: float, length_s: float, top: float, texts: Sequence[_Text]) -> list[str]:
    parts: list[str] = []
    for place, name in enumerate(("caller", "agent")):
        middle = top + _WAVE + place * 2 * _WAVE
        parts.append(f'<text x="8" y="{middle + 4:.0f}" class="{name}">{name}</text>')
        shape = _wave(channels[place], start_s, middle) if place < len(channels) else ""
        parts.append(f'<path d="M{_LEFT} {middle:.0f}H{_x(length_s):.0f}{shape}" stroke="{_COLORS[name]}"/>')
    axis = top + 4 * _WAVE + 12
    for second in range(0, int(length_s) + 1, 5):
        parts.append(f'<text x="{_x(second):.0f}" y="{axis:.0f}" class="quiet">{start_s + second:.0f} s</text>')
    for text in texts:
        y = top + 4 * _WAVE + _AXIS + (text.line + 1) * _LINE - 4
        spans = "".join(
            f'<tspan x="{text.x:.0f}" y="{y + number * _LINE:.0f}">{_safe(line)}</tspan>'
            for number, line in enumerate(text.lines)
        )
        parts.append(f'<text class="{text.kind}">{spans}</text>')
    return parts


def _x(seconds: float) -> float:
    return _LEFT + seconds / _ROW_S * _WIDTH


def _wave(pcm: bytes, start_s: float, middle: float) -> str:
    """A line from the lowest to the highest sample of each column that is not silent."""
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2")
    column = int(_ROW_S * SAMPLE_RATE * _STEP / _WIDTH)
    begin = int(start_s * SAMPLE_RATE)
    shape: list[str] = []
    for number in range(_WIDTH // _STEP):
        piece = samples[begin + number * column : begin + (number + 1) * column]
        if not len(piece):
            break
        high = middle - int(piece.max()) / 32768 * _WAVE
        low = middle - int(piece.min()) / 32768 * _WAVE
        if low - high >= 0.8:
            shape.append(f"M{_LEFT + number * _STEP} {high:.1f}V{low:.1f}")
    return "".join(shape)


def _texts(turns: Sequence[Mapping[str, Any]], start_s: float) -> Iterator[_Text]:
    """Place each text below its turn, or lower if the place is taken."""
    placed: list[_Text] = []
    for turn in turns:
        said = _said(turn)
        width = (turn["end_ms"] - turn["start_ms"]) / 1000 / _ROW_S * _WIDTH
        width = min(max(width, _LEAST_TEXT), _MOST_TEXT, len(said) * _LETTER + 8)
        x = min(_x(turn["start_ms"] / 1000 - start_s), _LEFT + _WIDTH - width)
        lines = tuple(wrap(said, max(8, int(width / _LETTER)))) or ("",)
        line = 0
        while clash := next((other for other in placed if _clash(other, x, width, line, len(lines))), None):
            line = clash.line + len(clash.lines)
        placed.append(_Text(turn["speaker"], x, width, lines, line))
        yield placed[-1]


def _clash(other: _Text, x: float, width: float, line: int, lines: int) -> bool:
    beside = x >= other.x + other.width + 6 or other.x >= x + width + 6
    return not beside and line < other.line + len(other.lines) and other.line < line + lines


def _said(turn: Mapping[str, Any]) -> str:
    text = str(turn["text"])
    if turn.get("source") == "dtmf":
        text = f"keyed {text}"
    if turn.get("interrupted"):
        text += " - (interrupted)"
    latency = (turn.get("latency") or {}).get("first_packet_ms")
    tools = "".join(f"[{tool['name']}] " for tool in turn.get("tool_calls", ()))
    return f"{tools}{text}" + (f" ({latency:.0f} ms)" if latency is not None else "")


def _safe(text: str) -> str:
    """Without control characters, which XML does not allow."""
    return escape("".join(char if char.isprintable() else " " for char in text))
