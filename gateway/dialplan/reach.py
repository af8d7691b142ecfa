"""Finds unreachable rules (earlier rules take all their calls) and duplicate numbers."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.located_yaml import Problem
from gateway.dialplan.model import Entry, Rule
from gateway.dialplan.times import MINUTES_A_WEEK

__all__ = ["duplicate_numbers", "unreachable_rules"]

_WHOLE_WEEK = (1 << MINUTES_A_WEEK) - 1


def unreachable_rules(rules: Sequence[Rule], file: str) -> list[Problem]:
    """Rules of one number that no call can reach. Opening hours are compared for every minute of the week."""
    problems: list[Problem] = []
    for index, rule in enumerate(rules):
        if rule.text == "otherwise" and not any(earlier.unconditional for earlier in rules[:index]):
            continue  # a last rule is asked for even where opening hours leave nothing to it
        earlier = _covering(rule, rules[:index])
        if earlier:
            lines = " and ".join(dict.fromkeys(cover.where.rpartition(":")[2] for cover in earlier))
            who = f"line {lines} takes" if " and " not in lines else f"lines {lines} take"
            message = f'"{rule.text}" is never reached: {who} all its calls'
            problems.append(Problem(file, int(rule.where.rpartition(":")[2]), "", message))
    return problems


def duplicate_numbers(entries: Sequence[Entry]) -> list[Problem]:
    """Patterns that stand twice, or match a common number without one being more specific."""
    problems: list[Problem] = []
    by_rank: dict[tuple[int, int, int], _Rivals] = {}
    exact: dict[str, Entry] = {}
    for entry in entries:
        file, _, line = entry.where.rpartition(":")
        text = entry.pattern.text
        if text in exact:
            message = f'"{text}" is already in {exact[text].where}: a number may appear only once'
            problems.append(Problem(file, int(line), "numbers", message))
            continue
        exact[text] = entry
        if entry.pattern.exact:
            continue
        rivals = by_rank.setdefault(entry.pattern.specificity, _Rivals())
        for rival in rivals.near(entry):
            if rival.pattern.overlaps(entry.pattern):
                message = (
                    f'"{text}" and "{rival.pattern.text}" ({rival.where}) match common numbers, '
                    "and neither is more specific"
                )
                problems.append(Problem(file, int(line), "numbers", message))
        rivals.add(entry)
    return problems


class _Rivals:
    """Patterns of equal specificity. If neither is a prefix of the other they have no common number, so among thousands
    each has few candidates."""

    def __init__(self) -> None:
        self._count = 0
        self._by_beginning: dict[str, list[tuple[int, Entry]]] = {}
        self._longer: dict[str, list[tuple[int, Entry]]] = {}  # by each shorter part of their beginnings

    def add(self, entry: Entry) -> None:
        beginning = entry.pattern.beginning
        numbered = (self._count, entry)
        self._count += 1
        self._by_beginning.setdefault(beginning, []).append(numbered)
        for length in range(len(beginning)):
            self._longer.setdefault(beginning[:length], []).append(numbered)

    def near(self, entry: Entry) -> list[Entry]:
        """Those that may have a number in common with `entry`, in their original order."""
        beginning = entry.pattern.beginning
        found = list(self._longer.get(beginning, ()))
        for length in range(len(beginning) + 1):
            found += self._by_beginning.get(beginning[:length], ())
        return [rival for _, rival in sorted(found, key=lambda numbered: numbered[0])]


def _covering(rule: Rule, earlier: Sequence[Rule]) -> list[Rule]:
    """The earlier rules that together take every call of `rule`; empty if some call can reach it."""
    covers = [other for other in earlier if _callers_cover(other, rule)]
    for other in covers:
        if other.when is None or (rule.when is not None and set(rule.when.items) <= set(other.when.items)):
            return [other]
    used: list[Rule] = []
    # Dates and holidays may fall on any minute of the week.
    left = rule.when.week() if rule.when is not None and rule.when.plain else _WHOLE_WEEK
    for other in covers:
        week = other.when.week() if other.when is not None else _WHOLE_WEEK
        if week & left:
            used.append(other)
            left &= ~week
    return used if left == 0 else []


def _callers_cover(cover: Rule, rule: Rule) -> bool:
    if cover.any_caller:
        return True
    if rule.any_caller or (rule.withheld and not cover.withheld):
        return False
    return all(any(mine.covers(theirs) for mine in cover.callers) for theirs in rule.callers)
