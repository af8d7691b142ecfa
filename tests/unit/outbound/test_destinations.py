"""Which numbers may be called: named beginnings and countries, closed kinds, never emergency services."""

from __future__ import annotations

import pytest
from trunks_made import trunk

from gateway.outbound.destinations import closed_because


@pytest.mark.parametrize(
    ("destinations", "number"),
    [
        (["+1"], "+12125551234"),
        (["+1"], "+16135550111"),  # Canada
        (["+1"], "+17875551234"),  # Puerto Rico
        (["+1555"], "+15557001234"),  # nobody's, as laboratories use
        (["US"], "+12125551234"),
        (["+44"], "+442071838750"),
        (["+1876"], "+18765551234"),
        (["JM"], "+18765551234"),
        (["2"], "200"),  # an extension
        (["+1"], "+18005551234"),  # toll-free
        (["+1"], "+12121234567"),  # nobody has it, but its neighbours are ordinary
        (["+49"], "+4930123456"),
        (["+44"], "+442071838000"),
    ],
)
def test_what_is_named_is_open(destinations: list[str], number: str) -> None:
    assert closed_because(number, trunk(outbound={"destinations": destinations})) is None


@pytest.mark.parametrize(
    ("destinations", "number", "why"),
    [
        ([], "+12125551234", "not among the destinations"),
        (["+44"], "+12125551234", "not among the destinations"),
        (["+1"], "+18765551234", "+1 does not open JM"),
        (["+1"], "+18095551234", "+1 does not open DO"),
        (["+1"], "+16846221234", "+1 does not open AS"),
        (["+44"], "+447624123456", "+44 does not open IM"),
        (["+7"], "+77011234567", "+7 does not open KZ"),
        (["+4"], "+442071838750", "not among the destinations"),  # a part of a country code names no country
        (["+4"], "200", "not among the destinations"),
        (["US"], "+442071838750", "not among the destinations"),
    ],
)
def test_countries_that_are_not_named_are_closed(destinations: list[str], number: str, why: str) -> None:
    closed = closed_because(number, trunk(outbound={"destinations": destinations}))
    assert closed is not None and why in closed


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("+19005551234", "premium_rate"),
        ("+19001234567", "premium_rate"),  # nobody has it yet
        ("+499001234000", "premium_rate"),
        ("+449090000000", "premium_rate"),
        ("+449098790000", "premium_rate"),
        ("+97912345678", "premium_rate"),
        ("+491805123456", "shared_cost"),
        ("+881612345678", "satellite"),
        ("+870773111632", "satellite"),
        ("+882161234567", "international_network"),
        ("+447012345678", "personal_number"),
    ],
)
def test_expensive_kinds_are_closed_unless_opened_by_name(number: str, kind: str) -> None:
    beginning = {"destinations": [number[:5]]}
    closed = closed_because(number, trunk(outbound=beginning))
    assert closed is not None and kind in closed
    assert closed_because(number, trunk(outbound={**beginning, "allow_kinds": [kind]})) is None


@pytest.mark.parametrize(
    ("number", "region"),
    [("911", None), ("112", None), ("112", "US"), ("110", "DE"), ("999", "GB"), ("+1911", "US"), ("+44999", None)],
)
def test_emergency_services_are_never_called(number: str, region: str | None) -> None:
    opened = trunk(outbound={"destinations": ["1", "9", "+1", "+44"]}, region=region)
    assert closed_because(number, opened) == f"{number} is an emergency number"


def test_a_number_whose_national_form_begins_with_an_emergency_number_is_none() -> None:
    national = trunk(region="US", numbers={"format": "national", "prefix": "9"})
    assert closed_because("+19115551234", national) == "+19115551234 is an emergency number"
    assert closed_because("+12125551234", national) is None
    assert closed_because("110", trunk(region="US", outbound={"destinations": ["1"]})) is None, "an extension there"
