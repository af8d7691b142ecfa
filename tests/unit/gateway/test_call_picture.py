"""The picture of a call: where sound and words appear, and that no words can break it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np

from gateway.call_picture import draw_call

SVG = "{http://www.w3.org/2000/svg}"


def turn(speaker: str, start_s: float, text: str, **more: Any) -> dict[str, Any]:
    return {"speaker": speaker, "start_ms": start_s * 1000, "end_ms": start_s * 1000 + 1500, "text": text, **more}


def record(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    about = {"call_id": "c1", "caller": "+1202", "called": "+1555", "persona": "clinic", "outcome": "answered"}
    return {**about, "duration_ms": 20_000, "turns": list(turns), **more}


def sound(loud: slice, seconds: int = 20) -> bytes:
    samples = np.zeros(seconds * 8000, "<i2")
    samples[loud.start * 8000 : loud.stop * 8000 : 2] = 16000
    return samples.tobytes()


def texts(svg: str) -> dict[str, tuple[str, float, float]]:
    """By its first line: whose words, x, y."""
    found = {}
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        line = element.find(f"{SVG}tspan")
        if line is not None:
            found[str(line.text)] = (element.get("class", ""), float(line.get("x", 0)), float(line.get("y", 0)))
    return found


def test_words_stand_where_they_were_said_and_do_not_cover_each_other() -> None:
    svg = draw_call(
        record(turn("agent", 0, "Hello there."), turn("caller", 3, "Good day."), turn("agent", 3.5, "Yes?")), ()
    )
    found = texts(svg)
    assert found["Hello there."][:2] == ("agent", 64)
    assert found["Good day."][:2] == ("caller", 64 + 96)
    assert found["Yes?"][1] == 64 + 112 and found["Yes?"][2] > found["Good day."][2]


def test_sound_is_drawn_where_it_is_and_silence_is_a_line() -> None:
    svg = draw_call(record(), (sound(slice(5, 6)), sound(slice(0, 0))))
    caller, agent = (path.get("d", "") for path in ElementTree.fromstring(svg).iter(f"{SVG}path"))
    columns = [float(piece.split()[0]) for piece in caller.split("M")[2:]]
    assert min(columns) == 64 + 160 and max(columns) == 64 + 190
    assert agent.count("M") == 1


def test_a_long_call_goes_on_in_the_next_row() -> None:
    svg = draw_call(record(turn("caller", 1, "First."), turn("agent", 31, "Second."), duration_ms=45_000), ())
    found = texts(svg)
    assert found["First."][1] == found["Second."][1] and found["Second."][2] > found["First."][2] + 100
    assert svg.count("<path") == 4


def test_keys_tools_latency_and_interruptions_are_told() -> None:
    tools = [{"name": "order_status"}]
    said = turn("agent", 6, "It was", interrupted=True, tool_calls=tools, latency={"first_packet_ms": 579.9})
    found = texts(draw_call(record(turn("caller", 1, "48115", source="dtmf"), said), ()))
    assert "keyed 48115" in found
    assert any(line.startswith("[order_status] It was -") for line in found)


def test_nobodys_words_break_the_picture() -> None:
    svg = draw_call(record(turn("caller", 1, "</text><script>alert(1)</script> & \x00\x1b[2J"), caller=None), ())
    ElementTree.fromstring(svg)
    assert "<script" not in svg and "\x1b" not in svg and "withheld to +1555" in svg


def test_a_refused_call_is_an_empty_axis() -> None:
    svg = draw_call(record(outcome="refused", duration_ms=None), ())
    assert texts(svg) == {} and "refused" in svg
