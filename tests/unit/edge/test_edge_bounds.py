"""Size limits of a message and its parts, and the answers to larger ones."""

from __future__ import annotations

import time

import pytest
from edge_world import CALLER, World, call_request, statuses

from telephony.sip.bounds import MAX_BODY_BYTES, MAX_FOLDS, MAX_HEAD_BYTES, MAX_HEADERS, MAX_LINE_BYTES, MAX_VIAS
from telephony.sip.parse import Malformed, parse

VIA = "Via: SIP/2.0/UDP 192.0.2.%d:5060;branch=z9hG4bKx"
TOO_LARGE = [
    (call_request(uri="sip:" + "1" * 1100 + "@192.0.2.1"), "uri-long", 414),
    (call_request(body=b"v" * (MAX_BODY_BYTES + 1)), "body-large", 413),
    (call_request(more=("Subject: " + "x" * MAX_LINE_BYTES,)), "header-long", 400),
    (call_request(more=("Subject: x" + "\r\n " * (MAX_FOLDS + 1) + "y",)), "too-many-folds", 400),
    (call_request(more=("Subject: x" + "\r\n yyyy" * 1000,)), "header-long", 400),
    (call_request(more=("X-A: b",) * MAX_HEADERS), "too-many-headers", 400),
    (call_request(more=tuple(VIA % n for n in range(MAX_VIAS))), "too-many-vias", 0),
    (call_request(more=("Via: " + ", ".join(["SIP/2.0/UDP a:1"] * MAX_VIAS),)), "too-many-vias", 0),
]


@pytest.mark.parametrize(("data", "kind", "status"), TOO_LARGE, ids=[kind for _, kind, _ in TOO_LARGE])
def test_what_is_too_large_is_refused_by_name(world: World, data: bytes, kind: str, status: int) -> None:
    with pytest.raises(Malformed) as caught:
        parse(data)
    assert caught.value.kind == kind
    world.caller(data)
    assert statuses(world) == ([status] if status else [])  # 0: not answered, it would all go back
    assert world.workers == []
    assert world.admitter.invites == []
    assert world.context.counters[f"malformed.{kind}"] == 1


def test_what_is_just_small_enough_passes(world: World) -> None:
    world.caller(
        call_request(
            uri="sip:+15550199@192.0.2.1;x=" + "y" * 900,
            more=(
                "Subject: " + "x" * (MAX_LINE_BYTES - 20),
                "X-Folded: a" + "\r\n b" * (MAX_FOLDS - 1),
                *(VIA % n for n in range(MAX_VIAS - 1)),
            ),
        )
    )
    assert statuses(world) == [100]


def test_a_header_that_would_all_come_back_is_not_answered(world: World) -> None:
    for name in (b"Call-ID: ", b"Via: ", b"CSeq: "):
        world.caller(call_request().replace(name, name + b"x" * MAX_LINE_BYTES))
    world.caller(call_request(more=tuple(f"X-{n}: " + "x" * 2000 for n in range(9))))  # the whole head
    assert statuses(world) == []


@pytest.mark.parametrize(
    "text", ["\r\n ;a" * 2900, ";a" * 7000, ",SIP/2.0/UDP a:1" * 900, " " * 14_000, '"' * 14_000, "\r\n \t" * 3500]
)
def test_hostile_headers_cost_little(world: World, text: str) -> None:
    """3 ms and more, before there were bounds; generous here, for a busy machine."""
    data = call_request("OPTIONS", via="SIP/2.0/UDP 10.1.2.3:5060;rport" + text, body=b"")
    assert len(data) < MAX_HEAD_BYTES + 1000
    best = min(_cost(world, data) for _ in range(5))
    assert best < 0.002


def _cost(world: World, data: bytes) -> float:
    began = time.perf_counter()
    world.core.receive(data, CALLER, world.now)
    return time.perf_counter() - began
