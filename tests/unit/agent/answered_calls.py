"""Calls that we place, on virtual time: who answers is scripted, and what they hear is known to the frame."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from phone import FakeCall, Phone

from agent import Agent, AgentSession, Answering, SessionOptions
from agent.context import RunContext
from agent.events import AgentMessage, MessageLeft, SessionClosed, UserMessage, WhoAnsweredTold
from agent.providers.fakes import FakeLLM, FakeOffload, FakeSTT, FakeTTS, FakeVAD
from agent.testing.virtual_clock import run_virtual
from telephony.media.answering.fakes import ScriptedAnswer
from telephony.media.answering.model import AnsweredBy, AnsweringEvent, GreetingGoesOn, MessageMayBegin, Verdict

__all__ = [
    "GREETING",
    "Answered",
    "Caller",
    "Counting",
    "goes_on",
    "heard",
    "left",
    "may_begin",
    "place",
    "reason",
    "said",
    "told",
    "verdict",
    "words",
]


GREETING = ("greeting", "Hello, this is Sunrise Clinic.")  # 1 s


class Caller(Agent):
    """You call about an appointment."""

    greeting = "Hello, this is Sunrise Clinic."

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.entered: list[float] = []

    async def on_enter(self, ctx: RunContext) -> None:
        self.entered.append(ctx.session.options.end_silence_ms)


def verdict(at: float, who: str, corrects: str | None = None, probability: float = 0.9) -> Verdict:
    """`at`: seconds after the answer, as in the other events."""
    before = None if corrects is None else AnsweredBy(corrects)
    return Verdict(at, AnsweredBy(who), probability, ("as the test says",), before)


def may_begin(at: float, why: str = "beep") -> MessageMayBegin:
    return MessageMayBegin(at, why)


def goes_on(at: float) -> GreetingGoesOn:
    return GreetingGoesOn(at)


class DigitCall(FakeCall):
    """Notes the keys that are pressed."""

    def __init__(self, phone: Phone) -> None:
        super().__init__(phone)
        self.keys: list[str] = []

    async def send_digits(self, digits: str, **given: object) -> None:
        self.keys.append(digits)


class Answered(Phone):
    """`who`: what was told to the detector."""

    call: DigitCall
    who: ScriptedAnswer

    def since(self, at: float) -> float:
        """Seconds after the answer, of a loop time."""
        return round(at - self.began_at, 3)


def place(
    script: Callable[[Answered], Awaitable[None]],
    *events: AnsweringEvent,
    agent: Agent | None = None,
    answering: Answering | None = None,
    ordered: bool = True,
    prepared: bool = True,
    background: bool = False,
    early: bytes = b"",
    who: Any = None,
    llm: Any = None,
    stt: Any = None,
    tts: Any = None,
    vad: Any = None,
    **options: Any,
) -> Answered:
    """Run one call, answered at once, to the end of `script`. The times of `events` count from the answer.
    `background`: it is answered while the speech is still being made. `early`: heard just before the answer."""

    async def run() -> Answered:
        session = AgentSession(
            llm=llm or FakeLLM(),
            stt=stt or FakeSTT(),
            tts=tts or FakeTTS(),
            vad=vad or FakeVAD(),
            options=SessionOptions(**options),
            offload=FakeOffload(),
        )
        persona, order = agent or Caller(), answering or Answering(message="Please call us back.")
        if background:
            asyncio.create_task(session.prepare(agent=persona, answering=order)).add_done_callback(lambda _: None)
        elif prepared:
            await session.prepare(agent=persona, answering=order)
        phone = Answered(session)
        phone.call = DigitCall(phone)
        if early:
            phone.room.input.feed(early, phone.began_at)
        phone.who = who or ScriptedAnswer([replace(event, at=phone.began_at + event.at) for event in events])
        await session.start(
            agent=persona,
            room=phone.room,
            call=phone.call,
            answering=order if ordered else None,
            who_answered=phone.who,
        )
        await script(phone)
        await session.aclose()
        return phone

    return run_virtual(run())


def heard(phone: Answered, from_s: float = 0.0) -> list[tuple[float, float]]:
    """What the callee hears: the stretches of our sound since the answer, in seconds; gaps under 60 ms count as
    sound."""
    samples = array("h", bytes(phone.room.output.played))
    stretches: list[tuple[float, float]] = []
    for frame in range(len(samples) // 160):
        if not any(samples[frame * 160 : frame * 160 + 160]):
            continue
        at = frame * 0.02
        if stretches and at - stretches[-1][1] < 0.06:
            stretches[-1] = (stretches[-1][0], round(at + 0.02, 3))
        else:
            stretches.append((round(at, 3), round(at + 0.02, 3)))
    return [stretch for stretch in stretches if stretch[1] > from_s]


def said(phone: Answered) -> list[tuple[str, str]]:
    """What was heard of what the agent said, with its kind."""
    return [(event.kind, event.text) for event in phone.of(AgentMessage)]


def left(phone: Answered) -> list[tuple[bool, str]]:
    return [(event.delivered, event.why) for event in phone.of(MessageLeft)]


def told(phone: Answered) -> list[tuple[str, str, str]]:
    return [(event.answered_by, event.action, event.corrects) for event in phone.of(WhoAnsweredTold)]


def words(phone: Answered) -> list[str]:
    return [event.text for event in phone.of(UserMessage)]


def reason(phone: Answered) -> str:
    return phone.one(SessionClosed).reason


class Counting:
    """A person after `after_s`; counts what it is fed, and that time never goes back."""

    def __init__(self, after_s: float) -> None:
        self.after_s = after_s
        self.frames: list[float] = []
        self.voices: list[float] = []
        self.said: list[tuple[str, bool]] = []
        self.spoke: list[bool] = []
        self.opinions: list[AnsweredBy] = []
        self.last = 0.0
        self.begun: float | None = None
        self.told = False

    def _at(self, at: float) -> tuple[Verdict, ...]:
        assert at >= self.last
        self.last = at
        self.begun = self.begun or at
        if self.told or at < self.begun + self.after_s:
            return ()
        self.told = True
        return (Verdict(at, AnsweredBy.HUMAN, 0.9, ("counted",)),)

    def hear(self, pcm: bytes, at: float) -> tuple[Verdict, ...]:
        assert len(pcm) == 320
        self.frames.append(at)
        return self._at(at)

    def voice(self, probability: float, at: float) -> tuple[Verdict, ...]:
        self.voices.append(probability)
        return self._at(at)

    def words(self, text: str, at: float, *, final: bool) -> tuple[Verdict, ...]:
        self.said.append((text, final))
        return self._at(at)

    def opinion(self, answered_by: AnsweredBy, at: float) -> tuple[Verdict, ...]:
        self.opinions.append(answered_by)
        return self._at(at)

    def we_speak(self, speaking: bool, at: float) -> None:
        self.spoke.append(speaking)

    def due(self) -> float | None:
        return None

    def tick(self, now: float) -> tuple[Verdict, ...]:
        return self._at(now)
