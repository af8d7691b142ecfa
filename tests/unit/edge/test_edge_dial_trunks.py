"""A worker's call over several trunks: the next one has its own address, account and names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_world import SDP, World, make_world
from test_edge_dial_attempts import next_invite, said, sent
from test_edge_dialing import CALLEE, DIAL, dialled, to_worker, worker_invite

from telephony.edge.hops import DialAttempted, Hop, NotConnected
from telephony.edge.protocol import FAIL_OVER_ON, Dial
from telephony.errors import TelephonyMisuse
from telephony.sip.digest import Credentials
from telephony.sip.parse import Request

BACKUP = Hop("udp", "10.8.8.8", 5060, 0)
OVER_BACKUP = Dial(
    "leg-1", DIAL.worker, "backup", "sip:0015550100@10.8.8.8", "sip:5550177@192.0.2.1", "10.8.8.8", 5060,
    account=Credentials("us", "secret"), headers=(("P-Asserted-Identity", "<sip:5550177@192.0.2.1>"),),
)  # fmt: skip
ROUTE = replace(DIAL, then=(OVER_BACKUP,))


@pytest.fixture
def world() -> World:
    return make_world()


def attempts(world: World) -> list[tuple[str, int, bool]]:
    return [(told.trunk, told.status, told.failed) for told in world.told if isinstance(told, DialAttempted)]


@pytest.mark.parametrize("status", [408, 500, 503])
def test_a_trunk_that_cannot_is_followed_by_the_next_with_its_own_names(world: World, status: int) -> None:
    first = dialled(world, ROUTE)
    said(world, first, status)
    assert sent(world)[0] == ("ACK", "10.9.9.9:5070", 17)
    assert not to_worker(world)
    assert attempts(world) == [("carrier", status, True)]


def test_the_next_trunk_answers_and_has_the_call(world: World) -> None:
    said(world, dialled(world, ROUTE), 503)
    ack, again = [message for message in world.to_public() if isinstance(message, Request)]
    assert (ack.uri_text, ack.sender.uri, ack.recipient.uri) == (DIAL.uri, DIAL.caller, DIAL.uri)
    assert (again.uri_text, again.sender.uri) == (OVER_BACKUP.uri, OVER_BACKUP.caller)
    assert again.recipient.uri == OVER_BACKUP.uri
    assert again.value("p-asserted-identity") == "<sip:5550177@192.0.2.1>"
    said(world, again, 401, 'WWW-Authenticate: Digest realm="backup", nonce="n1", qop="auth"', hop=BACKUP)
    authorized = next_invite(world)
    assert 'username="us"' in authorized.value("authorization")
    said(world, authorized, 200, hop=BACKUP, body=SDP.replace(b"10.1.2.3", BACKUP.ip.encode()))
    (ok,) = to_worker(world)
    world.worker(worker_invite("ACK", tag=f";tag={ok.to_tag}", branch="z9hG4bKack"))
    (ack,) = [message for message in world.to_public() if isinstance(message, Request)]
    assert (ack.method, ack.sender.uri, ack.recipient.uri) == ("ACK", OVER_BACKUP.caller, OVER_BACKUP.uri)
    dialog = world.context.dialogs.of_leg("leg-1")
    assert dialog is not None and dialog.trunk == "backup"
    assert attempts(world) == [("carrier", 503, True), ("backup", 200, False)]


@pytest.mark.parametrize("status", [403, 404, 480, 486, 600, 603])
def test_what_the_called_side_says_is_not_asked_of_another_trunk(world: World, status: int) -> None:
    said(world, dialled(world, ROUTE), status)
    assert [answer.status for answer in to_worker(world)] == [status]
    assert attempts(world) == [("carrier", status, False)]


def test_480_goes_on_where_that_is_said(world: World) -> None:
    said(world, dialled(world, replace(ROUTE, fail_over_on=FAIL_OVER_ON | {480})), 480)
    assert [method for method, *_ in sent(world)] == ["ACK", "INVITE"]


def test_never_after_a_phone_has_rung(world: World) -> None:
    first = dialled(world, ROUTE)
    said(world, first, 180)
    said(world, first, 503)
    assert [answer.status for answer in to_worker(world)] == [180, 503]


def test_silence_leads_to_the_next_trunk_and_a_late_answer_is_turned_down_in_its_own_dialog(world: World) -> None:
    first = dialled(world, ROUTE)
    world.tick(4.2)
    *_, again = [message for message in world.to_public() if isinstance(message, Request)]
    assert again.uri_text == OVER_BACKUP.uri
    said(world, first, 200, body=SDP)
    turned_down = [message for message in world.to_public() if isinstance(message, Request)]
    assert [(each.method, each.sender.uri, each.recipient.uri) for each in turned_down] == [
        ("ACK", DIAL.caller, DIAL.uri), ("BYE", DIAL.caller, DIAL.uri),
    ]  # fmt: skip
    said(world, again, 486, hop=BACKUP)
    assert [answer.status for answer in to_worker(world)] == [486]
    assert attempts(world) == [("carrier", 0, True), ("backup", 486, False)]


def test_a_trunk_that_is_full_is_left_out(world: World) -> None:
    asked: list[tuple[str, str]] = []

    def full(leg_id: str, trunk: str) -> bool:
        asked.append((leg_id, trunk))
        return False

    world.context.may_dial_over = full
    said(world, dialled(world, ROUTE), 503)
    assert asked == [("leg-1", "backup")]
    assert [answer.status for answer in to_worker(world)] == [503]


def test_the_ring_limit_is_for_all_trunks_together(world: World) -> None:
    said(world, dialled(world, replace(ROUTE, ring_s=5.0)), 503)
    again = next_invite(world)
    said(world, again, 180, hop=BACKUP)
    world.tick(5.2)
    cancel = next(message for message in world.to_public() if isinstance(message, Request))
    assert (cancel.method, cancel.uri_text, cancel.sender.uri) == ("CANCEL", OVER_BACKUP.uri, OVER_BACKUP.caller)
    assert [answer.status for answer in to_worker(world)] == [180, 408]


def test_a_further_trunk_that_cannot_be_dialled_is_refused_at_once(world: World) -> None:
    ours = replace(OVER_BACKUP, host="192.0.2.1")
    with pytest.raises(TelephonyMisuse):
        world.core.allow_dial(replace(DIAL, then=(ours,)), world.now)
    assert CALLEE.ip not in world.context.trunk_refusals


def test_a_trunk_that_takes_no_connection_is_followed_by_the_next() -> None:
    world = make_world()
    over_tcp = replace(ROUTE, host="10.9.9.9", port=5070, transport="tcp")
    world.core.allow_dial(over_tcp, world.now)
    world.worker(worker_invite())
    hop = world.public[-1].hop
    world.to_public()
    world.perform(world.core.not_connected(NotConnected(hop), world.now))
    assert next_invite(world).uri_text == OVER_BACKUP.uri
    assert attempts(world) == [("carrier", 0, True)]
