"""The edge's own dealings with a trunk: REGISTER and OPTIONS on virtual time, and callers with passwords."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from edge_world import PUBLIC, WORKER, WORKER_PORT, World, call_request, first_request, make_world, statuses

from telephony.edge.context import EdgeContext, PublicSocket
from telephony.edge.core import EdgeCore
from telephony.edge.counters import EdgeCounters
from telephony.edge.fakes import FakeAdmitter
from telephony.edge.hops import Hop, InviteRefused, TrunkChanged
from telephony.edge.protocol import Forward
from telephony.edge.settings import EdgeSettings, Registrar, Trunk
from telephony.errors import TelephonyMisuse
from telephony.sip.digest import Credentials, DigestClient, read_parameters
from telephony.sip.parse import Request
from telephony.sip.probing import ProbePolicy, Reachability
from telephony.sip.registration import RegistrationPolicy, RegistrationState
from telephony.sip.resolving import Place, Target

ONE, TWO = Place("udp", "10.9.9.1", 5060, "carrier.example"), Place("udp", "10.9.9.2", 5070, "carrier.example")
REGISTER = Registrar("sip:bob@carrier.example", Target("carrier.example"), RegistrationPolicy(expiry_s=600))
ASKS = 'WWW-Authenticate: Digest realm="carrier", nonce="n1", qop="auth", algorithm=SHA-256'


@dataclass
class Trunks:
    """A world whose trunk has no networks at all: only its hosts."""

    world: World
    told: list[str] = field(default_factory=list)

    @property
    def side(self) -> Any:
        return self.world.core.trunks

    @property
    def status(self) -> Any:
        (status,) = self.side.status()
        return status

    def sent(self) -> list[tuple[str, Request]]:
        hops = [action.hop for action in self.world.public]
        found = list(zip(hops, self.world.to_public(), strict=True))
        return [(f"{hop.ip}:{hop.port}", message) for hop, message in found if isinstance(message, Request)]

    def one(self, method: str = "REGISTER") -> tuple[str, Request]:
        ((where, request),) = self.sent()
        assert request.method == method
        return where, request

    def answer(self, request: Request, status: int, *more: str, place: Place = ONE) -> None:
        data = self.world.answer(request, status, to_tag="r", more=more)
        data = data.replace(b"Contact: <sip:bob@127.0.0.1:40001>\r\n", b"")
        self.world.caller(data, Hop("udp", place.ip, place.port, 0))


def trunks(**settings: Any) -> Trunks:
    trunk = Trunk("carrier", (), hosts=(Target("carrier.example"),), **settings)
    edge = EdgeSettings((f"udp://{PUBLIC}:5060",), (trunk,))
    context = EdgeContext(
        edge, FakeAdmitter(Forward(WORKER, "c1")), EdgeCounters(), [PublicSocket("udp", (PUBLIC, 5060), PUBLIC)],
        WORKER_PORT, b"k" * 32,
    )  # fmt: skip
    core = EdgeCore(context, lambda: 0.0)
    core.add_worker(WORKER)
    return Trunks(World(core, context, FakeAdmitter(Forward(WORKER, "c1"))))


def registering(**more: Any) -> Trunks:
    here = trunks(register=REGISTER, account=Credentials("bob", "zanzibar"), **more)
    here.side.set_places("carrier", (ONE, TWO), here.world.now)
    here.world.perform(here.side.set_registrar("carrier", (ONE, TWO), here.world.now))
    return here


def registered(here: Trunks, expires: int = 600) -> None:
    _, request = here.one()
    here.answer(request, 401, ASKS)
    _, again = here.one()
    here.answer(again, 200, f"Contact: {again.value('contact')};expires={expires}")


def test_it_registers_answers_the_challenge_and_refreshes() -> None:
    here = registering()
    where, request = here.one()
    assert where == "10.9.9.1:5060"
    assert (request.uri_text, request.value("expires")) == ("sip:carrier.example", "600")
    assert request.value("contact") == f"<sip:bob@{PUBLIC}:5060>"
    assert request.recipient.uri == request.sender.uri == "sip:bob@carrier.example"
    here.answer(request, 401, ASKS)
    where, again = here.one()
    assert where == "10.9.9.1:5060"
    assert (again.call_id, again.cseq) == (request.call_id, request.cseq + 1)
    assert again.via.branch != request.via.branch
    assert read_parameters(again.value("authorization"))["uri"] == "sip:carrier.example"
    here.answer(again, 200, f"Contact: <sip:x@10.0.0.1>;expires=9, {again.value('contact')};expires=120")
    status = here.status.registration
    assert (status.state, status.registered_until) == (RegistrationState.REGISTERED, here.world.now + 120)
    assert here.world.told == [TrunkChanged("carrier", "registered", "registered")]
    here.world.tick(89)
    assert not here.sent()
    here.world.tick(1.2)
    _, refresh = here.one()
    assert read_parameters(refresh.value("authorization"))["nc"] == "00000002"


def test_it_registers_through_an_outbound_proxy() -> None:
    here = registering(route="<sip:proxy.example;lr>")
    _, request = here.one()
    assert (request.uri_text, request.value("route")) == ("sip:carrier.example", "<sip:proxy.example;lr>")


def test_a_registrar_that_is_silent_gives_way_to_the_next_and_comes_last_then() -> None:
    here = registering()
    here.world.tick(8.2)
    where, request = here.sent()[-1]
    assert where == "10.9.9.2:5070"
    assert here.side.places("carrier", here.world.now) == (TWO, ONE)
    here.answer(request, 200, "Expires: 600", place=TWO)
    assert here.status.registrar == TWO
    here.world.tick(450.2)
    where, _ = here.one()
    assert where == "10.9.9.2:5070"  # where it went well


def test_when_all_are_silent_it_waits_and_begins_anew() -> None:
    here = registering()
    here.world.tick(40.5)
    assert here.status.registration.state is RegistrationState.WAITING
    assert "does not answer" in here.status.registration.reason
    here.sent()
    here.world.tick(5.1)
    assert here.sent()[0][0] == "10.9.9.1:5060"


def test_a_wrong_password_is_not_hammered() -> None:
    here = registering()
    here.answer(here.one()[1], 401, ASKS)
    here.answer(here.one()[1], 401, ASKS.replace("n1", "n2"))
    here.world.tick(59)
    assert not here.sent()
    here.world.tick(1.2)
    assert len(here.sent()) == 1
    assert "credentials were refused" in here.status.registration.reason


def test_it_deregisters_at_the_end() -> None:
    here = registering()
    registered(here)
    here.world.perform(here.side.stop(here.world.now))
    _, request = here.one()
    assert request.value("expires") == "0"
    assert here.side.ending
    here.answer(request, 200)
    assert not here.side.ending
    assert here.status.registration.registered_until == 0


def test_an_answer_that_crosses_the_end_does_not_end_it() -> None:
    here = registering()
    _, first = here.one()
    here.world.perform(here.side.stop(here.world.now))
    _, last = here.one()
    here.answer(first, 200, "Expires: 600")
    assert here.side.ending
    here.answer(last, 200)
    assert not here.side.ending
    assert here.world.context.counters.snapshot().get("internal_errors", 0) == 0


def test_a_name_that_stands_for_nothing_is_a_failed_try() -> None:
    here = trunks(register=REGISTER)
    here.world.perform(here.side.set_registrar("carrier", (), here.world.now))
    assert not here.sent()
    assert here.status.registration.reason == "no address of the registrar is known"


def test_answers_of_others_and_old_ones_count_for_nothing() -> None:
    here = registering()
    _, request = here.one()
    here.answer(request, 200, "Expires: 600", place=Place("udp", "203.0.113.9", 5060))
    assert here.status.registration.state is RegistrationState.REGISTERING
    here.answer(request, 401, ASKS)
    here.sent()
    here.answer(request, 200, "Expires: 600")  # of the REGISTER before
    assert here.status.registration.state is RegistrationState.REGISTERING


def test_probes_say_who_is_up_and_how_fast_and_the_down_come_last() -> None:
    here = trunks(probe=ProbePolicy(every_s=30, retry_s=5, down_after=2))
    here.side.set_places("carrier", (ONE, TWO), here.world.now)
    here.world.tick(0.1)
    asked = here.sent()
    assert [(where, request.method) for where, request in asked] == [
        ("10.9.9.1:5060", "OPTIONS"),
        ("10.9.9.2:5070", "OPTIONS"),
    ]
    assert asked[0][1].uri_text == "sip:carrier.example"
    here.world.now += 0.025
    here.answer(asked[1][1], 200, place=TWO)
    probed = {place.place: place.probe for place in here.status.places}
    assert (probed[TWO].reachability, round(probed[TWO].round_trip_ms)) == (Reachability.UP, 25)
    assert probed[ONE].reachability is Reachability.UNKNOWN
    assert here.side.places("carrier", here.world.now) == (ONE, TWO)
    for _ in range(20):
        here.world.tick(1)
        for where, request in here.sent():
            if where == "10.9.9.2:5070":
                here.answer(request, 200, place=TWO)
    told = [told.text for told in here.world.told if isinstance(told, TrunkChanged)]
    assert told == ["host 10.9.9.2:5070 is up", "host 10.9.9.1:5060 is down"]
    assert here.side.places("carrier", here.world.now) == (TWO, ONE)


def test_a_trunks_hosts_belong_to_it() -> None:
    here = trunks()
    call = call_request(via="SIP/2.0/UDP 10.9.9.1:5060;rport")
    here.world.caller(call, Hop("udp", "10.9.9.1", 5060, 0))
    assert statuses(here.world) == [403]
    here.side.set_places("carrier", (ONE,), here.world.now)
    again = call_request(call="call-2", branch="z9hG4bKb", via="SIP/2.0/UDP 10.9.9.1:5060;rport", body=b"")
    here.world.caller(again, Hop("udp", "10.9.9.1", 5060, 0))
    assert statuses(here.world) == [100]
    here.side.set_places("carrier", (TWO,), here.world.now)  # the name stands for another address now
    third = call_request(call="call-3", branch="z9hG4bKc", via="SIP/2.0/UDP 10.9.9.1:5060;rport")
    here.world.caller(third, Hop("udp", "10.9.9.1", 5060, 0))
    assert statuses(here.world) == [403]


def test_what_cannot_be_reached_or_is_ours_is_no_place() -> None:
    here = trunks()
    places = (Place("tls", "10.9.9.1", 5061), Place("udp", PUBLIC, 5060), ONE)
    here.side.set_places("carrier", places, here.world.now)
    assert here.side.places("carrier", here.world.now) == (ONE,)
    assert here.side.places("unknown", here.world.now) == ()


# Callers with passwords

URI = "sip:+15550199@192.0.2.1:5060"


@pytest.fixture
def guarded() -> World:
    return make_world(trunk={"callers": {"alice": "secret"}, "realm": "gw.example"})


def challenges(world: World) -> list[str]:
    (answer,) = world.to_public()
    assert answer.status == 401  # type: ignore[union-attr]
    return list(answer.headers.get("www-authenticate"))


def with_password(values: list[str], password: str = "secret", user: str = "alice", uri: str = URI) -> str:
    client = DigestClient(Credentials(user, password), lambda: "cnonce")
    assert client.challenged(401, values)
    name, value = client.answers("INVITE", uri)[0]
    return f"{name}: {value}"


def test_a_caller_is_asked_for_a_password_and_let_in_with_it(guarded: World) -> None:
    guarded.caller(call_request())
    values = challenges(guarded)
    assert [read_parameters(value)["algorithm"] for value in values] == ["SHA-256", "MD5"]
    assert not guarded.workers and not guarded.told  # no record of a first challenge
    guarded.caller(call_request("ACK", to_tag="x", body=b""))
    guarded.caller(call_request(cseq=2, branch="z9hG4bKb", more=(with_password(values),)))
    assert statuses(guarded) == [100]
    assert first_request(guarded.to_worker()).method == "INVITE"


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("eve", "secret")])
def test_a_wrong_password_is_refused_and_told(guarded: World, user: str, password: str) -> None:
    guarded.caller(call_request())
    values = challenges(guarded)
    guarded.caller(call_request(cseq=2, branch="z9hG4bKb", more=(with_password(values, password, user),)))
    assert statuses(guarded) == [403]
    (refused,) = [told for told in guarded.told if isinstance(told, InviteRefused)]
    assert (refused.invite.rule, refused.invite.cause_text) == ("digest", "digest: wrong user or password")
    assert not guarded.workers


def test_a_recorded_answer_is_asked_for_anew(guarded: World) -> None:
    guarded.caller(call_request())
    line = with_password(challenges(guarded))
    guarded.caller(call_request(cseq=2, branch="z9hG4bKb", more=(line,)))
    guarded.to_public()
    guarded.caller(call_request(call="call-2", branch="z9hG4bKc", more=(line,)))
    assert all(read_parameters(value)["stale"] == "true" for value in challenges(guarded))


def test_a_repeated_invite_gets_the_same_challenge(guarded: World) -> None:
    guarded.caller(call_request())
    first = challenges(guarded)
    guarded.caller(call_request())
    assert challenges(guarded) == first


def test_challenges_need_a_realm_and_users() -> None:
    for wrong in ({"callers": {}, "realm": "x"}, {"callers": {"a": "b"}}):
        with pytest.raises(TelephonyMisuse):
            Trunk("carrier", ("10.0.0.0/8",), **wrong)  # type: ignore[arg-type]


def test_a_trunk_is_well_while_it_is_registered_and_one_of_its_hosts_has_not_failed() -> None:
    here = registering()
    assert not here.side.is_well("carrier", here.world.now)
    registered(here)
    assert here.side.is_well("carrier", here.world.now)
    here.world.context.failed_places.failed(ONE, here.world.now)
    assert here.side.is_well("carrier", here.world.now)
    here.world.context.failed_places.failed(TWO, here.world.now)
    assert not here.side.is_well("carrier", here.world.now)
    assert here.side.is_well("carrier", here.world.now + 31)
    assert not here.side.is_well("nobody", here.world.now)
    plain = trunks()
    assert not plain.side.is_well("carrier", plain.world.now), "its name is not known yet"
    plain.side.set_places("carrier", (ONE,), plain.world.now)
    assert plain.side.is_well("carrier", plain.world.now)
