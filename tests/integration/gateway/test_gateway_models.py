"""Conversations over SIP with a language model behind the OpenAI protocol: a good one, and all kinds of bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from misbehaving_model import ModelServer, model_server

from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import loud_spans

CANNED = "Sorry, my system does not answer."
MODELS = (
    "fails", "refuses", "no-json", "stalls", "says-nothing", "cuts", "stalls-midway", "once",
    "tool-order_status", "tool-broken", "tool-hangs", "tool-blocks", "tool-unknown",
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> Iterator[RunningGateway]:
    """A number for each kind of model."""
    folder = tmp_path_factory.mktemp("models")
    lines = ["region: US", "numbers:"]
    for index, name in enumerate(MODELS):
        lines.append(f'  "+155504{index:02}": {{persona: enemy_personas.Model, speech: {{llm: [openai/{name}]}}}}')
    (folder / "dialplan.yaml").write_text("\n".join(lines) + "\n")
    running = RunningGateway(
        folder,
        workers=2,
        speech={"tts": ["espeak"], "llm": ["openai"]},
        providers={"openai": {"base_url": model.url, "timeout_s": 1.0}},
        session={"away_ms": 20000},
    ).start()
    yield running
    running.stop()


async def _one_turn(
    gateway: RunningGateway, name: str, caller: str, speech: bytes, seconds: float = 14
) -> tuple[dict[str, Any], PhoneCall]:
    """Say something, wait until the agent has spoken and is silent again, hang up."""
    async with Phone() as phone:
        call = await phone.call(gateway.uri(f"+155504{MODELS.index(name):02}"), caller=caller)
        await call.play(speech).done

        def spoken() -> bool:
            if call.ended.done():
                return True
            spans = loud_spans(call.received)
            return bool(spans) and call.received.at[-1] - spans[-1][1] > 1.6

        await until(spoken, seconds, 0.2, what="the agent's words")
        await call.hang_up()
        return await gateway.record(call.call_id), call


def _said(record: dict[str, Any]) -> list[str]:
    return [turn["text"] for turn in record["turns"] if turn["speaker"] == "agent"]


@pytest.mark.parametrize("name", ["fails", "refuses", "no-json", "stalls", "says-nothing"])
async def test_a_model_that_gives_nothing_leads_to_the_canned_answer(
    talking: RunningGateway, name: str, caller: str, speech: bytes
) -> None:
    record, call = await _one_turn(talking, name, caller, speech)
    assert _said(record) == [CANNED]
    assert len(loud_spans(call.received)) >= 1  # and it was heard
    failures = [event for event in record["events"] if event["type"] == "provider_failed"]
    assert failures[-1]["part"] == "llm" and failures[-1]["action"] == "canned"
    assert record["outcome"] == "answered"


@pytest.mark.parametrize("name", ["cuts", "stalls-midway"])
async def test_a_model_that_breaks_off_never_leaves_silence(
    talking: RunningGateway, name: str, caller: str, speech: bytes
) -> None:
    record, _ = await _one_turn(talking, name, caller, speech)
    said = " ".join(_said(record))
    assert CANNED in said
    assert any(event["type"] == "provider_failed" for event in record["events"])


async def test_a_model_that_works_the_second_time(
    talking: RunningGateway, model: ModelServer, caller: str, speech: bytes
) -> None:
    record, _ = await _one_turn(talking, "once", caller, speech)
    assert _said(record) == ["It works now."]
    assert [e["action"] for e in record["events"] if e["type"] == "provider_failed"] == ["retry"]


async def test_a_good_conversation_with_a_tool(
    talking: RunningGateway, model: ModelServer, caller: str, speech: bytes
) -> None:
    record, _ = await _one_turn(talking, "tool-order_status", caller, speech)
    assert _said(record) == ["I found this: order 48115 is on its way."]
    (used,) = [tool for turn in record["turns"] for tool in turn["tool_calls"]]
    assert (used["name"], used["arguments"], used["is_error"]) == ("order_status", {"order": "48115"}, False)
    first, second = model.asked("tool-order_status")[-2:]
    assert first["messages"][0]["role"] == "system" and "You look up orders" in first["messages"][0]["content"]
    assert first["messages"][-1] == {"role": "user", "content": "This is what the caller said."}
    assert {tool["function"]["name"] for tool in first["tools"]} >= {"order_status", "broken", "hangs", "end_call"}
    assert second["messages"][-1]["content"] == "order 48115 is on its way"
    assert record["tokens"] == {"prompt": 42, "completion": 18}


@pytest.mark.parametrize("name", ["tool-broken", "tool-hangs", "tool-blocks", "tool-unknown"])
async def test_a_tool_that_throws_or_hangs_is_told_to_the_model(
    talking: RunningGateway, model: ModelServer, name: str, caller: str, speech: bytes
) -> None:
    """The agent continues; the worker's other calls don't notice."""
    async with Phone() as phone:
        beside = [
            await phone.call(talking.uri(f"+155504{MODELS.index('once'):02}"), caller=f"{caller[:-4]}9{n:03}")
            for n in range(2)
        ]
        record, _ = await _one_turn(talking, name, caller, speech)
        for other in beside:
            gaps = [b - a for a, b in zip(other.received.at[10:-1], other.received.at[11:], strict=False)]
            assert max(gaps) < 0.2 and not other.ended.done()
        await asyncio.gather(*(other.hang_up() for other in beside))
    (said,) = _said(record)
    assert (
        said.startswith("I found this:")
        and {"broken": "failed", "hangs": "timed out", "blocks": "timed out", "unknown": "unknown"}[name[5:]] in said
    )
    (result,) = [e for e in record["events"] if e["type"] == "function_call_output"]
    assert result["is_error"]
    assert "the tool's own fault" not in said  # what the fault was is for the log


async def test_the_gateway_is_well_afterwards(talking: RunningGateway) -> None:
    await talking.idle()
    assert talking.health()[0] == 200
    assert talking.complaints("tool broken failed") == []
