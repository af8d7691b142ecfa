"""Allowed transfer targets: numbers among the destinations, and addresses of the trunks."""

from __future__ import annotations

import pytest

from agent.warm.asking import Refused
from gateway.config import Settings, TrunkSettings, load_settings
from gateway.outbound.addresses import number_of, sip_address, trunk_of_address
from gateway.outbound.carriers import carriers_of
from gateway.transfers.targets import referred_to

SETTINGS = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks:
    - {name: pbx, allow: ["10.1.0.0/16"], outbound: {host: pbx.example.com, port: 5070, destinations: ["+1555"]}}
    - {name: inbound, allow: ["10.2.0.0/16"]}
dialplans: [demo.yaml]
"""


def trunks() -> tuple[TrunkSettings, ...]:
    settings: Settings = load_settings("s.yaml", SETTINGS)
    return settings.sip.trunks


def refused(to: str, *, calls: bool = True, named: str = "") -> str:
    with pytest.raises(Refused) as caught:
        trunk_of_address(sip_address(to), trunks(), named=named, calls=calls)
    return caught.value.kind


@pytest.mark.parametrize(
    ("to", "uri"),
    [
        ("sip:human@10.1.2.3", "sip:human@10.1.2.3"),
        ("SIP:human@10.1.2.3:5091;transport=udp", "sip:human@10.1.2.3:5091"),
        ("sip:ann.lee-2@PBX.example.com;transport=TCP", "sip:ann.lee-2@pbx.example.com;transport=tcp"),
        ("sip:+15557001@pbx.example.com;user=phone", "sip:+15557001@pbx.example.com"),
    ],
)
def test_addresses_of_a_trunk_are_open_and_written_anew(to: str, uri: str) -> None:
    address = sip_address(to)
    assert trunk_of_address(address, trunks()).name == "pbx"
    assert address.uri == uri


@pytest.mark.parametrize(
    "to",
    [
        "sip:human@203.0.113.9",  # nobody's
        "sip:human@elsewhere.example.com",
        "sip:+19005550100@pbx.example.com",  # a number that is closed is closed as an address
        "sip:0019005550100@10.1.2.3",
        "sip:*72@10.1.2.3",
        "sip:human@10.2.3.4",  # of a trunk that places no calls
    ],
)
def test_others_are_closed(to: str) -> None:
    assert refused(to) == "closed_destination"


def test_a_named_trunk_is_the_only_one() -> None:
    assert refused("sip:human@10.1.2.3", named="inbound") == "no_trunk"
    assert trunk_of_address(sip_address("sip:human@10.2.3.4"), trunks(), calls=False).name == "inbound"


@pytest.mark.parametrize(
    "to",
    [
        "sip:10.1.2.3",
        "sips:human@10.1.2.3",
        "sip:a b@10.1.2.3",
        "sip:human@10.1.2.3?Subject=x",
        "sip:human@10.1.2.3;maddr=203.0.113.9",
        "sip:human@10.1.2.3;transport=ws",
        "sip:a%0d%0a@10.1.2.3",
        "sip:human@",
        "sip:human@10.1.2.3:99999",
        "mailto:human@10.1.2.3",
    ],
)
def test_what_is_no_address(to: str) -> None:
    with pytest.raises(Refused) as caught:
        sip_address(to)
    assert caught.value.kind == "invalid_target"


def test_numbers() -> None:
    assert number_of("tel:+1-555-7001;phone-context=x") == "+15557001"
    assert number_of("+1 (555) 7001") == "+15557001"
    assert number_of("human") is None


def test_a_number_is_referred_to_at_the_trunks_host() -> None:
    assert referred_to("+15557001", trunks(), customers="pbx") == "sip:+15557001@pbx.example.com:5070"
    assert referred_to("tel:+15557001", trunks(), customers="inbound", named="pbx").startswith("sip:+15557001@pbx")
    assert referred_to("sip:human@10.2.3.4", trunks(), customers="inbound") == "sip:human@10.2.3.4"
    for to, customers in (("+19005550100", "pbx"), ("+15557001", "inbound")):
        with pytest.raises(Refused) as caught:
            referred_to(to, trunks(), customers=customers)
        assert caught.value.kind == "closed_destination"
    with pytest.raises(Refused) as caught:
        referred_to("nobody", trunks(), customers="pbx")
    assert caught.value.kind == "invalid_target"


LIVEKIT = """\
rooms: livekit
livekit:
  url: ws://127.0.0.1:7880
  api_key: {env: K}
  api_secret: {env: S}
  outbound: [{name: far, address: sip.example.net, numbers: ["+15550100"], destinations: ["+44"]}]
"""


def test_a_phone_of_livekit_sip_is_referred_to_what_its_carrier_may_call() -> None:
    settings = load_settings("s.yaml", SETTINGS + LIVEKIT)

    def to(number: str, customers: str = "far") -> str:
        return referred_to(number, settings.sip.trunks, customers=customers, carriers=carriers_of(settings))

    assert to("+442071234567") == "tel:+442071234567"
    assert to("sip:human@10.1.2.3") == "sip:human@10.1.2.3"
    for number, customers in (("+15557001", "far"), ("+442071234567", "other")):
        with pytest.raises(Refused) as caught:
            to(number, customers)
        assert caught.value.kind == "closed_destination"
