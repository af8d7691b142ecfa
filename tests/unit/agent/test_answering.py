"""The texts for whoever answers, with the call's variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.answering import Answering, BadAnswering


def test_texts_are_filled_with_the_call_s_variables():
    order = Answering(message="Hello {name}, {{braces}} stay.", screener="{firm} for {name}")

    filled = order.filled({"name": "Ada", "firm": "Sunrise Clinic"})

    assert filled.message == "Hello Ada, {braces} stay."
    assert filled.screener == "Sunrise Clinic for Ada"


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (Answering(message="Hello {name}"), "message: the call has no variable 'name'"),
        (Answering(screener="From {firm}"), "screener: the call has no variable 'firm'"),
        (Answering(message="Hello {other.__class__}"), "message: the call has no variable 'other.__class__'"),
        (Answering(message="Hello {other!r}"), "message: {other} takes no format"),
        (Answering(message="Hello {other:>900000000}"), "message: {other} takes no format"),
        (Answering(message="Hello {"), "message: "),
        (Answering(message="Hello {}"), "message: the call has no variable ''"),
    ],
)
def test_a_text_that_cannot_be_said_is_refused_with_its_name(order, said):
    with pytest.raises(BadAnswering) as refused:
        order.filled({"other": "value"})

    assert str(refused.value).startswith(said)


def test_a_recording_s_path_is_left_as_it_is():
    order = Answering(message="file:/sounds/{name}.wav").filled({})

    assert order.recording == Path("/sounds/{name}.wav")
    assert Answering(message="file a claim").recording is None
