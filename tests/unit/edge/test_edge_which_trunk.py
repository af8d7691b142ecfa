"""Two trunks at one address: told apart by called number, domain, registered user or digest user."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_world import CALLER, World, call_request, first_request, make_world, statuses

from telephony.edge.context import EdgeContext
from telephony.edge.core import EdgeCore
from telephony.edge.counters import EdgeCounters
from telephony.edge.edge import TrunkTable
from telephony.edge.hops import Hop
from telephony.edge.settings import Registrar, Trunk
from telephony.edge.which_trunk import which_trunk
from telephony.sip.digest import Credentials, DigestClient
from telephony.sip.parse import Request, parse
from telephony.sip.resolving import Target

NETS = ("10.0.0.0/8",)


def invite(called: str = "+15550199", host: str = "192.0.2.1", *more: str) -> Request:
    message = parse(call_request(uri=f"sip:{called}@{host}:5060", more=more))
    assert isinstance(message, Request)
    return message


def name(request: Request, *trunks: Trunk) -> str | None:
    found = which_trunk(request, trunks)
    return None if found is None else found.name


def world_of(*trunks: Trunk) -> World:
    made = make_world()
    context = made.context
    settings = replace(context.settings, trunks=trunks)
    new = EdgeContext(settings, made.admitter, EdgeCounters(), context.sockets, context.worker_port, b"k" * 32)
    core = EdgeCore(new)
    core.add_worker(next(iter(context.workers.values())))
    return World(core, new, made.admitter)


@pytest.mark.parametrize(
    ("called", "trunk"),
    [
        ("+15550199", "east"),
        ("15550199", "east"),  # the plus is the trunk's business
        ("+15550200", "west"),
        ("+15550299", "one number"),
        ("+442071838750", "rest"),
    ],
)
def test_by_called_number(called: str, trunk: str) -> None:
    trunks = (
        Trunk("rest", NETS),
        Trunk("east", NETS, numbers=("+155501",)),
        Trunk("west", NETS, numbers=("+155502",)),
        Trunk("one number", NETS, numbers=("+15550299",)),
    )
    assert name(invite(called), *trunks) == trunk


def test_by_the_number_in_to_where_the_trunk_says_so() -> None:
    by_to = Trunk("pbx", NETS, called_from="to", numbers=("+15550199",))
    assert name(invite("s"), by_to) == "pbx"
    assert name(invite("s"), replace(by_to, numbers=("+15550200",))) is None


def test_by_domain_and_by_the_user_that_we_registered() -> None:
    first, second = (
        Trunk("a", NETS, domains=frozenset({"a.example"})),
        Trunk("b", NETS, domains=frozenset({"b.example"})),
    )
    assert name(invite(host="B.example"), first, second) == "b"
    assert name(invite(host="c.example"), first, second) is None
    registered = Trunk("c", NETS, register=Registrar("sip:line7@carrier.example", Target("carrier.example")))
    assert name(invite("line7"), Trunk("other", NETS), registered) == "c"


def test_a_number_of_neither_is_refused_with_its_rule() -> None:
    world = world_of(Trunk("a", NETS, numbers=("+1555",)))
    world.caller(call_request(uri="sip:+442071838750@192.0.2.1:5060"))
    assert statuses(world) == [403]
    assert world.context.counters.snapshot()["refused.acl"] == 1


def test_by_digest_user_and_each_has_passwords_of_its_own() -> None:
    trunks = (
        Trunk("a", NETS, callers={"alice": "one"}, realm="gw"), Trunk("b", NETS, callers={"bob": "two"}, realm="gw"),
    )  # fmt: skip

    def call(user: str, password: str) -> tuple[int, str | None]:
        world = world_of(*trunks)
        world.caller(call_request())
        (challenged,) = world.to_public()
        client = DigestClient(Credentials(user, password), lambda: "token")
        assert client.challenged(401, challenged.headers.get("www-authenticate"))
        ((header, value),) = client.answers("INVITE", "sip:+15550199@192.0.2.1:5060")
        world.caller(call_request(branch="z9hG4bKb", cseq=2, more=(f"{header}: {value}",)))
        status = statuses(world)[-1]
        return status, world.admitter.invites[0].trunk if world.admitter.invites else None

    assert call("alice", "one") == (100, "a")
    assert call("bob", "two") == (100, "b")
    assert call("bob", "one") == (403, None)
    assert call("carol", "two") == (403, None)


def test_what_belongs_to_the_call_is_the_second_trunks_too() -> None:
    world = world_of(Trunk("a", NETS, numbers=("+1666",)), Trunk("b", NETS, numbers=("+1555",)))
    world.caller(call_request())
    first_request(world.to_worker())
    dialog = world.context.dialogs.of_leg("c1")
    assert dialog is not None and dialog.trunk == "b"
    assert world.context.trust.may_speak(dialog, Hop("udp", "10.7.7.7", 5060, 0))
    assert not world.context.trust.may_speak(dialog, Hop("udp", "192.0.2.99", 5060, 0))


def test_the_table_knows_all_trunks_of_an_address_and_of_a_host() -> None:
    table = TrunkTable([Trunk("a", NETS), Trunk("b", ("10.1.2.0/24",)), Trunk("c", ("192.0.2.0/24",))])
    assert table.trunks_of(CALLER.ip) == ("a", "b")
    table.set_hosts("c", [CALLER.ip])
    assert table.trunks_of(CALLER.ip) == ("a", "b", "c")
    table.set_hosts("c", [])
    assert (table.trunks_of(CALLER.ip), table.trunk_of(CALLER.ip), table.trunks_of("203.0.113.1")) == (
        ("a", "b"), "a", (),
    )  # fmt: skip
