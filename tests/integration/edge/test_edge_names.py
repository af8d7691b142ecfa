"""Names of hosts against a small name service of our own, over real sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from test_edge_tls_sockets import carrier

from telephony.edge import Edge, EdgeSettings, Refuse, Trunk, TrunkTls
from telephony.edge.fakes import FakeAdmitter
from telephony.edge.names import DnsService, Names, follow
from telephony.sip.name_cache import NameCache
from telephony.sip.probing import ProbePolicy
from telephony.sip.resolving import Answer, Place, Question, Target
from tests.certificates import Authority

ZONE = """
carrier.test. 60 IN NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.carrier.test.
carrier.test. 60 IN NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.carrier.test.
_sip._tcp.carrier.test. 60 IN SRV 10 5 5062 b.carrier.test.
_sip._udp.carrier.test. 60 IN SRV 10 5 5060 a.carrier.test.
a.carrier.test. 30 IN A 192.0.2.1
b.carrier.test. 30 IN A 192.0.2.2
b.carrier.test. 30 IN A 192.0.2.3
alias.test. 30 IN CNAME a.carrier.test.
secure.test. 60 IN NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.secure.test.
secure.test. 60 IN NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.secure.test.
_sip._udp.secure.test. 60 IN SRV 10 5 5060 edge1.secure.test.
edge1.secure.test. 30 IN A 127.0.0.1
"""
SOA = dns.rrset.from_text("test.", 120, "IN", "SOA", "ns.test. admin.test. 1 60 60 60 45")


class NameServer(asyncio.DatagramProtocol):
    """Answers out of `zone`. `silent`: not at all; `broken`: SERVFAIL."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], dns.rrset.RRset] = {}
        self.asked: Counter[str] = Counter()
        self.silent = self.broken = False
        for line in ZONE.strip().splitlines():
            name, ttl, _, kind, *rest = line.split(maxsplit=4)
            found = self.zone.setdefault(
                (name, kind), dns.rrset.RRset(dns.name.from_text(name), 1, dns.rdatatype.from_text(kind))
            )
            found.update(dns.rrset.from_text(name, int(ttl), "IN", kind, *rest))
            found.ttl = int(ttl)

    def offer_tls(self, port: int) -> None:
        """Of secure.test, at that port."""
        text = f"10 5 {port} edge1.secure.test."
        self.zone["_sips._tcp.secure.test.", "SRV"] = dns.rrset.from_text(
            "_sips._tcp.secure.test.", 60, "IN", "SRV", text
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[f"{kind} {name}"] += 1
        if self.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif (alias := self.zone.get((name, "CNAME"))) is not None:
            answer.answer += [alias, self.zone[alias[0].target.to_text(), kind]]
        elif (found := self.zone.get((name, kind))) is not None:
            answer.answer.append(found)
        else:
            answer.authority.append(SOA)
            if not any(other == name for other, _ in self.zone):
                answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[NameServer, DnsService]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server, DnsService([transport.get_extra_info("sockname")])
    finally:
        transport.close()


def ips(places: Sequence[Place]) -> list[str]:
    return [f"{place.transport}:{place.ip}:{place.port}" for place in places]


async def test_a_domain_leads_to_its_hosts_in_the_order_that_it_prefers() -> None:
    async with name_server() as (server, service):
        names = Names(service, ("udp", "tcp"), lambda: 0.0)
        resolved = await names.places(Target("carrier.test"))
        assert sorted(ips(resolved.places)[:2]) == ["tcp:192.0.2.2:5062", "tcp:192.0.2.3:5062"]
        assert ips(resolved.places)[2:] == ["udp:192.0.2.1:5060"]
        assert 29 < resolved.ttl_s <= 30
        await names.places(Target("carrier.test"))
        assert set(server.asked.values()) == {1}  # the second time out of the cache


async def test_an_alias_is_followed() -> None:
    async with name_server() as (_, service):
        resolved = await Names(service, ("udp",), lambda: 0.0).places(Target("alias.test", 5070))
        assert ips(resolved.places) == ["udp:192.0.2.1:5070"]


async def test_that_there_is_none_is_an_answer_and_holds_as_long_as_its_zone_says() -> None:
    async with name_server() as (server, service):
        assert await service.ask(Question("A", "none.test")) == Answer((), 45.0)
        assert await service.ask(Question("SRV", "a.carrier.test")) == Answer((), 45.0)
        names = Names(service, ("udp",), lambda: 0.0)
        for _ in range(3):
            assert (await names.places(Target("none.test", 5060))).places == ()
        assert server.asked["A none.test."] == 2


async def test_a_name_service_that_fails_leaves_what_was_known() -> None:
    async with name_server() as (server, service):
        names = Names(service, ("udp",), lambda: 0.0, NameCache(longest_s=0.01))
        assert ips((await names.places(Target("a.carrier.test", 5060))).places) == ["udp:192.0.2.1:5060"]
        server.broken = True
        await asyncio.sleep(0.02)
        resolved = await names.places(Target("a.carrier.test", 5060))
        assert (ips(resolved.places), resolved.failed) == (["udp:192.0.2.1:5060"], True)


async def test_no_name_service_at_all_is_a_failure_and_not_an_error() -> None:
    service = DnsService([("127.0.0.1", 9)])
    assert (await service.ask(Question("A", "a.carrier.test"))).failed


async def test_several_hosts_of_a_trunk_are_told_in_their_order() -> None:
    async with name_server() as (_, service):
        found: list[list[str]] = []
        names = Names(service, ("udp",), lambda: 0.0)
        targets = [Target("192.0.2.77"), Target("a.carrier.test", 5099)]
        task = asyncio.create_task(follow(names, targets, lambda places: found.append(ips(places))))
        async with asyncio.timeout(3):
            while not found:
                await asyncio.sleep(0.01)
        task.cancel()
        assert found == [["udp:192.0.2.77:5060", "udp:192.0.2.1:5099"]]
        await follow(names, [Target("192.0.2.77")], lambda places: found.append(ips(places)))  # a literal: at once
        assert found[1] == ["udp:192.0.2.77:5060"]


async def test_the_edge_knows_the_places_of_its_trunks() -> None:
    async with name_server() as (_, service):
        trunk = Trunk("carrier", (), hosts=(Target("carrier.test"),))
        edge = Edge(EdgeSettings(("udp://127.0.0.1:0",), (trunk,)), FakeAdmitter(Refuse(500, "")), names=service)
        await edge.start()
        try:
            async with asyncio.timeout(3):
                while not edge.trunk_places("carrier"):
                    await asyncio.sleep(0.01)
            assert ips(edge.trunk_places("carrier")) == ["udp:192.0.2.1:5060"]  # TCP it does not do
            assert edge.trunk_places("another") == ()
        finally:
            await edge.close()


@pytest.mark.parametrize(("issued", "state"), [("secure.test", "up"), ("edge1.secure.test", "down")])
@pytest.mark.parametrize("target", [Target("secure.test"), Target("secure.test", transport="tls")])
async def test_a_domain_that_prefers_tls_must_have_its_own_name_in_the_certificate(
    tmp_path: Path, issued: str, state: str, target: Target
) -> None:
    """Not that of its host, which only the name service says (RFC 5922 section 4); and UDP is no way out."""
    authority = Authority(tmp_path)
    ours, tls = authority.issue("127.0.0.1").server(), TrunkTls(authority.ca)
    probe = ProbePolicy(every_s=0.2, answer_s=1.0, down_after=1)
    trunk = Trunk("carrier", ("127.0.0.0/8",), hosts=(target,), probe=probe, tls=tls)
    async with name_server() as (server, service), carrier(authority.issue(issued)) as (port, heard):
        server.offer_tls(port)
        settings = EdgeSettings(("udp://127.0.0.1:0", "tls://127.0.0.1:0"), (trunk,), tls=ours)
        edge = Edge(settings, FakeAdmitter(Refuse(500, "")), names=service)
        await edge.start()
        try:
            async with asyncio.timeout(5):
                while not (places := edge.trunks[0].places) or places[0].probe.reachability.value == "unknown":  # type: ignore[union-attr]
                    await asyncio.sleep(0.02)
            assert [f"{each.place.transport}:{each.place.port}" for each in places] == [f"tls:{port}"]
            assert places[0].probe is not None and places[0].probe.reachability.value == state
            assert bool(heard) == (state == "up")
            if state == "down":
                assert (
                    "Hostname mismatch, certificate is not valid for 'secure.test'"
                    in edge.trunks[0].tls_failures[0].why
                )
        finally:
            await edge.close()
