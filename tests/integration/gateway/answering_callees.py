"""Those who answer the calls that a gateway places, as phones of ours: people, voicemails, faxes. Each plays what such
a callee plays, and hears what the gateway says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway
from test_gateway_further_legs import strength, trunks
from test_gateway_outbound import ask, closed_record

from agent.clock import ThreadOffload
from agent.providers.base import TTS
from agent.providers.espeak import EspeakTTS
from telephony.errors import TelephonyMisuse
from telephony.media.g711 import decode_ulaw, encode_ulaw
from telephony.media.level import dbfs
from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis

GREETING_HZ, MESSAGE_HZ, MESSAGE_S = 440, 880, 3.0
BEEP = tone(1000, 400)
PERSONAS = """
from agent import Agent, Answering
from telephony.media.tones import tone

MESSAGE = "Please call us back."

class Machine(Agent):
    greeting = "Hello."
    answering = Answering(message=MESSAGE)

    async def tts_node(self, ctx, text):
        if text == MESSAGE:
            yield tone(880, 3000)
            return
        if text == "A longer message.":
            yield tone(880, 8000)
            return
        async for audio in super().tts_node(ctx, text):
            yield audio
"""
_FRAME_BYTES = 320


async def spoken(text: str, tts: TTS | None = None, voice: str = "en-us") -> bytes:
    """Through mu-law, as a telephone gives it."""
    tts = tts or EspeakTTS(ThreadOffload())
    pcm = b"".join([audio.pcm async for audio in tts.synthesize(text, voice=voice, language="en")])
    quiet = next(place for place in range(0, len(pcm), _FRAME_BYTES) if dbfs(pcm[place : place + _FRAME_BYTES]) > -45)
    return decode_ulaw(encode_ulaw(pcm[quiet:]))


@dataclass
class Answered:
    """One call, from the callee's side. Times: seconds, loop clock."""

    call_id: str
    phone: PhoneCall
    answered_at: float = 0.0
    marks: dict[str, float] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    listed: Mapping[str, Any] = field(default_factory=dict)  # by who answered

    async def plays(self, pcm: bytes, begin: str = "", end: str = "") -> None:
        """Until it has been sent."""
        handle = self.phone.play(pcm)
        if not await handle.done:
            return
        assert handle.first_sent_at is not None and handle.last_sent_at is not None
        self.marks |= {begin: handle.first_sent_at} if begin else {}
        self.marks |= {end: handle.last_sent_at + 0.02} if end else {}

    async def hears(self, hertz: float, seconds: float = 12.0) -> float:
        """Wait for it; when it came."""
        async with asyncio.timeout(seconds):
            while (at := self.first(hertz)) is None:
                await asyncio.sleep(0.04)
        return at

    def first(self, hertz: float) -> float | None:
        spans = self.spans(hertz)
        return spans[0][0] if spans else None

    def spans(self, hertz: float) -> list[tuple[float, float]]:
        """Where in what was heard this tone is, to 20 ms."""
        pcm, found = on_time_axis(self.phone.received, self.answered_at), []
        for place in range(0, len(pcm) - _FRAME_BYTES + 1, _FRAME_BYTES):
            frame = pcm[place : place + _FRAME_BYTES]
            if dbfs(frame) < -45 or strength(frame, hertz) < 0.8:
                continue
            at = self.answered_at + place / 16_000
            if found and at - found[-1][1] < 0.1:
                found[-1] = (found[-1][0], at + 0.02)
            else:
                found.append((at, at + 0.02))
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for event in self.record["events"] if event["type"] in ("who_answered_told", "message_left")]


Script = Callable[[Answered], Awaitable[None]]


@dataclass
class Callees:
    gateway: RunningGateway
    phone: Phone
    placing: asyncio.Lock = field(default_factory=asyncio.Lock)
    number: int = 0

    async def called(self, script: Script, persona: str = "machine.Machine", **order: Any) -> Answered:
        """Place a call and answer it; `script` says what the callee does. Its record is closed in the end."""
        async with self.placing:
            self.number += 1
            body = {"to": f"+1555700{2000 + self.number}", "persona": persona, **order}
            status, placed, _ = await ask(self.gateway, "POST", "/v1/calls", body)
            assert status == 202, placed
            call = Answered(placed["call_id"], await self.phone.incoming())
        await call.phone.answer()
        call.answered_at = asyncio.get_running_loop().time()
        with suppress(TelephonyMisuse, TimeoutError):  # the call has ended early, or it was not heard: the tests see it
            await script(call)
        if not call.phone.ended.done():
            await call.phone.hang_up()
        call.record = await closed_record(self.gateway, call.call_id)
        return call


def ended(call: Answered) -> tuple[str, str, str]:
    return call.record["outcome"], call.record["ended_by"], call.record["end_reason"]


async def called_at_once(
    folder: Path, scripts: Mapping[str, tuple[Script, Mapping[str, Any]]], **settings: Any
) -> dict[str, Answered]:
    """All calls side by side, by their names: the callee's script, and what its order says besides."""
    (folder / "machine.py").write_text(PERSONAS)
    (folder / "plan.yaml").write_text("outbound: [machine.Machine]\n")
    async with Phone() as phone:
        plan = {"dialplans": [str(folder / "plan.yaml")]}
        gateway = RunningGateway(folder, sip=trunks(phone), workers=4, **plan, **settings)
        await asyncio.to_thread(gateway.start)
        try:
            callees = Callees(gateway, phone)
            made = await asyncio.gather(*(callees.called(script, **order) for script, order in scripts.values()))
            for call in made:
                who = call.record["answered_by"]
                call.listed = await asyncio.to_thread(gateway.get, f"/v1/calls?answered_by={who}") if who else {}
            await gateway.idle()
            assert gateway.complaints() == []
            return dict(zip(scripts, made, strict=True))
        finally:
            await asyncio.to_thread(gateway.stop)
