"""What the edge is told about the settings and this machine."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.config import ConfigError, SecretMissing, load_settings
from gateway.edge_settings import edge_settings
from telephony.sip.digest import Credentials
from telephony.sip.resolving import Target

SETTINGS = """\
sip:
  listen: ["udp://0.0.0.0:5060", "tcp://127.0.0.1:5070"]
  public_address: 203.0.113.5
  trunks: [{name: a, allow: ["10.0.0.0/8"], media_networks: ["192.0.2.0/24"]}]
rtp: {ports: 20000-20099, address: 127.0.0.1}
http: {listen: "127.0.0.1:8080"}
dialplans: [demo.yaml]
"""


def test_where_no_audio_may_be_sent():
    media = edge_settings(load_settings("s.yaml", SETTINGS)).media
    assert {ip_address("127.0.0.1"), ip_address("203.0.113.5")} <= media.own_addresses
    assert ip_address("0.0.0.0") not in media.own_addresses
    assert media.own_ports == {5060, 5070, 8080}
    assert (media.rtp_ports.start, media.rtp_ports[-1]) == (20000, 20099)


def test_a_trunk_has_its_media_networks():
    (trunk,) = edge_settings(load_settings("s.yaml", SETTINGS)).trunks
    assert trunk.media.holds(ip_address("192.0.2.9")) and trunk.media.holds(ip_address("10.1.1.1"))
    assert not trunk.media.holds(ip_address("8.8.8.8"))


TRUNK = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks:
    - name: carrier
      allow: ["10.0.0.0/8"]
      outbound:
        host: sip.carrier.example
        fail_over: [{host: 192.0.2.7, port: 5080, transport: udp}]
        destinations: ["+1"]
      account: {username: bob, password: {file: FOLDER/password}, realm: carrier}
      registration: {user: bob, domain: carrier.example, expiry_s: 600}
      probe: {every_s: 20}
      callers: {realm: gw.example, users: [{username: alice, password: {file: FOLDER/password}}]}
dialplans: [demo.yaml]
"""


def test_a_trunks_hosts_account_registration_and_callers(tmp_path: Path):
    (tmp_path / "password").write_text("zanzibar\n")
    settings = load_settings("s.yaml", TRUNK.replace("FOLDER", str(tmp_path)))
    (trunk,) = edge_settings(settings).trunks
    assert trunk.hosts == (Target("sip.carrier.example"), Target("192.0.2.7", 5080, "udp"))
    assert trunk.account == Credentials("bob", "zanzibar", "carrier")
    assert trunk.register is not None
    assert (trunk.register.address, trunk.register.uri) == ("sip:bob@carrier.example", "sip:carrier.example")
    assert (trunk.register.target, trunk.register.policy.expiry_s) == (Target("carrier.example"), 600)
    assert trunk.probe is not None and trunk.probe.every_s == 20
    assert (trunk.callers, trunk.realm) == ({"alice": "zanzibar"}, "gw.example")
    assert settings.missing_secrets() == []
    (tmp_path / "password").unlink()
    assert len(settings.missing_secrets()) == 2
    with pytest.raises(SecretMissing):
        edge_settings(settings)


def test_a_transport_that_nothing_listens_on_is_found_beforehand(tmp_path: Path):
    text = TRUNK.replace("transport: udp", "transport: tcp").replace("FOLDER", str(tmp_path))
    with pytest.raises(ConfigError, match=r"fail_over\[0\].transport: no listen address for tcp"):
        load_settings("s.yaml", text)


def test_a_probe_needs_hosts(tmp_path: Path):
    lines = [line for line in TRUNK.splitlines() if not line.strip().startswith(("outbound", "host:", "fail", "dest"))]
    with pytest.raises(ConfigError, match="probe: requires outbound"):
        load_settings("s.yaml", "\n".join(lines).replace("FOLDER", str(tmp_path)))


def test_calls_and_registrations_go_through_an_outbound_proxy(tmp_path: Path):
    proxied = TRUNK.replace("fail_over: [{host: 192.0.2.7, port: 5080, transport: udp}]", "proxy: {host: PROXY}")
    proxied = proxied.replace("FOLDER", str(tmp_path))
    (tmp_path / "password").write_text("zanzibar")
    settings = load_settings("s.yaml", proxied.replace("PROXY", "proxy.example, port: 5080, transport: udp"))
    (trunk,) = edge_settings(settings).trunks
    assert trunk.hosts == (Target("proxy.example", 5080, "udp"),)
    assert trunk.route == "<sip:proxy.example:5080;lr>"
    assert trunk.register is not None
    assert (trunk.register.uri, trunk.register.target) == ("sip:carrier.example", trunk.hosts[0])
    both = TRUNK.replace("destinations:", "proxy: {host: proxy.example}\n        destinations:")
    with pytest.raises(ConfigError, match=r"outbound\.fail_over: means nothing with a proxy"):
        load_settings("s.yaml", both.replace("FOLDER", str(tmp_path)))
    twice = proxied.replace("PROXY", "proxy.example").replace("expiry_s: 600", "registrar: {host: 192.0.2.9}")
    with pytest.raises(ConfigError, match=r"registrar: means nothing with outbound\.proxy"):
        load_settings("s.yaml", twice)
