"""From audio to user turns: voice activity, endpointing and recognition, joined."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from agent.pipeline.alarm import Alarm
from agent.pipeline.conversation import Conversation
from agent.pipeline.recognizer import Piece, Recognizer
from agent.providers.base import STT, VAD, ProviderError, Transcript, VADStream
from agent.turns.endpointing import Decided, EndpointAction, Endpointing, EndpointingSettings, FlushSpeech
from agent.turns.signals import SpeechEnded, SpeechStarted
from agent.turns.voice import VoiceActivity
from telephony.media.frames import AudioFrame

__all__ = [
    "Heard",
    "HearingLost",
    "Listener",
    "SpokenTurn",
    "TurnDecided",
    "TurnLikely",
    "TurnReady",
    "WordsHeard",
]

_PRE_ROLL_S = 0.3
_WHOLE_TURN_FRAMES = 750  # 15 s: beyond that, hearing all of it again would take too long
_RECENT_FRAMES = 60  # 1.2 s: the pre-roll and what it takes to notice speech


@dataclass(slots=True, eq=False)
class SpokenTurn:
    """What the caller said in one turn, as it grows."""

    started_at: float
    ended_at: float
    texts: list[str] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    voiced_ms: float = 0.0
    awaited: int = 0  # pieces whose text has not come yet
    frames: list[AudioFrame] = field(default_factory=list)  # for recognizers that want the whole turn again
    over_agent: bool = False  # the agent talked on, since it could not be interrupted
    interrupted_agent: bool = False
    cut_answer: bool = False  # and that was more than canned words
    decided_at: float | None = None
    reason: Decided = "silence"
    why: str = ""
    transcript_at: float | None = None
    failed: bool = False
    dropped: bool = False
    told: bool = False  # its end has been reported

    @property
    def text(self) -> str:
        return " ".join(text.strip() for text in self.texts if text.strip())

    @property
    def confidence(self) -> float:
        return min(self.confidences, default=1.0)


@dataclass(frozen=True, slots=True)
class WordsHeard:
    """Of the turn so far; of an interim text what is being said."""

    text: str
    final: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class TurnLikely:
    """All words so far are there and the caller is silent, but the turn is not decided."""

    turn: SpokenTurn


@dataclass(frozen=True, slots=True)
class TurnDecided:
    """Its text may be yet to come."""

    turn: SpokenTurn


@dataclass(frozen=True, slots=True)
class TurnReady:
    """Decided, and its text is there (or it `failed`)."""

    turn: SpokenTurn


@dataclass(frozen=True, slots=True)
class HearingLost:
    """Voice activity cannot be told any more."""


Heard = SpeechStarted | SpeechEnded | WordsHeard | TurnLikely | TurnDecided | TurnReady | HearingLost


class Listener:
    def __init__(self, conversation: Conversation, vad: VAD, stt: STT | None, heard: Callable[[Heard], None]) -> None:
        options = conversation.options
        self._conversation = conversation
        self._heard = heard
        self._vad = vad
        self._vad_stream: VADStream | None = vad.stream()
        self._vad_failures = 0
        self._voice = VoiceActivity(window_ms=self._vad_stream.window_samples / 8)
        self._endpointing = Endpointing(
            EndpointingSettings(
                end_silence_ms=options.end_silence_ms,
                flush_after_ms=options.flush_after_ms,
                max_turn_ms=options.max_turn_ms,
            )
        )
        self._alarm = Alarm(conversation.loop, self._endpointing, self._perform)
        self._recognizer = None if stt is None else Recognizer(conversation, stt, self._interim)
        self._whole_turns = bool(getattr(stt, "whole_turns", False))
        self._recent: deque[AudioFrame] = deque(maxlen=_RECENT_FRAMES)
        self._fed_until = 0.0
        self._feeding = False
        self._turn: SpokenTurn | None = None
        self._unready: list[SpokenTurn] = []
        self._pieces: dict[Piece, SpokenTurn] = {}
        self._speech_started_at = 0.0
        self._stopped = False
        self._held = False
        if self._recognizer is not None:
            self._recognizer.start()

    @property
    def turn(self) -> SpokenTurn | None:
        """What the caller is saying, until it is decided."""
        return self._turn

    @property
    def busy(self) -> bool:
        """The caller speaks, or what was said is not yet answered for."""
        return self._turn is not None or bool(self._unready)

    def agent_changed(self) -> None:
        """Another persona expects other words."""
        if self._recognizer is not None:
            self._recognizer.agent_changed()

    def drop(self) -> None:
        """What has been said up to now is no turn."""
        for turn in self._unready:
            turn.dropped = True
        self._unready.clear()
        dropped, self._turn = self._turn, None
        if dropped is None:
            return
        dropped.dropped = True
        self._endpointing.discard()
        self._alarm.set()
        if self._endpointing.state == "speech":
            # The caller is speaking again: that goes on as a turn of its own.
            now = self._conversation.now()
            self._turn = SpokenTurn(now, now)
            if self._feeding:
                piece = next(reversed(self._pieces))
                self._pieces[piece] = self._turn
                self._turn.awaited = 1
        elif self._feeding:
            self._perform((FlushSpeech(),))

    def hold(self, at: float) -> None:
        """Hear nothing until `resume`, least of all music on hold. Speech that is going on ends here and waits."""
        if self._stopped or self._held:
            return
        for event in self._voice.cut(at):
            if isinstance(event, SpeechEnded):
                self._speech_ended(event)
        self._held = True
        self._recent.clear()
        self._perform(self._endpointing.hold())
        self._alarm.set()

    def resume(self, at: float) -> None:
        """What was said before the hold is decided now."""
        if self._stopped or not self._held:
            return
        self._held = False
        self._perform(self._endpointing.resume(at))
        self._alarm.set()

    def stop(self) -> None:
        """Hear nothing more."""
        if self._stopped:
            return
        self._stopped = True
        self._alarm.cancel()
        self._turn = None
        self._unready.clear()
        if self._recognizer is not None:
            self._recognizer.close()
        if self._vad_stream is not None:
            self._vad_stream.close()

    def _is_stopped(self) -> bool:
        """Asked again after each event, upon which all may have been ended."""
        return self._stopped

    def frame(self, frame: AudioFrame) -> None:
        """One 20 ms frame was heard."""
        if self._stopped or self._held or self._vad_stream is None:
            return
        self._recent.append(frame)
        if self._feeding:
            self._feed(frame)
        self._voice.frame(_level_db(frame.pcm), frame.at)
        try:
            windows = self._vad_stream.push(frame)
            self._vad_failures = 0
        except Exception as error:  # noqa: BLE001  one bad window must not end the call
            self._vad_failed(error)
            return
        for probability, at in windows:
            for event in self._voice.window(probability, at):
                if isinstance(event, SpeechStarted):
                    self._speech_started(event)
                else:
                    self._speech_ended(event)
                if self._is_stopped():
                    return

    def _vad_failed(self, error: Exception) -> None:
        failure = error if isinstance(error, ProviderError) else ProviderError("vad", repr(error))
        self._vad_failures += 1
        if self._vad_failures < 3:
            self._conversation.provider_failed("vad", failure, "retry")
            self._vad_stream = self._vad.stream()
            return
        self._conversation.provider_failed("vad", failure, "canned")
        self._vad_stream = None
        self._heard(HearingLost())

    # --- speech ---------------------------------------------------------------------------------------------------

    def _speech_started(self, event: SpeechStarted) -> None:
        self._conversation.user_speaking = True
        self._speech_started_at = event.at
        if self._turn is None:
            self._turn = SpokenTurn(event.at, event.at)
        self._heard(event)
        if self._is_stopped():
            return
        self._begin_piece(event.at)
        self._perform(self._endpointing.heard(event))
        self._alarm.set()

    def _speech_ended(self, event: SpeechEnded) -> None:
        self._conversation.user_speaking = False
        if self._turn is None:
            self._turn = SpokenTurn(self._speech_started_at, event.at)
        self._turn.voiced_ms += (event.at - self._speech_started_at) * 1000
        self._turn.ended_at = event.at
        actions = self._endpointing.heard(event)
        self._heard(event)
        self._perform(actions)
        self._alarm.set()

    def _begin_piece(self, speech_at: float) -> None:
        if self._recognizer is None or self._turn is None or self._feeding:
            return  # a short pause within one piece
        self._feeding = True
        piece = Piece(self._piece_done)
        since = max(speech_at - _PRE_ROLL_S, self._fed_until)
        fresh = [frame for frame in self._recent if frame.at > since + 1e-6]
        if self._whole_turns and len(self._turn.frames) <= _WHOLE_TURN_FRAMES:
            piece.whole = True
            piece.frames.extend(self._turn.frames)
        piece.frames.extend(fresh)
        self._turn.frames.extend(fresh)
        self._turn.awaited += 1
        self._pieces[piece] = self._turn
        if fresh:
            self._fed_until = fresh[-1].at
        self._recognizer.begin(piece)

    def _feed(self, frame: AudioFrame) -> None:
        self._fed_until = frame.at
        if self._recognizer is not None:
            self._recognizer.push(frame)
        if self._turn is not None and self._whole_turns:
            self._turn.frames.append(frame)

    # --- turns ----------------------------------------------------------------------------------------------------

    def _perform(self, actions: tuple[EndpointAction, ...]) -> None:
        for action in actions:
            if self._stopped:
                return
            if isinstance(action, FlushSpeech):
                self._feeding = False
                if self._recognizer is not None:
                    self._recognizer.flush()
                continue
            turn, self._turn = self._turn, None
            if turn is None:
                continue
            turn.decided_at, turn.reason, turn.why = action.at, action.reason, action.why
            turn.ended_at = action.speech_ended_at
            if action.reason == "forced":
                turn.voiced_ms += (action.at - self._speech_started_at) * 1000
                self._speech_started_at = action.at
                self._turn = SpokenTurn(action.at, action.at)
                self._begin_piece(action.at)
            self._unready.append(turn)
            self._heard(TurnDecided(turn))
            self._settle()

    def _interim(self, text: str) -> None:
        self._heard(WordsHeard(text, final=False, confidence=1.0))

    def _piece_done(self, piece: Piece, transcript: Transcript | None) -> None:
        turn = self._pieces.pop(piece)
        turn.awaited -= 1
        if self._stopped or turn.dropped:
            return
        turn.transcript_at = self._conversation.now()
        if transcript is None:
            turn.failed = True
        else:
            if piece.whole:
                turn.texts.clear()
                turn.confidences.clear()
            turn.texts.append(transcript.text)
            if transcript.text:
                turn.confidences.append(transcript.confidence)
            self._heard(WordsHeard(turn.text, final=True, confidence=turn.confidence))
        if turn.dropped or self._is_stopped():
            return
        if turn is self._turn and not turn.awaited and self._endpointing.state == "silence":
            self._heard(TurnLikely(turn))
        self._settle()

    def _settle(self) -> None:
        """Hand over the turns whose text is complete, in their order."""
        while self._unready and (self._unready[0].awaited == 0 or self._unready[0].failed):
            turn = self._unready.pop(0)
            if not turn.dropped:
                self._heard(TurnReady(turn))


def _level_db(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    mean_square = float(np.dot(samples, samples)) / max(1, samples.size)
    return 10 * math.log10(mean_square / 32768.0**2 + 1e-10)
