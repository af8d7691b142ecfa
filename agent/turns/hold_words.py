"""Announcements that ask somebody to wait: of call screeners, menus and queues. Pure."""

from __future__ import annotations

import re

__all__ = ["asks_to_wait"]

_WAIT = re.compile(
    r"\b(stay on the line|hold (on|the line)|(please|while you) hold|placed on hold|one moment|please wait|"
    r"just a (moment|second|minute)|next available|calls? (is|are) important|(are|is) (currently |all )?busy|"
    r"in a queue|"
    r"einen (moment|augenblick)|bleiben sie|am apparat|bitte warten|warteschleife|nächste freie|"
    r"ne quittez pas|(un|quelques) instants?|restez en ligne|patientez|"
    r"no cuelgue|un momento|espere|permanezca|en espera|"
    r"resti in linea|rimanga in linea|attenda|in attesa|aguarde|fique na linha)\b",
    re.IGNORECASE,
)


def asks_to_wait(text: str) -> bool:
    """In English, Spanish, French, German, Italian or Portuguese."""
    return _WAIT.search(text) is not None
