"""OPTIONS probes on virtual time."""

from __future__ import annotations

from telephony.sip.probing import Probe, ProbePolicy, Reachability


def probe(**policy: object) -> Probe:
    return Probe(ProbePolicy(**policy), 100.0, lambda: 0.0)  # type: ignore[arg-type]


def round_(peer: Probe, status: int | None, took_s: float = 0.02) -> bool:
    """Let it send when it is due, and answer with this status; None: no answer."""
    at = peer.next_at
    assert not peer.due(at - 0.001)
    assert peer.due(at)
    assert not peer.due(at + 1)  # one at a time
    return peer.lost(at + 4) if status is None else peer.answered(status, at + took_s)


def test_one_answer_is_enough_to_begin_with() -> None:
    peer = probe()
    assert peer.status.reachability is Reachability.UNKNOWN
    assert round_(peer, 200)
    status = peer.status
    assert (status.reachability, status.status, round(status.round_trip_ms or 0)) == (Reachability.UP, 200, 20)
    assert not round_(peer, 404)  # it lives, whatever it thinks of OPTIONS
    assert peer.status.reachability is Reachability.UP


def test_thresholds_for_down_and_up() -> None:
    peer = probe(down_after=3, up_after=2)
    round_(peer, 200)
    assert [round_(peer, None) for _ in range(3)] == [False, False, True]
    assert peer.status.reachability is Reachability.DOWN
    assert [round_(peer, 200), round_(peer, None), round_(peer, 200), round_(peer, 200)] == [False, False, False, True]
    assert peer.status.reachability is Reachability.UP


def test_a_peer_that_says_it_takes_no_calls_is_down() -> None:
    peer = probe(down_after=2)
    assert [round_(peer, 503), round_(peer, 503)] == [False, True]
    assert peer.status.status == 503


def test_a_failure_is_followed_up_quickly_and_a_long_one_is_not() -> None:
    peer = probe(every_s=30.0, retry_s=5.0, down_after=2)
    gaps = []
    for status in (200, None, None, None, 200, 200):
        before = peer.next_at
        round_(peer, status, took_s=0.0)
        gaps.append(peer.next_at - before - (4 if status is None else 0))
    assert gaps == [30, 5, 5, 30, 5, 30]
