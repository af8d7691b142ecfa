"""A call owner on virtual time: a fake leg with a media clock, real room and session, scripted providers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from agent import AgentSession
from agent.answering import Answering
from agent.factory import Cast, PersonaMaker, SharedByCalls, cast_for
from agent.providers.fakes import FakeLLM, FakeOffload, FakeSTT, FakeTTS, FakeVAD, loud
from agent.testing.virtual_clock import run_virtual
from gateway.calls.call import Call
from gateway.calls.conversation import CallSide, Conversation
from gateway.calls.dialling import Dialler
from gateway.calls.journal import Journal
from gateway.calls.recording import CallRecording
from gateway.calls.session import LocalConversation, SessionPlan
from gateway.config import Settings, load_settings
from gateway.control import Prepare
from gateway.dialplan import PersonaRef
from gateway.flows import FlowStep
from gateway.record import CallClosed, CallEvents, message_from_dict
from telephony.call import CallInfo, Direction
from telephony.fakes import FakeLeg, statistics
from telephony.media.answering.fakes import ScriptedAnswer
from telephony.media.answering.machine import AnsweringMachine
from telephony.media.answering.model import AnsweringEvent, WhoAnswered
from telephony.media.fakes import WriterOnCall
from telephony.media.frames import SILENCE
from telephony.media.recording import WavRecorder

PERSONAS = Path(__file__).with_name("personas_called.py")
SETTINGS = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks: [{name: local, allow: ["127.0.0.0/8"]}]
dialplans: [demo.yaml]
workers: 2
calls: {media_alarm_s: 2.0, first_media_s: 6.0, media_timeout_s: 5.0}
"""
INFO = CallInfo("call-1", Direction.INBOUND, "+15550100", "+15550123", "local")


def settings(more: str = "", calls: str = "") -> Settings:
    """`calls`: more of that section."""
    return load_settings("s.yaml", SETTINGS.replace("calls: {", "calls: {" + calls) + more)


class ScriptedProviders:
    """In place of `ProviderSet`."""

    def __init__(self, settings: Settings, **parts: Any) -> None:
        self._settings = settings
        self._parts = {"llm": FakeLLM(), "stt": FakeSTT(), "tts": FakeTTS(), "vad": FakeVAD(), **parts}
        self.warming: Callable[[], Awaitable[None]] | None = None
        self.sessions: list[AgentSession] = []
        self._shared = SharedByCalls(FakeOffload())
        self.answers: tuple[AnsweringEvent, ...] = ()  # `at`: since the answer
        self.asked: Answering | None = None  # what to do about whoever answers

    @property
    def answering(self) -> Mapping[str, Any]:
        return self._settings.answering.given()

    def who_answered(
        self, answering: Answering, answered_at: float, speech: Mapping[str, Any] | None = None
    ) -> WhoAnswered:
        """What the test says, from the answer on."""
        self.asked = answering
        return ScriptedAnswer(replace(event, at=answered_at + event.at) for event in self.answers)

    async def prewarm(self, makers: Iterable[PersonaMaker]) -> None:
        await self._shared.warm(makers)

    async def cast(self, maker: PersonaMaker, call: CallInfo) -> Cast:
        return await cast_for(maker, call, self._shared, FakeOffload())

    def session(self, speech: Mapping[str, Any], session: Mapping[str, Any], userdata: Any = None) -> AgentSession:
        options = self._settings.session.overridden(session).options()
        self.sessions.append(AgentSession(**self._parts, options=options, offload=FakeOffload(), userdata=userdata))
        return self.sessions[-1]

    async def warm(self, speech: Mapping[str, Any]) -> None:
        if self.warming is not None:
            await self.warming()


class CallWorld:
    """One call. `sent`: what the gateway gets, in order."""

    def __init__(
        self,
        persona: str = "Greeter",
        *,
        recording: str = "",
        session: Mapping[str, Any] | None = None,
        media: bool = True,
        suppresses_silence: bool = False,
        more: str = "",
        calls: str = "",
        dialler: Dialler | None = None,
        target_detector: Callable[[float], WhoAnswered] = AnsweringMachine,
        flow: FlowStep | None = None,
        **parts: Any,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.began_at = self.loop.time()
        self.leg = FakeLeg(INFO, now=self.loop.time)
        self.leg.suppresses_silence = suppresses_silence
        self.providers = ScriptedProviders(settings(more), **parts)
        self.sent: list[Any] = []
        self._media = media
        self._speech = bytearray()
        self.prepared = Prepare("call-1-1", asdict(INFO), str(PERSONAS), persona, "rule", recording, session or {}, {})
        self.dialler = dialler
        self.target_detector = target_detector
        self.flow = flow
        self.owner = self.made(settings(more, calls), self._conversation)

    def made(self, of: Settings, conversation: Callable[[CallSide], Conversation]) -> Call:
        journal = Journal(INFO.call_id, self._take, self.loop.time)
        recording = CallRecording(self.prepared.recording, of.recordings, partial(WavRecorder, by=WriterOnCall()))
        return Call(
            self.leg, "call-1-1", INFO, journal, recording, conversation, of.calls, self.dialler,
            target_detector=lambda _, at: self.target_detector(at),
        )  # fmt: skip

    def _conversation(self, side: CallSide) -> Conversation:
        persona = PersonaRef(PERSONAS, self.prepared.persona_class, flow=self.flow)
        plan = SessionPlan(persona, {}, self.prepared.session, self.prepared.answering)
        return LocalConversation(side, plan, self.providers)

    def _take(self, body: dict[str, Any]) -> None:
        self.sent.append(message_from_dict(body))

    @property
    def now(self) -> float:
        """Seconds since the INVITE."""
        return self.loop.time() - self.began_at

    async def run(self) -> None:
        clock = asyncio.create_task(self._clock(), name="media clock")
        await self.owner.run()
        self.ended_after = self.now
        clock.cancel()

    async def _clock(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            if self.leg.audio is None:
                continue
            if self._media and self.leg.figures is not None and self.leg.figures.packets_received == 0:
                self.leg.media()
            if self._media:
                received = 1 + (self.leg.figures.packets_received if self.leg.figures else 0)
                self.leg.figures = statistics(packets_received=received)
            pcm, self._speech = bytes(self._speech[:320]).ljust(320, b"\0"), self._speech[320:]
            self.leg.tick(pcm if pcm.strip(b"\0") else SILENCE)

    def speak(self, ms: float) -> None:
        self._speech += loud(ms)

    def stop_media(self) -> None:
        self._media = False

    @property
    def closed(self) -> CallClosed:
        """The closing record, of which there is exactly one, and nothing comes after it."""
        found = [message for message in self.sent if isinstance(message, CallClosed)]
        assert len(found) == 1, self.sent
        assert self.sent[-1] is found[0]
        return found[0]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for message in self.sent if isinstance(message, CallEvents) for event in message.events]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def done(self) -> list[str]:
        """The verbs called on the leg."""
        return [str(verb[0]) for verb in self.leg.verbs]

    @property
    def outcome(self) -> tuple[str, str, str]:
        closed = self.closed
        return closed.outcome.value, closed.ended_by.value, closed.end_reason


async def nothing_goes_on() -> None:
    """No task is left of a call a while after it: no music, no words, no leg, no recogniser."""
    await asyncio.sleep(10)
    left = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    assert not left - {"packets"}, f"left behind: {left}"


def call(script: Callable[[CallWorld], Awaitable[None]], persona: str = "Greeter", **how: Any) -> CallWorld:
    """Run one call alongside `script`, until both are over."""

    async def run() -> CallWorld:
        world = CallWorld(persona, **how)
        running = asyncio.create_task(world.run(), name="call")
        await script(world)
        async with asyncio.timeout(3600):
            await running
        await nothing_goes_on()
        return world

    return run_virtual(run())
