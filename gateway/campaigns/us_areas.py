"""Area codes of the US states whose law is stricter than that of the country (NANPA, November 2026). A mobile number
may have moved: a list's own `region` column goes first."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["STATE_OF_AREA"]

_AREAS = {
    "AL": "205 251 256 334 659 938",
    "CT": "203 475 860 959",
    "FL": "239 305 321 324 352 386 407 448 561 645 656 689 727 728 754 772 786 813 850 863 904 941 954",
    "LA": "225 318 337 457 504 985",
    "MA": "339 351 413 508 617 774 781 857 978",
    "MD": "227 240 301 410 443 667",
    "MS": "228 471 601 662 769",
    "OK": "405 539 572 580 918",
    "WA": "206 253 360 425 509 564",
}
STATE_OF_AREA: Mapping[str, str] = MappingProxyType(
    {area: state for state, areas in _AREAS.items() for area in areas.split()}
)
