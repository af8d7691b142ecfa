"""Who hears whom in a room, as a matrix: a row for each listener that does not simply hear everybody else. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["EVERYBODY_ELSE", "Routes", "Row", "Rows"]

EVERYBODY_ELSE = None  # the row of a listener that hears all others, including later ones

Row = Collection[str] | None
Rows = Mapping[str, Row]  # listener -> the sources that it hears, or EVERYBODY_ELSE


@dataclass(frozen=True, slots=True)
class Routes:
    """Identities may name participants who have not joined yet: their routes apply once they join."""

    rows: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def changed(self, rows: Rows) -> Routes:
        """These rows replace those of their listeners; all others stay."""
        changed = dict(self.rows)
        for listener, sources in rows.items():
            changed.pop(listener, None)
            if sources is not EVERYBODY_ELSE:
                changed[listener] = frozenset(sources) - {listener}
        return Routes(changed)

    def hears(self, listener: str, source: str) -> bool:
        """Nobody hears themselves."""
        row = self.rows.get(listener)
        return listener != source and (row is None or source in row)

    def without(self, identity: str) -> Routes:
        """This participant has left. A later one with the same name hears everybody again, and is heard by all whose
        row names it."""
        return Routes({listener: row for listener, row in self.rows.items() if listener != identity})
