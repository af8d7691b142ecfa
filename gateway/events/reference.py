"""Writes the catalogue for docs/events.md from the models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from gateway.events.catalogue import Event
from gateway.events.kinds import EVENTS, EventData, EventType

__all__ = ["BEGIN", "END", "catalogue_markdown", "example", "sent", "with_catalogue"]

BEGIN = "<!-- written by `python -m gateway.events` from gateway/events/kinds.py -->"
END = "<!-- the end of what is written -->"
_AT = datetime(2026, 11, 27, 20, 0, 41, 300_000, tzinfo=UTC)


def example(kind: EventType, **changes: object) -> EventData:
    """The kind's example, with fields changed."""
    model = EVENTS[kind]
    return model.model_validate({**model.example, **changes})


def catalogue_markdown() -> str:
    kinds = [(f"`{kind}`", _when(model), ", ".join(map(_code, _fields(model)))) for kind, model in EVENTS.items()]
    each = "\n".join(map(sent, EVENTS))
    parts = [
        _table(("`type`", "when", "`data`"), kinds),
        _table(("field of `data`", "meaning"), list(_meanings())),
        f"One of each, as it is sent:\n\n```\n{each}\n```",
    ]
    return "\n\n".join(parts)


def with_catalogue(page: str) -> str:
    """The page with the catalogue between its marks. Raises ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the catalogue")
    return f"{before}{BEGIN}\n\n{catalogue_markdown()}\n\n{END}{after}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *rows))


def _when(model: type[EventData]) -> str:
    text = " ".join((model.__doc__ or "").split()).removesuffix(".")
    return text[0].lower() + text[1:]


def _code(name: str) -> str:
    return f"`{name}`"


def _fields(model: type[EventData]) -> dict[str, str]:
    """Name on the wire -> meaning."""
    return {field.alias or name: field.description or "" for name, field in model.model_fields.items()}


def _meanings() -> Iterator[tuple[str, str]]:
    """A row for each field; with event types if it has several meanings."""
    found: dict[str, dict[str, list[str]]] = {}
    for kind, model in EVENTS.items():
        for name, meaning in _fields(model).items():
            found.setdefault(name, {}).setdefault(meaning, []).append(_code(kind))
    for name, meanings in found.items():
        for meaning, of in meanings.items():
            yield _code(name) + (f" of {', '.join(of)}" if len(meanings) > 1 else ""), meaning


def sent(kind: EventType) -> str:
    """The kind's example as it is sent."""
    return Event("019abc3d2f10-00001-5f0c9a1e", _AT, example(kind)).to_json()
