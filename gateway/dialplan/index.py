"""Index of the numbers of all files: a lookup in 20,000 of them is as fast as in one.

A number is normalised once per region of the files, not once per entry. Exact
numbers are found in a table, patterns by the part before their first `?` or `*`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.dialplan.model import Entry
from gateway.dialplan.numbers import normalise, normalise_caller

__all__ = ["Matching", "NumberIndex"]


@dataclass(frozen=True, slots=True)
class Matching:
    """For one call: the matching entries, most specific first, and both numbers as normalised by the first; without
    any, as by `region` or the first file."""

    entries: tuple[Entry, ...]
    called: str
    caller: str | None


@dataclass(slots=True)
class _Region:
    """The entries of one region's files. Indexes of entries are those in the dialplan."""

    exact: dict[str, list[int]] = field(default_factory=dict)
    patterns: dict[str, list[int]] = field(default_factory=dict)  # by the part before the first ? or *
    lengths: set[int] = field(default_factory=set)  # of these beginnings

    def add(self, place: int, entry: Entry) -> None:
        pattern = entry.pattern
        if pattern.exact:
            self.exact.setdefault(pattern.text, []).append(place)
        else:
            self.patterns.setdefault(pattern.beginning, []).append(place)
            self.lengths.add(len(pattern.beginning))

    def candidates(self, number: str) -> Iterator[int]:
        yield from self.exact.get(number, ())
        for length in self.lengths:
            if length <= len(number):
                yield from self.patterns.get(number[:length], ())


class NumberIndex:
    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._regions: dict[str | None, _Region] = {}
        self.files: dict[str, str | None] = {}  # file -> its region, in the order of the dialplan
        for place, entry in enumerate(entries):
            self.files.setdefault(entry.plan.file, entry.plan.region)
            self._regions.setdefault(entry.plan.region, _Region()).add(place, entry)

    @property
    def region(self) -> str | None:
        """The one that all files agree on; None if they differ or none has one."""
        return next(iter(self._regions)) if len(self._regions) == 1 else None

    def numbers(self, called: str, region: str | None) -> list[str]:
        """The forms that a called number takes in the files, each once, in their order; `region`: the trunk's."""
        regions = [region] if region or not self.files else self.files.values()
        return list(dict.fromkeys(normalise(called, region or own) for own in dict.fromkeys(regions)))

    def find(self, called: str, caller: str | None, region: str | None) -> Matching:
        forms: dict[str | None, str] = {}  # bringing a number to its form is what takes time
        places: list[int] = []
        for own, part in self._regions.items():
            of = region or own
            if of not in forms:
                forms[of] = normalise(called, of)
            places += [place for place in part.candidates(forms[of]) if self.entries[place].pattern.matches(forms[of])]
        places.sort()
        found = sorted((self.entries[place] for place in places), key=_specificity, reverse=True)
        of = region or (found[0].plan.region if found else next(iter(self.files.values()), None))
        number = forms[of] if of in forms else normalise(called, of)
        return Matching(tuple(found), number, normalise_caller(caller, of))


def _specificity(entry: Entry) -> tuple[int, int, int]:
    return entry.pattern.specificity
