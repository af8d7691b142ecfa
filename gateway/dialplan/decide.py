"""The decision about one call: pure, with the reasons for every step."""

from __future__ import annotations

from datetime import date, datetime

from gateway.dialplan.index import NumberIndex
from gateway.dialplan.model import NoRoute, PersonaRef, PlanFile, Route, Rule, Step

__all__ = ["decide"]

_MOST_LISTED = 20  # patterns listed for a number that matches none; a plan may have thousands


def decide(
    index: NumberIndex, called: str, caller: str | None, at: datetime, region: str | None = None
) -> Route | NoRoute:
    """Who answers a call to `called` at `at` (with a time zone; ValueError without).

    The most specific pattern decides, and of its rules the first that matches. `region`: where numbers without a
    country code are, if the trunk says; otherwise each file's own.
    """
    if at.tzinfo is None:
        raise ValueError("the time of a call must have a time zone")
    found = index.find(called, caller, region)
    if not found.entries:
        return _unknown(index, called, found.caller, region)
    entry, number, who = found.entries[0], found.called, found.caller
    steps = [Step(entry.where, f"number {entry.pattern.text}", True, f"{printable(number)} matches")]
    for other in found.entries[1:]:
        why = f"{printable(number)} matches, but {entry.pattern.text} is more specific"
        steps.append(Step(other.where, f"number {other.pattern.text}", False, why))
    for rule in entry.rules:
        refused_because = _mismatch(rule, entry.plan, who, at)
        if refused_because:
            steps.append(Step(rule.where, rule.text, False, refused_because))
            continue
        steps.append(Step(rule.where, rule.text, True, _match(rule, entry.plan, who, at)))
        return _result(rule, number, who, tuple(steps))
    # A plan that passed its check has a last rule for all other calls, so this is for plans built in code.
    reason = f"no rule for {printable(number)} in {entry.where} matches at this time for this caller"
    return NoRoute(reason, entry.where, number, who, steps=tuple(steps))


def printable(text: str, limit: int = 64) -> str:
    """Printable ASCII only, and not more than `limit`: what callers send goes into headers, logs and terminals."""
    return "".join(character if " " <= character <= "~" else "?" for character in text[:limit])


def _result(rule: Rule, called: str, caller: str | None, steps: tuple[Step, ...]) -> Route | NoRoute:
    name = rule.name
    if isinstance(rule.to, PersonaRef):
        options = rule.options
        return Route(
            rule.to, name, called, caller, options.speech, options.session, options.recording, steps,
            options.before_call or None,
        )  # fmt: skip
    reason = f"{rule.to.reason} ({rule.where})"
    return NoRoute(reason, name, called, caller, rule.to.status, steps, phrase=rule.to.reason)


def _unknown(index: NumberIndex, called: str, caller: str | None, region: str | None) -> NoRoute:
    numbers = index.numbers(called, region)
    shown = " or ".join(printable(number) for number in numbers)
    steps = [
        Step(entry.where, f"number {entry.pattern.text}", False, f"{shown} does not match")
        for entry in index.entries[:_MOST_LISTED]
    ]
    files = ", ".join(index.files) or "the dialplan"
    reason = printable(f"no number in {files} matches {shown}", 200)
    return NoRoute(reason, "", numbers[0], caller, steps=tuple(steps))


def _mismatch(rule: Rule, plan: PlanFile, caller: str | None, at: datetime) -> str:
    """Why the rule does not match; empty when it does."""
    if not rule.any_caller and not _caller_matches(rule, caller):
        return f"the caller is {'withheld' if caller is None else printable(caller)}"
    if rule.when is None or rule.when.matches(at.astimezone(plan.timezone), plan.calendar.is_holiday):
        return ""
    return f"it is {_local(at, plan, rule)}"


def _match(rule: Rule, plan: PlanFile, caller: str | None, at: datetime) -> str:
    reasons = []
    if not rule.any_caller:
        reasons.append(f"the caller is {'withheld' if caller is None else printable(caller)}")
    if rule.when is not None:
        reasons.append(f"it is {_local(at, plan, rule)}")
    return " and ".join(reasons) or "it takes every call"


def _caller_matches(rule: Rule, caller: str | None) -> bool:
    if caller is None:
        return rule.withheld
    return any(pattern.matches(caller) for pattern in rule.callers)


def _local(at: datetime, plan: PlanFile, rule: Rule) -> str:
    local = at.astimezone(plan.timezone)
    holiday = ", a holiday" if _is_holiday(plan, local.date(), rule) else ""
    return f"{local:%a %Y-%m-%d %H:%M} in {plan.timezone}{holiday}"


def _is_holiday(plan: PlanFile, day: date, rule: Rule) -> bool:
    return rule.when is not None and rule.when.uses_holidays and plan.calendar.is_holiday(day)
