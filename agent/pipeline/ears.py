"""Merges the signals about the caller, from VAD and recogniser, into one sequence.

    frame -> VoiceSource ---+
      |                     +--> Speaking --signals-->
      +----> Recognizer ----+

With "vad" the recogniser gets pieces of speech, each flushed when the caller falls silent. With "stt",
and with "manual" where there is no VAD, it gets all audio as one piece, cut at the ends of turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from agent.persona import Agent
from agent.pipeline.alarm import Alarm
from agent.pipeline.recognizer import PieceDone, Recognizer, RecognizerEvent, RecognizerLimits, StreamLost, StreamWell
from agent.pipeline.speech_feed import SpeechFeed
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.tasks import SessionTasks
from agent.pipeline.voice_source import VoiceSource
from agent.providers.base import STT, VAD, ProviderError, Transcript
from agent.turns.signals import EndOfTurn, Interim, Signal, TurnDetection, TurnResumed
from agent.turns.speaking import Speaking
from telephony.media.frames import AudioFrame

__all__ = [
    "Ears",
    "EarsEvent",
    "FailureTold",
    "HearingLost",
    "Overhears",
    "RecogniserLost",
    "RecogniserWell",
    "TextCame",
]


@dataclass(frozen=True, slots=True)
class TextCame:
    """The text of a flushed piece; None: it will never arrive. `whole`: it is the text of the whole turn so far."""

    turn: SpokenTurn
    transcript: Transcript | None
    whole: bool


@dataclass(frozen=True, slots=True)
class RecogniserLost:
    """A recogniser that ends turns gives no signals for now."""


@dataclass(frozen=True, slots=True)
class RecogniserWell:
    """It gives signals again."""


@dataclass(frozen=True, slots=True)
class HearingLost:
    """Nothing signals the caller's speech any longer."""


EarsEvent = Signal | TextCame | RecogniserLost | RecogniserWell | HearingLost


class FailureTold(Protocol):
    def __call__(
        self, part: Literal["vad", "stt"], error: ProviderError, action: Literal["retry", "canned", "ignored"]
    ) -> None: ...


class Overhears(Protocol):
    """Who wants the raw material, too."""

    def frame(self, frame: AudioFrame) -> None: ...
    def voice(self, probability: float, at: float) -> None: ...


class Ears:
    def __init__(
        self,
        agent: Agent,
        limits: RecognizerLimits,
        tasks: SessionTasks,
        *,
        detection: TurnDetection,
        vad: VAD | None,
        stt: STT | None,
        heard: Callable[[EarsEvent], None],
        failed: FailureTold,
    ) -> None:
        """`agent`: its language is recognised. `heard` gets the signals, `failed` the providers' failures."""
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self._failed = failed
        self._detection = detection
        self._voice = None if vad is None else VoiceSource(vad, self._vad_failed)
        self._speaking = Speaking()
        self._alarm = Alarm(self._loop, self._speaking, self._tell)
        self._deaf = self._closed = False
        self._overhears: Overhears | None = None
        self._recognizer: Recognizer | None = None
        self._feed: SpeechFeed | None = None
        if stt is not None:
            limits = replace(limits, alone=vad is None)
            self._recognizer = Recognizer(stt, agent, tasks, limits, heard=self._recognized, failed=self._stt_failed)
            self._feed = SpeechFeed(self._recognizer, whole_turns=bool(getattr(stt, "whole_turns", False)))

    @property
    def speaking(self) -> bool:
        """The caller is speaking now."""
        return self._speaking.now

    @property
    def endless(self) -> bool:
        """Give the recogniser all audio, and accept its unsolicited signals."""
        return self._feed is not None and self._feed.endless

    @property
    def detect_turns(self) -> bool:
        """Whether the recogniser in use signals the ends of turns."""
        return self._recognizer is not None and self._recognizer.detects_turns

    @property
    def fed_ms(self) -> float:
        """How much of the open piece the recogniser has been given."""
        return 0.0 if self._feed is None else self._feed.fed_ms

    @property
    def loud_ms(self) -> float:
        """How much of an endless piece may be speech."""
        return self._feed.loud_ms if self._feed is not None and self._feed.endless else 0.0

    def start(self) -> None:
        """Open the recogniser's stream ahead of the first speech."""
        if self._recognizer is not None:
            self._recognizer.start()
            self._feed_as_detected(None)

    def agent_changed(self, agent: Agent) -> None:
        """Another persona expects other words, or speaks another language."""
        if self._recognizer is not None:
            self._recognizer.agent_changed(agent)

    def detect(self, detection: TurnDetection, turn: SpokenTurn | None) -> None:
        """From now on, another source ends turns. `turn`: the current speech."""
        self._detection = detection
        self._feed_as_detected(turn)

    def frame(self, frame: AudioFrame, turn: SpokenTurn | None) -> None:
        """One 20 ms frame was heard. `turn`: what the caller is saying."""
        if self._feed is not None:
            self._feed.hear(frame, turn)
        if self._voice is not None:
            for event in self._voice.frame(frame):
                self._tell(self._speaking.voice(event))
        if self._overhears is not None:
            self._overhears.frame(frame)

    def overheard_by(self, overhears: Overhears | None) -> None:
        """It gets each frame and the VAD's probabilities from now on."""
        self._overhears = overhears
        if self._voice is not None:
            self._voice.told = None if overhears is None else overhears.voice

    def want_interims(self, wanted: bool) -> None:
        """Whether texts before the final one are useful. If the recogniser is given all audio, they always are."""
        if self._recognizer is not None:
            self._recognizer.want_interims(wanted or self.endless)

    def begin(self, turn: SpokenTurn, at: float) -> None:
        """Start recognising speech of `turn`."""
        if self._feed is not None:
            self._feed.begin(turn, at)

    def flush(self, turn: SpokenTurn | None) -> None:
        """Request the text so far, for `turn`; None: discard it."""
        if self._feed is not None:
            self._feed.flush(turn)

    def hand_over(self, turn: SpokenTurn) -> None:
        """Ongoing speech belongs to another turn."""
        if self._feed is not None:
            self._feed.hand_over(turn)

    def next_turn(self, turn: SpokenTurn | None) -> None:
        """The recogniser has ended a turn; the next speech is another one."""
        if self._feed is not None:
            self._feed.begin_endless(turn)

    def cut(self, at: float) -> None:
        """Stop listening for now. Ongoing speech ends."""
        for event in self._voice.cut(at) if self._voice is not None else ():
            self._tell(self._speaking.voice(event))
        self._tell(self._speaking.cut(at))
        if self._feed is not None:
            self._feed.forget()

    def deafen(self, deaf: bool) -> None:
        """Whether to ignore the recogniser's signals because they refer to earlier audio."""
        self._deaf = deaf

    def close(self) -> None:
        self._closed = True
        self._alarm.cancel()
        if self._recognizer is not None:
            self._recognizer.close()
        if self._voice is not None:
            self._voice.close()

    # --- signals ---------------------------------------------------------------------------------------------

    def _tell(self, signals: tuple[Signal, ...]) -> None:
        for signal in signals:
            if self._closed:
                return
            self._heard(signal)
        self._alarm.set()

    def _recognized(self, event: RecognizerEvent) -> None:
        match event:
            case PieceDone(piece=piece, transcript=transcript) if self._feed is not None:
                whole = piece.whole or self._detection == "stt"
                self._heard(TextCame(self._feed.done(piece), transcript, whole))
            case StreamLost(for_good=True):
                self._heard(HearingLost())
            case StreamLost() if self._detection == "stt":
                self._tell(self._speaking.lost(self._loop.time()))
                self._heard(RecogniserLost())
            case StreamWell():
                self._heard(RecogniserWell())
            case PieceDone() | StreamLost():
                pass
            case _ if self.endless:
                self._tell(() if self._deaf else self._speaking.recogniser(event))
            case Interim() | EndOfTurn() | TurnResumed():
                self._tell((event,))  # the VAD signals the rest

    def _feed_as_detected(self, turn: SpokenTurn | None) -> None:
        if self._feed is None:
            return
        hears_voice = self._voice is not None and not self._voice.lost
        endless = self._detection == "stt" or (self._detection == "manual" and not hears_voice)
        self._feed.keeps_all = self._detection == "manual"
        if endless and not self._feed.endless:
            self._feed.begin_endless(turn)
        elif not endless and self._feed.endless:
            self._feed.endless = False
            self._feed.flush(None)

    def _vad_failed(self, error: ProviderError, lost: bool) -> None:
        self._failed("vad", error, "canned" if lost else "retry")
        if not lost:
            return
        if self._detection == "vad":
            self._heard(HearingLost())
            return
        self._speaking.deaf()
        self._alarm.set()
        if self._recognizer is not None:
            self._recognizer.limits = replace(self._recognizer.limits, alone=True)
        self._feed_as_detected(None)

    def _stt_failed(self, error: ProviderError, action: Literal["retry", "canned", "ignored"]) -> None:
        self._failed("stt", error, action)
