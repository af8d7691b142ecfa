"""A program asks the caller of a live call for digits: over the prompt, in secret, and while something else asks."""

from __future__ import annotations

import asyncio
import wave
from typing import Any

import numpy as np
from gateway_process import RunningGateway, until
from test_gateway_outbound import ask
from test_gateway_turns import of

from telephony.phone import Phone, PhoneCall

PIN = "4711"
PROMPT = "Please key in or say the four digits of your number."
ORDER = {"prompt": PROMPT, "length": 4}


async def begun(gateway: RunningGateway, phone: Phone, caller: str) -> tuple[PhoneCall, str]:
    """A call that waits for its caller, and its path."""
    call = await phone.call(gateway.uri("+15550102"), caller=caller)

    def live() -> dict[str, Any] | None:
        return next((each for each in gateway.calls() if each["caller"] == caller), None)

    found = await until(lambda: asyncio.to_thread(live), what="the call's record")
    await asyncio.sleep(1)
    return call, f"/v1/calls/{found['call_id']}/collect"


async def test_it_is_keyed_over_the_prompt(gateway: RunningGateway, caller: str) -> None:
    async with Phone() as phone:
        call, path = await begun(gateway, phone, caller)
        answer = asyncio.create_task(ask(gateway, "POST", path, ORDER))
        await asyncio.sleep(1)
        status, problem, _ = await ask(gateway, "POST", path, ORDER)
        assert (status, problem["type"]) == (409, "urn:trunkline:problem:collecting")
        await call.send_digits("9215")
        status, body, _ = await answer
        assert (status, body["digits"], body["ended"]) == (200, "9215", "full")
        again = asyncio.create_task(ask(gateway, "POST", path, ORDER))
        await asyncio.sleep(1)
        await call.hang_up()
        status, problem, _ = await again
        assert (status, problem["type"]) == (410, "urn:trunkline:problem:not_live")
        record = await gateway.record(call.call_id)
    asked = of(record, "agent_message")[0]
    assert asked["full_text"] == PROMPT and asked["interrupted"]
    assert (await ask(gateway, "POST", path, ORDER))[0] == 410


async def test_a_secret_is_in_the_answer_and_nowhere_else(gateway: RunningGateway, caller: str, speech: bytes) -> None:
    async with Phone() as phone:
        call, path = await begun(gateway, phone, caller)
        began = asyncio.create_task(ask(gateway, "POST", path, {**ORDER, "secret": True}))
        call.play(speech)  # as somebody beside the caller, who reads it out
        await asyncio.sleep(1.5)
        await call.send_digits(PIN)
        status, body, _ = await began
        assert (status, body["digits"]) == (200, PIN)
        await asyncio.sleep(1)
        call.play(speech)
        await asyncio.sleep(2.5)
        await call.hang_up()
        record = await gateway.record(call.call_id)
    assert {event["digit"] for event in of(record, "digit_received")} == {"•"}
    (paused,), (resumed,) = of(record, "recording_paused"), of(record, "recording_resumed")
    caller_side = np.frombuffer(_frames(gateway, record["recording"]["path"]), "<i2")[0::2].astype(float)
    silent = caller_side[int(paused["t_ms"] * 8) : int(resumed["t_ms"] * 8)]
    assert len(silent) > 8000 and not silent.any(), "not a sample of it is recorded"
    assert np.abs(caller_side[int(resumed["t_ms"] * 8) + 8000 :]).max() > 1000
    files = [file.read_bytes() for file in gateway.folder.glob("trunkline.db*")]
    of_call = gateway.log_text().split(record["call_id"], 1)[-1]
    for told in (str(record), of_call, *(str(each) for each in files)):
        assert f"'{PIN}'" not in told and f'"{PIN}"' not in told and "4 7 1 1" not in told


def _frames(gateway: RunningGateway, path: str) -> bytes:
    with wave.open(str(gateway.folder / "recordings" / path)) as file:
        return file.readframes(file.getnframes())
