"""A row of somebody's list, or an object over REST, as a contact; or why not. Pure.

A list's columns are found by their headers: `key`, `number`, `number_2` …, `zone`, `consent`, and the campaign's
variables. Lists with other headers name them: {"Mobile phone": "number", "Customer": "variables.name"}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.campaigns.model import Contact, Number
from gateway.campaigns.order import CampaignOrder, VariableRule
from gateway.campaigns.zones import BadNumber, UnknownZone, number_of

__all__ = ["BadRow", "Columns", "ColumnsUnknown", "contact_of_row"]

MOST_NUMBERS = 5
MOST_TEXT = 1000
_NUMBER = re.compile(r"number(?:_([1-9]))?")
_ALIASES: Mapping[str, str] = {
    "id": "key", "contact": "key", "customer_id": "key", "phone": "number", "phone_number": "number",
    "telephone": "number", "mobile": "number", "to": "number", "phone_2": "number_2", "phone2": "number_2",
    "number2": "number_2", "timezone": "zone", "time_zone": "zone", "tz": "zone",
}  # fmt: skip


class BadRow(ValueError):
    """Why a row is no contact, as a sentence for whoever made the list."""


class ColumnsUnknown(ValueError):
    """A list has no column that is needed, or one that nothing is known about was named."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each thing is in a row. `region`: of numbers without a country; `consent`: of rows that name none."""

    key: int | None
    numbers: tuple[int, ...]
    zone: int | None
    consent_at: int | None
    variables: Mapping[str, int] = field(default_factory=dict)
    region: str = ""
    consent: str = ""

    @classmethod
    def of(
        cls,
        header: Sequence[str],
        order: CampaignOrder,
        named: Mapping[str, str] | None = None,
        *,
        region: str = "",
        consent: str = "",
    ) -> Columns:
        """`named`: header -> what it is, for headers that don't say it themselves. Raises ColumnsUnknown."""
        places = dict(_meanings(header, order, named or {}))
        numbers = sorted((name, at) for name, at in places.items() if _NUMBER.fullmatch(name))
        if not numbers:
            raise ColumnsUnknown(f"no column has numbers; there are: {', '.join(header)[:300]}")
        missing = [
            name for name, rule in order.variables.items() if rule.required and f"variables.{name}" not in places
        ]
        if missing:
            raise ColumnsUnknown(
                f"no column for the variable {', '.join(missing)}; there are: {', '.join(header)[:300]}"
            )
        variables = {name: places[f"variables.{name}"] for name in order.variables if f"variables.{name}" in places}
        return cls(
            places.get("key"), tuple(at for _, at in numbers[:MOST_NUMBERS]), places.get("zone"), places.get("consent"),
            variables, region, consent,
        )  # fmt: skip


def _meanings(header: Sequence[str], order: CampaignOrder, named: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    unknown = set(named) - set(header)
    if unknown:
        raise ColumnsUnknown(f"no column is called {', '.join(sorted(unknown))[:300]}")
    for at, title in enumerate(header):
        plain = re.sub(r"\W+", "_", title.strip().lower()).strip("_")
        meaning = named.get(title) or _ALIASES.get(plain, plain)
        if meaning in order.variables:
            meaning = f"variables.{meaning}"
        elif title in named and not _is_meaning(meaning, order):
            raise ColumnsUnknown(f'"{meaning}" is nothing that a column can be')
        yield meaning, at


def _is_meaning(meaning: str, order: CampaignOrder) -> bool:
    if meaning.startswith("variables."):
        return meaning.removeprefix("variables.") in order.variables
    return meaning in ("key", "zone", "consent") or _NUMBER.fullmatch(meaning) is not None


def contact_of_row(row: Sequence[str], columns: Columns, order: CampaignOrder) -> Contact:
    """Raises BadRow."""

    def cell(at: int | None) -> str:
        return row[at].strip() if at is not None and at < len(row) else ""

    zone = cell(columns.zone)
    numbers: dict[str, Number] = {}
    for at in columns.numbers:
        if text := cell(at):
            try:
                number = number_of(text, columns.region, zone)
            except (BadNumber, UnknownZone) as error:
                raise BadRow(str(error)) from None
            numbers.setdefault(number.number, number)
    if not numbers:
        raise BadRow("it has no number")
    first = next(iter(numbers))
    variables = {name: cell(at) for name, at in columns.variables.items()}
    for name, rule in order.variables.items():
        _check(name, variables.get(name, ""), rule)
    key = cell(columns.key) or first
    if len(key) > 200:
        raise BadRow("its key is longer than 200 characters")
    consent = cell(columns.consent_at) or columns.consent
    return Contact(0, key, tuple(numbers.values()), variables, consent=consent[:64])


def _check(name: str, value: str, rule: VariableRule) -> None:
    if not value:
        if rule.required:
            raise BadRow(f"{name} is missing")
        return
    if len(value) > MOST_TEXT:
        raise BadRow(f"{name} is longer than {MOST_TEXT} characters")
    if rule.values and value not in rule.values:
        raise BadRow(f"{name} is none of {', '.join(rule.values)[:200]}")
    if rule.pattern and re.fullmatch(rule.pattern, value) is None:
        raise BadRow(f"{name} does not match {rule.pattern}")
