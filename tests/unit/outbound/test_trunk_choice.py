"""Which trunks a call goes over, in which order, and its numbers and headers on each."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from trunks_made import settings_of, trunk

from agent.warm.asking import Refused
from gateway.calls.dialling import DialOrder
from gateway.config import TrunkSettings
from gateway.outbound.choosing import TrunkChoice, TrunkWay

TO = "+12125551234"
US = "203.0.113.5"


def choice(
    *trunks: TrunkSettings, routes: tuple[dict[str, Any], ...] = (), failing: tuple[str, ...] = ()
) -> TrunkChoice:
    settings = settings_of(*trunks, routes=routes)
    return TrunkChoice(
        settings.sip.trunks, settings.outbound, random=Random(7).random, passed_over=lambda name: name in failing
    )


def order(to: str = TO, **changes: Any) -> DialOrder:
    return DialOrder("c", "c-1", to, **changes)


def names(ways: tuple[TrunkWay, ...]) -> list[str]:
    return [way.trunk.name for way in ways]


def refusal(made: TrunkChoice, wanted: DialOrder, variables: dict[str, str] | None = None) -> str:
    with pytest.raises(Refused) as refused:
        made.ways(wanted, US, variables)
    return refused.value.kind


# The order of trunks


def test_without_a_route_all_trunks_that_allow_the_number_in_the_order_of_the_settings() -> None:
    made = choice(trunk("a"), trunk("b", outbound={"destinations": ["+44"]}), trunk("c"))
    assert names(made.ways(order(), US)) == ["a", "c"]


def test_the_route_with_the_longest_beginning_counts_and_destinations_do_all_the_same() -> None:
    routes = (
        {"numbers": ("+",), "trunks": ("a",)},
        {"numbers": ("+1212", "+1213"), "trunks": ("c", "b", "a")},
    )
    made = choice(trunk("a"), trunk("b", outbound={"destinations": ["+44"]}), trunk("c"), routes=routes)
    assert names(made.ways(order(), US)) == ["c", "a"]
    assert names(made.ways(order("+13105551234"), US)) == ["a"]


def test_weights_share_the_first_place_and_the_rest_follows_in_order() -> None:
    routes = ({"numbers": ("+1",), "trunks": ("a", "b", "c"), "weights": (3, 1)},)
    made = choice(trunk("a"), trunk("b"), trunk("c"), routes=routes)
    drawn = [names(made.ways(order(), US)) for _ in range(400)]
    assert all(each[2] == "c" for each in drawn)
    assert 260 < Counter(each[0] for each in drawn)["a"] < 340


def test_a_named_trunk_is_the_only_one_and_one_that_failed_of_late_comes_last() -> None:
    made = choice(trunk("a"), trunk("b"), failing=("a",))
    assert names(made.ways(order(), US)) == ["b", "a"]
    assert names(made.ways(order(trunk="a"), US)) == ["a"]
    assert refusal(made, order(trunk="other")) == "no_trunk"
    assert refusal(made, order("+442071838750")) == "closed_destination"


# How the call looks


def test_each_trunk_has_its_own_format_and_numbers() -> None:
    digits = trunk("a", numbers={"format": "digits", "prefix": "9", "user_phone": True}, outbound={"port": 5080})
    national = trunk("b", region="US", numbers={"format": "national"}, outbound={"caller": "+13105550100"})
    first, second = choice(digits, national).ways(order(), US)
    assert first.uri == "sip:912125551234@192.0.2.7:5080;user=phone"
    assert first.sender == "sip:15550100@203.0.113.5;user=phone"
    assert (second.uri, second.sender) == ("sip:2125551234@192.0.2.7", "sip:3105550100@203.0.113.5")
    assert (first.caller, second.caller) == ("+15550100", "+13105550100")


def test_numbers_take_turns() -> None:
    made = choice(trunk(outbound={"callers": ["+15550101", "+15550102"]}))
    assert [made.ways(order(), US)[0].caller[-1] for _ in range(4)] == ["0", "1", "2", "0"]


def test_a_call_may_name_a_listed_number_only_unless_any_is_allowed() -> None:
    listed, other = trunk("a", outbound={"callers": ["+15550101"]}), trunk("b", outbound={"caller_choice": "any"})
    assert names(choice(listed, other).ways(order(caller="+15550101"), US)) == ["a", "b"]
    assert names(choice(listed, other).ways(order(caller="+19995550100"), US)) == ["b"]
    assert refusal(choice(listed), order(caller="+19995550100")) == "caller_not_allowed"
    assert refusal(choice(listed), order(caller="us>;tag=1")) == "closed_destination"


def test_identity_and_privacy_where_the_trunk_says() -> None:
    asserted = {"asserted": True, "privacy": True, "domain": "pbx.example"}
    (way,) = choice(trunk(identity=asserted)).ways(order(), US)
    assert way.sender == "sip:+15550100@pbx.example"
    assert way.headers == (("P-Asserted-Identity", "<sip:+15550100@pbx.example>"),)
    (way,) = choice(trunk(identity=asserted)).ways(order(private=True), US)
    assert way.sender == "sip:anonymous@anonymous.invalid"
    assert way.headers == (("P-Asserted-Identity", "<sip:+15550100@pbx.example>"), ("Privacy", "id"))
    assert choice(trunk()).ways(order(), US)[0].headers == ()
    assert refusal(choice(trunk()), order(private=True)) == "no_privacy"
    (way,) = choice(trunk("a"), trunk("b", identity={"privacy": True})).ways(order(private=True), US)
    assert way.trunk.name == "b"


def test_variables_become_headers_by_the_trunks_list_only() -> None:
    made = choice(trunk(headers_out=[{"variable": "account", "header": "X-Account"}]))
    (way,) = made.ways(order(), US, {"account": "A-17 Zoë", "other": "x"})
    assert way.headers == (("X-Account", "A-17 Zoë"),)
    assert made.ways(order(), US, {"other": "x"})[0].headers == ()
    for value in ("a\r\nVia: x", "a\nb", "a\x00b", "a\u2028b", "a\x85b", "x" * 257, "a\tb"):
        assert refusal(made, order(), {"account": value}) == "invalid_variable"


@pytest.mark.parametrize("header", ["Via", "from", "Route", "Content-Length", "X-Trunkline-Leg", "f", "Privacy"])
def test_no_variable_becomes_what_sip_or_the_gateway_uses(header: str) -> None:
    with pytest.raises(ValueError, match="not for a variable"):
        trunk(headers_out=[{"variable": "account", "header": header}])
