"""Notes of what a caller and a human say to each other, for the record and for the agent's model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent.said import Heard, Said

__all__ = ["Listens", "TalkNotes", "said_fields"]

MOST_LINES = 400  # for the model
_TALKED = "[The caller talked with {name}, without you:\n{lines}]"


class _Closes(Protocol):
    def close(self) -> None: ...


Listens = Callable[[str, Callable[[Heard], None]], _Closes | None]


class TalkNotes:
    """From their joining to `close`."""

    def __init__(self, name: str, leg_id: str, customer: str, listens: Listens, note: Callable[..., None]) -> None:
        """`name`: of the human, as they were called. `listens(source, told)` hears the leg, or the `customer`; None: it
        cannot. `note` adds an event to the call."""
        self._name = name
        self._leg_id = leg_id
        self._note = note
        self._lines: list[str] = []
        ears = (
            listens(leg_id, lambda heard: self._heard("human", heard)),
            listens(customer, lambda heard: self._heard("caller", heard)),
        )
        self._ears = [each for each in ears if each is not None]

    def close(self) -> str:
        """For the model; empty: nothing was written down."""
        ears, self._ears = self._ears, []
        for each in ears:
            each.close()
        if not self._lines:
            return ""
        return _TALKED.format(name=self._name, lines="\n".join(self._lines[:MOST_LINES]))

    def _heard(self, speaker: str, heard: Heard) -> None:
        if not isinstance(heard, Said):
            return
        who = self._name if speaker == "human" else "caller"
        self._lines.append(f"{who}: {heard.text}")
        self._note("talk_message", said_fields(speaker, self._name, self._leg_id, heard))


def said_fields(speaker: str, name: str, leg_id: str, said: Said) -> Mapping[str, Any]:
    """Of an event: `speaker` is caller or human."""
    return {
        "speaker": speaker, "name": name, "leg_id": leg_id, "text": said.text, "started_at": said.started_at,
        "ended_at": said.ended_at,
    }  # fmt: skip
