"""Replays a recorded call through a session with the real offline providers, on a virtual clock.

    TimelineCaller --20 ms--> LocalRoom --> AgentSession --> events --> compared with the fixture's expectations

A five-minute call takes some seconds, and each run has the same events at the same times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from agent.events import SessionClosed, SessionEvent
from agent.factory import PersonaMaker, SharedByCalls, cast_for
from agent.options import SessionOptions
from agent.providers.base import LLM, STT, TTS, VAD, Offload
from agent.session import AgentSession
from agent.testing.caller import TimelineCaller
from agent.testing.expectation import Deviation, compare, transcript_lines
from agent.testing.fixture import Fixture
from agent.testing.fixture_format import load_fixture
from agent.testing.happened import Happened, digest, from_session
from agent.testing.personas import load_persona
from agent.testing.recorded_model import RecordedLLM
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from telephony.call import CallInfo, Direction
from telephony.keys import DigitSource
from telephony.media.frames import FRAME_MS, SILENCE
from telephony.media.wav import write_wav
from telephony.rooms.local import LocalRoom
from telephony.rooms.protocol import LegAudio

__all__ = ["NotAsRecorded", "ReplayResult", "Speech", "offline_speech", "replay", "replay_fixture"]

_FRAME_S = FRAME_MS / 1000
_CLOSE_LIMIT_S = 10.0  # of virtual time, for a session to close after the caller has left


class NotAsRecorded(AssertionError):
    """A replayed call deviated from its fixture."""


@dataclass(frozen=True, slots=True)
class Speech:
    """The providers of a replay."""

    vad: VAD
    stt: STT
    llm: LLM
    tts: TTS


def offline_speech(offload: Offload) -> Speech:
    """The providers that need no network and no key. Imported here: they take half a second to load."""
    from agent.providers.espeak import EspeakTTS
    from agent.providers.pocketsphinx import PocketSphinxSTT
    from agent.providers.rules import RulesLLM
    from agent.providers.silero import SileroVAD

    return Speech(SileroVAD(), PocketSphinxSTT(offload), RulesLLM(), EspeakTTS(offload))


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of a replay. `audio`: the caller's and everyone else's side, 8 kHz 16-bit, from the answer on."""

    fixture: Fixture
    events: tuple[Happened, ...]
    ended_by: str
    end_reason: str
    problems: tuple[Deviation, ...]
    audio: tuple[bytes, bytes] = (b"", b"")
    took_s: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def duration_s(self) -> float:
        """The call's duration, in its own time."""
        return len(self.audio[0]) / 16000

    @property
    def digest(self) -> str:
        return digest(self.events)

    @property
    def transcript(self) -> str:
        """The conversation with its times, a line for each message, tool and key."""
        return "\n".join(transcript_lines(self.events))

    def report(self) -> str:
        """Expectations and events, for people."""
        lines = [f"{self.fixture.file}: {'as recorded' if self.passed else 'not as recorded'}"]
        if self.fixture.model:
            lines.append("the model's replies come from the recording")
        lines += [
            f"{self.fixture.file}:{problem.line}: {problem.text}" if problem.line else problem.text
            for problem in self.problems
        ]
        return "\n".join([*lines, "what happened:", self.transcript, f"ended by {self.ended_by}: {self.end_reason}"])

    def assert_as_recorded(self) -> None:
        """Raises NotAsRecorded, an AssertionError, with the report."""
        if not self.passed:
            raise NotAsRecorded(self.report())

    def write_wav(self, path: Path | str) -> None:
        """Stereo, the caller left. Raises OSError."""
        write_wav(path, *self.audio)


def replay(folder: Path | str, *, persona: PersonaMaker | None = None, userdata: Any = None) -> ReplayResult:
    """Replay the fixture in `folder`. `persona`: a class or a factory instead of the fixture's. `userdata`: instead
    of the factory's. Raises FixtureError, PersonaNotFound."""
    return replay_fixture(load_fixture(folder), persona=persona, userdata=userdata)


def replay_fixture(
    fixture: Fixture,
    *,
    persona: PersonaMaker | None = None,
    userdata: Any = None,
    speech: Callable[[Offload], Speech] = offline_speech,
) -> ReplayResult:
    """`speech` creates the providers. Raises PersonaNotFound."""
    started = perf_counter()
    persona = persona or load_persona(fixture.persona, fixture.folder)
    run = _Run(fixture, persona, speech, userdata)
    run_virtual(run.play())
    problems = [*compare(fixture.expect, run.happened, run.ended_by, run.end_reason), *run.problems]
    return ReplayResult(
        fixture=fixture,
        events=tuple(run.happened),
        ended_by=run.ended_by,
        end_reason=run.end_reason,
        problems=tuple(problems),
        audio=(bytes(run.tape.caller), bytes(run.tape.others)),
        took_s=perf_counter() - started,
    )


@dataclass(slots=True)
class _Tape:
    """A `Recorder` in memory."""

    caller: bytearray = field(default_factory=bytearray)
    others: bytearray = field(default_factory=bytearray)

    def write(self, caller: bytes, others: bytes) -> None:
        self.caller += caller
        self.others += others


@dataclass(slots=True)
class _ReplayedCall:
    """The call's verbs, without a line. `sent`: digits sent by the agent."""

    info: CallInfo
    sent: list[str] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def hang_up(self, reason: str = "") -> None:
        self.hung_up.set()

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        self.sent.append(digits)


class _Run:
    """One replay; `play` runs on the virtual clock."""

    def __init__(
        self, fixture: Fixture, persona: PersonaMaker, speech: Callable[[Offload], Speech], userdata: Any
    ) -> None:
        self._fixture = fixture
        self._persona = persona
        self._speech = speech
        self._userdata = userdata
        self._events: list[SessionEvent] = []
        self._answered_at = 0.0
        self.tape = _Tape()
        self.problems: list[Deviation] = []
        self.ended_by = ""
        self.end_reason = ""
        self.happened: list[Happened] = []

    async def play(self) -> None:
        fixture = self._fixture
        loop = asyncio.get_running_loop()
        room = LocalRoom(fixture.name, loop, self.tape)
        leg = room.add_leg("caller")
        participant = room.add_agent("agent")
        call = _ReplayedCall(CallInfo(fixture.name, Direction.INBOUND, fixture.number, fixture.caller, "replay"))
        offload = VirtualOffload()
        cast = await cast_for(self._persona, call.info, SharedByCalls(offload), offload)
        session = self._session(offload, cast.userdata if self._userdata is None else self._userdata)
        self._answered_at = loop.time()
        phone = asyncio.create_task(self._phone(leg, session, call), name="caller")
        try:
            await session.start(agent=cast.agent, room=participant, call=call)
            closed = await self._closed(session, phone)
        finally:
            phone.cancel()
            await asyncio.gather(phone, return_exceptions=True)
            await session.aclose("leg_ended")
            await room.close()
        self._end(closed)
        self.happened = from_session(self._events, self._answered_at)

    def _session(self, offload: Offload, userdata: Any) -> AgentSession:
        speech = self._speech(offload)
        options: Mapping[str, Any] = self._fixture.session
        session = AgentSession(
            vad=speech.vad,
            stt=speech.stt,
            llm=RecordedLLM(self._fixture.model) if self._fixture.model else speech.llm,
            tts=speech.tts,
            options=SessionOptions(**options),
            offload=offload,
            userdata=userdata,
        )
        session.subscribe(self._events.append)
        return session

    async def _closed(self, session: AgentSession, phone: asyncio.Task[None]) -> SessionClosed | None:
        """Wait until the session has closed; a failure of the phone, or its end without effect, ends the wait."""
        closed = asyncio.ensure_future(session.closed)
        await asyncio.wait([closed, phone], return_when=asyncio.FIRST_COMPLETED)
        if phone.done():
            phone.result()
            await asyncio.wait([closed], timeout=_CLOSE_LIMIT_S)
        return closed.result() if closed.done() else None

    async def _phone(self, leg: LegAudio, session: AgentSession, call: _ReplayedCall) -> None:
        """Sends and takes a frame every 20 ms until the call is over or too long."""
        loop = asyncio.get_running_loop()
        caller = TimelineCaller(self._fixture.timeline, self._fixture.line_noise)
        heard = SILENCE
        tick = 0
        while not call.hung_up.is_set():
            now = self._answered_at + tick * _FRAME_S
            await asyncio.sleep(now - loop.time())
            sent = caller.step(heard, tick * _FRAME_S)
            if sent.press:
                session.on_digit(sent.press, now)
            if sent.hang_up or tick * _FRAME_S >= self._fixture.limit_s:
                self._leave(session, caller, hung_up=sent.hang_up)
                return
            leg.push(sent.pcm, now)
            heard = leg.pull(now)
            tick += 1

    def _leave(self, session: AgentSession, caller: TimelineCaller, *, hung_up: bool) -> None:
        if hung_up:
            self.ended_by, self.end_reason = "caller", "hung up"
        else:
            self.ended_by, self.end_reason = "system", "limit"
            step = caller.waiting_for
            what = f"the caller was still waiting for the step in line {step.line}" if step else "nobody had hung up"
            self.problems.append(
                Deviation(step.line if step else 0, f"not over after {self._fixture.limit_s:g} s: {what}")
            )
        session.leg_ended()

    def _end(self, closed: SessionClosed | None) -> None:
        if closed is None:
            self.problems.append(
                Deviation(0, f"the session had not closed {_CLOSE_LIMIT_S:g} s after the caller had gone")
            )
        elif not self.ended_by:
            self.ended_by = "system" if closed.reason == "error" else "agent"
            self.end_reason = closed.reason
