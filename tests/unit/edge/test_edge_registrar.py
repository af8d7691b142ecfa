"""Phones register with the edge: passwords, bindings, guesses, and phones that are gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_phones import DESK, Device, options, phone_world, told
from edge_world import World, make_world, values

from telephony.edge.hops import ConnectionTaken, Hop, InviteRefused
from telephony.sip.bindings import Binding, Flow
from telephony.sip.resolving import Place

TCP = Hop("tcp", "10.20.1.2", 40000, 1, connection=7)


@pytest.fixture
def world() -> World:
    return phone_world()


@pytest.fixture
def anna(world: World) -> Device:
    return Device(world)


def uris(world: World, name: str = "anna") -> list[str]:
    return [binding.uri for binding in world.core.phones.reachable(name, world.now)]


def test_a_phone_registers_with_its_password_and_is_found_where_it_came_from(world: World, anna: Device) -> None:
    challenge = anna.send("REGISTER", f"Contact: <{anna.uri}>")
    assert challenge is not None and challenge.status == 401
    assert [value.split("algorithm=")[1].split(",")[0] for value in values(challenge, "www-authenticate")] == [
        "MD5",
        "SHA-256",
    ]
    answer = anna.register(expires=120)
    assert (answer.status, values(answer, "contact")) == (200, [f"<{anna.uri}>;expires=120"])
    (binding,) = world.core.phones.reachable("anna", world.now)
    assert binding.flow == Flow(Place("udp", DESK.ip, DESK.port), 0, 0)
    assert told(world) == [("anna", True, "registered")]
    assert not world.workers  # PJSIP never sees it


def test_a_phone_that_fails_at_sha_256_is_asked_by_md5_alone(world: World, anna: Device) -> None:
    challenge = anna.send("REGISTER", f"Contact: <{anna.uri}>", "User-Agent: baresip v1.0.0 (x86_64/linux)")
    assert challenge is not None
    assert ["algorithm=MD5" in value for value in values(challenge, "www-authenticate")] == [True]


def test_a_repeated_register_gets_the_same_answer(world: World, anna: Device) -> None:
    first = anna.register()
    assert told(world) == [("anna", True, "registered")]
    again = anna.again()
    assert again is not None and (again.status, again.headers.get("contact")) == (200, first.headers.get("contact"))
    assert told(world) == []


def test_it_refreshes_asks_and_unregisters(world: World, anna: Device) -> None:
    anna.register()
    assert anna.register().status == 200
    answer = anna.ask("REGISTER")
    assert answer is not None and len(values(answer, "contact")) == 1
    anna.register(expires=0)
    assert uris(world) == []
    assert told(world) == [("anna", True, "registered"), ("anna", True, "refreshed"), ("anna", False, "unregistered")]


def test_bounds_and_mistakes_have_their_answers(world: World, anna: Device) -> None:
    too_brief = anna.register(expires=20)
    assert (too_brief.status, values(too_brief, "min-expires")) == (423, ["60"])
    assert anna.register("Contact: *").status == 400
    assert values(anna.register(expires=99999), "contact") == [f"<{anna.uri}>;expires=600"]
    unknown = anna.register(f"Contact: <{anna.uri}>", "Require: gruu")
    assert (unknown.status, values(unknown, "unsupported")) == (420, ["gruu"])


@pytest.mark.parametrize("how", [{"password": "wrong"}, {"name": "nobody"}, {"user": "bob", "password": "secret-b"}])
def test_a_wrong_password_an_unknown_name_and_another_user_are_one_answer(world: World, how: dict[str, str]) -> None:
    answer = Device(world, **how).register()
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert uris(world) == uris(world, "nobody") == []


def test_where_a_phone_may_register_from(world: World) -> None:
    elsewhere = Hop("udp", "203.0.113.5", 40000, 0)
    assert Device(world, hop=elsewhere).register().status == 403
    open_world = phone_world(anywhere=True)
    assert Device(open_world, hop=elsewhere).register().status == 200
    bob = Device(open_world, "bob", "secret-b", elsewhere)
    assert bob.register().status == 403  # his own networks


def test_who_is_registered_is_no_stranger_any_more(world: World) -> None:
    world = phone_world(anywhere=True)
    elsewhere = Hop("udp", "203.0.113.5", 40000, 0)
    assert world.context.trunk_of(elsewhere) is None
    device = Device(world, hop=elsewhere)
    device.register()
    assert world.context.trunk_of(elsewhere) == "phones"
    device.register(expires=0)
    assert world.context.trunk_of(elsewhere) is None


def test_who_guesses_is_not_listened_to_for_a_while(world: World, anna: Device) -> None:
    for _ in range(5):
        assert Device(world, password="wrong").register().reason == "Forbidden"
    banned = Device(world).register()  # even with the right one, or a guesser would learn that it is right
    assert (banned.status, banned.reason, values(banned, "retry-after")) == (403, "Too many wrong passwords", ["61"])
    assert world.core.phones.bans(world.now) == 1
    assert Device(world, hop=replace(DESK, ip="10.20.1.9")).register().status == 200  # from another address
    assert Device(world, "bob", "secret-b").register().status == 200  # others at this one
    world.now += 61
    assert Device(world).register().status == 200


def test_an_address_that_guesses_for_many_names_is_refused_as_a_whole_but_not_who_is_registered_there(
    world: World, anna: Device
) -> None:
    anna.register()
    for n in range(20):
        Device(world, f"guess{n}").register()
    assert Device(world, "bob", "secret-b").register().status == 403
    assert anna.register().status == 200


def test_a_challenge_is_good_for_the_address_that_got_it_only(world: World, anna: Device) -> None:
    challenge = anna.send("REGISTER", f"Contact: <{anna.uri}>")
    assert challenge is not None and anna.digest.challenged(401, values(challenge, "www-authenticate"))
    anna.hop = replace(DESK, ip="10.20.1.9")
    moved = anna.send("REGISTER", f"Contact: <{anna.uri}>")
    assert moved is not None and moved.status == 401
    assert all("stale=true" in value for value in values(moved, "www-authenticate"))
    assert world.core.phones.bans(world.now) == 0


def test_two_devices_by_preference(world: World, anna: Device) -> None:
    anna.register(f"Contact: <{anna.uri}>;q=0.5")
    other = Device(world, hop=replace(DESK, port=40002), uri="sip:anna@192.168.7.3")
    assert len(values(other.register(f"Contact: <{other.uri}>;q=0.9"), "contact")) == 2
    assert uris(world) == [other.uri, anna.uri]


def test_a_registration_expires(world: World, anna: Device) -> None:
    anna.register(expires=60)
    told(world)
    world.tick(59)
    assert told(world)[:1] != [("anna", False, "expired")]
    world.tick(2)
    assert ("anna", False, "expired") in told(world)


def test_a_phone_that_does_not_answer_options_is_not_called_until_it_does(world: World, anna: Device) -> None:
    anna.register()
    told(world)
    world.public.clear()
    world.tick(31)
    asked = options(world)
    assert asked and asked[0].uri_text == anna.uri  # its Contact; sent to where it registered from
    world.tick(10)
    assert told(world) == [("anna", False, "no answer")]
    assert uris(world) == []
    assert [each.reachable for each in world.core.phones.status(world.now)] == [False]
    world.public.clear()
    while not world.public:
        world.tick(0.1)
    assert world.public[0].hop == DESK
    world.caller(world.answer(options(world)[-1], 404), DESK)
    assert told(world) == [("anna", True, "answers again")]
    assert uris(world) == [anna.uri]


def test_another_cannot_answer_for_it(world: World, anna: Device) -> None:
    anna.register()
    world.public.clear()
    while not (asked := options(world)):
        world.tick(0.1)
    request = asked[0]
    world.caller(world.answer(request, 200), replace(DESK, ip="10.20.9.9"))
    assert world.context.counters.snapshot()["untrusted.response"] == 1


def test_a_registration_goes_with_its_connection(world: World) -> None:
    device = Device(world, hop=TCP)
    assert device.register().status == 200
    assert ConnectionTaken(7, "phones") in world.told
    told(world)
    assert world.context.phones is not None and world.context.phones.registered_over(7) == "anna"
    world.perform(world.core.connection_closed(7, world.now))
    assert told(world) == [("anna", False, "connection closed")]


def test_outbound_is_confirmed_over_a_connection(world: World) -> None:
    contact = f'Contact: <{DESK.ip}>;+sip.instance="<urn:uuid:1>";reg-id=1'.replace("<10", "<sip:anna@10")
    over_tcp = Device(world, hop=TCP).register(contact, "Supported: path, outbound")
    assert values(over_tcp, "require") == ["outbound"]
    over_udp = Device(world, uri="sip:anna@192.168.7.3").register(contact, "Supported: path, outbound")
    assert values(over_udp, "require") == []


def test_path_comes_back_and_leads_to_the_phone(world: World, anna: Device) -> None:
    answer = anna.register(f"Contact: <{anna.uri}>", "Path: <sip:proxy.example;lr>", "Supported: path")
    assert values(answer, "path") == ["<sip:proxy.example;lr>"]
    world.public.clear()
    world.tick(31)
    assert values(options(world)[0], "route") == ["<sip:proxy.example;lr>"]


def test_what_was_registered_is_restored_and_asked_at_once(world: World) -> None:
    place = Place("udp", DESK.ip, DESK.port)
    kept = Binding("anna", "sip:anna@192.168.7.2", Flow(place, 0, 9), world.now + 100, world.now - 10, "x", 3)
    lost = Binding("bob", "sip:bob@1", Flow(Place("tcp", "10.20.1.3", 4), 5, 1), world.now + 100, world.now, "y", 1)
    world.core.phones.restore([kept, lost], world.now)
    assert (uris(world), uris(world, "bob")) == (["sip:anna@192.168.7.2"], [])
    world.tick(2)
    assert world.public[0].hop == DESK


def test_without_phones_a_register_is_refused() -> None:
    answer = Device(make_world(), hop=Hop("udp", "10.1.2.3", 5060, 0)).send("REGISTER", "Contact: <sip:a@b>")
    assert answer is not None and answer.status == 405


# Calls from phones


def call(device: Device) -> int | None:
    """The status of the first answer that is no challenge."""
    answer = device.ask(
        "INVITE", f"Contact: <{device.uri}>", uri="sip:+15550199@192.0.2.1", to="sip:+15550199@192.0.2.1"
    )
    return None if answer is None else answer.status


def test_a_call_from_a_phone_needs_its_password_and_says_whose_it_is(world: World, anna: Device) -> None:
    anna.register()
    anna.digest = Device(world).digest  # knows no challenge
    first = anna.send("INVITE", uri="sip:+15550199@192.0.2.1", to="sip:+15550199@192.0.2.1")
    assert first is not None and first.status == 407
    assert call(anna) == 100
    (invite,) = world.admitter.invites
    assert (invite.trunk, invite.phone, invite.called) == ("phones", "anna", "+15550199")
    assert not [each for each in world.told if isinstance(each, InviteRefused)]


def test_a_wrong_password_is_refused_with_a_record(world: World, anna: Device) -> None:
    anna.register()
    assert call(Device(world, password="wrong")) == 403
    (refused,) = [each.invite for each in world.told if isinstance(each, InviteRefused)]
    assert (refused.rule, refused.info.phone) == ("digest", "anna")


def test_over_its_own_connection_a_phone_is_not_asked_again(world: World) -> None:
    device = Device(world, hop=TCP)
    device.register()
    device.digest = Device(world).digest  # knows no challenge
    answer = device.send("INVITE", uri="sip:+15550199@192.0.2.1", to="sip:+15550199@192.0.2.1")
    assert answer is not None and answer.status == 100
    device.name = "bob"  # somebody else over this connection is
    other = device.send("INVITE", uri="sip:+15550199@192.0.2.1", to="sip:+15550199@192.0.2.1")
    assert other is not None and other.status == 407


def test_a_trunks_caller_at_a_phones_address_is_the_trunks(world: World) -> None:
    world = phone_world()
    trunk = Hop("udp", "10.1.2.3", 5060, 0)
    device = Device(world, "anna", hop=trunk)
    assert call(device) == 100
    assert [(each.trunk, each.phone) for each in world.admitter.invites] == [("carrier", "")]


def test_who_is_no_phone_cannot_call_from_where_phones_are(world: World) -> None:
    assert call(Device(world, "mallory")) == 403
    assert world.admitter.invites == []
