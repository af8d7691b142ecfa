"""SRTP as a trunk wants it, in calls both ways: what is refused, what is rewritten, and where no keys go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_world import CALLER, SDP, World, call_request, first_request, make_world, sip, statuses, values
from test_edge_dialing import DIAL, WORKER_PORT, requests, to_worker

from telephony.edge.hops import DialAttempted, Hop, SendPublic
from telephony.sip.parse import Request, Response
from telephony.sip.resolving import Place
from telephony.sip.srtp import Srtp

SECURE = Hop("tls", CALLER.ip, 5061, 2, 7)
KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
KEYS = (
    f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"
    f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}\r\n"
).encode()  # fmt: skip
OURS = SDP.replace(b"10.1.2.3", b"192.0.2.1") + KEYS  # as a worker offers
AVP_WITH_KEYS = SDP + KEYS
SAVP = AVP_WITH_KEYS.replace(b"RTP/AVP", b"RTP/SAVP")
VIA = "SIP/2.0/TLS 10.1.2.3:5061"


def world_of(srtp: Srtp, *, plain: bool = False) -> World:
    return make_world(trunk={"srtp": srtp, "srtp_over_plain_sip": plain}, tls=True)


def invited(world: World, body: bytes, hop: Hop = SECURE) -> bytes | None:
    """The description that the worker is shown; None: the call is refused."""
    world.caller(call_request(body=body, via=VIA if hop is SECURE else "SIP/2.0/UDP 10.1.2.3:5060;rport"), hop)
    shown = [message for message in world.to_worker() if isinstance(message, Request)]
    return shown[0].body if shown else None


# Calls that come in


@pytest.mark.parametrize(
    ("srtp", "offer", "line", "keys"),
    [
        (Srtp.OFF, SDP, b"RTP/AVP", 0),
        (Srtp.OFF, AVP_WITH_KEYS, b"RTP/AVP", 0),
        (Srtp.OFFERED, SDP, b"RTP/AVP", 0),
        (Srtp.OFFERED, AVP_WITH_KEYS, b"RTP/AVP", 2),
        (Srtp.OFFERED, SAVP, b"RTP/SAVP", 2),
        (Srtp.REQUIRED, SAVP, b"RTP/SAVP", 2),
    ],
)
def test_offers_that_are_taken(srtp: Srtp, offer: bytes, line: bytes, keys: int) -> None:
    shown = invited(world_of(srtp), offer)
    assert shown is not None and b" %s 0" % line in shown and shown.count(b"a=crypto:") == keys


@pytest.mark.parametrize(
    ("srtp", "offer", "hop", "why"),
    [
        (Srtp.OFF, SAVP, SECURE, "encrypted audio is not accepted here"),
        (Srtp.REQUIRED, SDP, SECURE, "only encrypted audio is accepted here"),
        (Srtp.REQUIRED, AVP_WITH_KEYS, SECURE, "only encrypted audio is accepted here"),
        (Srtp.REQUIRED, SAVP, CALLER, "its keys are not accepted over plain SIP"),
        (Srtp.OFFERED, SAVP.replace(b"inline:", b"inlined:"), SECURE, "no usable SRTP key"),
        (Srtp.REQUIRED, SAVP.replace(b"AES_CM_128", b"AES_CM_999"), SECURE, "no usable SRTP key"),
        (Srtp.REQUIRED, SAVP.replace(b"VNf", b""), SECURE, "no usable SRTP key"),
    ],
)
def test_offers_that_are_refused_with_a_warning_and_a_record(srtp: Srtp, offer: bytes, hop: Hop, why: str) -> None:
    world = world_of(srtp)
    assert invited(world, offer, hop) is None
    (answer,) = world.to_public()
    assert isinstance(answer, Response) and answer.status == 488
    assert why in values(answer, "warning")[0] and values(answer, "warning")[0].startswith("302 ")
    (trunk,) = world.core.trunks.status()
    assert [(away.status, away.place.ip) for away in trunk.turned_away] == [(488, CALLER.ip)]
    (refused,) = world.refused
    assert (refused.invite.rule, refused.invite.status) == ("sdp", 488) and why in refused.invite.cause_text


def test_keys_over_plain_sip_where_that_is_accepted() -> None:
    assert invited(world_of(Srtp.REQUIRED, plain=True), SAVP, CALLER) is not None


def test_the_stream_that_can_be_taken_is(srtp: Srtp = Srtp.REQUIRED) -> None:
    """Some offer the same audio twice, plain and encrypted."""
    both = SDP + SAVP[SAVP.index(b"m=audio") :]
    shown = invited(world_of(srtp), both)
    assert shown is not None and b"RTP/SAVP" in shown and b"RTP/AVP " not in shown
    shown = invited(world_of(Srtp.OFF), both)
    assert shown is not None and b"RTP/SAVP" not in shown


def talking(world: World, offer: bytes) -> None:
    world.established(hop=SECURE, via=VIA, body=offer)


def test_a_call_cannot_be_made_plain_later() -> None:
    world = world_of(Srtp.REQUIRED)
    talking(world, SAVP)
    world.caller(call_request(cseq=2, branch="z9hG4bKre", to_tag="bob", via=VIA, body=SDP), SECURE)
    assert statuses(world) == [488] and not world.to_worker()
    assert world.context.dialogs.of_leg("c1") is not None and not world.ended


def reoffer(world: World) -> bytes:
    """The worker's own re-INVITE, as the caller gets it."""
    from edge_world import worker_request

    data = worker_request("INVITE", 5).replace(b"Content-Length: 0\r\n\r\n", b"")
    world.worker(data + b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(OURS) + OURS)
    return first_request(world.to_public()).body


@pytest.mark.parametrize(
    ("srtp", "offer", "line", "keys"),
    [
        (Srtp.OFF, SDP, b"RTP/AVP", 0),
        (Srtp.OFFERED, AVP_WITH_KEYS, b"RTP/AVP", 2),
        (Srtp.OFFERED, SAVP, b"RTP/SAVP", 2),  # as the peer has it
        (Srtp.REQUIRED, SAVP, b"RTP/SAVP", 2),
    ],
)
def test_our_later_offers_stay_as_the_call_is(srtp: Srtp, offer: bytes, line: bytes, keys: int) -> None:
    world = world_of(srtp)
    talking(world, offer)
    sent = reoffer(world)
    assert b" %s 0" % line in sent and sent.count(b"a=crypto:") == keys


# Calls that we place


def placed(world: World, transport: str = "tls") -> Request:
    dial = replace(DIAL, transport=transport, uri=f"{DIAL.uri};transport={transport}")
    world.core.allow_dial(dial, world.now)
    world.worker(
        sip(
            f"INVITE sip:leg-1@127.0.0.1:{WORKER_PORT} SIP/2.0",
            "Via: SIP/2.0/UDP 127.0.0.1:40001;rport;branch=z9hG4bKout",
            "From: <sip:trunkline@127.0.0.1:40001>;tag=ours",
            f"To: <sip:leg-1@127.0.0.1:{WORKER_PORT}>",
            "Call-ID: pjsip-1",
            "CSeq: 17 INVITE",
            "Contact: <sip:trunkline@127.0.0.1:40001>",
            "X-Trunkline-Leg: leg-1",
            "Content-Type: application/sdp",
            body=OURS,
        )
    )
    world.to_worker()
    sent = world.public[0]
    assert isinstance(sent, SendPublic) and sent.hop.transport == transport
    return first_request(world.to_public())


@pytest.mark.parametrize(
    ("srtp", "line", "keys"),
    [(Srtp.OFF, b"RTP/AVP", 0), (Srtp.OFFERED, b"RTP/AVP", 2), (Srtp.REQUIRED, b"RTP/SAVP", 2)],
)
def test_what_is_offered(srtp: Srtp, line: bytes, keys: int) -> None:
    invite = placed(world_of(srtp))
    assert b" %s 0" % line in invite.body and invite.body.count(b"a=crypto:") == keys
    assert values(invite, "via")[0].startswith("SIP/2.0/TLS 192.0.2.1:5061;")
    assert values(invite, "contact") == ["<sip:192.0.2.1:5061;transport=tls>"]


CALLED = Hop("tls", "10.9.9.9", 5070, 2, 9, trunk="carrier")


def answered(world: World, invite: Request, status: int, body: bytes = b"") -> None:
    """Over the connection that we have made."""
    answer = world.answer(invite, status, to_tag="callee", more=("Content-Type: application/sdp",) if body else ())
    answer = answer.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: %d\r\n\r\n" % len(body)) + body
    world.caller(answer.replace(b"sip:bob@127.0.0.1:40001", b"sip:callee@10.9.9.9:5070"), CALLED)


def answer(protocol: bytes, *keys: str) -> bytes:
    """Of the called side."""
    body = SDP.replace(b"10.1.2.3", b"10.9.9.9").replace(b"RTP/AVP", protocol)
    return body + "".join(f"a=crypto:{key} inline:{KEY}\r\n" for key in keys).encode()


FIRST, SECOND = "1 AES_CM_128_HMAC_SHA1_80", "2 AES_CM_128_HMAC_SHA1_32"


@pytest.mark.parametrize(
    ("srtp", "body"),
    [
        (Srtp.OFF, answer(b"RTP/AVP")),
        (Srtp.OFFERED, answer(b"RTP/AVP")),
        (Srtp.OFFERED, answer(b"RTP/AVP", SECOND)),
        (Srtp.OFFERED, answer(b"RTP/SAVP", FIRST)),
        (Srtp.REQUIRED, answer(b"RTP/SAVP", SECOND)),
    ],
)
def test_answers_that_are_taken(srtp: Srtp, body: bytes) -> None:
    world = world_of(srtp)
    answered(world, placed(world), 200, body)
    assert [response.status for response in to_worker(world)] == [200]


@pytest.mark.parametrize(
    ("srtp", "body", "why"),
    [
        (Srtp.REQUIRED, answer(b"RTP/AVP"), "SRTP is required"),
        (Srtp.REQUIRED, answer(b"RTP/AVP", FIRST), "SRTP is required"),
        (Srtp.REQUIRED, answer(b"RTP/SAVP"), "no usable SRTP key"),
        (Srtp.REQUIRED, answer(b"RTP/SAVP", "1 AES_256_CM_HMAC_SHA1_80"), "no usable SRTP key"),
        (Srtp.REQUIRED, answer(b"RTP/SAVP", "2 AES_CM_128_HMAC_SHA1_80"), "that was not offered: 2 AES_CM_128"),
        (Srtp.OFFERED, answer(b"RTP/AVP", "3 AES_CM_128_HMAC_SHA1_80"), "that was not offered: 3 AES_CM_128"),
        (Srtp.OFF, answer(b"RTP/SAVP", FIRST), "SRTP is off"),
    ],
)
def test_answers_that_end_the_call(srtp: Srtp, body: bytes, why: str) -> None:
    """Acknowledged and ended at once; the worker and the attempt are told why."""
    world = world_of(srtp)
    answered(world, placed(world), 200, body)
    (refused,) = to_worker(world)
    assert refused.status == 488 and any(why in text for text in values(refused, "reason"))
    assert [method for method, _ in requests(world)] == ["ACK", "BYE"]
    (attempt,) = [told for told in world.told if isinstance(told, DialAttempted)]
    assert why in attempt.reason
    (trunk,) = world.core.trunks.status()
    assert why in trunk.refusals[-1].reason


def test_a_refusal_of_srtp_is_seen_at_the_trunk() -> None:
    world = world_of(Srtp.REQUIRED)
    answered(world, placed(world), 488)
    (trunk,) = world.core.trunks.status()
    assert trunk.refusals[-1].status == 488


def test_no_keys_go_to_hosts_that_are_not_reached_by_tls() -> None:
    hosts = (Place("udp", "10.9.9.9", 5060), Place("tls", "10.9.9.9", 5061), Place("tcp", "10.9.9.9", 5060))
    for world, transports in (
        (world_of(Srtp.REQUIRED), ["tls"]),
        (world_of(Srtp.REQUIRED, plain=True), ["udp", "tls", "tcp"]),
        (world_of(Srtp.OFFERED), ["udp", "tls", "tcp"]),
    ):
        world.core.trunks.set_places("carrier", hosts, world.now)
        assert [place.transport for place in world.core.trunks.places("carrier", world.now)] == transports
