"""The law as data: rule sets by country and state, from `law/*.json`. Each names its source and the day on which it
was looked up. They are defaults for calls that try to sell or remind; whoever runs a campaign answers for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.rules import AttemptLimit, RuleSet
from gateway.campaigns.windows import CallWindows
from gateway.dialplan.calendar import HolidayCalendar
from gateway.dialplan.times import parse_times

__all__ = ["UnknownRuleSet", "law_of", "rule_sets"]


class UnknownRuleSet(ValueError):
    """A campaign names a rule set that is not there."""


@cache
def rule_sets() -> Mapping[str, tuple[RuleSet, tuple[str, ...]]]:
    """By name: the set, and the regions that it is for."""
    found: dict[str, tuple[RuleSet, tuple[str, ...]]] = {}
    for entry in sorted(files("gateway.campaigns").joinpath("law").iterdir(), key=lambda each: each.name):
        if entry.name.endswith(".json"):
            for raw in json.loads(entry.read_text(encoding="utf-8")):
                found[raw["name"]] = (_rule_set(raw), tuple(raw["regions"]))
    return MappingProxyType(found)


def law_of(order: CampaignOrder) -> Mapping[str, tuple[RuleSet, ...]]:
    """By region, the rule sets that a campaign is bound by. Raises UnknownRuleSet."""
    if order.rule_sets == "none":
        return {}
    named = rule_sets() if order.rule_sets == "auto" else {name: _named(name) for name in order.rule_sets}
    by_region: dict[str, list[RuleSet]] = {}
    for one, regions in named.values():
        for region in regions:
            by_region.setdefault(region, []).append(one)
    whole = {region: tuple(sets) for region, sets in by_region.items()}
    for region in [each for each in whole if "-" in each]:  # a state has its country's law as well
        whole[region] = (*whole.get(region.partition("-")[0], ()), *whole[region])
    return whole


def _named(name: str) -> tuple[RuleSet, tuple[str, ...]]:
    try:
        return rule_sets()[name]
    except KeyError:
        raise UnknownRuleSet(f'no rule set is called "{name}"; there are: {", ".join(rule_sets())}') from None


def _rule_set(raw: Mapping[str, Any]) -> RuleSet:
    times = tuple(parse_times(text) for text in raw.get("hours", ()))
    holidays = tuple(raw.get("closed_on_holidays_of", ()))
    windows = CallWindows(times, HolidayCalendar(holidays), closed_on_holidays=bool(holidays)) if times else None
    limits = tuple(AttemptLimit(limit["most"], limit["days"]) for limit in raw.get("limits", ()))
    return RuleSet(raw["name"], windows, limits, frozenset(raw.get("consent", ())), raw["source"])
