"""What of the settings, and of this machine, the edge is told."""

from __future__ import annotations

from ipaddress import ip_address

from gateway.config import load_settings
from gateway.edge_settings import edge_settings

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
