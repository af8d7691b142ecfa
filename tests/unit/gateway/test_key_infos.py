"""A key by INFO: from the worker that holds the leg to the edge, and the peer's answer back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from agent.warm.asking import Asking, Refused
from agent.warm.channel import Message
from gateway.calls.key_by_info import KEY_BY_INFO, send_by_info
from gateway.key_infos import KeyInfos
from gateway.live_calls import LiveCalls
from telephony.edge import KeyAnswered
from telephony.errors import DigitsNotSent, TelephonyMisuse


class Edge:
    """Answers as it is told; None: never."""

    def __init__(self, infos: KeyInfos, answer: tuple[int, str] | None, error: Exception | None = None) -> None:
        self.sent: list[tuple[str, str, int]] = []
        self._infos = infos
        self._answer = answer
        self._error = error

    def send_key(self, leg_id: str, key: str, duration_ms: int, token: str) -> None:
        if self._error is not None:
            raise self._error
        self.sent.append((leg_id, key, duration_ms))
        if self._answer is not None:
            asyncio.get_running_loop().call_later(0.05, self._infos.answered, KeyAnswered(token, *self._answer))


def sent(
    answer: tuple[int, str] | None, leg_id: str = "c-1", error: Exception | None = None
) -> tuple[Edge, DigitsNotSent | None]:
    """A worker has it sent."""

    async def run() -> tuple[Edge, DigitsNotSent | None]:
        live = LiveCalls()
        live.place("c-1", "c", "w1", 0.0)
        infos = KeyInfos(live)
        edge = Edge(infos, answer, error)
        infos.connect(edge)
        worker, gateway = _pair()

        async def asked(body: Any) -> Any:
            return await infos.send("w1", body)

        gateway.serve(KEY_BY_INFO, asked)
        try:
            await send_by_info(worker, leg_id, "5", 160)
        except DigitsNotSent as failed:
            return edge, failed
        return edge, None

    return run_virtual(run())


def _pair() -> tuple[Asking, Asking]:
    ends: list[Asking] = []

    def to(index: int) -> Any:
        def send(message: Message) -> None:
            asyncio.get_running_loop().call_soon(lambda: ends[index].received(message))

        return send

    ends += [Asking(to(1)), Asking(to(0))]
    return ends[0], ends[1]


def test_a_key_that_is_taken() -> None:
    edge, failed = sent((200, "OK"))
    assert failed is None and edge.sent == [("c-1", "5", 160)]


@pytest.mark.parametrize(
    ("answer", "leg_id", "error", "kind", "status", "text"),
    [
        ((415, "Unsupported"), "c-1", None, "refused", 415, "the peer refuses keys by INFO: 415 Unsupported"),
        ((0, "no answer"), "c-1", None, "no_answer", 0, "no answer"),
        (None, "c-1", None, "no_answer", 0, "did not answer the INFO within 5 s"),
        ((200, "OK"), "c-9", None, "unknown_leg", 0, "w1 has no leg c-9"),
        ((200, "OK"), "c-1", TelephonyMisuse("no key now"), "not_possible", 0, "no key now"),
    ],
)
def test_a_key_that_is_not_taken(
    answer: tuple[int, str] | None, leg_id: str, error: Exception | None, kind: str, status: int, text: str
) -> None:
    _, failed = sent(answer, leg_id, error)
    assert failed is not None and (failed.kind, failed.sip_status) == (kind, status)
    assert text in str(failed)


async def test_without_a_gateway_it_fails() -> None:
    with pytest.raises(DigitsNotSent) as caught:
        await send_by_info(None, "c-1", "5", 160)
    assert caught.value.kind == "failed"


async def test_a_leg_of_another_worker_is_not_its_own() -> None:
    live = LiveCalls()
    live.place("c-1", "c", "w1", 0.0)
    with pytest.raises(Refused) as caught:
        await KeyInfos(live).send("w2", {"leg_id": "c-1", "key": "5", "duration_ms": 160})
    assert caught.value.kind == "unknown_leg"
