"""Q.850 causes: in Reason headers, and translated from and to SIP statuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.causes import Reason, cause_of, read_reasons, reason_values, status_of


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        *((200, 16), (404, 1), (408, 102), (410, 22), (480, 18), (484, 28), (486, 17), (500, 41), (502, 38)),
        *((503, 41), (504, 102), (600, 17), (603, 21), (604, 1), (699, 127), (302, 127), (0, 0), (180, 0), (700, 0)),
    ],
)
def test_the_cause_of_a_status(status: int, cause: int) -> None:
    assert cause_of(status) == cause


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        *((1, 404), (3, 404), (17, 486), (18, 408), (19, 480), (21, 403), (22, 410), (28, 484), (34, 503)),
        *((65, 488), (102, 504), (127, 500), (16, 0), (0, 0), (30, 480), (99, 500)),
    ],
)
def test_the_status_of_a_cause(cause: int, status: int) -> None:
    assert status_of(cause) == status


@given(st.integers(1, 127).filter(lambda cause: cause != 16))
def test_each_cause_but_a_normal_end_has_a_final_status(cause: int) -> None:
    assert 400 <= status_of(cause) <= 699


@given(st.integers(0, 127), st.sampled_from([0, 200, 487, 500]), st.text(max_size=40))
def test_what_we_write_is_read_again(cause: int, status: int, text: str) -> None:
    read = list(read_reasons([", ".join(reason_values(cause, status, text))]))
    assert [reason.cause for reason in read] == [cause, status][: len(read)]
    assert read[0].protocol == "Q.850"


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    list(read_reasons([text]))


def test_several_values() -> None:
    value = 'SIP ;cause=600 ;text="Busy, \\"everywhere\\"", Q.850;cause=17, X;cause=1234'
    assert list(read_reasons([value])) == [
        Reason("SIP", 600, 'Busy, "everywhere"'),
        Reason("Q.850", 17, ""),
        Reason("X", 0, ""),
    ]
