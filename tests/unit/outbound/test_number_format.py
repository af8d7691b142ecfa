"""A trunk's number format, for the numbers we dial and for those in its calls."""

from __future__ import annotations

import pytest
from trunks_made import trunk

from gateway.outbound.number_format import TrunkNumbers


def numbers(region: str | None = None, **settings: object) -> TrunkNumbers:
    return TrunkNumbers(trunk(region=region, numbers=settings))


@pytest.mark.parametrize(
    ("settings", "region", "number", "dialled"),
    [
        ({}, None, "+15551234567", "+15551234567"),
        ({"format": "digits"}, None, "+15551234567", "15551234567"),
        ({"format": "digits", "prefix": "9"}, None, "+15551234567", "915551234567"),
        ({"format": "national"}, "US", "+12125551234", "2125551234"),
        ({"format": "national"}, "US", "+442071838750", "011442071838750"),
        ({"format": "national"}, "GB", "+442071838750", "02071838750"),
        ({"format": "national"}, "GB", "+12125551234", "0012125551234"),
        ({"format": "national", "prefix": "0"}, "DE", "+4930123456", "0030123456"),
        ({"format": "national"}, "IT", "+390669812345", "0669812345"),
        ({"format": "national", "prefix": "9"}, "US", "200", "200"),
        ({"prefix": "7*"}, None, "+15551234567", "7*+15551234567"),
    ],
)
def test_what_is_dialled(settings: dict[str, object], region: str | None, number: str, dialled: str) -> None:
    assert numbers(region, **settings).called(number) == dialled


def test_the_callers_number_has_no_prefix_and_may_have_another_format() -> None:
    made = numbers("US", format="national", prefix="9", caller_format="e164")
    assert made.caller("+15550100") == "+15550100"
    assert numbers(None, format="digits", prefix="9").caller("+15551234567") == "15551234567"
    assert numbers(None, format="digits").caller("account7") == "account7"


@pytest.mark.parametrize(
    ("settings", "region", "received", "number"),
    [
        ({}, None, "15551234567", "15551234567"),  # recognised by the dialplan, as before
        ({"format": "digits"}, None, "15551234567", "+15551234567"),
        ({"format": "digits"}, None, "4930123456", "+4930123456"),
        ({"format": "digits"}, None, "+15551234567", "+15551234567"),
        ({"format": "national"}, "DE", "030123456", "+4930123456"),
        ({"format": "national"}, "US", "2125551234", "+12125551234"),
        ({"format": "national"}, "US", "011442071838750", "+442071838750"),
        ({"format": "national", "inbound_format": "digits"}, "US", "442071838750", "+442071838750"),
        ({"format": "digits"}, None, "200", "200"),
        ({"format": "digits"}, None, "alice", "alice"),
        ({"inbound_prefix": "00"}, None, "00200", "200"),
        ({"format": "digits", "inbound_prefix": "77"}, None, "7715551234567", "+15551234567"),
    ],
)
def test_what_is_read(settings: dict[str, object], region: str | None, received: str, number: str) -> None:
    assert numbers(region, **settings).read_called(received) == number


@pytest.mark.parametrize("form", ["e164", "digits", "national"])
@pytest.mark.parametrize("number", ["+12125551234", "+442071838750", "+4930123456", "+390669812345", "+61255501234"])
@pytest.mark.parametrize("region", ["US", "GB", "DE", "IT"])
def test_there_and_back(form: str, number: str, region: str) -> None:
    made = numbers(region, format=form)
    assert made.read_called(made.called(number)) == number
