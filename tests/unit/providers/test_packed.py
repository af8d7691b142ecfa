from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.providers._packed import Packed

VALUES = (
    st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.none() | st.dictionaries(st.text(), st.floats(-9, 9))
)


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_it_answers_as_the_dictionary_does(entries: dict[str, object], other: str) -> None:
    packed = Packed(entries)
    assert len(packed) == len(entries)
    for key in (*entries, other):
        assert packed.get(key, 7) == entries.get(key, 7)
        assert (key in packed) is (key in entries)


def test_ninety_thousand_words_take_little() -> None:
    packed = Packed({f"word{number}": f"value{number}" for number in range(90_000)})
    assert packed.get("word89999") == "value89999"
    parts = (packed._slots, packed._ends, packed._data)
    assert sum(len(part) * getattr(part, "itemsize", 1) for part in parts) < 4_000_000
